#include "layerstore/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <locale.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <new>
#include <optional>
#include <utility>

#include "fs/sys/interruption.h"
#include "layerstore/entry_path.h"
#include "layerstore/header_bound.h"
#include "layerstore/quote.h"

namespace layerfs::store {

namespace {

constexpr std::string_view kWhiteout = ".wh.";
constexpr std::string_view kWhiteoutMeta = ".wh..wh.";
constexpr std::string_view kOpaque = ".wh..wh..opq";
constexpr la_int64_t kMaxId = 0xfffffffe;  // the next is "no change" to chown
constexpr long kNanoseconds = 1'000'000'000;

// libarchive converts names to the thread's locale: in a UTF-8 one it composes characters, that is,
// it changes names. In "C" names that are not ASCII can't be converted, and it hands out the bytes.
class PlainLocale {
 public:
  PlainLocale() : locale_(::newlocale(LC_ALL_MASK, "C", nullptr)) {
    if (!locale_) throw std::bad_alloc();
    before_ = ::uselocale(locale_);
  }
  ~PlainLocale() {
    ::uselocale(before_);
    ::freelocale(locale_);
  }
  PlainLocale(const PlainLocale&) = delete;
  PlainLocale& operator=(const PlainLocale&) = delete;

 private:
  locale_t locale_;
  locale_t before_;
};

struct FreeArchive {
  void operator()(archive* reader) const { ::archive_read_free(reader); }
};

timespec timestamp(la_int64_t seconds, long nanoseconds) {
  // "-1.5" comes as -1 and 500,000,000, but means half a second before -1.
  if (seconds < 0 && nanoseconds > 0) return {seconds - 1, kNanoseconds - nanoseconds};
  return {seconds, nanoseconds};
}

bool is_later(const timespec& a, const timespec& b) {
  return a.tv_sec != b.tv_sec ? a.tv_sec > b.tv_sec : a.tv_nsec > b.tv_nsec;
}

Outcome<Attributes> attributes_of(archive_entry* entry) {
  Attributes attributes;
  attributes.mode = ::archive_entry_perm(entry) & 07777;
  const la_int64_t uid = ::archive_entry_uid(entry);
  const la_int64_t gid = ::archive_entry_gid(entry);
  if (uid < 0 || gid < 0 || uid > kMaxId || gid > kMaxId) {
    return refuse("its owner " + std::to_string(uid) + ":" + std::to_string(gid) +
                  " is out of range");
  }
  attributes.uid = static_cast<uid_t>(uid);
  attributes.gid = static_cast<gid_t>(gid);
  attributes.mtime = timestamp(::archive_entry_mtime(entry), ::archive_entry_mtime_nsec(entry));
  attributes.atime = timestamp(::archive_entry_atime(entry), ::archive_entry_atime_nsec(entry));
  if (!is_later(attributes.atime, attributes.mtime)) attributes.atime = attributes.mtime;
  const char* name = nullptr;
  const void* value = nullptr;
  std::size_t size = 0;
  ::archive_entry_xattr_reset(entry);
  while (::archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK) {
    attributes.xattrs.emplace_back(name, std::string(static_cast<const char*>(value), size));
  }
  return attributes;
}

class Unpacker {
 public:
  Unpacker(LayerStream& stream, int tree, const TreeFormat& format, const ImportLimits& limits)
      : stream_(stream), limits_(limits), writer_(tree, format), reader_(::archive_read_new()) {
    if (!reader_) throw std::bad_alloc();
    ::archive_read_support_format_tar(reader_.get());
    ::archive_read_support_format_empty(reader_.get());
  }

  Outcome<TreeNotes> run() {
    Outcome<void> done = read_entries();
    // A damaged blob is reported as such, not as what its bytes happened to look like.
    if (!done && !broken_archive_) return tl::make_unexpected(std::move(done.error()));
    LAYERFS_TRY(drain());
    LAYERFS_TRY(std::move(done));
    return writer_.finish();
  }

 private:
  static la_ssize_t read_piece(archive* reader, void* self, const void** buffer) {
    auto* unpacker = static_cast<Unpacker*>(self);
    if (unpacker->header_.exceeded()) {
      unpacker->stream_failure_ = unpacker->header_.failure().value();
      ::archive_set_error(reader, EFBIG, "a header is too large");
      return ARCHIVE_FATAL;
    }
    Outcome<std::span<const std::byte>> piece = unpacker->stream_.next();
    if (!piece) {
      unpacker->stream_failure_ = std::move(piece.error());
      ::archive_set_error(reader, EIO, "the layer cannot be read");
      return ARCHIVE_FATAL;
    }
    unpacker->ended_ = piece->empty();
    unpacker->header_.give(piece->size());
    *buffer = piece->data();
    return static_cast<la_ssize_t>(piece->size());
  }

  Outcome<void> read_entries() {
    const PlainLocale locale;
    if (::archive_read_open(reader_.get(), this, nullptr, read_piece, nullptr) != ARCHIVE_OK) {
      return archive_failure();
    }
    while (!complete_) {
      archive_entry* entry = nullptr;
      const int status = next_header(&entry);
      if (status == ARCHIVE_EOF) return {};
      if (status < ARCHIVE_WARN) return archive_failure();
      LAYERFS_TRY(add_named(entry));
      LAYERFS_TRY(check_entries());
    }
    return {};
  }

