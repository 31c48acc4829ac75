#include "fs/tree/data_only.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "fs/sys/file.h"

namespace layerfs::tree {
namespace {

// Whether there is no file of a path without symlinks.
bool is_absent(Errno error) {
  return error == Errno(ENOENT) || error == Errno(ENOTDIR) || error == Errno(ELOOP);
}

}  // namespace

bool DataOnlyLayers::any_root(const std::function<bool(int)>& check) const {
  return std::ranges::any_of(layers_, [&](const auto& layer) { return check(layer->root()); });
}

Result<sys::UniqueFd> DataOnlyLayers::open(const std::string& path, int flags) const {
  const char* beneath = path.c_str() + 1;
  for (const auto& layer : layers_) {
    // An object that is no file is as good as none, and the next layer may have it.
    auto found = sys::open_beneath(layer->root(), beneath, O_PATH);
    if (!found && is_absent(found.error())) continue;
    if (!found) return fail(found.error());
    LAYERFS_TRY_ASSIGN(const struct stat st, sys::stat_fd(found->get()));
    if (S_ISREG(st.st_mode)) return sys::open_beneath(layer->root(), beneath, flags);
  }
  return fail(EIO);
}

}  // namespace layerfs::tree
