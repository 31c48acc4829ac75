#include "fs/fuse/caller.h"

namespace layerfs::fuse {

op::Caller caller_of(fuse_req_t request) {
  const fuse_ctx* context = fuse_req_ctx(request);
  return {.uid = context->uid, .gid = context->gid, .pid = context->pid, .umask = context->umask};
}

}  // namespace layerfs::fuse
