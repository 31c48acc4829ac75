#include "layerstore/tar_split.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <isa-l/crc64.h>
#include <isa-l/igzip_lib.h>
#include <nlohmann/json.hpp>
#include <openssl/evp.h>

#include "fs/sys/file.h"
#include "layerstore/file_util.h"
#include "layerstore/path_tree.h"
#include "layerstore/tree_writer.h"

namespace layerfs::store {

namespace {

constexpr std::size_t kBlock = 512;
constexpr std::size_t kSegment = 64 << 10;
// A header that describes the next one; those of sane archives are far smaller.
constexpr std::uint64_t kLargestExtension = 1 << 20;

std::string base64(std::string_view bytes) {
  std::string text((bytes.size() + 2) / 3 * 4 + 1, '\0');
  const int length = ::EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                                       reinterpret_cast<const unsigned char*>(bytes.data()),
                                       static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(length));
  return text;
}

std::uint64_t padded(std::uint64_t size) { return (size + kBlock - 1) / kBlock * kBlock; }

// The compressed file.
class GzipFile {
 public:
  explicit GzipFile(int fd) : fd_(fd) {
    ::isal_deflate_init(&state_);
    state_.gzip_flag = IGZIP_GZIP;
  }

  Outcome<void> write(std::string_view text, bool last = false) {
    state_.next_in = reinterpret_cast<std::uint8_t*>(const_cast<char*>(text.data()));
    state_.avail_in = static_cast<std::uint32_t>(text.size());
    state_.end_of_stream = last ? 1 : 0;
    do {
      state_.next_out = out_.data();
      state_.avail_out = static_cast<std::uint32_t>(out_.size());
      if (::isal_deflate(&state_) != COMP_OK) return refuse("it cannot be compressed");
      const auto done = std::span(out_).first(out_.size() - state_.avail_out);
      if (const auto written = write_all(fd_, std::as_bytes(done)); !written) {
        return refuse("it cannot be written", written.error());
      }
    } while (state_.avail_in > 0 || state_.avail_out == 0 ||
             (last && state_.internal_state.state != ZSTATE_END));
    return {};
  }

 private:
  const int fd_;
  isal_zstream state_{};
  std::array<std::uint8_t, 64 << 10> out_{};
};

// The lines: pieces of the archive, and files that stand for their content.
class Entries {
 public:
  explicit Entries(int fd) : file_(fd) {}

  // The bytes follow what came before.
  Outcome<void> add_bytes(std::string_view bytes) {
    while (!bytes.empty()) {
      const std::string_view part = bytes.substr(0, kSegment - segment_.size());
      segment_ += part;
      bytes.remove_prefix(part.size());
      if (segment_.size() == kSegment) LAYERFS_TRY(end_segment());
    }
    return {};
  }

  Outcome<void> add_file(const std::string& name, std::uint64_t size, std::uint64_t crc) {
    LAYERFS_TRY(end_segment());
    std::string sum;
    for (int shift = 56; shift >= 0; shift -= 8) sum += static_cast<char>(crc >> shift & 0xff);
    nlohmann::ordered_json entry = {{"type", 1}};
    const bool plain = std::ranges::all_of(name, [](char c) { return c >= ' ' && c < '\x7f'; });
    plain ? entry["name"] = name : entry["name_raw"] = base64(name);
    entry["size"] = size;
    return add_line(std::move(entry), sum);
  }

  Outcome<void> finish() {
    LAYERFS_TRY(end_segment());
    return file_.write("", true);
  }

 private:
  Outcome<void> end_segment() {
    if (segment_.empty()) return {};
    return add_line({{"type", 2}}, std::exchange(segment_, {}));
  }

  Outcome<void> add_line(nlohmann::ordered_json entry, std::string_view payload) {
    entry["payload"] = base64(payload);
    entry["position"] = position_++;
    return file_.write(entry.dump() + "\n");
  }

  GzipFile file_;
  std::string segment_;
  std::uint64_t position_ = 0;
};

// A header of POSIX's ustar, or of GNU tar.
class Header {
 public:
  explicit Header(std::string_view block) : block_(block) {}

  // Whether its sum is right; that of the zero blocks at the end is not.
  bool is_valid() const {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < kBlock; ++i) {
      sum += i >= 148 && i < 156 ? ' ' : static_cast<unsigned char>(block_[i]);
    }
    return number(148, 8) == sum;
  }
  char type() const { return block_[156]; }
  std::optional<std::uint64_t> size() const { return number(124, 12); }
  std::string name() const {
    const bool ustar = block_.substr(257, 6) == std::string_view("ustar\0", 6);
    const std::string prefix = ustar ? text(345, 155) : "";
    return prefix.empty() ? text(0, 100) : prefix + "/" + text(0, 100);
  }

