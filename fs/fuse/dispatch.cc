#include "fs/fuse/dispatch.h"

#include <new>

#include <spdlog/spdlog.h>

#include "fs/op/lookup.h"

namespace layerfs::fuse {

void answer_exception(Reply& reply, RequestKind kind) noexcept {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    reply.error(ENOMEM);
  } catch (const std::exception& problem) {
    spdlog::error("{}: {}", name_of(kind), problem.what());
    reply.error(EIO);
  } catch (...) {
    spdlog::error("{}: unknown exception", name_of(kind));
    reply.error(EIO);
  }
}

void answer_entry(Context& context, Reply& reply, const Result<op::Entry>& result,
                  bool remember_absence) noexcept {
  if (result) {
    if (!reply.entry(*result)) op::forget(*context.fs, result->node, 1);
  } else if (remember_absence && result.error().code() == ENOENT) {
    reply.no_entry();
  } else {
    reply.error(result.error().code());
  }
}

void answer_done(Reply& reply, const Result<void>& result) noexcept {
  reply.error(result ? 0 : result.error().code());
}

namespace {

// The first request of a connection. No other is under way, and libfuse replies.
void init(void* userdata, fuse_conn_info* connection) {
  auto& context = *static_cast<Context*>(userdata);
  context.agreed = negotiate(context.wishes, *connection);
  op::set_backing(*context.fs, context.agreed->passthrough ? context.backing : nullptr);
}

}  // namespace

fuse_lowlevel_ops handlers() {
  fuse_lowlevel_ops all = {};
  all.init = init;
  add_lookup_handlers(all);
  add_attr_handlers(all);
  add_namespace_handlers(all);
  add_file_handlers(all);
  add_dir_handlers(all);
  add_xattr_handlers(all);
  return all;
}

}  // namespace layerfs::fuse
