#include "tools/store_privileges.h"

#include <linux/capability.h>

#include "fs/sys/shedding.h"

namespace layerfs::tools {

namespace {

// As a daemon's (fs/fuse/confinement.cc), which also acts for others and sets marks of chattr(1).
constexpr sys::CapabilitySet kNeeded =
    sys::capability_set({CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER, CAP_FSETID,
                         CAP_MKNOD, CAP_SETFCAP, CAP_SYS_ADMIN});

}  // namespace

void shed_what_a_store_does_not_need() {
  sys::shed_privileges(kNeeded, 0);
  sys::gain_no_privileges();
}

}  // namespace layerfs::tools
