#include "tests/oracle/snapshot.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <set>

#include <fmt/format.h>

#include "fs/sys/unique_fd.h"
#include "tests/oracle/text.h"

namespace layerfs::oracle {
namespace {

constexpr int64_t kHolesFrom = 65536;  // smaller files: layout is the file system's business

struct Listed {
  std::string name;
  ino_t ino;
  unsigned char type;
};

const char* type_name(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFDIR:
      return "dir";
    case S_IFREG:
      return "file";
    case S_IFLNK:
      return "symlink";
    case S_IFCHR:
      return "char";
    case S_IFBLK:
      return "block";
    case S_IFIFO:
      return "fifo";
    case S_IFSOCK:
      return "socket";
    default:
      return "unknown";
  }
}

// Where the file has data, as "FROM-TO,...".
std::string data_ranges(int fd, int64_t size) {
  std::string out;
  off_t at = 0;
  while (at < size) {
    const off_t data = ::lseek(fd, at, SEEK_DATA);
    if (data < 0) break;
    const off_t hole = ::lseek(fd, data, SEEK_HOLE);
    if (hole <= data) return out + "inconsistent";
    out += fmt::format("{}{}-{}", out.empty() ? "" : ",", data, hole);
    at = hole;
  }
  return out.empty() ? "none" : out;
}

class Walker {
 public:
  explicit Walker(SnapshotScope scope)
      : raw_(scope == SnapshotScope::kRaw), exact_(scope != SnapshotScope::kMount) {}

