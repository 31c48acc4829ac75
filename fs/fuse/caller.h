// Who sent a request.
#pragma once

#include "fs/fuse/libfuse.h"
#include "fs/op/types.h"

namespace layerfs::fuse {

op::Caller caller_of(fuse_req_t request);

}  // namespace layerfs::fuse
