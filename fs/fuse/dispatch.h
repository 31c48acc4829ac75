// From libfuse's callbacks to fs/op: one file per family of operations, as in fs/op.
#pragma once

#include <pthread.h>

#include <atomic>
#include <exception>
#include <optional>
#include <utility>

#include "fs/fuse/burst.h"
#include "fs/fuse/config.h"
#include "fs/fuse/init.h"
#include "fs/fuse/libfuse.h"
#include "fs/fuse/reply.h"
#include "fs/fuse/request_counts.h"
#include "fs/fuse/slow_work.h"
#include "fs/op/backing.h"
#include "fs/op/file_system.h"
#include "fs/op/types.h"

namespace layerfs::fuse {

// What every request needs: the session's userdata. Set up before INIT is answered, and constant
// from then on but for the counts.
struct Context {
  op::FileSystem* fs = nullptr;
  fuse_session* session = nullptr;
  op::Backing* backing = nullptr;  // given to the file system if the kernel agrees
  Wishes wishes;
  std::optional<Agreed> agreed;  // empty until INIT came
  bool volatile_upper = false;   // FSYNC ends for good
  // For requests that sleep, where other threads may answer and few read; else null.
  SlowWork* slow_work = nullptr;
  // What comes through io_uring may sleep in a layer, whatever it asks for: each request is
  // answered by a thread of slow_work.
  bool layers_sleep = false;
  Burst* burst = nullptr;  // null: nothing is to be kept awake
  RequestCounts counts;
  // Whether something may have been written since the mount was made: its end syncs it then.
  std::atomic<bool> changed = false;

  void note_change() noexcept {
    if (!changed.load(std::memory_order_relaxed)) changed.store(true, std::memory_order_relaxed);
  }
};

// Answers ENOMEM or EIO and tells the log. Only while an exception is handled.
void answer_exception(Reply& reply, RequestKind kind) noexcept;

// Runs `body(context, reply)` for one request. Whatever it throws becomes an errno, and a request
// that it leaves unanswered is answered EIO.
template <typename Body>
void answer(fuse_req_t request, RequestKind kind, const Body& body) noexcept {
  auto& context = *static_cast<Context*>(fuse_req_userdata(request));
  Reply reply(request);
  try {
    body(context, reply);
  } catch (...) {
    answer_exception(reply, kind);
  }
}

// Counts a request, which has come on libfuse's thread, and gives what it works on. libfuse ends
// its threads by pthread_cancel, which must not happen inside of our frames.
inline Context& receive(fuse_req_t request, RequestKind kind) noexcept {
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, nullptr);
  auto& context = *static_cast<Context*>(fuse_req_userdata(request));
  context.counts.add(kind);
  // An open says itself whether it is for writing.
  if (!only_looks(kind) && kind != RequestKind::kOpen) context.note_change();
  if (context.burst != nullptr) context.burst->note();
  return context;
}

// Answers a request that will sleep elsewhere than on libfuse's thread, where that must not be held
// up. `body` is copied then, so it holds no reference to libfuse's arguments.
template <typename Body>
void dispatch_elsewhere(Context& context, fuse_req_t request, RequestKind kind,
                        const Body& body) noexcept {
  bool taken = false;
  try {
    taken = context.slow_work != nullptr &&
            context.slow_work->start([=]() noexcept { answer(request, kind, body); });
  } catch (const std::exception&) {
    // Here, then.
  }
  if (!taken) answer(request, kind, body);
}

// Whether what libfuse's arguments point to stays as it is until the request is answered, by
// whatever thread: it lies in the request's own place in the ring.
inline bool keeps_arguments([[maybe_unused]] fuse_req_t request) noexcept {
#if LAYERFS_LIBFUSE_HAS_URING
  return fuse_req_is_uring(request);
#else
  return false;
#endif
}

// Answers one request on libfuse's thread, or elsewhere if any may sleep. `body` may hold pointers
// to what libfuse's arguments point to, but for a fuse_file_info, and no references.
template <typename Body>
void dispatch(fuse_req_t request, RequestKind kind, const Body& body) noexcept {
  Context& context = receive(request, kind);
  if (context.layers_sleep && keeps_arguments(request)) {
    dispatch_elsewhere(context, request, kind, body);
  } else {
    answer(request, kind, body);
  }
}

// The same for a request of which `sleeps(context)`, a guess, says whether it will.
template <typename Sleeps, typename Body>
void dispatch_slow(fuse_req_t request, RequestKind kind, const Sleeps& sleeps,
                   const Body& body) noexcept {
  Context& context = receive(request, kind);
  if (context.slow_work != nullptr && (context.layers_sleep || sleeps(context))) {
    dispatch_elsewhere(context, request, kind, body);
  } else {
    answer(request, kind, body);
  }
}

// The entry or the error. An entry that cannot be delivered is forgotten. ENOENT is told as an
// entry that is known not to be there if `remember_absence`.
void answer_entry(Context& context, Reply& reply, const Result<op::Entry>& result,
                  bool remember_absence = false) noexcept;

// Success or the error.
void answer_done(Reply& reply, const Result<void>& result) noexcept;

// A request that waits for the disk: `sync(context)`, a Result<void>, which is not asked on a
// volatile mount. `sync` holds no reference to libfuse's arguments.
template <typename Sync>
void dispatch_sync(fuse_req_t request, RequestKind kind, const Sync& sync) noexcept {
  const auto sleeps = [](Context& context) { return !context.volatile_upper; };
  dispatch_slow(request, kind, sleeps, [=](Context& context, Reply& reply) {
    if (context.volatile_upper) {
      reply.error(ENOSYS);  // success to the caller, for ever
    } else {
      answer_done(reply, sync(context));
    }
  });
}

// The members of fuse_lowlevel_ops that each file implements.
void add_lookup_handlers(fuse_lowlevel_ops& handlers);
void add_attr_handlers(fuse_lowlevel_ops& handlers);
void add_namespace_handlers(fuse_lowlevel_ops& handlers);
void add_file_handlers(fuse_lowlevel_ops& handlers);
void add_dir_handlers(fuse_lowlevel_ops& handlers);
void add_xattr_handlers(fuse_lowlevel_ops& handlers);

// All of them. What is left out libfuse answers ENOSYS, which tells the kernel to do it itself:
// locks stay in the kernel (no other client could see them).
fuse_lowlevel_ops handlers();

}  // namespace layerfs::fuse
