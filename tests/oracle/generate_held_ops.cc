// Operations that make, use or end an open descriptor.
#include <linux/falloc.h>
#include <unistd.h>

#include "tests/oracle/op_generator.h"

namespace layerfs::oracle {

Op OpGenerator::open() {
  Op op = of(OpKind::kOpen);
  op.slot = any_slot();
  op.mode = any_mode();
  op.flags = rng_.pick({O_RDONLY, O_RDONLY, O_WRONLY, O_RDWR, O_RDWR, O_PATH});
  op.path = file();
  if (rng_.percent(40)) {
    op.flags |= O_CREAT | rng_.pick({0, O_EXCL, O_TRUNC});
    op.path = rng_.percent(70) ? fresh() : file();
    if (!model_.has(op.path)) model_.set(op.path, EntryKind::kFile);
  }
  if (rng_.percent(10)) op.flags |= O_APPEND;
  if (rng_.percent(8)) op.flags |= O_TRUNC;
  if (rng_.percent(5)) op.flags |= O_NOFOLLOW;
  hold(op, false);
  return op;
}

Op OpGenerator::open_dir() {
  Op op = of(OpKind::kOpen);
  op.slot = any_slot();
  op.flags = O_RDONLY | rng_.pick({O_DIRECTORY, 0});
  op.path = dir();
  hold(op, true);
  return op;
}

Op OpGenerator::temporary() {
  Op op = of(OpKind::kOpen);
  op.slot = any_slot();
  op.flags = O_TMPFILE | rng_.pick({O_RDWR, O_WRONLY, O_RDWR | O_EXCL});
  op.mode = any_mode();
  op.path = dir();
  hold(op, false);
  return op;
}

Op OpGenerator::reopen() {
  Op op = of(OpKind::kReopen);
  op.slot = any_slot();
  op.slot2 = open_slot();
  op.flags = rng_.pick({O_RDONLY, O_RDWR, O_WRONLY, O_WRONLY | O_TRUNC});
  hold(op, false);
  return op;
}

Op OpGenerator::slot_op() {
  Op op = of(rng_.pick({OpKind::kClose, OpKind::kFstat, OpKind::kFstat, OpKind::kFsync,
                        OpKind::kList, OpKind::kMapRead, OpKind::kMapWrite}));
  op.slot = open_slot();
  if (op.kind == OpKind::kList) op.slot = open_dir_slot();
  if (op.kind == OpKind::kMapRead) op.slot = readable();
  if (op.kind == OpKind::kMapWrite) op.slot = slot_with({Held::kBoth});
  if (op.kind == OpKind::kClose) held_[static_cast<size_t>(op.slot)] = Held::kNothing;
  if (op.kind != OpKind::kMapWrite) return op;
  op.off = any_offset();
  op.len = any_length();
  op.fill = rng_.below(100);
  return op;
}

Op OpGenerator::read() {
  Op op = of(OpKind::kRead);
  op.slot = readable();
  op.off = any_offset();
  op.len = any_length();
  return op;
}

Op OpGenerator::write() {
  Op op = read();
  op.kind = OpKind::kWrite;
  op.slot = writable();
  op.fill = rng_.below(100);
  return op;
}

Op OpGenerator::resize() {
  Op op = of(OpKind::kFtruncate);
  op.slot = writable();
  op.len = any_length();
  return op;
}

Op OpGenerator::fallocate() {
  Op op = of(OpKind::kFallocate);
  op.slot = writable();
  op.flags = rng_.pick({0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                        FALLOC_FL_ZERO_RANGE, FALLOC_FL_PUNCH_HOLE});
  op.off = any_offset();
  op.len = any_length();
  return op;
}

Op OpGenerator::copy_range() {
  Op op = of(OpKind::kCopyRange);
  op.slot = writable();
  op.slot2 = readable();
  op.off = any_offset();
  op.off2 = any_offset();
  op.len = any_length();
  return op;
}

Op OpGenerator::seek() {
  Op op = of(OpKind::kSeek);
  op.slot = readable();
  op.off = any_offset();
  op.flags = rng_.pick({SEEK_DATA, SEEK_HOLE, SEEK_END});
  return op;
}

Op OpGenerator::held_attributes() {
  Op op = of(rng_.pick({OpKind::kFchmod, OpKind::kFchown, OpKind::kFutimens, OpKind::kFsetxattr,
                        OpKind::kFgetxattr, OpKind::kFremovexattr, OpKind::kFlistxattr}));
  op.slot = open_slot();
  if (op.kind == OpKind::kFchmod) op.mode = any_mode();
  if (op.kind == OpKind::kFchown) op.uid = rng_.pick({-1, 0, 1000, 1001});
  if (op.kind == OpKind::kFchown) op.gid = rng_.pick({-1, 0, 1000, 2000});
  if (op.kind == OpKind::kFutimens) op.atime = any_time();
  if (op.kind == OpKind::kFutimens) op.mtime = any_time();
  if (op.kind == OpKind::kFsetxattr || op.kind == OpKind::kFgetxattr ||
      op.kind == OpKind::kFremovexattr)
    give_xattr(op);
  return op;
}

}  // namespace layerfs::oracle
