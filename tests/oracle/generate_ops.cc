#include "tests/oracle/generate_ops.h"

#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <algorithm>

#include "tests/oracle/op_generator.h"

namespace layerfs::oracle {

const OpGenerator::Choice OpGenerator::kChoices[] = {
    {70, &OpGenerator::open},
    {15, &OpGenerator::open_dir},
    {6, &OpGenerator::temporary},
    {8, &OpGenerator::reopen},
    {40, &OpGenerator::slot_op},
    {25, &OpGenerator::read},
    {40, &OpGenerator::write},
    {15, &OpGenerator::resize},
    {10, &OpGenerator::fallocate},
    {10, &OpGenerator::copy_range},
    {8, &OpGenerator::seek},
    {25, &OpGenerator::held_attributes},
    {6, &OpGenerator::churn},
    {25, &OpGenerator::slurp},
    {40, &OpGenerator::poke},
    {15, &OpGenerator::truncate},
    {35, &OpGenerator::mkdir},
    {30, &OpGenerator::rmdir},
    {45, &OpGenerator::unlink},
    {90, &OpGenerator::rename},
    {30, &OpGenerator::link},
    {6, &OpGenerator::link_fd},
    {15, &OpGenerator::symlink},
    {12, &OpGenerator::mknod},
    {35, &OpGenerator::stat},
    {30, &OpGenerator::chmod},
    {25, &OpGenerator::chown},
    {20, &OpGenerator::utimens},
    {30, &OpGenerator::set_xattr},
    {25, &OpGenerator::other_xattr},
    {12, &OpGenerator::access},
    {25, &OpGenerator::look},
    {4, &OpGenerator::rm_tree},
    {25, &OpGenerator::whole},
    {0, nullptr},
};

Op OpGenerator::churn() {
  Op op = of(OpKind::kChurn);
  op.path = dir();
  op.len = 1 + rng_.below(30);
  return op;
}

Op OpGenerator::slurp() {
  Op op = of(OpKind::kSlurp);
  op.path = file();
  return op;
}

Op OpGenerator::poke() {
  Op op = of(OpKind::kPoke);
  op.flags = rng_.pick({O_WRONLY, O_RDWR}) |
             rng_.pick({0, 0, O_APPEND, O_CREAT, O_CREAT | O_TRUNC, O_CREAT | O_EXCL, O_TRUNC});
  op.path = (op.flags & O_CREAT) != 0 && rng_.percent(60) ? fresh() : file();
  if ((op.flags & O_CREAT) != 0 && !model_.has(op.path)) model_.set(op.path, EntryKind::kFile);
  op.mode = any_mode();
  op.off = any_offset();
  op.len = any_length();
  op.fill = rng_.below(100);
  return op;
}

Op OpGenerator::truncate() {
  Op op = of(OpKind::kTruncate);
  op.path = file();
  op.len = any_length();
  return op;
}

Op OpGenerator::mkdir() {
  Op op = of(OpKind::kMkdir);
  op.path = fresh();
  op.mode = any_mode();
  if (!model_.has(op.path)) model_.set(op.path, EntryKind::kDir);
  return op;
}

Op OpGenerator::rmdir() {
  Op op = of(OpKind::kRmdir);
  op.path = rng_.percent(80) ? model_.any_of(rng_, EntryKind::kDir) : existing();
  if (is_empty(op.path)) model_.erase(op.path);
  return op;
}

Op OpGenerator::unlink() {
  Op op = of(OpKind::kUnlink);
  op.path = existing();
  if (!model_.is_dir(op.path)) model_.erase(op.path);
  return op;
}

bool OpGenerator::is_empty(const std::string& dir) const {
  return std::none_of(model_.nodes().begin(), model_.nodes().end(),
                      [&](const auto& node) { return node.first.starts_with(dir + "/"); });
}

bool OpGenerator::can_rename(const Op& op) const {
  if (!model_.has(op.path)) return false;
  if (op.flags == RENAME_EXCHANGE) return model_.has(op.path2);
  if (!model_.has(op.path2)) return model_.is_dir(parent_path(op.path2));
  return op.flags == 0 && model_.is_dir(op.path) == model_.is_dir(op.path2) && is_empty(op.path2);
}

Op OpGenerator::rename() {
  Op op = of(OpKind::kRename);
  op.path = rng_.percent(50) ? model_.any_of(rng_, EntryKind::kDir) : existing();
  op.path2 = rng_.percent(50) ? fresh() : existing();
  if (rng_.percent(3)) op.path2 = join_path(op.path, "a");
  op.flags = rng_.pick({0, 0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE});
  if (rng_.percent(1)) op.flags = RENAME_WHITEOUT;
  if (op.flags == RENAME_EXCHANGE && rng_.percent(80)) op.path2 = existing();
  if (can_rename(op)) model_.rename(op.path, op.path2, op.flags == RENAME_EXCHANGE);
  return op;
}

Op OpGenerator::link() {
  Op op = of(OpKind::kLink);
  op.path = rng_.percent(80) ? file() : model_.any_of(rng_, EntryKind::kSymlink);
  op.path2 = fresh();
  op.flags = rng_.percent(15) ? AT_SYMLINK_FOLLOW : 0;
  if (!model_.has(op.path2)) model_.set(op.path2, EntryKind::kFile);
  return op;
}

Op OpGenerator::link_fd() {
  Op op = of(OpKind::kLinkFd);
  op.slot = open_slot();
  op.path2 = fresh();
  return op;
}

Op OpGenerator::symlink() {
  Op op = of(OpKind::kSymlink);
  op.path = fresh();
  op.value = rng_.percent(50) ? "/" + model_.any(rng_)
                              : rng_.pick({std::string("a"), std::string("../c"),
                                           std::string("gone"), std::string(1000, 's')});
  if (!model_.has(op.path)) model_.set(op.path, EntryKind::kSymlink);
  return op;
}

Op OpGenerator::mknod() {
  Op op = of(OpKind::kMknod);
  op.path = fresh();
  op.mode =
      int64_t{rng_.pick({S_IFIFO, S_IFSOCK, S_IFREG, S_IFCHR, S_IFCHR, S_IFBLK})} | any_mode();
  if (S_ISCHR(op.mode)) op.off = rng_.percent(50) ? 0 : static_cast<int64_t>(makedev(1, 3));
  if (S_ISBLK(op.mode)) op.off = static_cast<int64_t>(makedev(120, 7));
  if (!model_.has(op.path)) model_.set(op.path, EntryKind::kDevice);
  return op;
}

Op OpGenerator::stat() {
  Op op = of(rng_.percent(85) ? OpKind::kStat : OpKind::kReadlink);
  op.path = op.kind == OpKind::kStat ? existing() : model_.any_of(rng_, EntryKind::kSymlink);
  op.flags = op.kind == OpKind::kStat && rng_.percent(70) ? AT_SYMLINK_NOFOLLOW : 0;
  return op;
}

Op OpGenerator::chmod() {
  Op op = of(OpKind::kChmod);
  op.path = existing();
  op.mode = any_mode();
  return op;
}

Op OpGenerator::chown() {
  Op op = of(rng_.percent(50) ? OpKind::kChown : OpKind::kLchown);
  op.path = existing();
  op.uid = rng_.pick({-1, 0, 1000, 1001});
  op.gid = rng_.pick({-1, 0, 1000, 2000});
  return op;
}

Op OpGenerator::utimens() {
  Op op = of(OpKind::kUtimens);
  op.path = existing();
  op.atime = any_time();
  op.mtime = any_time();
  op.flags = rng_.percent(50) ? AT_SYMLINK_NOFOLLOW : 0;
  return op;
}

void OpGenerator::give_xattr(Op& op) {
  static const std::vector<std::string> names = {"user.a",
                                                 "user.b",
                                                 "user.c",
                                                 "trusted.t",
                                                 "trusted.overlay.opaque",
                                                 "trusted.overlay.redirect",
                                                 "trusted.overlay.foo",
                                                 "user.overlay.opaque",
                                                 "security.foo",
                                                 "bogus.x",
                                                 "user."};
  op.name = rng_.pick(names);
  op.value = rng_.pick({std::string("y"), std::string(), std::string("a\0b", 3),
                        std::string(150, 'x'), std::string("value")});
  const int64_t special = rng_.below(10);
  if (special == 0) op.name = "security.capability", op.value = capability_value(rng_);
  if (special == 1) op.name = "system.posix_acl_access", op.value = acl_value(rng_);
  if (special == 2) op.name = "system.posix_acl_default", op.value = acl_value(rng_);
  if (op.kind == OpKind::kSetxattr || op.kind == OpKind::kFsetxattr)
    op.flags = rng_.pick<int>({0, 0, 0, XATTR_CREATE, XATTR_REPLACE});
  else
    op.value.clear();
}

Op OpGenerator::set_xattr() {
  Op op = of(OpKind::kSetxattr);
  op.path = existing();
  give_xattr(op);
  return op;
}

Op OpGenerator::other_xattr() {
  Op op = of(rng_.pick({OpKind::kGetxattr, OpKind::kRemovexattr, OpKind::kListxattr}));
  op.path = existing();
  if (op.kind != OpKind::kListxattr) give_xattr(op);
  return op;
}

Op OpGenerator::access() {
  Op op = of(OpKind::kAccess);
  op.path = existing();
  op.mode = rng_.below(8);
  op.flags = rng_.pick({0, AT_EACCESS, AT_SYMLINK_NOFOLLOW});
  return op;
}

Op OpGenerator::look() {
  Op op = of(rng_.percent(80) ? OpKind::kLs : OpKind::kStatfs);
  op.path = dir();
  return op;
}

Op OpGenerator::rm_tree() {
  Op op = of(OpKind::kRmTree);
  op.path = model_.any_of(rng_, EntryKind::kDir);
  model_.erase(op.path);
  return op;
}

Op OpGenerator::whole() {
  const Op op = of(rng_.pick({OpKind::kTree, OpKind::kDropCaches, OpKind::kDropCaches,
                              OpKind::kRemount, OpKind::kRemount, OpKind::kStackUpper}));
  if (is_remount(op)) held_.fill(Held::kNothing);
  return op;
}

std::vector<Op> generate_ops(Rng& rng, Model model, int count) {
  OpGenerator generator(rng, std::move(model));
  std::vector<Op> ops;
  while (ops.size() < static_cast<size_t>(count)) ops.push_back(generator.next());
  return ops;
}

}  // namespace layerfs::oracle
