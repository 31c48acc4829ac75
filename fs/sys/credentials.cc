#include "fs/sys/credentials.h"

#include <linux/securebits.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <unistd.h>

namespace layerfs::sys {

void keep_capabilities_over_id_change() {
  int bits = ::prctl(PR_GET_SECUREBITS);
  if (bits >= 0) ::prctl(PR_SET_SECUREBITS, bits | SECBIT_NO_SETUID_FIXUP);
}

void create_as(uid_t uid, gid_t gid) {
  thread_local uid_t fsuid = ::geteuid();
  thread_local gid_t fsgid = ::getegid();
  if (gid != fsgid) {
    ::setfsgid(gid);
    fsgid = static_cast<gid_t>(::setfsgid(static_cast<gid_t>(-1)));
  }
  if (uid != fsuid) {
    ::setfsuid(uid);
    fsuid = static_cast<uid_t>(::setfsuid(static_cast<uid_t>(-1)));
  }
}

void create_as_daemon() {
  static const uid_t uid = ::geteuid();
  static const gid_t gid = ::getegid();
  create_as(uid, gid);
}

}  // namespace layerfs::sys
