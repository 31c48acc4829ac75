#include "fs/sys/capabilities.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>

namespace layerfs::sys {
namespace {

// The C library has no functions for these two calls, and libcap would be one more library to load.
using Sets = std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3>;

bool read_sets(Sets& sets) {
  __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  return ::syscall(SYS_capget, &header, sets.data()) == 0;
}

}  // namespace

CapabilitySet effective_capabilities() {
  Sets sets = {};
  if (!read_sets(sets)) return 0;
  return sets[0].effective | CapabilitySet{sets[1].effective} << 32;
}

Result<void> keep_capabilities(CapabilitySet wanted) {
  Sets sets = {};
  if (!read_sets(sets)) return fail(Errno::last());
  const std::array halves = {static_cast<std::uint32_t>(wanted),
                             static_cast<std::uint32_t>(wanted >> 32)};
  for (std::size_t i = 0; i < sets.size(); ++i) {
    sets[i].permitted &= halves[i];
    sets[i].effective = sets[i].permitted;
    sets[i].inheritable = 0;
  }
  // What is in neither of the other two sets leaves the ambient set by itself.
  __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  if (::syscall(SYS_capset, &header, sets.data()) != 0) return fail(Errno::last());
  return {};
}

void limit_capabilities(CapabilitySet kept) {
  // The kernel knows the first number that is no capability: EINVAL.
  for (unsigned capability = 0; ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; ++capability) {
    if ((kept & capability_set({capability})) == 0) ::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
  }
}

}  // namespace layerfs::sys