 private:
  std::string text(std::size_t begin, std::size_t length) const {
    const std::string_view field = block_.substr(begin, length);
    return std::string(field.substr(0, field.find('\0')));
  }

  // Octal, or base 256 where the first byte says so.
  std::optional<std::uint64_t> number(std::size_t begin, std::size_t length) const {
    std::string_view field = block_.substr(begin, length);
    if ((static_cast<unsigned char>(field[0]) & 0x80) != 0) {
      std::uint64_t value = 0;
      for (const char c : field.substr(length - 8))
        value = value << 8 | static_cast<unsigned char>(c);
      return value;
    }
    const std::size_t first = field.find_first_not_of(' ');
    field = field.substr(std::min(first, field.size()));
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), value, 8);
    if (error != std::errc()) return std::nullopt;
    return value;
  }

  std::string_view block_;
};

// What extension headers say of the entry that follows them.
struct Extension {
  std::optional<std::string> name;
  std::optional<std::uint64_t> size;
  bool sparse = false;

  // POSIX pax records: "LENGTH KEY=VALUE\n".
  void take_pax(std::string_view data) {
    while (!data.empty()) {
      std::size_t length = 0;
      const auto [end, error] = std::from_chars(data.data(), data.data() + data.size(), length);
      const auto digits = static_cast<std::size_t>(end - data.data());
      if (error != std::errc() || length <= digits + 1 || length > data.size()) return;
      const std::string_view record = data.substr(digits + 1, length - digits - 2);
      const std::size_t equals = record.find('=');
      if (equals != std::string_view::npos) {
        take_record(record.substr(0, equals), record.substr(equals + 1));
      }
      data.remove_prefix(length);
    }
  }

 private:
  void take_record(std::string_view key, std::string_view value) {
    std::uint64_t number = 0;
    if (key == "path") name = value;
    if (key.starts_with("GNU.sparse.")) sparse = true;
    if (key == "size" &&
        std::from_chars(value.data(), value.data() + value.size(), number).ec == std::errc()) {
      size = number;
    }
  }
};

class Splitter {
 public:
  Splitter(LayerStream& archive, int tree, int out)
      : archive_(archive), tree_(tree), entries_(out) {}

  Outcome<void> run() {
    for (;;) {
      LAYERFS_TRY_ASSIGN(const std::string block, read(kBlock));
      LAYERFS_TRY(entries_.add_bytes(block));
      if (block.size() < kBlock || !Header(block).is_valid()) break;
      LAYERFS_TRY_ASSIGN(const bool understood, take_entry(Header(block)));
      if (!understood) break;
    }
    LAYERFS_TRY(pass_on(~std::uint64_t{0}));
    return entries_.finish();
  }

 private:
  // What follows the header. False: it is not known where it ends.
  Outcome<bool> take_entry(const Header& header) {
    const std::optional<std::uint64_t> size = header.size();
    if (!size) return false;
    switch (header.type()) {
      case 'x':
      case 'L':
      case 'K':
      case 'g':
        return take_extension(header.type(), *size);
      case '0':
      case '\0':
      case '7': {
        const Extension said = std::exchange(extension_, {});
        LAYERFS_TRY(
            take_file(said.name.value_or(header.name()), said.size.value_or(*size), !said.sparse));
        return true;
      }
      case '1':
      case '2':
      case '3':
      case '4':
      case '5':
      case '6':
        extension_ = {};
        return true;
      default:
        return false;
    }
  }

  Outcome<bool> take_extension(char type, std::uint64_t size) {
    if (size > kLargestExtension) return false;
    LAYERFS_TRY_ASSIGN(const std::string data, read(padded(size)));
    LAYERFS_TRY(entries_.add_bytes(data));
    const std::string_view content = std::string_view(data).substr(0, size);
    if (type == 'x') extension_.take_pax(content);
    if (type == 'L') extension_.name = content.substr(0, content.find('\0'));
    return data.size() == padded(size);
  }

