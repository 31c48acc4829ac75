#include "fs/sys/trusted_dir.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <deque>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>

#include <fmt/format.h>

#include "fs/sys/file.h"
#include "fs/sys/quote.h"
#include "fs/sys/user_namespace.h"
#include "fs/sys/xattr.h"

namespace layerfs::sys {
namespace {

constexpr int kMaxLinks = 40;  // as path_resolution(7)

constexpr const char* kWayOut =
    "; use a directory that only you and root can change, or become that user";

// Whether ids of the machine are missing here, so that their owners show as the overflow id.
bool some_ids_are_missing() {
  const IdSpans users = namespace_users();
  return !users.empty() && !(users[0].first == 0 && users[0].count == 0xffffffff);
}

uid_t overflow_id() {
  uid_t id = 65534;
  std::ifstream("/proc/sys/kernel/overflowuid") >> id;
  return id;
}

bool is_ours(uid_t owner) { return owner == 0 || owner == ::geteuid(); }

bool is_ours_or_roots_outside(uid_t owner) {
  return is_ours(owner) || (owner == overflow_id() && some_ids_are_missing());
}

// Who serves the FUSE file system with this device, as the mount table has it.
std::optional<uid_t> fuse_owner(dev_t device) {
  constexpr std::string_view kOption = "user_id=";
  const std::string number = fmt::format(" {}:{} ", major(device), minor(device));
  std::ifstream table("/proc/self/mountinfo");
  for (std::string line; std::getline(table, line);) {
    if (line.find(number) == line.npos) continue;
    const std::size_t option = line.rfind(kOption);
    if (option == line.npos) continue;
    uid_t id = 0;
    if (std::istringstream(line.substr(option + kOption.size())) >> id) return id;
  }
  return std::nullopt;
}

// The group bits are the mask of an ACL where there is one: it may name anybody.
bool is_private_group(int fd, const struct stat& status) {
  if (status.st_gid != status.st_uid) return false;
  const auto acl = find_xattr(At(fd), "system.posix_acl_access");
  return acl && !*acl;
}

bool others_may_write(int fd, const struct stat& status) {
  if ((status.st_mode & S_IWOTH) != 0) return true;
  return (status.st_mode & S_IWGRP) != 0 && !is_private_group(fd, status);
}

tl::unexpected<Failure> of_another(const std::string& name, uid_t owner) {
  return refuse(fmt::format("{} belongs to user {}, who can change what is there{}", quote(name),
                            owner, kWayOut),
                EPERM);
}

Outcome<void> check_server(int fd, const std::string& name, const struct stat& status) {
  struct statfs fs;
  if (::fstatfs(fd, &fs) != 0) return refuse(quote(name) + " cannot be looked at", Errno::last());
  if (fs.f_type != FUSE_SUPER_MAGIC) return {};
  const std::optional<uid_t> server = fuse_owner(status.st_dev);
  if (server && is_ours(*server)) return {};
  return refuse(quote(name) + " is of a file system (FUSE) that another user serves" + kWayOut,
                EPERM);
}

class Walk {
 public:
  explicit Walk(std::optional<mode_t> make) : make_(make) {}

  Outcome<TrustedDir> run(const std::string& path) {
    std::error_code failed;
    add(path.starts_with('/') ? path : std::filesystem::current_path(failed).string() + "/" + path);
    if (failed) return refuse("the working directory is unknown", Errno(failed.value()));
    LAYERFS_TRY(start());
    while (!left_.empty()) {
      const std::string name = std::move(left_.front());
      left_.pop_front();
      if (name == "..") {
        LAYERFS_TRY(go_up());
      } else {
        LAYERFS_TRY(enter(name));
      }
    }
    LAYERFS_TRY(check_trusted(here_.get(), path_of_here()));
    return TrustedDir{std::move(here_), path_of_here()};
  }

 private:
  void add(const std::string& path) {
    std::deque<std::string> names;
    std::istringstream parts(path);
    for (std::string part; std::getline(parts, part, '/');) {
      if (!part.empty() && part != ".") names.push_back(part);
    }
    left_.insert(left_.begin(), names.begin(), names.end());
  }

