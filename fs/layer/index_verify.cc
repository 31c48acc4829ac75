#include <dirent.h>
#include <sys/stat.h>

#include <string>
#include <utility>
#include <vector>

#include "fs/layer/index.h"
#include "fs/layer/index_mapping.h"
#include "fs/layer/name_hash.h"

namespace layerfs::layer {
namespace {

// What for_each() and inode() do not see: how the parts fit together.
class Verification {
 public:
  Verification(const Index& index, const format::Header& header)
      : index_(index), header_(header), seen_(header.inode_count) {}

  Outcome<void> run() {
    for (IndexSlot slot = 0; slot < header_.inode_count; ++slot) {
      const auto inode = index_.inode(slot);
      if (!inode) return broken("inode", slot);
      xattrs_ |= inode->flags & index_flag::kAnyXattr;
      if (S_ISDIR(inode->attr.st_mode)) LAYERFS_TRY(check_directory(slot));
    }
    for (IndexSlot slot = 1; slot < header_.inode_count; ++slot) {
      if (!seen_[slot]) return broken("an inode without a name:", slot);
    }
    if (entries_ != header_.entry_count) return refuse("the layer index has stray entries");
    if (xattrs_ != header_.xattrs) return refuse("the layer index contradicts itself about xattrs");
    return {};
  }

 private:
  static tl::unexpected<Failure> broken(const char* what, IndexSlot slot) {
    return refuse("the layer index is damaged at " + std::string(what) + " " +
                  std::to_string(slot));
  }

  Outcome<void> check_directory(IndexSlot slot) {
    std::pair<std::uint64_t, std::string_view> last = {};
    bool good = true;
    const auto read = index_.for_each(slot, 0, [&](const IndexedEntry& entry) -> Result<void> {
      const std::pair<std::uint64_t, std::string_view> key = {entry.hash, entry.name};
      good = good && last < key && entry.hash == name_hash(entry.name) && count(entry);
      last = key;
      ++entries_;
      return {};
    });
    if (!read || !good) return broken("directory", slot);
    return {};
  }

  // False for a second name of a directory.
  bool count(const IndexedEntry& entry) {
    if (entry.whiteout()) return true;
    const bool again = seen_[entry.slot];
    seen_[entry.slot] = true;
    return !again || entry.type != DT_DIR;
  }

  const Index& index_;
  const format::Header& header_;
  std::vector<bool> seen_;
  std::uint64_t entries_ = 0;
  std::uint32_t xattrs_ = 0;
};

}  // namespace

Outcome<void> Index::verify() const {
  const format::Header& header = mapping_->header;
  const std::uint64_t sum = format::checksum(mapping_->file.data() + sizeof header,
                                             mapping_->file.size() - sizeof header);
  if (sum != header.body_checksum)
    return refuse("the layer index is damaged: its checksum differs");
  return Verification(*this, header).run();
}

}  // namespace layerfs::layer
