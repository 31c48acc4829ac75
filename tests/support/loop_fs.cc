#include "tests/support/loop_fs.h"

#include <stdexcept>

#include "tests/support/command.h"

namespace layerfs::test {
namespace {

void must_run(const std::vector<std::string>& argv) {
  const Ran ran = run(argv);
  if (!ran.ok()) throw std::runtime_error(argv[0] + ": " + ran.err);
}

}  // namespace

std::filesystem::path mount_new_fs(const TempDir& dir, const std::string& type, std::uint64_t bytes,
                                   const FsWishes& wishes) {
  const auto point = dir.make("fs-" + type);
  if (type == "tmpfs") {
    must_run({"mount", "-t", "tmpfs", "-o", "size=" + std::to_string(bytes), "tmpfs", point});
    return point;
  }
  const auto image = dir / (type + ".img");
  write_file(image, "");
  std::filesystem::resize_file(image, bytes);
  std::vector<std::string> make = {"mkfs." + type, type == "ext4" ? "-Fq" : "-fq"};
  make.insert(make.end(), wishes.make.begin(), wishes.make.end());
  make.push_back(image);
  must_run(make);
  must_run({"mount", "-o", "loop" + (wishes.mount.empty() ? "" : "," + wishes.mount), "-t", type,
            image, point});
  return point;
}

std::filesystem::path mount_new_image(const TempDir& dir, const std::string& type,
                                      const std::filesystem::path& source) {
  const auto point = dir.make("fs-" + type);
  const auto image = dir / (type + ".img");
  if (type == "erofs") {
    must_run({"mkfs.erofs", image, source});
  } else {
    must_run({"mksquashfs", source, image, "-noappend", "-no-progress"});
  }
  must_run({"mount", "-o", "loop,ro", "-t", type, image, point});
  return point;
}

}  // namespace layerfs::test
