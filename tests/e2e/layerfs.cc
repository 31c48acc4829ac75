#include "tests/e2e/layerfs.h"

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <thread>

namespace layerfs::test {
namespace {

namespace fs = std::filesystem;

// Waits until `done` says so; false after `limit`.
template <typename Condition>
bool wait_for(Condition done, std::chrono::seconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!done()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return true;
}

}  // namespace

const fs::path& real_images() {
  static const fs::path images = [] {
    const fs::path dir = LAYERFS_TEST_IMAGES;
    const Ran ran = run({LAYERFS_E2E_SOURCE "/make-images", dir}, {.timeout_seconds = 600});
    if (!ran.ok()) throw std::runtime_error("make-images: " + ran.out + ran.err);
    return dir;
  }();
  return images;
}

Layerfs::Layerfs() = default;

Layerfs::~Layerfs() {
  for (const auto& point : mounts_)
    if (is_mounted(point)) (*this)({"umount", point});
}

Ran Layerfs::operator()(const std::vector<std::string>& args) const {
  std::vector<std::string> argv{layerfs_program()};
  argv.insert(argv.end(), args.begin(), args.end());
  return run(argv, {.directory = dir_.path(), .environment = {"LAYERFS_ROOT=" + store().string()}});
}

fs::path Layerfs::mount(const std::vector<std::string>& args) {
  const fs::path point = dir_.make("mount-" + std::to_string(next_++));
  std::vector<std::string> all{"mount"};
  all.insert(all.end(), args.begin(), args.end());
  all.push_back(point);
  const Ran ran = (*this)(all);
  if (!ran.ok()) throw std::runtime_error("layerfs mount: " + ran.err);
  if (!is_mounted(point)) throw std::runtime_error("layerfs mount: nothing is mounted");
  mounts_.push_back(point);
  return point;
}

void Layerfs::unmount(const fs::path& point) {
  const Ran ran = (*this)({"umount", point});
  if (!ran.ok()) throw std::runtime_error("layerfs umount: " + ran.err);
  if (!wait_for([&] { return !is_mounted(point); }, std::chrono::seconds(10)))
    throw std::runtime_error("still mounted: " + point.string());
  std::erase(mounts_, point);
}

std::vector<std::string> Layerfs::stored_files() const {
  std::vector<std::string> found;
  if (!fs::exists(store())) return found;
  for (const auto& entry : fs::recursive_directory_iterator(store()))
    if (!entry.is_directory() && (entry.is_symlink() || entry.file_size() > 0))
      found.push_back(entry.path().lexically_relative(store()));
  std::sort(found.begin(), found.end());
  return found;
}

bool is_mounted(const fs::path& point) { return run({"mountpoint", "-q", point}).ok(); }

}  // namespace layerfs::test
