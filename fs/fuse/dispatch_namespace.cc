#include <string>

#include "fs/fuse/caller.h"
#include "fs/fuse/dispatch.h"
#include "fs/op/cost.h"
#include "fs/op/namespace.h"

namespace layerfs::fuse {

namespace {

// For dispatch_slow(): of what takes a name away.
bool waits(Context& context) { return op::removal_waits(*context.fs); }

void mknod(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode, dev_t rdev) {
  dispatch(request, RequestKind::kMknod, [=](Context& context, Reply& reply) {
    answer_entry(context, reply,
                 op::mknod(*context.fs, caller_of(request), parent, name, mode, rdev));
  });
}

void mkdir(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode) {
  dispatch(request, RequestKind::kMkdir, [=](Context& context, Reply& reply) {
    answer_entry(context, reply, op::mkdir(*context.fs, caller_of(request), parent, name, mode));
  });
}

void symlink(fuse_req_t request, const char* target, fuse_ino_t parent, const char* name) {
  dispatch(request, RequestKind::kSymlink, [=](Context& context, Reply& reply) {
    answer_entry(context, reply,
                 op::symlink(*context.fs, caller_of(request), parent, name, target));
  });
}

void link(fuse_req_t request, fuse_ino_t node, fuse_ino_t parent, const char* name) {
  dispatch(request, RequestKind::kLink, [=](Context& context, Reply& reply) {
    answer_entry(context, reply, op::link(*context.fs, node, parent, name));
  });
}

void unlink(fuse_req_t request, fuse_ino_t parent, const char* name) {
  dispatch_slow(request, RequestKind::kUnlink, waits,
                [=, name = std::string(name)](Context& context, Reply& reply) {
                  answer_done(reply, op::unlink(*context.fs, parent, name));
                });
}

void rmdir(fuse_req_t request, fuse_ino_t parent, const char* name) {
  dispatch_slow(request, RequestKind::kRmdir, waits,
                [=, name = std::string(name)](Context& context, Reply& reply) {
                  answer_done(reply, op::rmdir(*context.fs, parent, name));
                });
}

void rename(fuse_req_t request, fuse_ino_t parent, const char* name, fuse_ino_t new_parent,
            const char* new_name, unsigned flags) {
  dispatch_slow(request, RequestKind::kRename, waits,
                [=, name = std::string(name), new_name = std::string(new_name)](Context& context,
                                                                                Reply& reply) {
                  answer_done(reply,
                              op::rename(*context.fs, parent, name, new_parent, new_name, flags));
                });
}

}  // namespace

void add_namespace_handlers(fuse_lowlevel_ops& handlers) {
  handlers.mknod = mknod;
  handlers.mkdir = mkdir;
  handlers.symlink = symlink;
  handlers.link = link;
  handlers.unlink = unlink;
  handlers.rmdir = rmdir;
  handlers.rename = rename;
}

}  // namespace layerfs::fuse
