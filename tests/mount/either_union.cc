#include "tests/mount/either_union.h"

#include <stdexcept>

#include "tests/support/loop_fs.h"

namespace layerfs::test {
namespace {

namespace fs = std::filesystem;

std::string option_string(const Layers& layers) {
  std::string lowers;
  for (const fs::path& lower : layers.lowers)
    lowers += (lowers.empty() ? "" : ":") + lower.string();
  std::string all = "lowerdir=" + lowers;
  if (!layers.upper.empty())
    all += ",upperdir=" + layers.upper.string() + ",workdir=" + layers.work.string();
  return layers.options.empty() ? all : all + "," + layers.options;
}

}  // namespace

EitherUnion::EitherUnion() : disk_(mount_new_fs(dir_, "ext4", 64 << 20)) {
  dir_.make("mnt");
  for (const char* name : {"upper", "work"}) fs::create_directory(disk_ / name);
}

Layers EitherUnion::writable(const std::vector<fs::path>& lowers) const {
  return {lowers, disk_ / "upper", disk_ / "work"};
}

Ran EitherUnion::try_mount(const Layers& layers, const std::string& point) const {
  const std::string options = option_string(layers);
  if (is_kernel()) return run({"mount", "-t", "overlay", "overlay", "-o", options, dir_ / point});
  return run({layerfs_program(), "mount", "-o", options, dir_ / point});
}

void EitherUnion::mount(const Layers& layers, const std::string& point) const {
  dir_.make(point);
  const Ran ran = try_mount(layers, point);
  if (!ran.ok()) throw std::runtime_error(ran.err);
}

void EitherUnion::unmount(const std::string& point) const {
  const Ran ran = is_kernel() ? run({"umount", dir_ / point})
                              : run({layerfs_program(), "umount", dir_ / point});
  if (!ran.ok()) throw std::runtime_error(ran.err);
}

void EitherUnion::remount(const Layers& layers) const {
  unmount();
  mount(layers);
}

fs::path EitherUnion::mount_image(const std::string& type, const fs::path& tree,
                                  const std::string& name) const {
  const fs::path image = dir_ / (name + ".img"), point = dir_.make(name);
  const Ran made = type == "squashfs"
                       ? run({"mksquashfs", tree, image, "-noappend", "-quiet", "-no-progress"})
                       : run({"mkfs.erofs", "-x-1", image, tree});
  if (!made.ok()) throw std::runtime_error(made.err);
  const Ran mounted = run({"mount", "-o", "loop,ro", "-t", type, image, point});
  if (!mounted.ok()) throw std::runtime_error(mounted.err);
  return point;
}

Ran EitherUnion::in(const fs::path& where, const std::string& script) const {
  return shell(script, {.directory = dir_.path() / where});
}

std::string EitherUnion::out(const fs::path& where, const std::string& script) const {
  const Ran ran = in(where, script);
  EXPECT_TRUE(ran.ok()) << script << ": " << ran.err;
  return ran.out;
}

struct stat EitherUnion::attr(const std::string& name) const {
  struct stat attr = {};
  EXPECT_EQ(::lstat((dir_ / "mnt" / name).c_str(), &attr), 0) << name;
  return attr;
}

std::string EitherUnion::identity(const std::string& name) const {
  const struct stat st = attr(name);
  return std::to_string(st.st_dev) + "/" + std::to_string(st.st_ino);
}

}  // namespace layerfs::test
