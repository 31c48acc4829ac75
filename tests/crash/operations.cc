#include "tests/crash/operations.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <stdexcept>

#include "fs/sys/unique_fd.h"
#include "tests/support/temp_dir.h"

namespace layerfs::test {
namespace {

std::string at(int root, const char* name) {
  return "/proc/self/fd/" + std::to_string(root) + "/" + name;
}
bool opens(int root, const char* name, int flags) {
  return static_cast<bool>(sys::UniqueFd(::openat(root, name, flags | O_CLOEXEC, 0644)));
}
bool chmods(int root, const char* name) { return ::fchmodat(root, name, 0600, 0) == 0; }
bool truncates(int root, const char* name, off_t size) {
  return ::truncate(at(root, name).c_str(), size) == 0;
}
bool unlinks(int root, const char* name) { return ::unlinkat(root, name, 0) == 0; }
bool rmdirs(int root, const char* name) { return ::unlinkat(root, name, AT_REMOVEDIR) == 0; }
bool renames(int root, const char* from, const char* to, unsigned flags = 0) {
  return ::renameat2(root, from, root, to, flags) == 0;
}
bool links(int root, const char* from, const char* to) {
  return ::linkat(root, from, root, to, 0) == 0;
}
bool sets_xattr(int root, const char* name) {
  return ::lsetxattr(at(root, name).c_str(), "user.x", "y", 1, 0) == 0;
}
bool empties(int root) { return unlinks(root, "merged/a") && unlinks(root, "merged/b"); }

// An unnamed file stays open in the process that made it: the call to be watched is its linkat.
int unnamed_file = -1;
bool make_unnamed(int root) {
  unnamed_file = ::openat(root, "dir", O_TMPFILE | O_RDWR | O_CLOEXEC, 0644);
  return unnamed_file >= 0 && ::write(unnamed_file, "text", 4) == 4;
}
bool name_unnamed(int root) {
  return ::linkat(AT_FDCWD, ("/proc/self/fd/" + std::to_string(unnamed_file)).c_str(), root,
                  "dir/named", AT_SYMLINK_FOLLOW) == 0;
}

// CAP_NET_RAW, as a vfs_cap_data of version 2.
void set_capability(const std::string& file) {
  const std::array<std::uint32_t, 5> capability = {0x02000001, 1U << 13, 0, 0, 0};
  if (::setxattr(file.c_str(), "security.capability", capability.data(), sizeof capability, 0) != 0)
    throw std::runtime_error("no capability for " + file);
}

// With it a new file gets its whole mode, whatever the umask, and the ACL.
void set_default_acl(const std::string& directory) {
  // The version, and for each entry tag, permissions and id (linux/posix_acl_xattr.h).
  struct Entry {
    std::uint16_t tag, permissions;
    std::uint32_t id;
  };
  constexpr std::uint32_t kNobody = ~std::uint32_t{0};
  const std::array<Entry, 5> entries = {
      {{1, 7, kNobody}, {2, 6, 33}, {4, 6, kNobody}, {16, 7, kNobody}, {32, 4, kNobody}}};
  std::string value(4 + sizeof entries, '\0');
  value[0] = 2;
  std::memcpy(value.data() + 4, entries.data(), sizeof entries);
  if (::setxattr(directory.c_str(), "system.posix_acl_default", value.data(), value.size(), 0) != 0)
    throw std::runtime_error("no default ACL for " + directory);
}

}  // namespace

const std::vector<Operation>& operations() {
  static const std::vector<Operation> all = {
      {"Chmod", nullptr, [](int r) { return chmods(r, "dir/file"); }},
      {"ChmodDirectory", nullptr, [](int r) { return chmods(r, "dir/sub"); }},
      {"ChownSymlink", nullptr,
       [](int r) { return ::fchownat(r, "dir/link", 3, 4, AT_SYMLINK_NOFOLLOW) == 0; }},
      {"OpenForWriting", nullptr, [](int r) { return opens(r, "dir/file", O_RDWR); }},
      {"OpenLargeForWriting", nullptr, [](int r) { return opens(r, "dir/large", O_RDWR); }},
      {"OpenDeepForWriting", nullptr, [](int r) { return opens(r, "dir/sub/deep", O_RDWR); }},
      {"OpenTruncating", nullptr, [](int r) { return opens(r, "dir/file", O_WRONLY | O_TRUNC); }},
      {"Truncate", nullptr, [](int r) { return truncates(r, "dir/large", 5000); }},
      {"Extend", nullptr, [](int r) { return truncates(r, "dir/file", 90'000); }},
      {"OpenForWritingAfterChmod", [](int r) { return chmods(r, "dir/large"); },
       [](int r) { return opens(r, "dir/large", O_RDWR); }, true},
      {"OpenTruncatingAfterChmod", [](int r) { return chmods(r, "dir/large"); },
       [](int r) { return opens(r, "dir/large", O_WRONLY | O_TRUNC); }, true},
      {"TruncateAfterChmod", [](int r) { return chmods(r, "dir/large"); },
       [](int r) { return truncates(r, "dir/large", 70'000); }, true},
      {"OpenCapableForWriting", nullptr, [](int r) { return opens(r, "dir/capable", O_RDWR); }},
      {"OpenCapableForWritingAfterChmod", [](int r) { return chmods(r, "dir/capable"); },
       [](int r) { return opens(r, "dir/capable", O_RDWR); }, true},
      {"SetXattr", nullptr, [](int r) { return sets_xattr(r, "dir/file"); }},
      {"ChmodHardLink", nullptr, [](int r) { return chmods(r, "dir/first"); }},
      {"OpenHardLinkForWriting", nullptr, [](int r) { return opens(r, "dir/first", O_RDWR); }},
      {"OpenOtherHardLinkForWriting", [](int r) { return chmods(r, "dir/first"); },
       [](int r) { return opens(r, "merged/second", O_RDWR); }, true},
      {"LinkLowerFile", nullptr, [](int r) { return links(r, "dir/file", "dir/new"); }},
      {"LinkHardLink", nullptr, [](int r) { return links(r, "dir/first", "merged/new"); }},
      {"UnlinkHardLink", nullptr, [](int r) { return unlinks(r, "dir/first"); }},
      {"UnlinkOtherHardLink", [](int r) { return chmods(r, "dir/first"); },
       [](int r) { return unlinks(r, "merged/second"); }},
      {"UnlinkLastHardLink",
       [](int r) { return unlinks(r, "dir/first") && unlinks(r, "merged/second"); },
       [](int r) { return unlinks(r, "dir/third"); }},
      {"RenameHardLink", nullptr, [](int r) { return renames(r, "dir/first", "dir/new"); }},
      {"RenameOverHardLink", nullptr, [](int r) { return renames(r, "dir/file", "dir/first"); }},
      {"Unlink", nullptr, [](int r) { return unlinks(r, "dir/file"); }},
      {"UnlinkCopiedUp", [](int r) { return chmods(r, "dir/file"); },
       [](int r) { return unlinks(r, "dir/file"); }},
      {"RemoveDirectory", nullptr, [](int r) { return rmdirs(r, "dir/empty"); }},
      {"RemoveMergedDirectory", [](int r) { return empties(r) && unlinks(r, "merged/second"); },
       [](int r) { return rmdirs(r, "merged"); }},
      {"RenameDirectory", nullptr, [](int r) { return renames(r, "dir/sub", "moved"); }},
      {"RenameMergedDirectory", nullptr, [](int r) { return renames(r, "merged", "dir/moved"); }},
      {"RenameFile", nullptr, [](int r) { return renames(r, "dir/file", "merged/new"); }},
      {"RenameOverFile", nullptr, [](int r) { return renames(r, "dir/file", "dir/large"); }},
      {"RenameMetacopy", [](int r) { return chmods(r, "dir/file"); },
       [](int r) { return renames(r, "dir/file", "merged/new"); }},
      {"ExchangeFileAndDirectory", nullptr,
       [](int r) { return renames(r, "dir/file", "dir/sub", RENAME_EXCHANGE); }},
      {"RenameDirectoryOntoWhiteout", [](int r) { return unlinks(r, "dir/file"); },
       [](int r) { return renames(r, "dir/sub", "dir/file"); }},
      {"RenameNewDirectoryOntoWhiteout",
       [](int r) { return unlinks(r, "dir/file") && ::mkdirat(r, "fresh", 0755) == 0; },
       [](int r) { return renames(r, "fresh", "dir/file"); }},
      {"RenameDirectoryOverEmptied",
       [](int r) { return empties(r) && unlinks(r, "merged/second"); },
       [](int r) { return renames(r, "dir/sub", "merged"); }},
      {"Create", nullptr, [](int r) { return opens(r, "dir/new", O_RDWR | O_CREAT | O_EXCL); }},
      {"CreateUnderADefaultAcl", nullptr,
       [](int r) { return opens(r, "acl/new", O_RDWR | O_CREAT | O_EXCL); }},
      {"CreateUnderADefaultAclOntoWhiteout", [](int r) { return unlinks(r, "acl/old"); },
       [](int r) { return opens(r, "acl/old", O_RDWR | O_CREAT | O_EXCL); }},
      {"CreateOntoWhiteout", [](int r) { return unlinks(r, "dir/file"); },
       [](int r) { return opens(r, "dir/file", O_RDWR | O_CREAT | O_EXCL); }},
      {"MakeDirectory", nullptr, [](int r) { return ::mkdirat(r, "dir/new", 0755) == 0; }},
      {"MakeDirectoryOntoWhiteout", [](int r) { return unlinks(r, "dir/file"); },
       [](int r) { return ::mkdirat(r, "dir/file", 0755) == 0; }},
      {"MakeSymlink", nullptr, [](int r) { return ::symlinkat("to", r, "dir/new") == 0; }},
      {"MakePipeOntoWhiteout", [](int r) { return unlinks(r, "dir/file"); },
       [](int r) { return ::mknodat(r, "dir/file", S_IFIFO | 0600, 0) == 0; }},
      {"LinkOntoWhiteout", [](int r) { return unlinks(r, "dir/file"); },
       [](int r) { return links(r, "dir/large", "dir/file"); }},
      {"LinkUnnamed", make_unnamed, name_unnamed},
  };
  return all;
}

void make_crash_layers(const std::string& dir) {
  namespace fs = std::filesystem;
  const fs::path top = fs::path(dir) / "top", bottom = fs::path(dir) / "bottom";
  write_file(bottom / "dir/file", std::string(5000, 'f'));
  write_file(bottom / "dir/large", std::string(200'000, 'l'));
  write_file(bottom / "dir/sub/deep", "deep");
  write_file(bottom / "dir/first", std::string(3000, 'h'));
  write_file(bottom / "merged/a", "a");
  fs::create_hard_link(bottom / "dir/first", bottom / "merged/second");
  fs::create_hard_link(bottom / "dir/first", bottom / "dir/third");
  fs::create_directory(bottom / "dir/empty");
  fs::create_symlink("file", bottom / "dir/link");
  write_file(top / "merged/b", "b");
  write_file(bottom / "acl/old", "old");
  set_default_acl(bottom / "acl");
  write_file(bottom / "dir/capable", std::string(50'000, 'c'));
  set_capability(bottom / "dir/capable");
  for (const fs::path& layer : {top, bottom})
    for (const auto& entry : fs::recursive_directory_iterator(layer)) {
      // Earlier than anything that a test does: "now" is then what was changed.
      const timespec times[2] = {{1'000'000'000, 0}, {1'000'000'000, 0}};
      ::utimensat(AT_FDCWD, entry.path().c_str(), times, AT_SYMLINK_NOFOLLOW);
    }
}

}  // namespace layerfs::test
