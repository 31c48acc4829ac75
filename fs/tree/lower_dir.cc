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

}  // namespace layerfs::tree
