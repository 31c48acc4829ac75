#include "layerstore/file_set.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <new>
#include <utility>
#include <vector>

#include "fs/sys/file.h"
#include "fs/sys/interruption.h"
#include "layerstore/decompress.h"
#include "layerstore/entry_path.h"
#include "layerstore/file_util.h"
#include "layerstore/header_bound.h"
#include "layerstore/quote.h"

namespace layerfs::store {

namespace {

constexpr std::size_t kPiece = 1 << 20;
constexpr int kMaxLinks = 8;

using SharedFd = std::shared_ptr<const sys::UniqueFd>;

SharedFd share(sys::UniqueFd fd) { return std::make_shared<const sys::UniqueFd>(std::move(fd)); }

class Directory final : public FileSet {
 public:
  Directory(sys::UniqueFd fd, const ImportLimits& limits) : FileSet(limits), fd_(std::move(fd)) {}

  // What is there is looked at before it is opened: opening a device or a fifo may do something, or
  // wait. Whoever made the directory chose the name, too.
  Outcome<std::optional<Region>> find(const std::string& name) const override {
    const auto entry = sys::open_beneath(fd_.get(), name.c_str(), O_PATH | O_NOFOLLOW);
    if (!entry && is_absence(entry.error())) return std::nullopt;
    if (!entry) return not_opened(name, entry.error());
    const auto status = sys::stat_fd(entry->get());
    if (!status) return not_opened(name, status.error());
    if (S_ISLNK(status->st_mode)) return not_opened(name, Errno(ELOOP));
    if (!S_ISREG(status->st_mode)) return refuse(quote(name) + " is not a regular file");
    auto fd = sys::reopen(entry->get(), O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (!fd) return not_opened(name, fd.error());
    return Region{share(std::move(*fd)), 0, static_cast<std::uint64_t>(status->st_size)};
  }

 private:
  static bool is_absence(Errno error) {
    return error.code() == ENOENT || error.code() == ENOTDIR || error.code() == ENAMETOOLONG;
  }

  static tl::unexpected<Failure> not_opened(const std::string& name, Errno error) {
    if (error.code() == EXDEV) {
      return refuse(quote(name) + " leads out of the image's directory", EXDEV);
    }
    if (error.code() == ELOOP) {
      return refuse(quote(name) +
                        " is a symbolic link, or lies behind one, and none is followed: `cp -rL` "
                        "makes a copy of the directory without links",
                    ELOOP);
    }
    return refuse("cannot open " + quote(name), error);
  }

  sys::UniqueFd fd_;
};

struct Member {
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
  std::string link{};  // of a link: the name it stands for
};

class TarFiles final : public FileSet {
 public:
  TarFiles(SharedFd file, std::map<std::string, Member> members, const ImportLimits& limits)
      : FileSet(limits), file_(std::move(file)), members_(std::move(members)) {}

  Outcome<std::optional<Region>> find(const std::string& name) const override {
    std::string wanted = name;
    for (int links = 0; links < kMaxLinks; ++links) {
      const auto found = members_.find(wanted);
      if (found == members_.end()) return std::nullopt;
      const Member& member = found->second;
      if (member.link.empty()) return Region{file_, member.offset, member.size};
      wanted = member.link;
    }
    return refuse(quote(name) + " is a link to a link to a link without end");
  }

 private:
  SharedFd file_;
  std::map<std::string, Member> members_;
};

struct FreeArchive {
  void operator()(archive* reader) const { ::archive_read_free(reader); }
};
using Archive = std::unique_ptr<archive, FreeArchive>;

// "../x/layer.tar" seen from "y/layer.tar" is "x/layer.tar", as old `docker save` writes it.
std::string resolve_link(const std::string& from, const std::string& target) {
  std::vector<std::string> parts;
  const auto add = [&](const std::string& path) {
    for (std::size_t at = 0; at < path.size();) {
      const std::size_t end = std::min(path.find('/', at), path.size());
      const std::string part = path.substr(at, end - at);
      at = end + 1;
      if (part == ".." && !parts.empty()) {
        parts.pop_back();
      } else if (!part.empty() && part != "." && part != "..") {
        parts.push_back(part);
      }
    }
  };
  if (!target.starts_with('/')) {
    add(from);
    if (!parts.empty()) parts.pop_back();
  }
  add(target);
  std::string path;
  for (const std::string& part : parts) path += (path.empty() ? "" : "/") + part;
  return path;
}

std::optional<Member> member_of(archive* reader, archive_entry* entry, const std::string& name) {
  if (const char* target = ::archive_entry_hardlink(entry)) {
    return Member{0, 0, resolve_link("", target)};
  }
  if (::archive_entry_filetype(entry) == AE_IFLNK) {
    const char* target = ::archive_entry_symlink(entry);
    return Member{0, 0, resolve_link(name, target ? target : "")};
  }
  if (::archive_entry_filetype(entry) != AE_IFREG) return std::nullopt;
  // Right after a header the reader stands at the first byte of the data.
  return Member{static_cast<std::uint64_t>(::archive_filter_bytes(reader, 0)),
                static_cast<std::uint64_t>(std::max<la_int64_t>(0, ::archive_entry_size(entry)))};
}

// What libarchive reads an archive from; its data is passed over.
class Listing {
 public:
  Listing(int fd, const ImportLimits& limits)
      : fd_(fd), limits_(limits), header_(limits.header), reader_(::archive_read_new()) {
    if (!reader_) throw std::bad_alloc();
    ::archive_read_support_format_tar(reader_.get());
    ::archive_read_set_callback_data(reader_.get(), this);
    ::archive_read_set_read_callback(reader_.get(), read);
    ::archive_read_set_skip_callback(reader_.get(), skip);
  }

