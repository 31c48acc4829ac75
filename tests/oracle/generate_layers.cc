#include "tests/oracle/generate_layers.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <map>

namespace layerfs::oracle {
namespace {

class LayerGenerator {
 public:
  LayerGenerator(Rng& rng, const LayerRules& rules, Model& merged, bool lowest)
      : rng_(rng), rules_(rules), merged_(merged), lowest_(lowest) {}

  LayerTree generate() {
    const int64_t count = 1 + rng_.below(12);
    for (int64_t i = 0; i < count; ++i) add(join_path(merged_.any_dir(rng_), any_name(rng_)));
    return std::move(layer_);
  }

 private:
  void add(const std::string& path) {
    if (kinds_.count(path) != 0 || !can_hold(parent_path(path))) return;
    Entry entry;
    entry.path = path;
    entry.kind = any_kind(path);
    fill_in(entry);
    if (entry.kind == EntryKind::kHardLink && entry.target.empty()) return;
    add_parents(path);
    put(std::move(entry));
  }

  bool can_hold(const std::string& dir) const {
    for (std::string at = dir; !at.empty(); at = parent_path(at)) {
      const auto found = kinds_.find(at);
      if (found != kinds_.end()) return found->second == EntryKind::kDir;
    }
    return true;
  }

  EntryKind any_kind(const std::string& path) {
    const bool hides = merged_.has(path) ? rng_.percent(35)
                                         : rules_.idle_whiteouts && rng_.percent(lowest_ ? 2 : 5);
    const size_t name_size = path.size() - (path.rfind('/') + 1);
    if (hides && name_size <= rules_.longest_whiteout) return EntryKind::kWhiteout;
    const int64_t draw = rng_.below(100);
    if (draw < 45) return EntryKind::kDir;
    if (draw < 78) return EntryKind::kFile;
    if (draw < 86) return EntryKind::kSymlink;
    if (draw < 94 && rules_.hard_links) return EntryKind::kHardLink;
    return EntryKind::kDevice;
  }

  void fill_in(Entry& entry) {
    entry.mode = any_mode(entry.kind);
    entry.uid = rng_.pick({0, 0, 0, 1000, 1001});
    entry.gid = rng_.pick({0, 0, 0, 1000, 2000});
    entry.mtime = rng_.percent(5) ? -rng_.below(1000000) : rng_.below(1500000000);
    switch (entry.kind) {
      case EntryKind::kFile:
        entry.fill = rng_.below(1000);
        entry.size = rng_.pick({int64_t{0}, int64_t{5}, int64_t{100}, int64_t{4096}, int64_t{9000},
                                int64_t{200 * 1024}});
        entry.sparse = rng_.percent(30);
        break;
      case EntryKind::kSymlink:
        entry.target = any_target();
        break;
      case EntryKind::kHardLink:
        entry.target = any_file();
        break;
      case EntryKind::kDevice:
        if (S_ISCHR(entry.mode)) entry.device = static_cast<int64_t>(makedev(1, 3));
        if (S_ISBLK(entry.mode)) entry.device = static_cast<int64_t>(makedev(120, 1));
        break;
      case EntryKind::kDir:
        entry.opaque = rng_.percent(merged_.has(entry.path) ? 30 : 5);
        break;
      case EntryKind::kWhiteout:
        break;
    }
    if (entry.kind != EntryKind::kHardLink && entry.kind != EntryKind::kWhiteout) add_xattrs(entry);
  }

  int64_t any_mode(EntryKind kind) {
    if (kind == EntryKind::kDir)
      return rng_.pick({0755, 0755, 0755, 0700, 0777, 01777, 02775, 0750, 0555});
    if (kind == EntryKind::kDevice)
      return rng_.pick({S_IFIFO | 0644, S_IFCHR | 0666, S_IFBLK | 0660, S_IFSOCK | 0755});
    return rng_.pick({0644, 0644, 0644, 0600, 0666, 0755, 04755, 02755, 0444, 06711});
  }

  std::string any_target() {
    if (rng_.percent(60)) return "/" + merged_.any(rng_);
    return rng_.pick({std::string("a"), std::string("../b"), std::string("nowhere"),
                      std::string("c/d"), std::string("."), std::string(300, 't')});
  }

  std::string any_file() {
    std::vector<std::string> files;
    for (const Entry& entry : layer_)
      if (entry.kind == EntryKind::kFile || entry.kind == EntryKind::kSymlink)
        files.push_back(entry.path);
    return files.empty() ? "" : rng_.pick(files);
  }

  void add_xattrs(Entry& entry) {
    const bool is_file = entry.kind == EntryKind::kFile;
    const bool is_dir = entry.kind == EntryKind::kDir;
    if ((is_file || is_dir) && rng_.percent(20))
      entry.xattrs.push_back({rng_.pick({std::string("user.a"), std::string("user.b")}),
                              rng_.pick({std::string("1"), std::string(), std::string(200, 'v')})});
    if (rng_.percent(8)) entry.xattrs.push_back({"trusted.t", std::string("\0\1", 2)});
    if (is_file && rng_.percent(10))
      entry.xattrs.push_back({"security.capability", capability_value(rng_)});
    if ((is_file || is_dir) && rng_.percent(8))
      entry.xattrs.push_back({"system.posix_acl_access", acl_value(rng_)});
    if (is_dir && rng_.percent(10))
      entry.xattrs.push_back({"system.posix_acl_default", acl_value(rng_)});
  }

  void add_parents(const std::string& path) {
    const std::string parent = parent_path(path);
    if (parent.empty() || kinds_.count(parent) != 0) return;
    add_parents(parent);
    Entry entry;
    entry.kind = EntryKind::kDir;
    entry.path = parent;
    entry.mode = 0755;
    if (rng_.percent(60)) {
      fill_in(entry);
      entry.opaque = false;
    }
    put(std::move(entry));
  }

  void put(Entry entry) {
    const std::string& path = entry.path;
    kinds_[path] = entry.kind;
    if (entry.kind == EntryKind::kWhiteout)
      merged_.erase(path);
    else
      merged_.set(path, entry.kind);
    if (entry.opaque) merged_.erase_content(path);
    layer_.push_back(std::move(entry));
  }

  Rng& rng_;
  const LayerRules& rules_;
  Model& merged_;
  const bool lowest_;
  std::map<std::string, EntryKind> kinds_;
  LayerTree layer_;
};

}  // namespace

std::vector<LayerTree> generate_layers(Rng& rng, const LayerRules& rules, Model& merged) {
  const int64_t count = rng.pick({1, 1, 2, 2, 3, 3, 4, 5});
  std::vector<LayerTree> layers;
  for (int64_t i = 0; i < count; ++i)
    layers.push_back(LayerGenerator(rng, rules, merged, i == 0).generate());
  std::reverse(layers.begin(), layers.end());
  return layers;
}

}  // namespace layerfs::oracle
