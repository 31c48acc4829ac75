#include "fs/layer/index_builder.h"

#include <dirent.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <deque>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <absl/container/btree_map.h>
#include <absl/container/btree_set.h>

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
using Children = absl::btree_map<Key, Id>;

// There is one for each inode of a layer, which may have millions.
struct Node {
  format::Inode inode;
  std::string text;
  std::unique_ptr<Children> children;  // of a directory
  bool named = false;

  bool is_dir() const { return S_ISDIR(inode.mode); }
};

// The strings of the index, each once and followed by a NUL. They are kept in order and not by
// hash, which whoever chose the names may have chosen too.
class Text {
 public:
  Text() : offsets_(Less{&bytes_}) {}
  Text(const Text&) = delete;
  Text& operator=(const Text&) = delete;

  std::uint64_t add(std::string_view value) {
    const auto known = offsets_.find(value);
    if (known != offsets_.end()) return *known;
    const std::uint64_t offset = bytes_.size();
    bytes_ += value;
    bytes_ += '\0';
    offsets_.insert(offset);
    return offset;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  // Compares the strings that are at offsets.
  struct Less {
    using is_transparent = void;
    std::string_view at(std::uint64_t offset) const { return bytes->c_str() + offset; }
    std::string_view at(std::string_view value) const { return value; }
    bool operator()(auto a, auto b) const { return at(a) < at(b); }
    const std::string* bytes;
  };

  std::string bytes_;
  absl::btree_set<std::uint64_t, Less> offsets_;
};

format::Inode encode(const struct stat& st, std::uint32_t flags) {
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
  inode.flags = flags;
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
  struct stat root = {};
  std::deque<Node> nodes;
};

namespace {

// Numbers the inodes breadth first and lays them out.
class Layout {
 public:
  // Completes the nodes by where their entries and texts are.
  explicit Layout(std::deque<Node>& nodes) : nodes_(nodes), slots_(nodes.size(), kNoSlot) {}

  // EFBIG
  Result<void> run() {
    slot_of(0);
    for (std::size_t at = 0; at < order_.size(); ++at) {
      Node& node = nodes_[order_[at]];
      if (node.is_dir()) {
        node.inode.first = static_cast<std::uint32_t>(entries.size());
        node.inode.count = static_cast<std::uint32_t>(node.children ? node.children->size() : 0);
        if (node.children) {
          for (const auto& [key, id] : *node.children) add_entry(key, id);
        }
      }
      if (!node.text.empty()) {
        node.inode.text_length = static_cast<std::uint32_t>(node.text.size());
        node.inode.text = static_cast<std::uint32_t>(text.add(node.text));
      }
      xattrs |= node.inode.flags & index_flag::kAnyXattr;
    }
    constexpr std::size_t kMost = std::numeric_limits<std::uint32_t>::max();
    if (order_.size() >= kMost || entries.size() >= kMost || text.bytes().size() >= kMost) {
      return fail(EFBIG);
    }
    // The text ends on a boundary of 8, as the sections do.
    padding = std::string((8 - text.bytes().size() % 8) % 8, '\0');
    return {};
  }

  std::size_t inode_count() const { return order_.size(); }
  const format::Inode& inode(std::size_t slot) const { return nodes_[order_[slot]].inode; }

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
                                 : static_cast<std::uint8_t>(IFTODT(nodes_[id].inode.mode));
    entries.push_back(entry);
  }

  std::deque<Node>& nodes_;
  std::vector<IndexSlot> slots_;
  std::vector<Id> order_;
};

}  // namespace

IndexBuilder::IndexBuilder(Options options, const struct stat& root, std::uint32_t flags)
    : state_(std::make_unique<State>()) {
  state_->options = options;
  state_->root = root;
  state_->nodes.push_back({encode(root, flags), {}, {}, true});
}
IndexBuilder::IndexBuilder(IndexBuilder&&) noexcept = default;
IndexBuilder::~IndexBuilder() = default;

Result<Id> IndexBuilder::add_inode(const struct stat& attr, std::uint32_t flags,
                                   std::string_view text) {
  if ((flags & index_flag::kRedirect) != 0 && !is_valid_redirect(text)) return fail(EINVAL);
  if (state_->nodes.size() >= kWhiteout) return fail(EFBIG);
  state_->nodes.push_back({encode(attr, flags), std::string(text), {}});
  return static_cast<Id>(state_->nodes.size() - 1);
}

