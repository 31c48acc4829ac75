#include "fs/layer/index_compare.h"

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

namespace layerfs::layer {
namespace {

using Difference = std::optional<std::string>;

constexpr std::size_t kTop = static_cast<std::size_t>(-1);

struct Pair {
  std::string name;          // empty for the root
  std::size_t above = kTop;  // the place of the directory that it is in, in what has been visited
  IndexSlot was = kIndexRoot;
  IndexSlot is = kIndexRoot;
};

// An older version wrote these two differently for the same tree. A change of the data shows in the
// size and the time of modification.
constexpr std::uint32_t kWrittenDifferently = index_flag::kProgram | index_flag::kMaybeProgram;

const char* difference_of(const IndexedInode& was, const IndexedInode& is) {
  const struct stat& a = was.attr;
  const struct stat& b = is.attr;
  if ((a.st_mode & S_IFMT) != (b.st_mode & S_IFMT)) return "is of another type";
  if (a.st_mode != b.st_mode) return "has another mode";
  if (a.st_uid != b.st_uid || a.st_gid != b.st_gid) return "has another owner";
  if (S_ISREG(a.st_mode) && a.st_size != b.st_size) return "has another size";
  if (a.st_rdev != b.st_rdev) return "is another device";
  if (a.st_nlink != b.st_nlink) return "has another number of links";
  if (a.st_mtim.tv_sec != b.st_mtim.tv_sec || a.st_mtim.tv_nsec != b.st_mtim.tv_nsec) {
    return "was modified";
  }
  if (was.text != is.text) return "points elsewhere";
  if (((was.flags ^ is.flags) & ~kWrittenDifferently) != 0) return "has other extended attributes";
  return nullptr;
}

class Comparison {
 public:
  Comparison(const Index& was, const Index& is) : was_(was), is_(is) {}

  Result<Difference> run() {
    LAYERFS_TRY_ASSIGN(Difference root, compare_inodes({}));
    if (root) return root;
    // Not recursive: a layer may be as deep as it likes.
    open_.push_back({});
    while (!open_.empty()) {
      visited_.push_back(std::move(open_.back()));
      open_.pop_back();
      LAYERFS_TRY_ASSIGN(Difference found, compare_directories(visited_.size() - 1));
      if (found) return found;
    }
    return Difference();
  }

 private:
  using Entries = std::map<std::string_view, IndexedEntry>;

  static Result<Entries> entries_of(const Index& index, IndexSlot slot) {
    Entries entries;
    LAYERFS_TRY(index.for_each(slot, 0, [&](const IndexedEntry& entry) -> Result<void> {
      entries.emplace(entry.name, entry);
      return {};
    }));
    return entries;
  }

  Result<Difference> compare_inodes(const Pair& pair) const {
    LAYERFS_TRY_ASSIGN(const IndexedInode was, was_.inode(pair.was));
    LAYERFS_TRY_ASSIGN(const IndexedInode is, is_.inode(pair.is));
    const char* what = difference_of(was, is);
    if (what == nullptr) return Difference();
    const std::string path = path_of(pair.above, pair.name);
    return Difference((path.empty() ? "its root" : path) + " " + what);
  }

  Result<Difference> compare_directories(std::size_t directory) {
    LAYERFS_TRY_ASSIGN(const Entries was, entries_of(was_, visited_[directory].was));
    LAYERFS_TRY_ASSIGN(const Entries is, entries_of(is_, visited_[directory].is));
    for (const auto& [name, entry] : is) {
      if (!was.contains(name)) return Difference(path_of(directory, name) + " is new");
    }
    for (const auto& [name, entry] : was) {
      const auto now = is.find(name);
      if (now == is.end()) return Difference(path_of(directory, name) + " is gone");
      LAYERFS_TRY_ASSIGN(Difference found, compare_entries(directory, entry, now->second));
      if (found) return found;
    }
    return Difference();
  }

  Result<Difference> compare_entries(std::size_t directory, const IndexedEntry& was,
                                     const IndexedEntry& is) {
    if (was.whiteout() != is.whiteout()) {
      return Difference(path_of(directory, was.name) + " is of another type");
    }
    if (was.whiteout()) return Difference();
    Pair pair{std::string(was.name), directory, was.slot, is.slot};
    LAYERFS_TRY_ASSIGN(Difference found, compare_inodes(pair));
    if (!found && was.type == DT_DIR) open_.push_back(std::move(pair));
    return found;
  }

  // Of `name` in a directory that has been visited. Made only for what is told.
  std::string path_of(std::size_t directory, std::string_view name) const {
    std::vector<std::string_view> names{name};
    for (std::size_t at = directory; at != kTop; at = visited_[at].above) {
      if (!visited_[at].name.empty()) names.push_back(visited_[at].name);
    }
    std::string path;
    for (auto part = names.rbegin(); part != names.rend(); ++part) {
      if (!path.empty()) path += '/';
      path += *part;
    }
    return path;
  }

  const Index& was_;
  const Index& is_;
  std::vector<Pair> visited_;  // directories
  std::vector<Pair> open_;     // those still to visit
};

}  // namespace

Result<std::optional<std::string>> first_difference(const Index& was, const Index& is) {
  return Comparison(was, is).run();
}

}  // namespace layerfs::layer