  std::string path_of_here() const { return names_.empty() ? "/" : path_with(""); }
  std::string path_with(const std::string& last) const {
    std::string path;
    for (const std::string& name : names_) path += "/" + name;
    return last.empty() ? path : path + "/" + last;
  }

  Outcome<void> start() {
    names_.clear();
    return arrive(open_path("/", O_PATH | O_DIRECTORY));
  }

  Outcome<void> go_up() {
    if (!names_.empty()) names_.pop_back();
    return arrive(open_entry(here_.get(), ".."));
  }

  Outcome<void> enter(const std::string& name) {
    auto entry = open_entry(here_.get(), name.c_str());
    if (!entry && entry.error().code() == ENOENT && make_) {
      const auto made = make_dir(here_.get(), name.c_str(), *make_);
      if (!made && made.error().code() != EEXIST) {
        return refuse(quote(path_with(name)) + " cannot be made", made.error());
      }
      entry = open_entry(here_.get(), name.c_str());
    }
    const auto status = entry ? stat_fd(entry->get()) : Result<struct stat>(fail(entry.error()));
    if (status && S_ISLNK(status->st_mode)) return follow(name, entry->get(), *status);
    names_.push_back(name);
    return arrive(std::move(entry));
  }

  Outcome<void> follow(const std::string& name, int link, const struct stat& status) {
    if (!is_ours_or_roots_outside(status.st_uid)) return of_another(path_with(name), status.st_uid);
    const auto target = readlink_at(link, "");
    if (!target) return refuse(quote(path_with(name)) + " cannot be read", target.error());
    if (++links_ > kMaxLinks) return refuse(quote(path_with(name)), Errno(ELOOP));
    add(*target);
    if (target->starts_with('/')) return start();
    return {};
  }

  // As a directory on the way.
  Outcome<void> arrive(Result<UniqueFd> dir) {
    const std::string path = path_of_here();
    if (!dir) return refuse(quote(path) + " cannot be opened", dir.error());
    const auto status = stat_fd(dir->get());
    if (!status) return refuse(quote(path) + " cannot be looked at", status.error());
    if (!S_ISDIR(status->st_mode)) return refuse(quote(path) + " is no directory", ENOTDIR);
    if (!is_ours_or_roots_outside(status->st_uid)) return of_another(path, status->st_uid);
    if ((status->st_mode & S_ISVTX) == 0 && others_may_write(dir->get(), *status)) {
      return refuse(
          fmt::format("others may write {0} (mode {1:04o}), and so change what lies below "
                      "it: `chmod go-w {0}`, or use another directory",
                      quote(path), status->st_mode & 07777),
          EPERM);
    }
    LAYERFS_TRY(check_server(dir->get(), path, *status));
    here_ = std::move(*dir);
    return {};
  }

  const std::optional<mode_t> make_;  // the mode of what is missing
  UniqueFd here_;
  std::deque<std::string> names_;  // that lead here
  std::deque<std::string> left_;   // to go
  int links_ = 0;
};

}  // namespace

Outcome<void> check_trusted(int fd, const std::string& name) {
  const auto status = stat_fd(fd);
  if (!status) return refuse(quote(name) + " cannot be looked at", status.error());
  if (!is_ours(status->st_uid)) return of_another(name, status->st_uid);
  if (others_may_write(fd, *status)) {
    return refuse(
        fmt::format("others may write {0} (mode {1:04o}): `chmod go-w {0}`, or use another "
                    "directory",
                    quote(name), status->st_mode & 07777),
        EPERM);
  }
  return check_server(fd, name, *status);
}

Outcome<TrustedDir> open_trusted(const std::string& path) { return Walk(std::nullopt).run(path); }

Outcome<TrustedDir> make_trusted(const std::string& path, mode_t mode) {
  return Walk(mode).run(path);
}

}  // namespace layerfs::sys
