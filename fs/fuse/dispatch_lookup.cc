#include "fs/fuse/dispatch.h"
#include "fs/op/lookup.h"

namespace layerfs::fuse {

namespace {

void lookup(fuse_req_t request, fuse_ino_t parent, const char* name) {
  dispatch(request, RequestKind::kLookup, [=](Context& context, Reply& reply) {
    answer_entry(context, reply, op::lookup(*context.fs, parent, name), true);
  });
}

void forget(fuse_req_t request, fuse_ino_t node, std::uint64_t count) {
  dispatch(request, RequestKind::kForget, [=](Context& context, Reply& reply) {
    op::forget(*context.fs, node, count);
    reply.none();
  });
}

void forget_multi(fuse_req_t request, std::size_t count, fuse_forget_data* forgets) {
  dispatch(request, RequestKind::kForget, [=](Context& context, Reply& reply) {
    for (std::size_t i = 0; i < count; ++i) {
      op::forget(*context.fs, forgets[i].ino, forgets[i].nlookup);
    }
    reply.none();
  });
}

}  // namespace

void add_lookup_handlers(fuse_lowlevel_ops& handlers) {
  handlers.lookup = lookup;
  handlers.forget = forget;
  handlers.forget_multi = forget_multi;
}

}  // namespace layerfs::fuse
