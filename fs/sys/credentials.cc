#include "fs/sys/credentials.h"

#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "fs/sys/capabilities.h"

namespace layerfs::sys {
namespace {

// The ids that files created by this thread get.
struct FsIds {
  uid_t uid = ::geteuid();
  gid_t gid = ::getegid();

  // setfsuid(2) reports no failure, so the ids are asked for afterwards.
  void set(uid_t new_uid, gid_t new_gid) {
    if (new_gid != gid) {
      ::setfsgid(new_gid);
      gid = static_cast<gid_t>(::setfsgid(static_cast<gid_t>(-1)));
    }
    if (new_uid != uid) {
      ::setfsuid(new_uid);
      uid = static_cast<uid_t>(::setfsuid(static_cast<uid_t>(-1)));
    }
  }
};

}  // namespace

void keep_capabilities_over_id_change() {
  int bits = ::prctl(PR_GET_SECUREBITS);
  if (bits >= 0) ::prctl(PR_SET_SECUREBITS, bits | SECBIT_NO_SETUID_FIXUP);
}

bool may_create_as_others() {
  constexpr CapabilitySet kBoth = capability_set({CAP_SETUID, CAP_SETGID});
  return (effective_capabilities() & kBoth) == kBoth;
}

bool create_as(uid_t uid, gid_t gid) {
  static const FsIds daemon;
  thread_local FsIds ids;
  ids.set(uid, gid);
  if (ids.uid == uid && ids.gid == gid) return true;
  // The ids of whoever the thread served before must not own what comes next.
  ids.set(daemon.uid, daemon.gid);
  return false;
}

void create_as_daemon() {
  static const uid_t uid = ::geteuid();
  static const gid_t gid = ::getegid();
  create_as(uid, gid);
}

}  // namespace layerfs::sys