  Outcome<std::map<std::string, Member>> run() {
    if (::archive_read_open1(reader_.get()) != ARCHIVE_OK) return broken();
    std::map<std::string, Member> members;
    std::uint64_t names = 0;
    for (std::uint64_t entries = 1;; ++entries) {
      archive_entry* entry = nullptr;
      const int status = next_header(&entry, entries == 1);
      if (status == ARCHIVE_EOF) return members;
      if (status < ARCHIVE_WARN) return broken();
      if (entries > limits_.entries) {
        return over_limit("the files in it are", limits_.entries, "--max-entries");
      }
      const char* raw = ::archive_entry_pathname(entry);
      const Outcome<EntryPath> path = parse_link_target(raw ? raw : "");
      if (!path) continue;  // never asked for
      std::optional<Member> member = member_of(reader_.get(), entry, path->text());
      if (!member) continue;
      names += path->text().size() + member->link.size();
      const std::uint64_t most = limits_.document * ImportLimits::kDocuments;
      if (names > most) {
        return over_limit("the names of its files have bytes,", most, "--max-document");
      }
      members.insert_or_assign(path->text(), std::move(*member));
    }
  }

 private:
  static la_ssize_t read(archive* reader, void* self, const void** buffer) {
    auto* listing = static_cast<Listing*>(self);
    if (listing->header_.exceeded() || sys::interruption_requested()) {
      ::archive_set_error(reader, EFBIG, "it was given up");
      return ARCHIVE_FATAL;
    }
    const ssize_t got = ::read(listing->fd_, listing->buffer_.data(), listing->buffer_.size());
    if (got < 0) {
      ::archive_set_error(reader, errno, "it cannot be read");
      return ARCHIVE_FATAL;
    }
    listing->header_.give(static_cast<std::uint64_t>(got));
    *buffer = listing->buffer_.data();
    return got;
  }

  static la_int64_t skip(archive*, void* self, la_int64_t bytes) {
    auto* listing = static_cast<Listing*>(self);
    // Where it cannot be done the reader reads.
    if (::lseek(listing->fd_, bytes, SEEK_CUR) < 0) return 0;
    listing->header_.give(static_cast<std::uint64_t>(bytes));
    return bytes;
  }

  int next_header(archive_entry** entry, bool first) {
    if (!first) {
      const int skipped = ::archive_read_data_skip(reader_.get());
      if (skipped < ARCHIVE_WARN) return skipped;
    }
    header_.begin(static_cast<std::uint64_t>(::archive_filter_bytes(reader_.get(), 0)));
    const int status = ::archive_read_next_header(reader_.get(), entry);
    const bool failed = status < ARCHIVE_WARN;
    if (!failed) header_.end();
    return status;
  }

  tl::unexpected<Failure> broken() const {
    if (sys::interruption_requested()) return sys::interrupted();
    if (header_.exceeded()) return header_.failure();
    const char* why = ::archive_error_string(reader_.get());
    return refuse(std::string("it is not a whole tar archive: ") + (why ? why : "no reason given"));
  }

