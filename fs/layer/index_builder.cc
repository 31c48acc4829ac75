#include "fs/layer/index_builder.h"

#include <dirent.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include "fs/layer/index_format.h"
#include "fs/layer/index_mapping.h"
#include "fs/layer/marks.h"
#include "fs/layer/name_hash.h"

namespace layerfs::layer {

namespace {

using Id = IndexBuilder::Id;
constexpr Id kWhiteout = kNoSlot;

struct Key {
  std::uint64_t hash;
  std::string name;
  auto operator<=>(const Key&) const = default;
};
using Children = std::map<Key, Id>;

struct Node {
  struct stat attr;
  std::uint32_t flags;
  std::string text;
  Children children;
  bool named = false;
};

// The strings of the index, each once and followed by a NUL.
class Text {
 public:
  std::uint64_t add(std::string_view value) {
    const auto [at, fresh] = offsets_.try_emplace(std::string(value), bytes_.size());
    if (fresh) {
      bytes_ += value;
      bytes_ += '\0';
    }
    return at->second;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
  // Not std::unordered_map, whose hash is known to who makes the names.
  absl::flat_hash_map<std::string, std::uint64_t> offsets_;
};

format::Inode encode(const Node& node) {
  const struct stat& st = node.attr;
  format::Inode inode;
  inode.ino = st.st_ino;
  inode.size = static_cast<std::uint64_t>(st.st_size);
  inode.blocks = static_cast<std::uint64_t>(st.st_blocks);
  inode.atime = st.st_atim.tv_sec;
  inode.mtime = st.st_mtim.tv_sec;
  inode.ctime = st.st_ctim.tv_sec;
  inode.atime_ns = static_cast<std::uint32_t>(st.st_atim.tv_nsec);
  inode.mtime_ns = static_cast<std::uint32_t>(st.st_mtim.tv_nsec);
  inode.ctime_ns = static_cast<std::uint32_t>(st.st_ctim.tv_nsec);
  inode.mode = st.st_mode;
  inode.uid = st.st_uid;
  inode.gid = st.st_gid;
  inode.nlink = static_cast<std::uint32_t>(st.st_nlink);
  inode.flags = node.flags;
  if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) {
    inode.first = major(st.st_rdev);
    inode.count = minor(st.st_rdev);
  }
  return inode;
}

Result<void> write_all(int fd, const void* data, std::size_t size) {
  const char* next = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t n = ::write(fd, next, size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(Errno::last());
    next += n;
    size -= static_cast<std::size_t>(n);
  }
  return {};
}

}  // namespace

struct IndexBuilder::State {
  Options options;
  std::vector<Node> nodes;
};

namespace {

// Numbers the inodes breadth first and lays them out.
class Layout {
 public:
  explicit Layout(const std::vector<Node>& nodes) : nodes_(nodes), slots_(nodes.size(), kNoSlot) {}

  // EFBIG
  Result<void> run() {
    slot_of(0);
    for (std::size_t at = 0; at < order_.size(); ++at) {
      const Node& node = nodes_[order_[at]];
      format::Inode inode = encode(node);
      if (S_ISDIR(inode.mode)) {
        inode.first = static_cast<std::uint32_t>(entries.size());
        inode.count = static_cast<std::uint32_t>(node.children.size());
        for (const auto& [key, id] : node.children) add_entry(key, id);
      }
      if (!node.text.empty()) {
        inode.text_length = static_cast<std::uint32_t>(node.text.size());
        inode.text = static_cast<std::uint32_t>(text.add(node.text));
      }
      xattrs |= node.flags & index_flag::kAnyXattr;
      inodes.push_back(inode);
    }
    constexpr std::size_t kMost = std::numeric_limits<std::uint32_t>::max();
    if (inodes.size() >= kMost || entries.size() >= kMost || text.bytes().size() >= kMost) {
      return fail(EFBIG);
    }
    // The text ends on a boundary of 8, as the sections do.
    padding = std::string((8 - text.bytes().size() % 8) % 8, '\0');
    return {};
  }

  std::vector<format::Inode> inodes;
  std::vector<format::Entry> entries;
  Text text;
  std::string padding;
  std::uint32_t xattrs = 0;

 private:
  IndexSlot slot_of(Id id) {
    if (slots_[id] == kNoSlot) {
      slots_[id] = static_cast<IndexSlot>(order_.size());
      order_.push_back(id);
    }
    return slots_[id];
  }

