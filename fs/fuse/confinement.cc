#include "fs/fuse/confinement.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <cstdlib>
#include <string_view>

#include <spdlog/spdlog.h>

#include "fs/fuse/served_calls.h"
#include "fs/sys/credentials.h"
#include "fs/sys/sanitized.h"
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
  sys::limit_capabilities(0);
  if (const auto kept = sys::keep_capabilities(kNeeded); !kept)
    spdlog::warn("the capabilities that a mount does not need cannot be dropped");
  const rlimit none = {};
  ::setrlimit(RLIMIT_CORE, &none);
  // The address sanitizer looks for leaks by ptrace(2).
  if (!sys::kAddressSanitized) ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

void confine(bool io_uring) {
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  const std::string_view wanted = wanted_filter();
  if (wanted == "off") return;
  const auto refused = wanted == "kill" ? sys::Refused::kKilled : sys::Refused::kMissing;
  if (const auto done = sys::allow_only(served_calls(io_uring), missing_calls(), refused); !done)
    spdlog::warn("{}", done.error().sentence);
}

}  // namespace layerfs::fuse