  int next_header(archive_entry** entry) {
    if (headers_++ > 0) {
      const int skipped = ::archive_read_data_skip(reader_.get());
      if (skipped < ARCHIVE_WARN) return skipped;
    }
    header_.begin(static_cast<std::uint64_t>(::archive_filter_bytes(reader_.get(), 0)));
    const int status = ::archive_read_next_header(reader_.get(), entry);
    header_.end();
    return status;
  }

  Outcome<void> check_entries() const {
    if (sys::interruption_requested()) return sys::interrupted();
    if (std::max(headers_, writer_.entries()) <= limits_.entries) return {};
    return over_limit("it has", limits_.entries, "--max-entries");
  }

  Outcome<void> add_named(archive_entry* entry) {
    const char* raw = ::archive_entry_pathname(entry);
    if (!raw) return refuse("an entry of the archive has no name");
    const Outcome<EntryPath> path = parse_entry_path(raw);
    Outcome<void> added = path ? add(entry, *path) : tl::make_unexpected(path.error());
    if (added || stream_failure_ || broken_archive_ || stopped_) return added;
    return refuse("entry " + quote(raw) + ": " + added.error().sentence, added.error().code);
  }

  Outcome<void> add(archive_entry* entry, const EntryPath& path) {
    if (path.name.starts_with(kWhiteout)) return add_mark(path);
    LAYERFS_TRY_ASSIGN(Attributes attributes, attributes_of(entry));
    if (const char* target = ::archive_entry_hardlink(entry)) {
      LAYERFS_TRY_ASSIGN(const EntryPath target_path, parse_link_target(target));
      return writer_.add_hard_link(path, target_path);
    }
    const mode_t type = ::archive_entry_filetype(entry);
    switch (type) {
      case AE_IFREG:
        return add_file(entry, path, attributes);
      case AE_IFDIR:
        return writer_.add_directory(path, std::move(attributes));
      case AE_IFLNK: {
        const char* target = ::archive_entry_symlink(entry);
        return writer_.add_symlink(path, target ? target : "", attributes);
      }
      case AE_IFIFO:
      case AE_IFSOCK:
        return writer_.add_special(path, type, 0, attributes);
      case AE_IFCHR:
      case AE_IFBLK:
        return writer_.add_special(path, type,
                                   makedev(static_cast<unsigned>(::archive_entry_rdevmajor(entry)),
                                           static_cast<unsigned>(::archive_entry_rdevminor(entry))),
                                   attributes);
      default:
        return refuse("it is of an unknown type");
    }
  }

  Outcome<void> add_mark(const EntryPath& path) {
    if (path.name == kOpaque) return writer_.add_opaque(path.parent);
    if (path.name.starts_with(kWhiteoutMeta)) return {};  // AUFS's own
    const std::string hidden = path.name.substr(kWhiteout.size());
    if (hidden.empty() || hidden == "." || hidden == "..") {
      return refuse("it is a whiteout of no valid name");
    }
    return writer_.add_whiteout({path.parent, hidden});
  }

  Outcome<void> add_file(archive_entry* entry, const EntryPath& path,
                         const Attributes& attributes) {
    const auto size =
        static_cast<std::uint64_t>(std::max<la_int64_t>(0, ::archive_entry_size(entry)));
    if (size > limits_.size || writer_.size() > limits_.size - size) {
      stopped_ = true;
      return over_limit("its files have", limits_.size, "--max-size");
    }
    LAYERFS_TRY_ASSIGN(NewFile file, writer_.add_file(path));
    std::uint64_t end = 0;
    while (true) {
      const void* data = nullptr;
      std::size_t length = 0;
      la_int64_t offset = 0;
      const int status = ::archive_read_data_block(reader_.get(), &data, &length, &offset);
      if (status == ARCHIVE_EOF) break;
      if (status < ARCHIVE_WARN) {
        // Some writers leave the last entry without padding; all of its data has come.
        complete_ = ended_ && end == size && !stream_failure_;
        if (complete_) break;
        return archive_failure();
      }
      const std::span bytes(static_cast<const std::byte*>(data), length);
      if (Result<void> done = file.write(bytes, static_cast<std::uint64_t>(offset)); !done) {
        return refuse("cannot write it", done.error());
      }
      end = static_cast<std::uint64_t>(offset) + length;
    }
    return writer_.finish_file(std::move(file), attributes, size);
  }

  tl::unexpected<Failure> archive_failure() {
    if (stream_failure_) return tl::make_unexpected(*stream_failure_);
    broken_archive_ = true;
    const char* why = ::archive_error_string(reader_.get());
    return refuse(std::string("its tar archive is broken: ") + (why ? why : "no reason given"));
  }

  // Whatever follows the end of the archive counts for the digests.
  Outcome<void> drain() {
    while (!ended_) {
      LAYERFS_TRY_ASSIGN(const std::span<const std::byte> piece, stream_.next());
      ended_ = piece.empty();
    }
    return {};
  }

  LayerStream& stream_;
  const ImportLimits limits_;
  TreeWriter writer_;
  std::unique_ptr<archive, FreeArchive> reader_;
  std::optional<Failure> stream_failure_;
  HeaderBound header_{limits_.header};
  std::uint64_t headers_ = 0;  // read, or begun
  bool broken_archive_ = false;
  bool stopped_ = false;   // by a limit that the whole layer is over
  bool ended_ = false;     // the stream has
  bool complete_ = false;  // the archive has, without the blocks that should end it
};

}  // namespace

Outcome<TreeNotes> unpack_layer(LayerStream& stream, int tree, const TreeFormat& format,
                                const ImportLimits& limits) {
  return Unpacker(stream, tree, format, limits).run();
}

}  // namespace layerfs::store
