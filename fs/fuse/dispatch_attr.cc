#include <fcntl.h>

#include "fs/fuse/caller.h"
#include "fs/fuse/dispatch.h"
#include "fs/op/attr.h"
#include "fs/op/cost.h"

namespace layerfs::fuse {

namespace {

op::AttrChange change_of(const op::Caller& caller, const struct stat& attr, int to_set) {
  op::AttrChange change;
  if (to_set & FUSE_SET_ATTR_MODE) change.mode = attr.st_mode & 07777;
  if (to_set & FUSE_SET_ATTR_UID) change.uid = attr.st_uid;
  if (to_set & FUSE_SET_ATTR_GID) change.gid = attr.st_gid;
  if (to_set & FUSE_SET_ATTR_SIZE) change.size = attr.st_size;
  constexpr timespec kNow = {.tv_sec = 0, .tv_nsec = UTIME_NOW};
  if (to_set & FUSE_SET_ATTR_ATIME) {
    change.atime = (to_set & FUSE_SET_ATTR_ATIME_NOW) ? kNow : attr.st_atim;
  }
  if (to_set & FUSE_SET_ATTR_MTIME) {
    change.mtime = (to_set & FUSE_SET_ATTR_MTIME_NOW) ? kNow : attr.st_mtim;
  }
  // The protocol's FATTR_KILL_SUIDGID has the value of libfuse's FUSE_SET_ATTR_KILL_SUID.
  if (to_set & FUSE_SET_ATTR_KILL_SUID) change.kill_suidgid = caller;
  return change;
}

void answer_attr(Context& context, Reply& reply, fuse_ino_t node,
                 const Result<struct stat>& result) {
  if (result) {
    reply.attr(*result, op::attr_lasts(*context.fs, node));
  } else {
    reply.error(result.error().code());
  }
}

void getattr(fuse_req_t request, fuse_ino_t node, fuse_file_info*) {
  dispatch(request, RequestKind::kGetattr, [=](Context& context, Reply& reply) {
    answer_attr(context, reply, node, op::getattr(*context.fs, node));
  });
}

#if LAYERFS_LIBFUSE_HAS_STATX
// The kernel asks for all that it knows (FUSE_STATX with a birth time), and remembers the answer.
void statx(fuse_req_t request, fuse_ino_t node, int, int, fuse_file_info*) {
  dispatch(request, RequestKind::kStatx, [=](Context& context, Reply& reply) {
    if (const auto result = op::statx(*context.fs, node)) {
      reply.statx(*result, op::attr_lasts(*context.fs, node));
    } else {
      reply.error(result.error().code());
    }
  });
}
#endif

void setattr(fuse_req_t request, fuse_ino_t node, struct stat* attr, int to_set,
             fuse_file_info* info) {
  op::AttrChange change = change_of(caller_of(request), *attr, to_set);
  change.size_by_fd = info != nullptr;
  const auto sleeps = [&](Context& context) {
    return op::change_copies_much(*context.fs, node, change.size);
  };
  dispatch_slow(request, RequestKind::kSetattr, sleeps, [=](Context& context, Reply& reply) {
    answer_attr(context, reply, node,
                to_set == 0 ? op::prepare_write(*context.fs, node, caller_of(request))
                            : op::setattr(*context.fs, node, change));
  });
}

void readlink(fuse_req_t request, fuse_ino_t node) {
  dispatch(request, RequestKind::kReadlink, [=](Context& context, Reply& reply) {
    if (const auto target = op::readlink(*context.fs, node)) {
      reply.link_target(*target);
    } else {
      reply.error(target.error().code());
    }
  });
}

void statfs(fuse_req_t request, fuse_ino_t) {
  dispatch(request, RequestKind::kStatfs, [=](Context& context, Reply& reply) {
    if (const auto stat = op::statfs(*context.fs)) {
      reply.statfs(*stat);
    } else {
      reply.error(stat.error().code());
    }
  });
}

// The kernel checks permissions itself (default_permissions) and asks no more after ENOSYS.
void access(fuse_req_t request, fuse_ino_t, int) {
  dispatch(request, RequestKind::kAccess, [](Context&, Reply& reply) { reply.error(ENOSYS); });
}

}  // namespace

void add_attr_handlers(fuse_lowlevel_ops& handlers) {
  handlers.getattr = getattr;
#if LAYERFS_LIBFUSE_HAS_STATX
  handlers.statx = statx;
#endif
  handlers.setattr = setattr;
  handlers.readlink = readlink;
  handlers.statfs = statfs;
  handlers.access = access;
}

}  // namespace layerfs::fuse
