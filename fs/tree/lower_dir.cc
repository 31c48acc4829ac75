#include "fs/tree/lower_dir.h"

#include <vector>

namespace layerfs::tree {

std::string LowerDir::path() const {
  std::vector<const LowerDir*> chain;
  for (const LowerDir* dir = this; dir->parent != nullptr; dir = dir->parent.get())
    chain.push_back(dir);
  std::string path;
  for (auto it = chain.rbegin(); it != chain.rend(); ++it) {
    if (!path.empty()) path += '/';
    path += (*it)->name.view();
  }
  return path;
}

std::string LowerDir::union_path() const {
  if (seen_as != nullptr) return seen_as->union_path();
  if (parent == nullptr) return {};
  std::string path = parent->union_path();
  if (!path.empty()) path += '/';
  path += name.view();
  return path;
}

}  // namespace layerfs::tree
