// Images made by the distribution's own tools, and other programs' opinion of what is in them.
#include <chrono>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/e2e/containerd.h"
#include "tests/e2e/layerfs.h"
#include "tests/e2e/tree.h"

namespace layerfs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::IsEmpty;

// The kernel's view of the two images, as containerd unpacks them; taken once.
class ContainerdTrees {
 public:
  static const Tree& of(const std::string& image) {
    static std::map<std::string, Tree> known;
    if (const auto found = known.find(image); found != known.end()) return found->second;
    const TempDir dir;
    fs::path archive = real_images() / "oci.tar";
    if (image == "demo") {
      archive = dir / "demo.tar";
      const Ran ran = run({"tar", "-C", real_images() / "layout", "-cf", archive, "."});
      if (!ran.ok()) throw std::runtime_error(ran.err);
    }
    const auto start = std::chrono::system_clock::now();
    const Containerd containerd(dir / "containerd");
    containerd.import(archive);
    containerd.mount_view(dir.make("view"));
    Tree tree = read_tree(dir / "view");
    // A layer may hold a file without an entry for its directory: containerd makes that anew.
    forget_mtimes_from(start, tree);
    return known.emplace(image, std::move(tree)).first->second;
  }
};

struct Source {
  std::string archive;  // below real_images()
  std::string image;    // "demo" or "edited"
};

void PrintTo(const Source& source, std::ostream* out) { *out << source.archive; }

class RealImage : public ::testing::TestWithParam<Source> {
 protected:
  void SetUp() override {
    const Ran ran = layerfs_({"import", real_images() / GetParam().archive, "--name", "real"});
    ASSERT_TRUE(ran.ok()) << ran.err;
  }

  Layerfs layerfs_;
};

TEST_P(RealImage, ReadOnlyMountEqualsOverlayfsOverContainerdsLayers) {
  const fs::path root = layerfs_.mount({"--read-only", "real"});
  EXPECT_THAT(differences(ContainerdTrees::of(GetParam().image), read_tree(root)), IsEmpty());
}

// How an image was packed makes no difference any more once it is in the store.
class WritableRealImage : public RealImage {};

TEST_P(WritableRealImage, EqualsOverlayfsOverContainerdsLayers) {
  const fs::path root = layerfs_.mount({"real"});
  EXPECT_THAT(differences(ContainerdTrees::of(GetParam().image), read_tree(root)), IsEmpty());
}

std::string name_of(const ::testing::TestParamInfo<Source>& tested) {
  std::string name = tested.param.archive;
  for (char& c : name)
    if (!isalnum(c)) c = '_';
  return name;
}

INSTANTIATE_TEST_SUITE_P(Sources, RealImage,
                         ::testing::Values(Source{"layout", "demo"}, Source{"oci-gzip", "edited"},
                                           Source{"oci-zstd", "edited"},
                                           Source{"oci.tar", "edited"},
                                           Source{"docker.tar", "edited"}),
                         name_of);
INSTANTIATE_TEST_SUITE_P(Sources, WritableRealImage,
                         ::testing::Values(Source{"layout", "demo"}, Source{"oci-gzip", "edited"}),
                         name_of);

TEST(RealImages, EqualUmocisUnpackedTree) {
  const TempDir dir;
  const Ran ran = run({"umoci", "unpack", "--image", (real_images() / "layout").string() + ":demo",
                       dir / "bundle"});
  ASSERT_TRUE(ran.ok()) << ran.err;
  Layerfs layerfs;
  ASSERT_TRUE(layerfs({"import", real_images() / "layout", "--name", "demo"}).ok());
  const fs::path root = layerfs.mount({"--read-only", "demo"});
  EXPECT_THAT(differences(read_tree(dir / "bundle/rootfs"), read_tree(root)), IsEmpty());
}

TEST(RealImages, StayEqualWhenReadAgainAndWhenCachesAreDropped) {
  Layerfs layerfs;
  ASSERT_TRUE(layerfs({"import", real_images() / "oci-gzip", "--name", "edited"}).ok());
  const fs::path root = layerfs.mount({"edited"});
  const Tree first = read_tree(root);
  EXPECT_THAT(differences(first, read_tree(root)), IsEmpty());
  write_file("/proc/sys/vm/drop_caches", "2");
  EXPECT_THAT(differences(first, read_tree(root)), IsEmpty());
}

// One image in four encodings is unpacked once.
TEST(RealImages, ShareTheLayersThatTheyHaveInCommon) {
  Layerfs layerfs;
  int n = 0;
  for (const std::string archive : {"oci-gzip", "oci-zstd", "oci.tar", "docker.tar"}) {
    const Ran ran =
        layerfs({"import", real_images() / archive, "--name", "copy-" + std::to_string(n++)});
    ASSERT_TRUE(ran.ok()) << ran.err;
  }
  const auto layers = fs::directory_iterator(layerfs.store() / "layers/sha256");
  EXPECT_EQ(std::distance(layers, {}), 3);
}

TEST(RealImages, ArePlainLayoutsForOtherTools) {
  Layerfs layerfs;
  ASSERT_TRUE(layerfs({"import", real_images() / "oci-zstd", "--name", "edited"}).ok());
  const Ran ran = run({"skopeo", "--insecure-policy", "inspect", "--format", "{{.Digest}}",
                       "oci:" + layerfs.store().string() + ":edited"});
  EXPECT_TRUE(ran.ok()) << ran.err;
}

}  // namespace
}  // namespace layerfs::test
