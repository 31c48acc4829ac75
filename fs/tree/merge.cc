// Many directories into one.
#include <dirent.h>
#include <fcntl.h>

#include <algorithm>

#include "fs/sys/file.h"
#include "fs/tree/tree.h"

namespace layerfs::tree {
namespace {

// While a directory is being merged: what is settled for a name beside its Entry.
struct Progress {
  bool lower_seen = false;  // the layers below the upper have said whether they show the name
  bool closed = false;      // no further directory merges into it
  bool hidden = false;      // a lower whiteout hides it and nothing above shows it
};

bool shows_directory(const Entry& entry, const Progress& progress) {
  return !entry.whiteout && !progress.hidden && entry.type == DT_DIR && !progress.closed;
}

}  // namespace

// The state of one load: entries by name, lowers from the top to the bottom.
class Merge {
 public:
  explicit Merge(Directory& dir) : dir_(dir) {}

  void upper(const layer::Listed& listed, ino_t ino) {
    Entry& entry = dir_.insert(listed.name);
    entry.top = Entry::kInUpper;
    entry.type = listed.type;
    entry.set_ino(ino);
    entry.whiteout = listed.whiteout;
  }

  void lower(const layer::Listed& listed, std::uint16_t position, ino_t ino) {
    Entry* there = dir_.find(listed.name);
    if (there == nullptr) {
      Entry& entry = dir_.insert(listed.name);
      entry.top = position;
      entry.type = listed.type;
      entry.set_ino(ino);
      progress_[dir_.key_of(entry)].lower_seen = true;
      return;
    }
    Progress& progress = progress_[dir_.key_of(*there)];
    if (progress.hidden) return;
    if (!progress.lower_seen) {
      progress.lower_seen = true;
      there->lower_below = true;
    }
    if (!shows_directory(*there, progress)) return;
    if (listed.type == DT_DIR)
      dir_.merge_below(*there).push_back(position);
    else
      progress.closed = true;
  }

  // A whiteout speaks of the layers below its own, so it comes after its layer's entries.
  void lower_whiteout(std::string_view name) {
    Entry* there = dir_.find(name);
    const bool fresh = there == nullptr;
    Entry& entry = fresh ? dir_.insert(name) : *there;
    Progress& progress = progress_[dir_.key_of(entry)];
    progress.hidden = progress.hidden || fresh;
    progress.lower_seen = true;
    progress.closed = true;
  }

  void finish() {
    for (const auto& [key, progress] : progress_)
      if (progress.hidden) dir_.entries.erase(key);
    dir_.pack();
  }

 private:
  Directory& dir_;
  absl::btree_map<std::uint64_t, Progress> progress_;
};

Result<void> Tree::ensure_loaded(const ShapeToken& shape, Node& dir) {
  {
    std::shared_lock lock(dir.dir->mutex);
    if (dir.dir->loaded) return {};
  }
  std::unique_lock lock(dir.dir->mutex);
  return load(shape, dir);
}

Result<void> Tree::load(const ShapeToken& shape, Node& node) {
  Directory& dir = *node.dir;
  if (dir.loaded) return {};
  Merge merge(dir);
  auto read = [&]() -> Result<void> {
    if (node.has(Node::kUpper)) LAYERFS_TRY(load_upper(shape, node, merge));
    for (std::size_t i = 0; i < dir.lowers.size(); ++i)
      LAYERFS_TRY(load_lower(dir, static_cast<std::uint16_t>(i), merge));
    return {};
  };
  if (auto status = read(); !status) {
    // A half-merged directory would hide names for good.
    dir.clear();
    return status;
  }
  merge.finish();
  dir.loaded = true;
  return {};
}

Result<void> Tree::load_upper(const ShapeToken& shape, Node& node, Merge& merge) {
  LAYERFS_TRY_ASSIGN(FdRef path_fd, upper_dir(shape, node));
  LAYERFS_TRY_ASSIGN(sys::UniqueFd fd,
                     sys::open_beneath(path_fd->get(), "", O_RDONLY | O_DIRECTORY));
  LAYERFS_TRY_ASSIGN(layer::Marks marks,
                     layer::read_marks(sys::At(fd.get()), stack_->names(), upper()->reporter));
  node.dir->impure = marks.impure;
  const layer::Dialect dialect{.aufs = false, .xattr_whiteouts = marks.xattr_whiteouts};
  LAYERFS_TRY_ASSIGN(const struct stat self, sys::stat_fd(fd.get()));
  auto listed = layer::list_entries(
      fd.get(), dialect, stack_->names(), [&](const layer::Listed& entry) -> Result<void> {
        // What was copied up into an impure directory shows the number of its origin.
        const bool is_told = !marks.impure && !entry.whiteout;
        merge.upper(entry, is_told
                               ? listed_number(fd.get(), self.st_dev, upper()->shows_mounts, entry)
                               : 0);
        return {};
      });
  if (!listed) return fail(listed.error());
  return {};
}

Result<void> Tree::load_lower(Directory& dir, std::uint16_t position, Merge& merge) {
  const LowerDirPtr& lower = dir.lowers[position];
  std::vector<Name> whiteouts;
  LAYERFS_TRY(list_lower(lower, [&](const layer::Listed& entry) -> Result<void> {
    if (entry.whiteout)
      whiteouts.emplace_back(entry.name);
    else
      merge.lower(entry, position, entry.ino);
    return {};
  }));
  for (const Name& name : whiteouts) merge.lower_whiteout(name.view());
  return {};
}

LowerDirs Tree::candidates(const Directory& dir, const Entry& entry) {
  LowerDirs found;
  if (entry.top != Entry::kInUpper) found.push_back(child_dir(dir.lowers[entry.top], entry.name));
  if (const auto* below = dir.merging_below(entry))
    for (std::uint16_t position : *below)
      found.push_back(child_dir(dir.lowers[position], entry.name));
  return found;
}

Result<LowerDirs> Tree::merge(const LowerDirs& candidates, const LowerDirs& parents) {
  LowerDirs chain;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const LowerDirPtr& dir = candidates[i];
    chain.push_back(dir);
    const std::size_t below = dir->position + 1;
    if (below == stack_->roots().size()) break;
    LAYERFS_TRY_ASSIGN(const layer::Marks marks, lower_marks(dir, i + 1 < candidates.size()));
    if (marks.opaque) break;
    if (marks.redirect.empty()) continue;
    if (!may_follow(marks)) {
      LAYERFS_TRY_ASSIGN(FdRef fd, lower_dir(dir));
      return not_followed(dir->layer->reporter(), sys::At(fd->get()));
    }
    LowerDirs siblings;
    for (const LowerDirPtr& parent : parents)
      if (parent->position >= below) siblings.push_back(parent);
    LAYERFS_TRY_ASSIGN(LowerDirs rest, follow_dir(siblings, below, marks.redirect));
    for (const LowerDirPtr& at : rest) {
      auto redirected = std::make_unique<LowerDir>(*at);
      redirected->seen_as = dir;
      chain.emplace_back(std::move(redirected));
    }
    break;
  }
  return chain;
}

