#include "fs/op/privileges.h"

#include <linux/capability.h>
#include <sys/stat.h>

#include <array>
#include <fstream>
#include <iterator>
#include <sstream>

#include "fs/op/file_system_state.h"
#include "fs/sys/file.h"
#include "fs/sys/xattr.h"

namespace layerfs::op {
namespace {

// What /proc/PID/status says behind `key`.
std::istringstream status_of(pid_t pid, const std::string& key) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(key + ":")) return std::istringstream(line.substr(key.size() + 1));
  }
  return {};
}

// Of a file in /proc.
std::string text_of(const std::string& name) {
  std::ifstream file("/proc/" + name);
  return {std::istreambuf_iterator<char>(file), {}};
}

bool is_capable(const Caller& caller, int capability) {
  unsigned long long effective = 0;
  status_of(caller.pid, "CapEff") >> std::hex >> effective;
  return (effective >> capability & 1) != 0;
}

// -1 if nobody says. /proc tells four: real, effective, saved, and that for files.
gid_t group_of(const Caller& caller) {
  constexpr auto kUnknown = static_cast<gid_t>(-1);
  if (caller.gid != kUnknown) return caller.gid;
  std::array<gid_t, 4> groups{};
  std::istringstream status = status_of(caller.pid, "Gid");
  for (gid_t& group : groups) status >> group;
  return status ? groups[3] : kUnknown;
}

}  // namespace

bool may_keep_setuid(const Caller& caller) { return is_capable(caller, CAP_FSETID); }

bool may_keep_setgid(const Caller& caller, gid_t gid) {
  if (group_of(caller) == gid) return true;
  std::istringstream groups = status_of(caller.pid, "Groups");
  for (gid_t group = 0; groups >> group;) {
    if (group == gid) return true;
  }
  return may_keep_setuid(caller);
}

// Who is root of another user namespace has every capability there. A namespace is known by its
// ids: to look at /proc/PID/ns takes CAP_SYS_PTRACE, which opens all processes of the machine.
bool may_see_trusted(const Caller& caller) {
  if (!is_capable(caller, CAP_SYS_ADMIN)) return false;
  const std::string theirs = std::to_string(caller.pid);
  return !text_of("self/uid_map").empty() &&
         text_of("self/uid_map") == text_of(theirs + "/uid_map") &&
         text_of("self/gid_map") == text_of(theirs + "/gid_map");
}

bool says_no_capability(const Result<std::string>& answer) {
  return !answer && (answer.error() == Errno(ENODATA) || answer.error() == Errno(EOPNOTSUPP));
}

Result<void> drop_privileges(const FileSystem& fs, const tree::Place& place, const Caller& caller) {
  LAYERFS_TRY_ASSIGN(const struct stat st, place.stat());
  if (!S_ISREG(st.st_mode)) return {};
  mode_t mode = st.st_mode & 07777 & ~mode_t{S_ISUID};
  const bool is_setgid = (mode & S_ISGID) != 0;
  if (is_setgid &&
      ((mode & S_IXGRP) != 0 || !may_keep_setgid(caller, fs.ids.groups.shown(st.st_gid))))
    mode &= ~mode_t{S_ISGID};
  if (mode != (st.st_mode & 07777)) LAYERFS_TRY(place.chmod(mode));
  if (says_no_capability(sys::get_xattr(place.at(), kCapability))) return {};
  return sys::remove_xattr(place.at(), kCapability);
}

}  // namespace layerfs::op
