#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "fs/fuse/caller.h"
#include "fs/fuse/config.h"
#include "fs/fuse/dispatch.h"
#include "fs/op/attr.h"
#include "fs/op/cost.h"
#include "fs/op/file.h"
#include "fs/op/lookup.h"

namespace layerfs::fuse {

namespace {

// For whom the kernel asks to clear setuid, setgid and capabilities with this open or write.
std::optional<op::Caller> kills_suidgid([[maybe_unused]] fuse_req_t request,
                                        [[maybe_unused]] const fuse_file_info& info) {
#if LAYERFS_LIBFUSE_HAS_KILL_SUIDGID
  if (info.kill_suidgid != 0) return caller_of(request);
#endif
  return {};  // without libfuse's help HANDLE_KILLPRIV_V2 is not asked for: it comes by SETATTR
}

Result<op::Opened> open_node(Context& context, fuse_req_t request, fuse_ino_t node,
                             const fuse_file_info& info) {
  LAYERFS_TRY_ASSIGN(op::Opened opened,
                     op::open(*context.fs, node, info.flags, caller_of(request).pid));
  op::AttrChange change;
  change.kill_suidgid = kills_suidgid(request, info);
  if (change.kill_suidgid) {
    const auto killed = op::setattr(*context.fs, node, change);
    if (!killed) {
      op::release(*context.fs, node, opened.handle);
      return fail(killed.error());
    }
  }
  return opened;
}

// What the kernel holds of the node's attributes is not true any more. It takes no lock of the
// inode for this, so a request on the inode may wait for it.
void drop_attributes(Context& context, fuse_ino_t node) {
  constexpr off_t kNoData = -1;
  // It fails where the kernel does not know the node, and then holds nothing.
  (void)fuse_lowlevel_notify_inval_inode(context.session, node, kNoData, 0);
}

void open(fuse_req_t request, fuse_ino_t node, fuse_file_info* info) {
  if ((info->flags & O_ACCMODE) != O_RDONLY || (info->flags & O_TRUNC) != 0) {
    static_cast<Context*>(fuse_req_userdata(request))->note_change();
  }
  const auto sleeps = [&](Context& context) {
    return op::open_copies_much(*context.fs, node, info->flags);
  };
  dispatch_slow(request, RequestKind::kOpen, sleeps,
                [=, asked = *info](Context& context, Reply& reply) {
                  const auto opened = open_node(context, request, node, asked);
                  if (opened ? opened->ends_attr : opened.error() == Errno(ESTALE))
                    drop_attributes(context, node);
                  if (!opened) {
                    reply.error(opened.error().code());
                  } else if (!reply.opened(*opened)) {
                    op::release(*context.fs, node, opened->handle);
                  }
                });
}

void answer_created(Context& context, Reply& reply, const Result<op::Created>& created) {
  if (!created) {
    reply.error(created.error().code());
  } else if (!reply.created(created->entry, created->opened)) {
    op::release(*context.fs, created->entry.node, created->opened.handle);
    op::forget(*context.fs, created->entry.node, 1);
  }
}

void create(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode,
            fuse_file_info* info) {
  dispatch(request, RequestKind::kCreate, [=, flags = info->flags](Context& context, Reply& reply) {
    answer_created(context, reply,
                   op::create(*context.fs, caller_of(request), parent, name, mode, flags));
  });
}

void tmpfile(fuse_req_t request, fuse_ino_t parent, mode_t mode, fuse_file_info* info) {
  dispatch(request, RequestKind::kTmpfile,
           [=, flags = info->flags](Context& context, Reply& reply) {
             answer_created(context, reply,
                            op::tmpfile(*context.fs, caller_of(request), parent, mode, flags));
           });
}

// Room for the data of one READ: libfuse's own where the request came through io_uring, which
// saves a copy, else memory that the thread keeps.
std::span<char> read_buffer([[maybe_unused]] fuse_req_t request, std::size_t size) {
#if LAYERFS_LIBFUSE_HAS_URING
  char* payload = nullptr;
  std::size_t room = 0;
  if (fuse_req_is_uring(request) && fuse_req_get_payload(request, &payload, &room, nullptr) == 0 &&
      room >= size) {
    return {payload, size};
  }
#endif
  thread_local std::unique_ptr<char[]> kept;
  thread_local std::size_t kept_size = 0;
  if (kept_size < size) {
    kept = std::make_unique_for_overwrite<char[]>(size);
    kept_size = size;
  }
  return {kept.get(), size};
}

// Answers with what the page cache has; false if that is not all, or anything else is wrong: then
// the read that waits will say.
bool read_without_sleep(Context& context, fuse_req_t request, fuse_ino_t node, op::HandleId handle,
                        std::size_t size, off_t offset) noexcept {
  try {
    const std::span<char> buffer = read_buffer(request, size);
    const auto got =
        op::read_cached(*context.fs, node, handle, std::as_writable_bytes(buffer), offset);
    if (!got || !*got) return false;
    Reply(request).data(buffer.first(**got));
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

void read(fuse_req_t request, fuse_ino_t node, std::size_t size, off_t offset,
          fuse_file_info* info) {
  const op::HandleId handle = info->fh;
  Context& context = receive(request, RequestKind::kRead);
  if (context.slow_work != nullptr && !context.layers_sleep &&
      read_without_sleep(context, request, node, handle, size, offset)) {
    return;
  }
  dispatch_elsewhere(context, request, RequestKind::kRead, [=](Context& of_mount, Reply& reply) {
    const std::span<char> buffer = read_buffer(request, size);
    const auto got = op::read(*of_mount.fs, node, handle, std::as_writable_bytes(buffer), offset);
    if (got) {
      reply.data(buffer.first(*got));
    } else {
      reply.error(got.error().code());
    }
  });
}

void answer_count(Reply& reply, const Result<std::size_t>& count) {
  if (count) {
    reply.count(*count);
  } else {
    reply.error(count.error().code());
  }
}

void write(fuse_req_t request, fuse_ino_t node, const char* data, std::size_t size, off_t offset,
           fuse_file_info* info) {
  dispatch(request, RequestKind::kWrite, [=, asked = *info](Context& context, Reply& reply) {
    answer_count(reply, op::write(*context.fs, node, asked.fh, std::as_bytes(std::span(data, size)),
                                  offset, kills_suidgid(request, asked)));
  });
}

// close(2) has nothing to do here: data is written at once, and the kernel keeps the locks. It
// sends no further FLUSH after ENOSYS.
void flush(fuse_req_t request, fuse_ino_t, fuse_file_info*) {
  dispatch(request, RequestKind::kFlush, [](Context&, Reply& reply) { reply.error(ENOSYS); });
}

void release(fuse_req_t request, fuse_ino_t node, fuse_file_info* info) {
  dispatch(request, RequestKind::kRelease, [=, handle = info->fh](Context& context, Reply& reply) {
    op::release(*context.fs, node, handle);
    reply.done();
  });
}

void fsync(fuse_req_t request, fuse_ino_t node, int data_only, fuse_file_info* info) {
  dispatch_sync(request, RequestKind::kFsync, [=, handle = info->fh](Context& context) {
    return op::fsync(*context.fs, node, handle, data_only != 0);
  });
}

void fallocate(fuse_req_t request, fuse_ino_t node, int mode, off_t offset, off_t length,
               fuse_file_info* info) {
  dispatch(request, RequestKind::kFallocate,
           [=, handle = info->fh](Context& context, Reply& reply) {
             answer_done(reply, op::fallocate(*context.fs, node, handle, mode, offset, length));
           });
}

void copy_file_range(fuse_req_t request, fuse_ino_t from, off_t from_offset,
                     fuse_file_info* from_info, fuse_ino_t to, off_t to_offset,
                     fuse_file_info* to_info, std::size_t length, int) {
  const op::FileRange source = {.node = from, .handle = from_info->fh, .offset = from_offset};
  const op::FileRange target = {.node = to, .handle = to_info->fh, .offset = to_offset};
  dispatch_elsewhere(receive(request, RequestKind::kCopyFileRange), request,
                     RequestKind::kCopyFileRange, [=](Context& context, Reply& reply) {
                       answer_count(reply,
                                    op::copy_file_range(*context.fs, source, target, length));
                     });
}

void lseek(fuse_req_t request, fuse_ino_t node, off_t offset, int whence, fuse_file_info* info) {
  dispatch(request, RequestKind::kLseek, [=, handle = info->fh](Context& context, Reply& reply) {
    if (const auto found = op::lseek(*context.fs, node, handle, offset, whence)) {
      reply.offset(*found);
    } else {
      reply.error(found.error().code());
    }
  });
}

void ioctl(fuse_req_t request, fuse_ino_t node, unsigned command, void*, fuse_file_info* info,
           unsigned flags, const void* in, std::size_t in_size, std::size_t out_size) {
  dispatch(request, RequestKind::kIoctl, [=, handle = info->fh](Context& context, Reply& reply) {
    if (flags & FUSE_IOCTL_COMPAT) {
      reply.error(ENOTTY);  // the layouts differ for a 32-bit caller
      return;
    }
    const auto out =
        op::ioctl(*context.fs, node, handle, command, {static_cast<const char*>(in), in_size});
    if (out) {
      if (op::changes_attr(command)) drop_attributes(context, node);
      reply.ioctl(std::string_view(*out).substr(0, out_size));
    } else {
      reply.error(out.error().code());
    }
  });
}

}  // namespace

void add_file_handlers(fuse_lowlevel_ops& handlers) {
  handlers.open = open;
  handlers.create = create;
  handlers.tmpfile = tmpfile;
  handlers.read = read;
  handlers.write = write;
  handlers.flush = flush;
  handlers.release = release;
  handlers.fsync = fsync;
  handlers.fallocate = fallocate;
  handlers.copy_file_range = copy_file_range;
  handlers.lseek = lseek;
  handlers.ioctl = ioctl;
}

}  // namespace layerfs::fuse
