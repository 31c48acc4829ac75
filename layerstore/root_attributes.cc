#include "layerstore/root_attributes.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "layerstore/layer_dir.h"

namespace layerfs::store {

Outcome<void> give_root_attributes(int upper, const std::vector<Layer>& layers) {
  for (const Layer& layer : layers) {
    if (!layer.has_root) continue;
    struct stat root;
    if (::fstatat(layer.lease.get(), kLayerTree, &root, AT_SYMLINK_NOFOLLOW) != 0) {
      return refuse("cannot read '" + layer.path + "'", Errno::last());
    }
    const timespec times[2] = {root.st_atim, root.st_mtim};
    // Without privilege the owner stays what it is, as everywhere in such a store.
    static_cast<void>(::fchown(upper, root.st_uid, root.st_gid) == 0);
    if (::fchmod(upper, root.st_mode & 07777) != 0 || ::futimens(upper, times) != 0) {
      return refuse("cannot set the attributes of the snapshot's root", Errno::last());
    }
    return {};
  }
  return {};
}

}  // namespace layerfs::store