  Snapshot walk(const std::string& root) {
    sys::UniqueFd fd(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    struct stat st = {};
    if (!fd || ::fstat(fd.get(), &st) != 0) {
      out_["."]["error:open"] = errno_name(errno);
      return std::move(out_);
    }
    if (::fchdir(fd.get()) == 0) describe(".", ".", st);
    walk_dir(std::move(fd), "", st);
    name_links();
    return std::move(out_);
  }

 private:
  void walk_dir(sys::UniqueFd fd, const std::string& prefix, const struct stat& self) {
    const std::string dir_key = prefix.empty() ? "." : prefix.substr(0, prefix.size() - 1);
    std::set<std::string> seen;
    int phantoms = 0;
    int twice = 0;
    for (const Listed& listed : list(fd.get(), dir_key)) {
      if (listed.name == "..") continue;
      if (listed.name == ".") {
        if (listed.ino != self.st_ino) out_[dir_key]["dino"] = "differs for .";
        continue;
      }
      if (!seen.insert(listed.name).second) {
        ++twice;
        continue;
      }
      if (!visit(fd.get(), prefix, listed)) ++phantoms;
    }
    if (phantoms > 0) out_[dir_key]["phantoms"] = std::to_string(phantoms);
    if (twice > 0) out_[dir_key]["twice"] = std::to_string(twice);
  }

  // False for a name that is listed and does not exist.
  bool visit(int dir, const std::string& prefix, const Listed& listed) {
    const std::string key = prefix + listed.name;
    struct stat st = {};
    if (::fstatat(dir, listed.name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) return false;
      out_[key]["error:stat"] = errno_name(errno);
      return true;
    }
    if (::fchdir(dir) != 0) out_[key]["error:fchdir"] = errno_name(errno);
    describe(key, listed.name, st);
    Fields& fields = out_[key];
    if (listed.ino != st.st_ino) fields["dino"] = "differs";
    if (listed.type != DT_UNKNOWN && listed.type != IFTODT(st.st_mode)) fields["dtype"] = "differs";
    if (!S_ISDIR(st.st_mode)) {
      names_[{st.st_dev, st.st_ino}].push_back(key);
      return true;
    }
    sys::UniqueFd fd(::openat(dir, listed.name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    if (!fd)
      fields["error:open"] = errno_name(errno);
    else
      walk_dir(std::move(fd), key + "/", st);
    return true;
  }

  std::vector<Listed> list(int fd, const std::string& dir_key) {
    std::vector<Listed> listing;
    const std::unique_ptr<DIR, int (*)(DIR*)> dir(::fdopendir(::dup(fd)), ::closedir);
    errno = 0;
    for (const dirent* entry = nullptr; dir && (entry = ::readdir(dir.get())) != nullptr;)
      listing.push_back({entry->d_name, entry->d_ino, entry->d_type});
    if (errno != 0) out_[dir_key]["error:readdir"] = errno_name(errno);
    return listing;
  }

  // `name` is relative to the working directory.
  void describe(const std::string& key, const std::string& name, const struct stat& st) {
    Fields& fields = out_[key];
    fields["type"] = type_name(st.st_mode);
    fields["mode"] = fmt::format("{:04o}", st.st_mode & 07777);
    fields["uid"] = std::to_string(st.st_uid);
    fields["gid"] = std::to_string(st.st_gid);
    fields["mtime"] = time(st.st_mtim);
    if (!exact_ && !S_ISDIR(st.st_mode)) fields["atime"] = time(st.st_atim);
    if (raw_) fields["ctime"] = time(st.st_ctim);
    if (raw_) fields["ino"] = std::to_string(st.st_ino);
    if (!S_ISDIR(st.st_mode)) {
      fields["size"] = std::to_string(st.st_size);
      fields["nlink"] = std::to_string(st.st_nlink);
    }
    if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
      fields["rdev"] = fmt::format("{}:{}", major(st.st_rdev), minor(st.st_rdev));
    if (S_ISLNK(st.st_mode)) describe_symlink(fields, name);
    if (S_ISREG(st.st_mode)) describe_data(fields, name, st);
    describe_xattrs(fields, name);
  }

  void describe_symlink(Fields& fields, const std::string& name) {
    char buffer[PATH_MAX + 1];
    const ssize_t size = ::readlink(name.c_str(), buffer, sizeof buffer);
    if (size < 0)
      fields["error:readlink"] = errno_name(errno);
    else
      fields["target"] = std::string(buffer, static_cast<size_t>(size));
  }

  void describe_data(Fields& fields, const std::string& name, const struct stat& st) {
    const sys::UniqueFd fd(::open(name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
    if (!fd) {
      fields["error:open"] = errno_name(errno);
      return;
    }
    uint64_t state = kDigestStart;
    int64_t total = 0;
    static thread_local std::string buffer(1 << 17, '\0');
    ssize_t got = 0;
    while ((got = ::read(fd.get(), buffer.data(), buffer.size())) > 0) {
      state = digest(std::string_view(buffer).substr(0, static_cast<size_t>(got)), state);
      total += got;
    }
    if (got < 0) fields["error:read"] = errno_name(errno);
    fields["data"] = fmt::format("{:016x}", state);
    if (total != st.st_size) fields["error:length"] = std::to_string(total);
    if (exact_ && !raw_) return;
    if (st.st_size >= kHolesFrom) fields["holes"] = data_ranges(fd.get(), st.st_size);
    if (st.st_blocks == 0 && ::lseek(fd.get(), 0, SEEK_DATA) >= 0) fields["alloc"] = "none";
  }

  void describe_xattrs(Fields& fields, const std::string& name) {
    std::string names(65536, '\0');
    const ssize_t size = ::llistxattr(name.c_str(), names.data(), names.size());
    // An image without any xattr may be mounted without support for them.
    if (size < 0 && errno == EOPNOTSUPP && exact_ && !raw_) return;
    if (size < 0) {
      fields["error:listxattr"] = errno_name(errno);
      return;
    }
    for (size_t at = 0; at < static_cast<size_t>(size);) {
      const std::string xattr(names.c_str() + at);
      at += xattr.size() + 1;
      std::string value(65536, '\0');
      const ssize_t got = ::lgetxattr(name.c_str(), xattr.c_str(), value.data(), value.size());
      if (got < 0) {
        fields["error:getxattr:" + xattr] = errno_name(errno);
        continue;
      }
      value.resize(static_cast<size_t>(got));
      fields["x:" + xattr] = value;
    }
  }

  void name_links() {
    for (const auto& [id, keys] : names_) {
      if (keys.size() == 1) continue;
      const std::string& first = *std::min_element(keys.begin(), keys.end());
      for (const std::string& key : keys) {
        out_[key]["names"] = std::to_string(keys.size());
        out_[key]["link"] = first;
      }
    }
  }

  std::string time(const timespec& at) const {
    return exact_ ? fmt::format("{}.{:09}", at.tv_sec, at.tv_nsec)
                  : time_text(at.tv_sec, at.tv_nsec);
  }

  const bool raw_;
  const bool exact_;
  Snapshot out_;
  std::map<std::pair<dev_t, ino_t>, std::vector<std::string>> names_;
};

}  // namespace

std::string time_text(int64_t seconds, int64_t nanoseconds) {
  return seconds >= kNowThreshold ? "now" : fmt::format("{}.{:09}", seconds, nanoseconds);
}

Snapshot take_snapshot(const std::string& root, SnapshotScope scope) {
  return Walker(scope).walk(root);
}

std::string to_text(const Snapshot& snapshot) {
  std::string out;
  for (const auto& [path, fields] : snapshot) {
    out += "p=" + quote(path);
    for (const auto& [key, value] : fields) out += fmt::format(" {}={}", key, quote(value));
    out += '\n';
  }
  return out;
}

Outcome<Snapshot> parse_snapshot(std::string_view text) {
  Snapshot snapshot;
  for (const std::string& line : split_lines(text)) {
    LAYERFS_TRY_ASSIGN(const std::vector<Word> words, split_words(line));
    if (words.empty() || words[0].key != "p")
      return refuse("no line of a snapshot: " + line, EINVAL);
    Fields& fields = snapshot[words[0].value];
    for (size_t i = 1; i < words.size(); ++i) fields[words[i].key] = words[i].value;
  }
  return snapshot;
}

}  // namespace layerfs::oracle
