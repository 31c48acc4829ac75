#include "fs/tree/overlap.h"

#include <fcntl.h>

#include <array>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "fs/sys/file.h"

namespace layerfs::tree {
namespace {

using Identity = std::pair<dev_t, ino_t>;

// Calls `visit` with the directory and those above it, up to the root of the mount, until it says
// false.
template <typename Visit>
void walk_up(const std::string& path, const Visit& visit) {
  const auto dir = sys::open_path(path.c_str(), O_PATH | O_DIRECTORY);
  if (!dir) return;
  auto st = sys::stat_fd(dir->get());
  for (std::string up = ".."; st; up += "/..") {
    const Identity here{st->st_dev, st->st_ino};
    if (!visit(here)) return;
    st = sys::stat_at(dir->get(), up.c_str());
    if (st && (st->st_dev != here.first || st->st_ino == here.second)) return;
  }
}

class Overlaps {
 public:
  explicit Overlaps(const StackOptions& options) {
    own_[0] = {"upperdir", options.upperdir, {}};
    own_[1] = {"workdir", options.workdir, {}};
    for (Own& own : own_) {
      bool first = true;
      walk_up(own.path, [&](const Identity& here) {
        if (std::exchange(first, false)) own.identity = here;
        above_.emplace(here, &own);
        return true;
      });
    }
  }

  Outcome<void> check(const std::string& lower) {
    const Own* found = nullptr;
    std::vector<Identity> seen;
    walk_up(lower, [&](const Identity& here) {
      if (seen.empty()) {
        const auto above = above_.find(here);
        if (above != above_.end()) found = above->second;
      }
      for (const Own& own : own_)
        if (own.identity == here) found = &own;
      // What lies above is known to be neither.
      if (found != nullptr || apart_.contains(here)) return false;
      seen.push_back(here);
      return true;
    });
    if (found != nullptr)
      return refuse(std::string(found->option) + " '" + found->path + "' and lowerdir '" + lower +
                        "' lie within each other, so that writing would change the lower "
                        "directory; take directories apart from each other",
                    ELOOP);
    apart_.insert(seen.begin(), seen.end());
    return {};
  }

 private:
  struct Own {
    const char* option = "";
    std::string path;
    Identity identity;
  };

  std::array<Own, 2> own_;
  std::map<Identity, const Own*> above_;  // of the two, with themselves
  std::set<Identity> apart_;              // has neither above it
};

}  // namespace

Outcome<void> check_apart(const StackOptions& options) {
  if (options.upperdir.empty()) return {};
  Overlaps overlaps(options);
  for (const auto* lowers : {&options.lowerdirs, &options.datadirs})
    for (const std::string& lower : *lowers) LAYERFS_TRY(overlaps.check(lower));
  return {};
}

}  // namespace layerfs::tree