void IndexBuilder::set_attributes(Id id, const struct stat& attr) {
  format::Inode& inode = state_->nodes[id].inode;
  inode = encode(attr, inode.flags);
}

void IndexBuilder::add_flags(Id id, std::uint32_t flags) { state_->nodes[id].inode.flags |= flags; }

Result<void> IndexBuilder::add_entry(Id dir, std::string_view name, Id id) {
  Node& parent = state_->nodes[dir];
  Node& child = state_->nodes[id];
  const bool is_dir = child.is_dir();
  if (!is_index_name(name) || !parent.is_dir() || (is_dir && child.named)) return fail(EINVAL);
  if (!parent.children) parent.children = std::make_unique<Children>();
  const auto [at, fresh] = parent.children->try_emplace({name_hash(name), std::string(name)}, id);
  if (!fresh) {
    if (at->second != kWhiteout) return fail(EEXIST);
    at->second = id;
    if (is_dir) child.inode.flags |= index_flag::kOpaque;
  }
  child.named = true;
  return {};
}

Result<void> IndexBuilder::add_whiteout(Id dir, std::string_view name) {
  Node& parent = state_->nodes[dir];
  if (!is_index_name(name) || !parent.is_dir()) return fail(EINVAL);
  if (!parent.children) parent.children = std::make_unique<Children>();
  const auto [at, fresh] =
      parent.children->try_emplace({name_hash(name), std::string(name)}, kWhiteout);
  if (!fresh && at->second != kWhiteout) {
    Node& there = state_->nodes[at->second];
    if (there.is_dir()) there.inode.flags |= index_flag::kOpaque;
  }
  return {};
}

namespace {

// Calls `sink` with the parts of the file behind its header, in order.
template <typename Sink>
Result<void> each_part(const Layout& layout, Sink sink) {
  constexpr std::size_t kAtOnce = 1024;
  std::vector<format::Inode> inodes;
  for (std::size_t slot = 0; slot < layout.inode_count(); ++slot) {
    inodes.push_back(layout.inode(slot));
    if (inodes.size() < kAtOnce && slot + 1 < layout.inode_count()) continue;
    LAYERFS_TRY(sink(inodes.data(), inodes.size() * sizeof inodes[0]));
    inodes.clear();
  }
  LAYERFS_TRY(sink(layout.entries.data(), layout.entries.size() * sizeof layout.entries[0]));
  LAYERFS_TRY(sink(layout.text.bytes().data(), layout.text.bytes().size()));
  return sink(layout.padding.data(), layout.padding.size());
}

}  // namespace

Result<void> IndexBuilder::write(int fd) const {
  Layout layout(state_->nodes);
  LAYERFS_TRY(layout.run());
  const struct stat& root = state_->root;
  format::Header header;
  if (state_->options.user_xattr) header.flags |= format::kUserXattr;
  if (state_->options.whiteouts == Whiteouts::kAufs) header.flags |= format::kAufsWhiteouts;
  header.inode_count = static_cast<std::uint32_t>(layout.inode_count());
  header.entry_count = static_cast<std::uint32_t>(layout.entries.size());
  header.text_size = static_cast<std::uint32_t>(layout.text.bytes().size() + layout.padding.size());
  header.xattrs = layout.xattrs;
  header.root_ino = root.st_ino;
  header.root_ctime = root.st_ctim.tv_sec;
  header.root_ctime_ns = static_cast<std::uint32_t>(root.st_ctim.tv_nsec);
  header.block_size = static_cast<std::uint32_t>(root.st_blksize);
  header.file_size = sizeof header;
  format::Checksum sum;
  LAYERFS_TRY(each_part(layout, [&](const void* data, std::size_t size) -> Result<void> {
    header.file_size += size;
    sum.add(data, size);
    return {};
  }));
  header.body_checksum = sum.value();
  header.header_checksum = format::header_checksum(header);
  LAYERFS_TRY(write_all(fd, &header, sizeof header));
  return each_part(layout,
                   [&](const void* data, std::size_t size) { return write_all(fd, data, size); });
}

}  // namespace layerfs::layer
