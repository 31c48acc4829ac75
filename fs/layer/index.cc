#include "fs/layer/index.h"

#include <fcntl.h>
#include <sys/sysmacros.h>

#include <string>
#include <utility>

#include "fs/layer/index_format.h"
#include "fs/layer/index_mapping.h"
#include "fs/layer/marks.h"
#include "fs/layer/name_hash.h"
#include "fs/sys/file.h"

namespace layerfs::layer {

namespace {

constexpr std::uint32_t kNanoseconds = 1'000'000'000;

// Nothing, or what is wrong with a header read from a file of `size` bytes.
const char* header_problem(const format::Header& header, std::size_t size) {
  if (header.magic != format::kMagic) return "is no layer index";
  if (header.version != format::kVersion) return "is a layer index of another version";
  if (header.header_checksum != format::header_checksum(header)) return "has a damaged header";
  const std::uint64_t expected =
      sizeof header + std::uint64_t{header.inode_count} * sizeof(format::Inode) +
      std::uint64_t{header.entry_count} * sizeof(format::Entry) + header.text_size;
  if (header.file_size != size || expected != size) return "has the wrong size";
  if (header.inode_count == 0) return "has no root directory";
  return nullptr;
}

struct stat attributes(const format::Header& header, const format::Inode& inode) {
  struct stat st = {};
  st.st_ino = inode.ino;
  st.st_mode = inode.mode;
  st.st_nlink = inode.nlink;
  st.st_uid = inode.uid;
  st.st_gid = inode.gid;
  st.st_size = static_cast<off_t>(inode.size);
  st.st_blksize = header.block_size;
  st.st_blocks = static_cast<blkcnt_t>(inode.blocks);
  st.st_atim = {inode.atime, inode.atime_ns};
  st.st_mtim = {inode.mtime, inode.mtime_ns};
  st.st_ctim = {inode.ctime, inode.ctime_ns};
  if (S_ISCHR(inode.mode) || S_ISBLK(inode.mode)) st.st_rdev = makedev(inode.first, inode.count);
  return st;
}

}  // namespace

Index::Index(std::unique_ptr<const Mapping> mapping) : mapping_(std::move(mapping)) {}
Index::~Index() = default;

void Index::rest() const noexcept { mapping_->file.unload(); }

Outcome<std::unique_ptr<Index>> Index::open(int dirfd, const char* name) {
  const auto refused = [&](const char* problem) {
    return refuse("the layer index '" + std::string(name) + "' " + problem);
  };
  const auto failed = [&](Errno error) {
    return refuse("the layer index '" + std::string(name) + "' cannot be read", error);
  };
  const auto entry = sys::open_entry(dirfd, name);
  if (!entry) return failed(entry.error());
  const auto st = sys::stat_fd(entry->get());
  if (!st) return failed(st.error());
  if (!S_ISREG(st->st_mode)) return refused("is no file");
  const auto fd = sys::reopen(entry->get(), O_RDONLY);
  if (!fd) return failed(fd.error());
  const auto size = static_cast<std::size_t>(st->st_size);
  if (size < sizeof(format::Header)) return refused("is truncated");
  auto mapped = sys::MappedFile::map(fd->get(), size);
  if (!mapped) return failed(mapped.error());
  auto mapping = std::make_unique<Mapping>();
  mapping->file = std::move(*mapped);
  mapping->header = mapping->load<format::Header>(0);
  if (const char* problem = header_problem(mapping->header, size)) return refused(problem);
  if (const auto root = mapping->directory(kIndexRoot); !root) {
    return refused("has no root directory");
  }
  return std::unique_ptr<Index>(new Index(std::move(mapping)));
}

Result<bool> Index::describes(int root_fd, bool user_xattr, Whiteouts whiteouts) const {
  struct stat st;
  if (::fstat(root_fd, &st) != 0) return fail(Errno::last());
  const format::Header& header = mapping_->header;
  return header.root_ino == st.st_ino && header.root_ctime == st.st_ctim.tv_sec &&
         header.root_ctime_ns == st.st_ctim.tv_nsec &&
         ((header.flags & format::kUserXattr) != 0) == user_xattr &&
         ((header.flags & format::kAufsWhiteouts) != 0) == (whiteouts == Whiteouts::kAufs);
}

Result<std::optional<IndexedEntry>> Index::find(IndexSlot dir, std::string_view name) const {
  LAYERFS_TRY_ASSIGN(const format::Inode inode, mapping_->directory(dir));
  const std::uint64_t hash = name_hash(name);
  LAYERFS_TRY_ASSIGN(const std::size_t at, mapping_->lower_bound(inode, hash, name));
  if (at == std::size_t{inode.first} + inode.count) return std::nullopt;
  const format::Entry entry = mapping_->entry(at);
  if (entry.hash != hash) return std::nullopt;
  LAYERFS_TRY_ASSIGN(const IndexedEntry found, mapping_->decode(dir, entry));
  if (found.name != name) return std::nullopt;
  return found;
}

Result<void> Index::for_each(IndexSlot dir, std::uint64_t from,
                             const std::function<Result<void>(const IndexedEntry&)>& fn) const {
  LAYERFS_TRY_ASSIGN(const format::Inode inode, mapping_->directory(dir));
  const std::size_t end = std::size_t{inode.first} + inode.count;
  for (std::size_t at = mapping_->lower_bound(inode, from); at < end; ++at) {
    LAYERFS_TRY_ASSIGN(const IndexedEntry entry, mapping_->decode(dir, mapping_->entry(at)));
    LAYERFS_TRY(fn(entry));
  }
  return {};
}

Result<std::size_t> Index::size(IndexSlot dir) const {
  LAYERFS_TRY_ASSIGN(const format::Inode inode, mapping_->directory(dir));
  return inode.count;
}

Result<IndexedInode> Index::inode(IndexSlot slot) const {
  if (slot == kNoSlot) return fail(ENOENT);
  mapping_->count_use();
  LAYERFS_TRY_ASSIGN(const format::Inode inode, mapping_->inode(slot));
  if (inode.atime_ns >= kNanoseconds || inode.mtime_ns >= kNanoseconds ||
      inode.ctime_ns >= kNanoseconds) {
    return fail(EIO);
  }
  IndexedInode result{attributes(mapping_->header, inode), inode.flags, {}};
  if (S_ISLNK(inode.mode) || (inode.flags & index_flag::kRedirect) != 0) {
    LAYERFS_TRY_ASSIGN(result.text, mapping_->text(inode.text, inode.text_length));
    if ((inode.flags & index_flag::kRedirect) != 0 && !is_valid_redirect(result.text)) {
      return fail(EIO);
    }
  }
  return result;
}

std::uint32_t Index::xattr_kinds() const { return mapping_->header.xattrs & index_flag::kAnyXattr; }
std::size_t Index::inode_count() const { return mapping_->header.inode_count; }

}  // namespace layerfs::layer
