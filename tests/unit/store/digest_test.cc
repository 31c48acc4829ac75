#include "layerstore/digest.h"

#include <gtest/gtest.h>

#include "layerstore/layer_dir.h"
#include "layerstore/media_type.h"

namespace layerfs::store {
namespace {

constexpr std::string_view kEmpty =
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

TEST(Digest, OfNothingIsTheKnownOne) {
  EXPECT_EQ(Digest::of("").text(), kEmpty);
  EXPECT_EQ(Digest::parse(kEmpty), Digest::of(""));
}

TEST(Digest, OfAStreamIsThatOfTheWhole) {
  Hasher hasher;
  for (const std::string piece : {"ab", "", "c"}) hasher.update(std::as_bytes(std::span(piece)));
  EXPECT_EQ(hasher.finish(), Digest::of("abc"));
}

TEST(Digest, RefusesWhatWouldNotBeAFileName) {
  const std::string hex = Digest::of("").hex();
  EXPECT_FALSE(Digest::parse(hex));
  EXPECT_FALSE(Digest::parse("sha512:" + hex));
  EXPECT_FALSE(Digest::parse("sha256:" + hex.substr(1)));
  EXPECT_FALSE(Digest::parse("sha256:" + hex + "0"));
  EXPECT_FALSE(Digest::parse("sha256:../../" + hex.substr(6)));
  std::string upper = hex;
  upper[0] = 'E';
  EXPECT_FALSE(Digest::parse("sha256:" + upper));
}

TEST(ChainIds, AreThoseOfTheImageSpec) {
  const Digest a = Digest::of("a");
  const Digest b = Digest::of("b");
  const std::vector<Digest> chain = chain_ids({a, b});
  ASSERT_EQ(chain.size(), 2U);
  EXPECT_EQ(chain[0], a);
  EXPECT_EQ(chain[1], Digest::of(a.text() + " " + b.text()));
}

TEST(MediaTypes, OfDockerMeanTheSameAsThoseOfOci) {
  EXPECT_TRUE(is_manifest("application/vnd.docker.distribution.manifest.v2+json"));
  EXPECT_TRUE(is_index("application/vnd.docker.distribution.manifest.list.v2+json"));
  EXPECT_TRUE(is_config("application/vnd.docker.container.image.v1+json"));
  EXPECT_EQ(layer_compression("application/vnd.docker.image.rootfs.diff.tar.gzip"),
            Compression::kGzip);
  EXPECT_EQ(layer_compression("application/vnd.oci.image.layer.v1.tar+zstd"), Compression::kZstd);
  EXPECT_EQ(layer_compression("application/vnd.oci.image.layer.v1.tar"), Compression::kNone);
}

TEST(MediaTypes, ThatAreUnknownAreNoLayers) {
  EXPECT_FALSE(layer_compression("application/vnd.oci.image.layer.v1.tar+xz"));
  EXPECT_FALSE(layer_compression("application/vnd.oci.image.layer.v1.tar+gzip+encrypted"));
  EXPECT_FALSE(layer_compression(""));
}

}  // namespace
}  // namespace layerfs::store
