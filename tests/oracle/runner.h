// Performs operations on a mounted tree and says what came of them.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <array>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "fs/sys/unique_fd.h"
#include "tests/oracle/op.h"

namespace layerfs::oracle {

// A user that operations run as.
struct Actor {
  uid_t uid;
  gid_t gid;
  std::vector<gid_t> groups;
};
const std::vector<Actor>& actors();

inline constexpr int64_t kSlots = 6;

// Inode numbers -> the order in which a sequence first saw them. Makes identities of two mounts
// comparable: "the file is the one that was called #3 before", whatever its number.
using InodeAliases = std::map<ino_t, int>;

// Runs in a process of its own that is root: it changes its root directory to the tree, so that no
// symlink leads out of it, and its credentials and umask for each operation.
//
// A result is one line: "ok" with what the call returned as words, or the errno's name.
class Runner {
 public:
  // Enters `root`. A process that cannot ends itself: there is nothing to compare.
  Runner(const std::string& root, InodeAliases aliases);

  std::string run(const Op& op);

  // Closes all slots and gives the aliases on to the runner after a remount.
  InodeAliases finish();

 private:
  using Handler = std::string (Runner::*)(const Op&);
  static Handler handler(OpKind kind);

  bool become(const Actor& actor);
  void become_root();

  // runner.cc
  std::string open(const Op& op);
  std::string reopen(const Op& op);
  std::string close(const Op& op);
  std::string churn(const Op& op);
  std::string ls(const Op& op);
  std::string list(const Op& op);
  std::string rm_tree(const Op& op);
  std::string tree(const Op& op);
  std::string drop_caches(const Op& op);
  std::string remount(const Op& op);

  // runner_data.cc
  std::string read(const Op& op);
  std::string write(const Op& op);
  std::string map_read(const Op& op);
  std::string map_write(const Op& op);
  std::string ftruncate(const Op& op);
  std::string fallocate(const Op& op);
  std::string copy_range(const Op& op);
  std::string seek(const Op& op);
  std::string fsync(const Op& op);
  std::string slurp(const Op& op);
  std::string poke(const Op& op);
  std::string truncate(const Op& op);

  // runner_names.cc
  std::string mkdir(const Op& op);
  std::string rmdir(const Op& op);
  std::string unlink(const Op& op);
  std::string rename(const Op& op);
  std::string link(const Op& op);
  std::string link_fd(const Op& op);
  std::string symlink(const Op& op);
  std::string readlink(const Op& op);
  std::string mknod(const Op& op);

  // runner_attrs.cc
  std::string stat(const Op& op);
  std::string fstat(const Op& op);
  std::string chmod(const Op& op);
  std::string fchmod(const Op& op);
  std::string chown(const Op& op);
  std::string lchown(const Op& op);
  std::string fchown(const Op& op);
  std::string utimens(const Op& op);
  std::string futimens(const Op& op);
  std::string setxattr(const Op& op);
  std::string fsetxattr(const Op& op);
  std::string getxattr(const Op& op);
  std::string fgetxattr(const Op& op);
  std::string removexattr(const Op& op);
  std::string fremovexattr(const Op& op);
  std::string listxattr(const Op& op);
  std::string flistxattr(const Op& op);
  std::string access(const Op& op);
  std::string statfs(const Op& op);

  int slot(int64_t index) const;
  std::string put(int64_t index, int fd);
  std::string describe(const struct stat& st);
  std::string list_names(int fd);
  // Before a name goes: its inode's number may come back for another file.
  void forget_alias_of(const std::string& path);
  void forget_alias_if_gone(int fd);

  sys::UniqueFd root_;
  sys::UniqueFd proc_;  // the directory self/fd of the process's /proc, beyond the new root
  std::array<sys::UniqueFd, kSlots> slots_;
  InodeAliases aliases_;
  int next_alias_ = 1;
};

// "ok" for a call that returned >= 0, else errno's name.
std::string outcome(int64_t result);
// The same with `key=result` behind "ok".
std::string outcome(int64_t result, std::string_view key);

}  // namespace layerfs::oracle