Result<LowerDirs> Tree::descend(const LowerDirs& chain, std::string_view name) {
  LowerDirs found;
  const Name key(name);
  for (const LowerDirPtr& dir : chain) {
    auto st = lower_stat(dir, key);
    LAYERFS_TRY_ASSIGN(const bool aufs_whiteout, lower_hides(dir, key));
    if (st && S_ISDIR(st->st_mode)) found.push_back(child_dir(dir, key));
    if (st && !S_ISDIR(st->st_mode)) break;
    if (!st && st.error() != Errno(ENOENT)) return fail(st.error());
    if (aufs_whiteout) break;
  }
  return merge(found, chain);
}

Result<LowerDirs> Tree::follow_dir(const LowerDirs& siblings, std::size_t first,
                                   std::string_view redirect) {
  if (!redirect.starts_with('/')) return descend(siblings, redirect);
  const auto& roots = stack_->roots();
  LAYERFS_TRY_ASSIGN(LowerDirs chain,
                     merge({roots.begin() + static_cast<std::ptrdiff_t>(first), roots.end()}, {}));
  for (std::size_t at = 1; at <= redirect.size() && !chain.empty();) {
    const std::size_t end = std::min(redirect.find('/', at), redirect.size());
    LAYERFS_TRY_ASSIGN(chain, descend(chain, redirect.substr(at, end - at)));
    at = end + 1;
  }
  return chain;
}

Result<LowerFile> Tree::follow_file(const LowerDirs& siblings, std::size_t first,
                                    std::string_view redirect) {
  LAYERFS_TRY_ASSIGN(std::optional<LowerFile> found, find_file(siblings, first, redirect));
  if (!found) return fail(EIO);
  return *std::move(found);
}

Result<std::optional<LowerFile>> Tree::find_file(const LowerDirs& siblings, std::size_t first,
                                                 std::string_view redirect) {
  LowerDirs chain = siblings;
  const std::size_t slash = redirect.rfind('/');
  if (slash != std::string_view::npos) {
    if (slash == 0) {
      const auto& roots = stack_->roots();
      chain.assign(roots.begin() + static_cast<std::ptrdiff_t>(first), roots.end());
    } else {
      LAYERFS_TRY_ASSIGN(chain, follow_dir(siblings, first, redirect.substr(0, slash)));
    }
    redirect.remove_prefix(slash + 1);
  }
  const Name name(redirect);
  for (const LowerDirPtr& dir : chain) {
    auto st = lower_stat(dir, name);
    // The data of a metacopy is a regular file or it is lost.
    if (st && !S_ISREG(st->st_mode)) return fail(EIO);
    if (st) return LowerFile{dir, name};
    if (st.error() != Errno(ENOENT)) return fail(st.error());
    LAYERFS_TRY_ASSIGN(const bool hidden, lower_hides(dir, name));
    if (hidden) return fail(EIO);
  }
  return std::nullopt;
}

}  // namespace layerfs::tree
