#include "tests/store/store_fixture.h"

#include <sys/xattr.h>

#include <algorithm>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "tools/commands.h"

namespace layerfs::test {

namespace {

// The value; without one the test ends with the sentence.
template <typename T>
T expect(Outcome<T> outcome) {
  if (!outcome) throw std::runtime_error(outcome.error().sentence);
  return std::move(*outcome);
}

}  // namespace

CommandResult StoreTest::layerfs(std::vector<std::string> args) const {
  args.push_back("--root=" + root().string());
  std::ostringstream out, err;
  tools::Io io{out, err};
  const int status = tools::run_layerfs(args, io);
  return {status, out.str(), err.str()};
}

CommandResult StoreTest::import_layers(const std::string& name,
                                       const std::vector<LayerSpec>& layers) const {
  const TempDir layout;
  write_layout(layout.path(), name, layers);
  return layerfs({"import", layout.path().string()});
}

CommandResult StoreTest::import_tar(const std::vector<TarEntry>& entries) const {
  return import_layers("image", {{make_tar(entries)}});
}

std::vector<std::filesystem::path> StoreTest::trees(const std::string& image) const {
  std::vector<std::filesystem::path> paths;
  const store::Store store = expect(store::Store::open(root()));
  for (const store::Layer& layer : expect(store.layers(expect(store.find(image))))) {
    paths.emplace_back(layer.path);
  }
  return paths;
}

std::filesystem::path StoreTest::tree() const {
  const std::vector<std::filesystem::path> paths = trees("image");
  EXPECT_EQ(paths.size(), 1U);
  return paths.at(0);
}

std::vector<std::string> StoreTest::listed(const std::string& name) const {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(root() / name)) {
    names.push_back(entry.path().filename());
  }
  std::ranges::sort(names);
  return names;
}

void StoreTest::expect_untouched() const {
  for (const char* name : {"blobs/sha256", "layers/sha256", "snapshots", "tmp"}) {
    EXPECT_EQ(listed(name), std::vector<std::string>()) << name;
  }
  EXPECT_EQ(layerfs({"images", "--json"}).out, "[]\n");
}

struct stat status_of(const std::filesystem::path& path) {
  struct stat status {};
  EXPECT_EQ(::lstat(path.c_str(), &status), 0) << path;
  return status;
}

std::string xattr_of(const std::filesystem::path& path, const std::string& name) {
  std::string value(65536, '\0');
  const ssize_t size = ::lgetxattr(path.c_str(), name.c_str(), value.data(), value.size());
  if (size < 0) return "(none)";
  value.resize(static_cast<std::size_t>(size));
  return value;
}

bool is_whiteout(const std::filesystem::path& path) {
  const struct stat status = status_of(path);
  return S_ISCHR(status.st_mode) && status.st_rdev == 0;
}

bool is_opaque(const std::filesystem::path& path) {
  return xattr_of(path, "trusted.overlay.opaque") == "y";
}

}  // namespace layerfs::test
