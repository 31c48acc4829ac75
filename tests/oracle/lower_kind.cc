#include "tests/oracle/lower_kind.h"

#include <sys/mount.h>
#include <sys/stat.h>

#include <vector>

#include <fmt/format.h>

#include "tests/support/command.h"

namespace layerfs::oracle {
namespace {

Outcome<void> run(const std::vector<std::string>& argv) {
  const test::Ran ran = test::run(argv);
  if (!ran.ok()) return refuse(argv[0] + ": " + ran.err, EIO);
  return {};
}

// An image of what is at `path` covers it.
Outcome<void> cover_with_image(const std::string& path, const std::string& type,
                               const std::vector<std::string>& make) {
  LAYERFS_TRY(run(make));
  return run({"mount", "-t", type, "-o", "loop,ro,noatime", path + ".img", path});
}

}  // namespace

Outcome<LowerKind> parse_lower_kind(const std::string& name) {
  if (name == "directory") return LowerKind::kDirectory;
  if (name == "subvolume") return LowerKind::kSubvolume;
  if (name == "tmpfs") return LowerKind::kTmpfs;
  if (name == "squashfs") return LowerKind::kSquashfs;
  if (name == "erofs") return LowerKind::kErofs;
  return refuse(fmt::format("no kind of layer is called {}", name), EINVAL);
}

Outcome<void> begin_lower(LowerKind kind, const std::string& path) {
  if (kind == LowerKind::kSubvolume) return run({"btrfs", "subvolume", "create", path});
  if (::mkdir(path.c_str(), 0755) != 0) return refuse("no directory " + path, Errno::last());
  if (kind != LowerKind::kTmpfs) return {};
  if (::mount("tmpfs", path.c_str(), "tmpfs", MS_NOATIME, "mode=755") != 0)
    return refuse("no tmpfs at " + path, Errno::last());
  return {};
}

Outcome<void> finish_lower(LowerKind kind, const std::string& path) {
  const std::string image = path + ".img";
  if (kind == LowerKind::kSquashfs)
    return cover_with_image(path, "squashfs",
                            {"mksquashfs", path, image, "-noappend", "-quiet", "-no-progress"});
  if (kind == LowerKind::kErofs)
    return cover_with_image(path, "erofs", {"mkfs.erofs", "--quiet", image, path});
  return {};
}

void release_lower(LowerKind kind, const std::string& path) {
  if (kind != LowerKind::kDirectory && kind != LowerKind::kSubvolume)
    ::umount2(path.c_str(), MNT_DETACH);
}

}  // namespace layerfs::oracle