  void add_entry(const Key& key, Id id) {
    format::Entry entry;
    entry.hash = key.hash;
    entry.name = static_cast<std::uint32_t>(text.add(key.name));
    entry.name_length = static_cast<std::uint8_t>(key.name.size());
    entry.inode = id == kWhiteout ? kNoSlot : slot_of(id);
    entry.type = id == kWhiteout ? std::uint8_t{DT_UNKNOWN}
                                 : static_cast<std::uint8_t>(IFTODT(nodes_[id].attr.st_mode));
    entries.push_back(entry);
  }

  const std::vector<Node>& nodes_;
  std::vector<IndexSlot> slots_;
  std::vector<Id> order_;
};

}  // namespace

IndexBuilder::IndexBuilder(Options options, const struct stat& root, std::uint32_t flags)
    : state_(std::make_unique<State>()) {
  state_->options = options;
  state_->nodes.push_back({root, flags, {}, {}, true});
}
IndexBuilder::IndexBuilder(IndexBuilder&&) noexcept = default;
IndexBuilder::~IndexBuilder() = default;

Result<Id> IndexBuilder::add_inode(const struct stat& attr, std::uint32_t flags,
                                   std::string_view text) {
  if ((flags & index_flag::kRedirect) != 0 && !is_valid_redirect(text)) return fail(EINVAL);
  if (state_->nodes.size() >= kWhiteout) return fail(EFBIG);
  state_->nodes.push_back({attr, flags, std::string(text), {}});
  return static_cast<Id>(state_->nodes.size() - 1);
}

void IndexBuilder::set_attributes(Id id, const struct stat& attr) { state_->nodes[id].attr = attr; }

void IndexBuilder::add_flags(Id id, std::uint32_t flags) { state_->nodes[id].flags |= flags; }

Result<void> IndexBuilder::add_entry(Id dir, std::string_view name, Id id) {
  Node& parent = state_->nodes[dir];
  Node& child = state_->nodes[id];
  const bool is_dir = S_ISDIR(child.attr.st_mode);
  if (!is_index_name(name) || !S_ISDIR(parent.attr.st_mode) || (is_dir && child.named)) {
    return fail(EINVAL);
  }
  const auto [at, fresh] = parent.children.try_emplace({name_hash(name), std::string(name)}, id);
  if (!fresh) {
    if (at->second != kWhiteout) return fail(EEXIST);
    at->second = id;
    if (is_dir) child.flags |= index_flag::kOpaque;
  }
  child.named = true;
  return {};
}

Result<void> IndexBuilder::add_whiteout(Id dir, std::string_view name) {
  Node& parent = state_->nodes[dir];
  if (!is_index_name(name) || !S_ISDIR(parent.attr.st_mode)) return fail(EINVAL);
  const auto [at, fresh] =
      parent.children.try_emplace({name_hash(name), std::string(name)}, kWhiteout);
  if (!fresh && at->second != kWhiteout) {
    Node& there = state_->nodes[at->second];
    if (S_ISDIR(there.attr.st_mode)) there.flags |= index_flag::kOpaque;
  }
  return {};
}

Result<void> IndexBuilder::write(int fd) const {
  Layout layout(state_->nodes);
  LAYERFS_TRY(layout.run());
  const struct stat& root = state_->nodes[0].attr;
  format::Header header;
  if (state_->options.user_xattr) header.flags |= format::kUserXattr;
  if (state_->options.whiteouts == Whiteouts::kAufs) header.flags |= format::kAufsWhiteouts;
  header.inode_count = static_cast<std::uint32_t>(layout.inodes.size());
  header.entry_count = static_cast<std::uint32_t>(layout.entries.size());
  header.text_size = static_cast<std::uint32_t>(layout.text.bytes().size() + layout.padding.size());
  header.xattrs = layout.xattrs;
  header.root_ino = root.st_ino;
  header.root_ctime = root.st_ctim.tv_sec;
  header.root_ctime_ns = static_cast<std::uint32_t>(root.st_ctim.tv_nsec);
  header.block_size = static_cast<std::uint32_t>(root.st_blksize);

  const auto bytes_of = [](const auto& values) {
    return std::string_view(reinterpret_cast<const char*>(values.data()),
                            values.size() * sizeof values[0]);
  };
  std::string body;
  for (const std::string_view part :
       {bytes_of(layout.inodes), bytes_of(layout.entries), std::string_view(layout.text.bytes()),
        std::string_view(layout.padding)}) {
    body += part;
  }
  header.file_size = sizeof header + body.size();
  header.body_checksum = format::checksum(body.data(), body.size());
  header.header_checksum = format::header_checksum(header);
  LAYERFS_TRY(write_all(fd, &header, sizeof header));
  return write_all(fd, body.data(), body.size());
}

}  // namespace layerfs::layer
