#include "fs/fuse/caller.h"

#include <linux/capability.h>

#include <fstream>
#include <sstream>
#include <string>

namespace layerfs::fuse {

op::Caller caller_of(fuse_req_t request) {
  const fuse_ctx* context = fuse_req_ctx(request);
  return {.uid = context->uid, .gid = context->gid, .pid = context->pid, .umask = context->umask};
}

namespace {

// What /proc/PID/status says behind `key`.
std::istringstream status_of(pid_t pid, const std::string& key) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(key + ":")) return std::istringstream(line.substr(key.size() + 1));
  }
  return {};
}

}  // namespace

bool may_keep_setuid(const op::Caller& caller) {
  unsigned long long effective = 0;
  status_of(caller.pid, "CapEff") >> std::hex >> effective;
  return (effective >> CAP_FSETID & 1) != 0;
}

bool may_keep_setgid(const op::Caller& caller, gid_t gid) {
  if (caller.gid == gid) return true;
  std::istringstream groups = status_of(caller.pid, "Groups");
  for (gid_t group = 0; groups >> group;) {
    if (group == gid) return true;
  }
  return may_keep_setuid(caller);
}

}  // namespace layerfs::fuse
