// What a write by somebody without CAP_FSETID takes away.
#pragma once

#include <string>

#include "fs/op/file_system.h"
#include "fs/op/types.h"
#include "fs/sys/at.h"
#include "fs/sys/result.h"
#include "fs/tree/tree.h"

namespace layerfs::op {

inline constexpr const char* kCapability = "security.capability";

// Whether the caller has CAP_FSETID, so that its writes leave setuid and setgid alone. Reads /proc;
// false if that says nothing.
bool may_keep_setuid(const Caller& caller);

// Whether the caller may leave a file of group `gid` setgid: it is in the group or has CAP_FSETID
// (in_group_or_capable() in the kernel's fs/attr.c). Reads /proc; false if that says nothing. What
// group the file has for the caller through an idmapped mount only the kernel knows: the answer is
// for the group that it has without.
bool may_keep_setgid(const Caller& caller, gid_t gid);

// Whether the caller may see trusted xattrs: it has CAP_SYS_ADMIN where this process lives
// (xattr(7)). Reads /proc; false if that says nothing.
bool may_see_trusted(const Caller& caller);

// Whether this answer to the question for security.capability says that there is none to remove.
// Where one may be, removing it says whether that is possible: of an append-only file it is not,
// though the file may be written.
bool says_no_capability(const Result<std::string>& answer);

// Clears setuid, setgid and security.capability of a regular file in the upper, as
// setattr_should_drop_suidgid and cap_inode_killpriv of the kernel. Setgid without group execution
// stays where the caller may keep it.
Result<void> drop_privileges(const FileSystem& fs, const tree::Place& place, const Caller& caller);

}  // namespace layerfs::op
