#include "tests/e2e/tree.h"

#include "tests/oracle/case.h"
#include "tests/oracle/compare.h"

namespace layerfs::test {

namespace fs = std::filesystem;

Tree read_tree(const fs::path& root) {
  const fs::path before = fs::current_path();
  Tree tree = oracle::take_snapshot(root, oracle::SnapshotScope::kImage);
  fs::current_path(before);
  return tree;
}

void forget_mtimes_from(std::chrono::system_clock::time_point start, Tree& tree) {
  const auto seconds =
      std::chrono::duration_cast<std::chrono::seconds>(start.time_since_epoch()).count();
  for (auto& [path, fields] : tree) {
    const auto mtime = fields.find("mtime");
    if (mtime != fields.end() && std::stoll(mtime->second) >= seconds) fields.erase(mtime);
  }
}

std::vector<std::string> differences(const Tree& expected, const Tree& given) {
  Tree got = given;
  for (const auto& [path, fields] : expected)
    if (const auto same = got.find(path); same != got.end() && fields.count("mtime") == 0)
      same->second.erase("mtime");
  constexpr size_t kMost = 20;
  std::vector<std::string> lines;
  for (const auto& difference : oracle::compare_trees(oracle::Case{}, expected, got)) {
    if (lines.size() == kMost) {
      lines.push_back("and more");
      break;
    }
    lines.push_back(oracle::to_text(difference));
  }
  return lines;
}

}  // namespace layerfs::test
