#include "fs/sys/shedding.h"

#include <sys/prctl.h>
#include <sys/resource.h>

#include <spdlog/spdlog.h>

#include "fs/sys/sanitized.h"

namespace layerfs::sys {

void shed_privileges(CapabilitySet kept, CapabilitySet inherited) {
  limit_capabilities(inherited);
  if (const auto done = keep_capabilities(kept); !done)
    spdlog::warn("capabilities that are not needed cannot be dropped");
  const rlimit none = {};
  ::setrlimit(RLIMIT_CORE, &none);
  // The address sanitizer looks for leaks by ptrace(2).
  if (!kAddressSanitized) ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

void gain_no_privileges() { ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); }

}  // namespace layerfs::sys
