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

std::filesystem::path mount_new_fs(const TempDir& dir, const std::string& type,
                                   std::uint64_t bytes) {
  const auto point = dir.make("fs-" + type);
  if (type == "tmpfs") {
    must_run({"mount", "-t", "tmpfs", "-o", "size=" + std::to_string(bytes), "tmpfs", point});
    return point;
  }
  const auto image = dir / (type + ".img");
  write_file(image, "");
  std::filesystem::resize_file(image, bytes);
  must_run({"mkfs." + type, type == "ext4" ? "-Fq" : "-fq", image});
  must_run({"mount", "-o", "loop", "-t", type, image, point});
  return point;
}

}  // namespace layerfs::test
