// The data of open files. Served by node: what a handle once opened does not matter.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstring>

#include "fs/layer/marks.h"
#include "fs/op/file.h"
#include "fs/op/file_system_state.h"
#include "fs/op/privileges.h"
#include "fs/op/protection.h"
#include "fs/sys/file.h"

namespace layerfs::op {

Result<std::size_t> read(FileSystem& fs, NodeId id, HandleId, std::span<std::byte> buffer,
                         off_t offset) {
  LAYERFS_TRY_ASSIGN(tree::Node * node, find_node(fs, id));
  LAYERFS_TRY_ASSIGN(DataFd data, fs.open_files.data(*node));
  return sys::read_at(data->get(), buffer, offset);
}

Result<std::optional<std::size_t>> read_cached(FileSystem& fs, NodeId id, HandleId,
                                               std::span<std::byte> buffer, off_t offset) {
  LAYERFS_TRY_ASSIGN(tree::Node * node, find_node(fs, id));
  LAYERFS_TRY_ASSIGN(DataFd data, fs.open_files.data(*node));
  return sys::read_cached_at(data->get(), buffer, offset);
}

Result<std::size_t> write(FileSystem& fs, NodeId id, HandleId, std::span<const std::byte> data,
                          off_t offset, const std::optional<Caller>& kill_suidgid) {
  LAYERFS_TRY_ASSIGN(tree::Node * node, find_node(fs, id));
  LAYERFS_TRY_ASSIGN(DataFd file, fs.open_files.writable_data(*node));
  if (kill_suidgid) {
    const auto place = tree::Place(file->get()).recorded_in(fs.tree->upper()->records);
    LAYERFS_TRY(drop_privileges(fs, place, *kill_suidgid));
  }
  return sys::write_at(file->get(), data, offset);
}

Result<void> fallocate(FileSystem& fs, NodeId id, HandleId, int mode, off_t offset, off_t length) {
  LAYERFS_TRY_ASSIGN(tree::Node * node, find_node(fs, id));
  LAYERFS_TRY(allow_fallocate(fs, *node, mode));
  LAYERFS_TRY_ASSIGN(DataFd file, fs.open_files.writable_data(*node));
  while (::fallocate(file->get(), mode, offset, length) != 0)
    if (errno != EINTR) return fail(Errno::last());
  return {};
}

Result<std::size_t> copy_file_range(FileSystem& fs, const FileRange& from, const FileRange& to,
                                    std::size_t length) {
  LAYERFS_TRY_ASSIGN(tree::Node * source, find_node(fs, from.node));
  LAYERFS_TRY_ASSIGN(tree::Node * target, find_node(fs, to.node));
  LAYERFS_TRY(allow_copy_range(fs, *target));
  LAYERFS_TRY_ASSIGN(DataFd out, fs.open_files.writable_data(*target));
  LAYERFS_TRY_ASSIGN(DataFd in, fs.open_files.data(*source));
  off_t in_offset = from.offset, out_offset = to.offset;
  ssize_t copied = ::copy_file_range(in->get(), &in_offset, out->get(), &out_offset, length, 0);
  if (copied < 0) return fail(Errno::last());
  return static_cast<std::size_t>(copied);
}

Result<off_t> lseek(FileSystem& fs, NodeId id, HandleId, off_t offset, int whence) {
  LAYERFS_TRY_ASSIGN(tree::Node * node, find_node(fs, id));
  LAYERFS_TRY_ASSIGN(DataFd data, fs.open_files.data(*node));
  const off_t found = ::lseek(data->get(), offset, whence);
  if (found < 0) return fail(Errno::last());
  return found;
}

namespace {

Result<sys::UniqueFd> open_for_ioctl(FileSystem& fs, tree::Node& node) {
  if (!node.is_dir() && !S_ISREG(node.type)) return fail(ENOTTY);
  auto shape = fs.tree->enter();
  LAYERFS_TRY_ASSIGN(tree::Place place, fs.tree->place(shape, node));
  return place.open(O_RDONLY | (node.is_dir() ? O_DIRECTORY : 0));
}

// The two shapes of the marks of chattr(1): FS_IOC_GETFLAGS and FS_IOC_FSGETXATTR, and what sets
// either.
struct Flags {
  using Value = int;
  static constexpr int kAppend = FS_APPEND_FL, kImmutable = FS_IMMUTABLE_FL;
  static int& bits(Value& value) { return value; }
};
struct ExtendedFlags {
  using Value = struct fsxattr;
  static constexpr unsigned kAppend = FS_XFLAG_APPEND, kImmutable = FS_XFLAG_IMMUTABLE;
  static unsigned& bits(Value& value) { return value.fsx_xflags; }
};

template <typename Kind>
Result<std::string> get_marks(FileSystem& fs, tree::Node& node, int fd, unsigned request) {
  typename Kind::Value value{};
  if (::ioctl(fd, request, &value) != 0) return fail(Errno::last());
  auto shape = fs.tree->enter();
  LAYERFS_TRY_ASSIGN(const layer::Protattr protection, fs.tree->protection(shape, node));
  if (protection.append) Kind::bits(value) |= Kind::kAppend;
  if (protection.immutable) Kind::bits(value) |= Kind::kImmutable;
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

// Those that would hold up ourselves are kept aside.
template <typename Kind>
Result<std::string> set_marks(FileSystem& fs, tree::Node& node, int fd, unsigned request,
                              std::string_view in) {
  typename Kind::Value value{};
  if (in.size() < sizeof value) return fail(EINVAL);
  std::memcpy(&value, in.data(), sizeof value);
  auto& bits = Kind::bits(value);
  const layer::Protattr wanted{.append = (bits & Kind::kAppend) != 0,
                               .immutable = (bits & Kind::kImmutable) != 0};
  bits &= ~(Kind::kAppend | Kind::kImmutable);
  if (::ioctl(fd, request, &value) != 0) return fail(Errno::last());
  auto shape = fs.tree->enter();
  LAYERFS_TRY(fs.tree->set_protection(shape, node, wanted));
  return std::string();
}

}  // namespace

bool changes_attr(unsigned ioctl_request) {
  return ioctl_request == FS_IOC_SETFLAGS || ioctl_request == FS_IOC_FSSETXATTR;
}

Result<std::string> ioctl(FileSystem& fs, NodeId id, HandleId, unsigned request,
                          std::string_view in) {
  LAYERFS_TRY_ASSIGN(tree::Node * node, find_node(fs, id));
  const bool set = changes_attr(request);
  if (!set && request != FS_IOC_GETFLAGS && request != FS_IOC_FSGETXATTR) return fail(ENOTTY);
  if (set) LAYERFS_TRY(fs.tree->copy_up(*node, tree::CopyUpDepth::metadata()));
  LAYERFS_TRY_ASSIGN(sys::UniqueFd fd, open_for_ioctl(fs, *node));
  switch (request) {
    case FS_IOC_GETFLAGS:
      return get_marks<Flags>(fs, *node, fd.get(), request);
    case FS_IOC_FSGETXATTR:
      return get_marks<ExtendedFlags>(fs, *node, fd.get(), request);
    case FS_IOC_SETFLAGS:
      return set_marks<Flags>(fs, *node, fd.get(), request, in);
    default:
      return set_marks<ExtendedFlags>(fs, *node, fd.get(), request, in);
  }
}

}  // namespace layerfs::op
