#include "tests/oracle/model.h"

#include <algorithm>

namespace layerfs::oracle {
namespace {

bool is_below(const std::string& path, const std::string& dir) {
  return dir.empty() || (path.size() > dir.size() && path[dir.size()] == '/' &&
                         path.compare(0, dir.size(), dir) == 0);
}

void append_le(std::string& out, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i, value >>= 8) out += static_cast<char>(value);
}

}  // namespace

std::string join_path(const std::string& dir, const std::string& name) {
  return dir.empty() ? name : dir + "/" + name;
}

std::string parent_path(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? std::string() : path.substr(0, slash);
}

void Model::set(const std::string& path, EntryKind kind) {
  if (kind != EntryKind::kDir) erase_content(path);
  nodes_[path] = kind;
}

void Model::erase(const std::string& path) {
  erase_content(path);
  nodes_.erase(path);
}

void Model::erase_content(const std::string& path) {
  std::erase_if(nodes_, [&](const auto& node) { return is_below(node.first, path); });
}

// Removes what is at and below `path` and returns it with paths relative to it.
std::map<std::string, EntryKind> Model::take(const std::string& path) {
  std::map<std::string, EntryKind> taken;
  for (const auto& [node, kind] : nodes_)
    if (node == path || is_below(node, path)) taken[node.substr(path.size())] = kind;
  erase(path);
  return taken;
}

void Model::rename(const std::string& from, const std::string& to, bool exchange) {
  if (from == to || is_below(to, from) || is_below(from, to)) return;
  const auto source = take(from);
  const auto target = take(to);
  for (const auto& [suffix, kind] : source) nodes_[to + suffix] = kind;
  if (!exchange) return;
  for (const auto& [suffix, kind] : target) nodes_[from + suffix] = kind;
}

bool Model::is_dir(const std::string& path) const {
  const auto node = nodes_.find(path);
  return path.empty() || (node != nodes_.end() && node->second == EntryKind::kDir);
}

std::string Model::any_dir(Rng& rng) const {
  std::vector<std::string> dirs = {""};
  for (const auto& [path, kind] : nodes_)
    if (kind == EntryKind::kDir && std::count(path.begin(), path.end(), '/') < 4)
      dirs.push_back(path);
  return rng.pick(dirs);
}

std::string Model::any_of(Rng& rng, EntryKind kind) const {
  std::vector<std::string> paths;
  for (const auto& [path, node] : nodes_)
    if (node == kind) paths.push_back(path);
  return paths.empty() ? any(rng) : rng.pick(paths);
}

std::string Model::any(Rng& rng) const {
  if (nodes_.empty()) return any_name(rng);
  auto node = nodes_.begin();
  std::advance(node, rng.below(static_cast<int64_t>(nodes_.size())));
  return node->first;
}

std::string any_name(Rng& rng) {
  if (rng.percent(85)) return std::string(1, static_cast<char>('a' + rng.below(7)));
  static const std::vector<std::string> awkward = {std::string(255, 'N'),
                                                   std::string(252, 'M'),
                                                   "\xc3\xbc\xc3\xb1",
                                                   "\xe6\x97\xa5\xe6\x9c\xac",
                                                   "two words",
                                                   ".wh",
                                                   ".whole",
                                                   ".wh-x",
                                                   "new\nline",
                                                   "\xff\xfe",
                                                   "-n",
                                                   "a,b:c",
                                                   ".hidden"};
  return rng.pick(awkward);
}

std::string acl_value(Rng& rng) {
  constexpr uint64_t kUserObject = 1, kUser = 2, kGroupObject = 4, kGroup = 8, kMask = 16,
                     kOther = 32, kNobody = 0xffffffff;
  std::string value;
  append_le(value, 2, 4);
  auto add = [&](uint64_t tag, uint64_t id) {
    append_le(value, tag, 2);
    append_le(value, static_cast<uint64_t>(rng.below(8)), 2);
    append_le(value, id, 4);
  };
  const bool named = rng.percent(80);
  add(kUserObject, kNobody);
  if (named) add(kUser, rng.percent(50) ? 1000 : 1001);
  add(kGroupObject, kNobody);
  if (named && rng.percent(40)) add(kGroup, 2000);
  if (named) add(kMask, kNobody);
  add(kOther, kNobody);
  return value;
}

std::string capability_value(Rng& rng) {
  std::string value;
  append_le(value, 0x02000000 | static_cast<uint64_t>(rng.below(2)), 4);
  append_le(value, uint64_t{1} << rng.below(20), 4);
  append_le(value, 0, 12);
  return value;
}

}  // namespace layerfs::oracle
