// Who sent a request.
#pragma once

#include <sys/types.h>

#include "fs/fuse/libfuse.h"
#include "fs/op/types.h"

namespace layerfs::fuse {

op::Caller caller_of(fuse_req_t request);

// Whether the caller has CAP_FSETID, so that its writes leave setuid and setgid alone. Reads /proc;
// false if that says nothing.
bool may_keep_setuid(const op::Caller& caller);

// Whether the caller may leave a file of group `gid` setgid: it is in the group or has CAP_FSETID
// (in_group_or_capable() in the kernel's fs/attr.c). Reads /proc; false if that says nothing.
bool may_keep_setgid(const op::Caller& caller, gid_t gid);

}  // namespace layerfs::fuse
