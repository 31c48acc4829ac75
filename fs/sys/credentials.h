// Acting for a user while keeping the daemon's own power.
#pragma once

#include <sys/types.h>

namespace layerfs::sys {

// Lets a thread act for a user who is not root without losing capabilities
// (SECBIT_NO_SETUID_FIXUP). Call once before threads start. Without CAP_SETPCAP it does nothing:
// then all files belong to the daemon's own user, the only one who can be served.
void keep_capabilities_over_id_change();

// Whether create_as() can take the ids of others: the process has CAP_SETUID and CAP_SETGID.
bool may_create_as_others();

// Files that this thread creates from now on belong to uid and gid (setfsuid, setfsgid), and quotas
// count for them. It stays so until the thread's next call: one user's work costs no system call.
// Returns false if the thread cannot take both ids, because the process may not or its user
// namespace does not have them; then its files belong to the daemon's own user.
bool create_as(uid_t uid, gid_t gid);

// The same for the daemon's own user.
void create_as_daemon();

}  // namespace layerfs::sys
