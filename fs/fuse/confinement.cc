#include "fs/fuse/confinement.h"

#include <linux/capability.h>

#include <cstdlib>
#include <string_view>

#include <spdlog/spdlog.h>

#include "fs/fuse/served_calls.h"
#include "fs/sys/credentials.h"
#include "fs/sys/shedding.h"
#include "fs/sys/syscall_filter.h"

namespace layerfs::fuse {

namespace {

constexpr sys::CapabilitySet kNeeded = sys::capability_set(
    {// Files of everybody, and what belongs to whom.
     CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, CAP_MKNOD, CAP_SETFCAP,
     // Marks of chattr(1).
     CAP_LINUX_IMMUTABLE,
     // Files by their handles.
     CAP_DAC_READ_SEARCH,
     // What is created belongs to the caller (setfsuid, setfsgid).
     CAP_SETUID, CAP_SETGID,
     // xattrs trusted.* and security.*, passthrough, mounting and unmounting.
     CAP_SYS_ADMIN});

std::string_view wanted_filter() {
  const char* wanted = std::getenv("LAYERFS_SECCOMP");
  return wanted == nullptr ? std::string_view() : wanted;
}

}  // namespace

sys::CapabilitySet needed_capabilities() { return kNeeded; }

void shed_privileges() {
  // Needs CAP_SETPCAP, as the bounding set does.
  sys::keep_capabilities_over_id_change();
  sys::shed_privileges(kNeeded, 0);
}

void confine(bool io_uring) {
  sys::gain_no_privileges();
  const std::string_view wanted = wanted_filter();
  if (wanted == "off") return;
  const auto refused = wanted == "kill" ? sys::Refused::kKilled : sys::Refused::kMissing;
  if (const auto done = sys::allow_only(served_calls(io_uring), missing_calls(), refused); !done)
    spdlog::warn("{}", done.error().sentence);
}

}  // namespace layerfs::fuse
