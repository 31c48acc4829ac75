#include <string>
#include <string_view>

#include "fs/fuse/caller.h"
#include "fs/fuse/dispatch.h"
#include "fs/op/attr.h"
#include "fs/op/privileges.h"
#include "fs/op/xattr.h"

namespace layerfs::fuse {

namespace {

// Answers with what `get(context)` says, a value or a list of names: its size if the caller gave no
// room. Never ENOSYS, even where no layer has any xattr: the kernel would ask no more, but callers
// would get EOPNOTSUPP instead of ENODATA and an empty list.
template <typename Get>
void answer_bytes(fuse_req_t request, RequestKind kind, std::size_t room, const Get& get) {
  dispatch(request, kind, [=](Context& context, Reply& reply) {
    const Result<std::string> bytes = get(context);
    if (!bytes) {
      reply.error(bytes.error().code());
    } else if (room == 0) {
      reply.xattr_size(bytes->size());
    } else if (bytes->size() > room) {
      reply.error(ERANGE);
    } else {
      reply.data(*bytes);
    }
  });
}

void getxattr(fuse_req_t request, fuse_ino_t node, const char* name, std::size_t room) {
  answer_bytes(request, RequestKind::kGetxattr, room,
               [=](Context& context) { return op::getxattr(*context.fs, node, name); });
}

void listxattr(fuse_req_t request, fuse_ino_t node, std::size_t room) {
  answer_bytes(request, RequestKind::kListxattr, room, [=](Context& context) {
    return op::listxattr(*context.fs, caller_of(request), node);
  });
}

// Whether setting an access ACL is to clear setgid. The protocol has a flag for it that libfuse
// does not pass on (FUSE_SETXATTR_ACL_KILL_SGID), so the caller is looked at.
Result<bool> kills_setgid(Context& context, fuse_req_t request, fuse_ino_t node,
                          std::string_view name) {
  if (name != "system.posix_acl_access") return false;
  LAYERFS_TRY_ASSIGN(const struct stat attr, op::getattr(*context.fs, node));
  return (attr.st_mode & S_ISGID) != 0 && !op::may_keep_setgid(caller_of(request), attr.st_gid);
}

void setxattr(fuse_req_t request, fuse_ino_t node, const char* name, const char* value,
              std::size_t size, int flags) {
  dispatch(request, RequestKind::kSetxattr, [=](Context& context, Reply& reply) {
    const Result<bool> kills = kills_setgid(context, request, node, name);
    answer_done(reply, kills ? op::setxattr(*context.fs, node, name, {value, size}, flags, *kills)
                             : fail(kills.error()));
  });
}

void removexattr(fuse_req_t request, fuse_ino_t node, const char* name) {
  dispatch(request, RequestKind::kRemovexattr, [=](Context& context, Reply& reply) {
    answer_done(reply, op::removexattr(*context.fs, node, name));
  });
}

}  // namespace

void add_xattr_handlers(fuse_lowlevel_ops& handlers) {
  handlers.getxattr = getxattr;
  handlers.listxattr = listxattr;
  handlers.setxattr = setxattr;
  handlers.removexattr = removexattr;
}

}  // namespace layerfs::fuse