  const int fd_;
  const ImportLimits limits_;
  HeaderBound header_;
  std::vector<std::byte> buffer_{std::vector<std::byte>(64 << 10)};
  const Archive reader_;
};

Outcome<Compression> compression_of(int fd) {
  char magic[4] = {};
  const ssize_t got = ::pread(fd, magic, sizeof magic, 0);
  if (got < 0) return refuse("cannot read it", Errno::last());
  return detect_compression(std::string_view(magic, static_cast<std::size_t>(got)));
}

Outcome<sys::UniqueFd> make_spool(int spool) {
  sys::UniqueFd fd(::openat(spool, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!fd) return refuse("cannot make a temporary file in the store", Errno::last());
  return fd;
}

Outcome<void> write_spool(int fd, std::span<const std::byte> bytes) {
  if (sys::interruption_requested()) return sys::interrupted();
  if (Result<void> done = write_all(fd, bytes); !done) {
    return refuse("cannot write a temporary file in the store", done.error());
  }
  return {};
}

Outcome<std::size_t> read_some(int fd, std::span<std::byte> buffer) {
  while (true) {
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got >= 0) return static_cast<std::size_t>(got);
    if (errno != EINTR) return refuse("cannot read it", Errno::last());
    if (sys::interruption_requested()) return sys::interrupted();
  }
}

Outcome<sys::UniqueFd> copy_to_spool(int from, int spool) {
  LAYERFS_TRY_ASSIGN(sys::UniqueFd to, make_spool(spool));
  std::vector<std::byte> buffer(kPiece);
  while (true) {
    LAYERFS_TRY_ASSIGN(const std::size_t got, read_some(from, buffer));
    if (got == 0) return to;
    LAYERFS_TRY(write_spool(to.get(), std::span(buffer).first(got)));
  }
}

Outcome<sys::UniqueFd> decompress_to_spool(int from, Compression compression, int spool) {
  LAYERFS_TRY_ASSIGN(sys::UniqueFd to, make_spool(spool));
  std::vector<std::byte> in(kPiece);
  std::vector<std::byte> out(kPiece);
  const auto decompressor =
      make_decompressor(compression, [&]() -> Outcome<std::span<const std::byte>> {
        LAYERFS_TRY_ASSIGN(const std::size_t got, read_some(from, in));
        return std::span<const std::byte>(in).first(got);
      });
  while (true) {
    LAYERFS_TRY_ASSIGN(const std::size_t got, decompressor->read(out));
    if (got == 0) return to;
    LAYERFS_TRY(write_spool(to.get(), std::span(out).first(got)));
  }
}

Outcome<std::unique_ptr<FileSet>> open_archive(sys::UniqueFd fd, bool regular, int spool,
                                               const ImportLimits& limits) {
  if (!regular) {
    LAYERFS_TRY_ASSIGN(fd, copy_to_spool(fd.get(), spool));
  }
  LAYERFS_TRY_ASSIGN(const Compression compression, compression_of(fd.get()));
  if (::lseek(fd.get(), 0, SEEK_SET) < 0) return refuse("cannot read it", Errno::last());
  if (compression != Compression::kNone) {
    LAYERFS_TRY_ASSIGN(fd, decompress_to_spool(fd.get(), compression, spool));
    if (::lseek(fd.get(), 0, SEEK_SET) < 0) return refuse("cannot read it", Errno::last());
  }
  LAYERFS_TRY_ASSIGN(auto members, Listing(fd.get(), limits).run());
  return std::make_unique<TarFiles>(share(std::move(fd)), std::move(members), limits);
}

}  // namespace

Outcome<std::optional<std::string>> FileSet::read(const std::string& name) const {
  LAYERFS_TRY_ASSIGN(const std::optional<Region> region, find(name));
  if (!region) return std::nullopt;
  if (region->size > limits_.document) {
    return over_limit("the bytes of the document " + quote(name) + " are", limits_.document,
                      "--max-document");
  }
  const std::uint64_t most = limits_.document * ImportLimits::kDocuments;
  if (bytes_read_.fetch_add(region->size) > most - region->size) {
    return over_limit("the bytes of its documents are together", most, "--max-document");
  }
  std::string text(region->size, '\0');
  const Result<std::size_t> got =
      read_at(region->file->get(), std::as_writable_bytes(std::span(text)), region->offset);
  if (!got) return refuse("cannot read " + quote(name), got.error());
  if (*got < text.size()) return refuse("the archive is truncated within " + quote(name));
  return text;
}

Outcome<std::unique_ptr<FileSet>> open_file_set(const std::string& path, int spool,
                                                const ImportLimits& limits) {
  sys::UniqueFd fd(path == "-" ? ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)
                               : ::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return refuse("cannot open it", Errno::last());
  struct stat status;
  if (::fstat(fd.get(), &status) != 0) return refuse("cannot open it", Errno::last());
  if (S_ISDIR(status.st_mode)) return std::make_unique<Directory>(std::move(fd), limits);
  return open_archive(std::move(fd), S_ISREG(status.st_mode), spool, limits);
}

}  // namespace layerfs::store