  // The content stays out if the tree has the same: of several entries of one name it has the last.
  // Where they begin to differ the tree gives back what has gone by.
  Outcome<void> take_file(const std::string& name, std::uint64_t size, bool whole) {
    const sys::UniqueFd twin = whole && size > 0 ? file_in_tree(name, size) : sys::UniqueFd();
    if (!twin) return pass_on(padded(size));
    std::uint64_t crc = 0;
    std::uint64_t done = 0;
    while (done < size) {
      LAYERFS_TRY_ASSIGN(const std::string_view piece, take(size - done));
      if (piece.empty()) return refuse("the archive ends within a file");
      LAYERFS_TRY_ASSIGN(const std::string_view same, read_twin(twin.get(), done, piece.size()));
      if (same != piece) {
        LAYERFS_TRY(add_twin(twin.get(), done));
        LAYERFS_TRY(entries_.add_bytes(piece));
        return pass_on(padded(size) - done - piece.size());
      }
      crc =
          ::crc64_iso_refl(crc, reinterpret_cast<const unsigned char*>(piece.data()), piece.size());
      done += piece.size();
    }
    seen_[clean(name)];
    LAYERFS_TRY(entries_.add_file(name, size, crc));
    return pass_on(padded(size) - size);
  }

  static std::string clean(const std::string& name) {
    return std::filesystem::path(name).lexically_normal().string();
  }

  // The tree's file of that name and size; empty if there is none, or if it stands for another
  // entry already.
  sys::UniqueFd file_in_tree(const std::string& name, std::uint64_t size) {
    const std::string path = clean(name);
    if (path.empty() || path.starts_with('/') || path.starts_with("..")) return {};
    const auto there = sys::open_beneath(tree_, path.c_str(), O_PATH);
    if (!there) return {};
    const auto status = sys::stat_fd(there->get());
    const bool fits =
        status && S_ISREG(status->st_mode) && static_cast<std::uint64_t>(status->st_size) == size;
    if (!fits || seen_.find(path) != nullptr) return {};
    return sys::open_beneath(tree_, path.c_str(), O_RDONLY).value_or(sys::UniqueFd());
  }

  // Less than `size` bytes at the file's end only. Valid until the next call.
  Outcome<std::string_view> read_twin(int fd, std::uint64_t offset, std::size_t size) {
    twin_.resize(size);
    const auto got =
        sys::read_at(fd, std::as_writable_bytes(std::span(twin_)), static_cast<off_t>(offset));
    if (!got) return refuse("a file of the layer cannot be read", got.error());
    return std::string_view(twin_).substr(0, *got);
  }

  Outcome<void> add_twin(int fd, std::uint64_t size) {
    for (std::uint64_t done = 0; done < size;) {
      LAYERFS_TRY_ASSIGN(const std::string_view piece,
                         read_twin(fd, done, std::min<std::uint64_t>(size - done, kSegment)));
      if (piece.empty()) return refuse("a file of the layer has become shorter");
      LAYERFS_TRY(entries_.add_bytes(piece));
      done += piece.size();
    }
    return {};
  }

  // At most `most` bytes that come next, valid until the next call; none at the end.
  Outcome<std::string_view> take(std::uint64_t most) {
    if (ahead_.empty()) {
      LAYERFS_TRY_ASSIGN(const auto piece, archive_.next());
      ahead_ = {reinterpret_cast<const char*>(piece.data()), piece.size()};
    }
    const std::string_view taken = ahead_.substr(0, most);
    ahead_.remove_prefix(taken.size());
    return taken;
  }

  Outcome<std::string> read(std::uint64_t size) {
    std::string bytes;
    while (bytes.size() < size) {
      LAYERFS_TRY_ASSIGN(const std::string_view piece, take(size - bytes.size()));
      if (piece.empty()) break;
      bytes += piece;
    }
    return bytes;
  }

  // As it is, to the archive's end at most.
  Outcome<void> pass_on(std::uint64_t size) {
    while (size > 0) {
      LAYERFS_TRY_ASSIGN(const std::string_view piece, take(size));
      if (piece.empty()) break;
      LAYERFS_TRY(entries_.add_bytes(piece));
      size -= piece.size();
    }
    return {};
  }

  LayerStream& archive_;
  const int tree_;
  Entries entries_;
  std::string_view ahead_;
  Extension extension_;
  PathTree<Present> seen_;  // files of the tree that stand for an entry
  std::string twin_;        // what was read of one
};

}  // namespace

Outcome<void> write_tar_split(LayerStream& archive, int tree, int out) {
  return Splitter(archive, tree, out).run();
}

}  // namespace layerfs::store
