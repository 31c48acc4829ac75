#include "fs/tree/overlap.h"

#include <fcntl.h>

#include <array>
#include <compare>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "fs/sys/file.h"
#include "fs/sys/file_handle.h"
#include "fs/tree/file_systems.h"

namespace layerfs::tree {
namespace {

// What tells one directory from all others. FUSE file systems may show one number for two of them,
// but not one handle.
struct Identity {
  dev_t device = 0;
  ino_t number = 0;
  std::string handle{};  // of a directory on FUSE
  friend auto operator<=>(const Identity&, const Identity&) = default;
};

// ENOENT and others of `path`, relative to `dirfd`; an empty one is `dirfd` itself.
Result<Identity> identity_at(int dirfd, const std::string& path) {
  LAYERFS_TRY_ASSIGN(const struct stat st,
                     path.empty() ? sys::stat_fd(dirfd) : sys::stat_at(dirfd, path.c_str()));
  Identity identity{st.st_dev, st.st_ino};
  if (!is_stacked(dirfd)) return identity;
  if (auto handle = sys::handle_of(dirfd, path.c_str())) identity.handle = handle->bytes;
  return identity;
}

// Calls `visit` with the directory and those above it, up to the root of the mount, until it says
// false.
template <typename Visit>
void walk_up(const std::string& path, const Visit& visit) {
  const auto dir = sys::open_path(path.c_str(), O_PATH | O_DIRECTORY);
  if (!dir) return;
  auto here = identity_at(dir->get(), "");
  for (std::string up = ".."; here && visit(*here); up += "/..") {
    const Identity below = *here;
    here = identity_at(dir->get(), up);
    if (here && (here->device != below.device || *here == below)) return;
  }
}

class Overlaps {
 public:
  explicit Overlaps(const StackOptions& options) {
    for (const auto* lowers : {&options.lowerdirs, &options.datadirs})
      for (const std::string& lower : *lowers) add_lower(lower);
    if (options.upperdir.empty()) return;
    add_own(own_[0], "upperdir", options.upperdir);
    add_own(own_[1], "workdir", options.workdir);
  }

  std::size_t lowers() const { return lowers_.size(); }

  Outcome<void> check(std::size_t position) {
    const Directory& lower = lowers_[position];
    const Directory* found = nullptr;
    std::vector<Identity> seen;
    walk_up(lower.path, [&](const Identity& here) {
      const bool is_itself = here == lower.identity && seen.empty();
      if (is_itself) found = find(above_own_, here);
      if (const Directory* root = find(roots_, here); found == nullptr && root != &lower)
        found = root;
      // What lies above is known to be none of them.
      if (found != nullptr || apart_.contains(here)) return false;
      if (!is_itself) seen.push_back(here);
      return true;
    });
    if (found != nullptr) return refuse_overlap(*found, lower);
    apart_.insert(seen.begin(), seen.end());
    return {};
  }

 private:
  struct Directory {
    const char* option = "";
    std::string path;
    Identity identity{};
  };
  using ByIdentity = std::map<Identity, const Directory*>;

  static const Directory* find(const ByIdentity& directories, const Identity& identity) {
    const auto found = directories.find(identity);
    return found == directories.end() ? nullptr : found->second;
  }

  void add_lower(const std::string& path) {
    Directory& lower = lowers_.emplace_back(Directory{"lowerdir", path});
    walk_up(path, [&](const Identity& here) {
      lower.identity = here;
      return false;
    });
    roots_.emplace(lower.identity, &lower);
  }

  void add_own(Directory& own, const char* option, const std::string& path) {
    own = {option, path};
    bool first = true;
    walk_up(path, [&](const Identity& here) {
      if (std::exchange(first, false)) own.identity = here;
      above_own_.emplace(here, &own);
      return true;
    });
    roots_.emplace(own.identity, &own);
  }

  static tl::unexpected<Failure> refuse_overlap(const Directory& found, const Directory& lower) {
    if (found.option != lower.option)
      return refuse(std::string(found.option) + " '" + found.path + "' and lowerdir '" +
                        lower.path +
                        "' lie within each other, so that writing would change the lower "
                        "directory; take directories apart from each other",
                    ELOOP);
    return refuse("lowerdir '" + found.path + "' and lowerdir '" + lower.path +
                      "' are the same or lie within each other; take directories apart from each "
                      "other",
                  ELOOP);
  }

  std::deque<Directory> lowers_;
  std::array<Directory, 2> own_;
  ByIdentity roots_;          // all of them
  ByIdentity above_own_;      // what the upper and the work directory lie in, and themselves
  std::set<Identity> apart_;  // is none of them, and has none above it
};

}  // namespace

Outcome<void> check_apart(const StackOptions& options) {
  Overlaps overlaps(options);
  for (std::size_t i = 0; i < overlaps.lowers(); ++i) LAYERFS_TRY(overlaps.check(i));
  return {};
}

}  // namespace layerfs::tree
