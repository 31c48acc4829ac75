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

bool may_keep_setgid(const op::Caller& caller, gid_t gid) {
  if (caller.gid == gid) return true;
  std::ifstream status("/proc/" + std::to_string(caller.pid) + "/status");
  for (std::string line; std::getline(status, line);) {
    std::istringstream fields(line);
    std::string key;
    fields >> key;
    if (key == "Groups:") {
      for (gid_t group = 0; fields >> group;) {
        if (group == gid) return true;
      }
    } else if (key == "CapEff:") {
      unsigned long long effective = 0;
      fields >> std::hex >> effective;
      return (effective >> CAP_FSETID & 1) != 0;  // comes after Groups
    }
  }
  return false;
}

}  // namespace layerfs::fuse
