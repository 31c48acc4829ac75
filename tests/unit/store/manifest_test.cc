#include "layerstore/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "layerstore/image_config.h"
#include "layerstore/media_type.h"

namespace layerfs::store {
namespace {

using ::testing::HasSubstr;

const std::string kDigest = Digest::of("x").text();

std::string descriptor(std::string_view type, const std::string& digest = kDigest,
                       const std::string& size = "1") {
  return R"({"mediaType":")" + std::string(type) + R"(","digest":")" + digest + R"(","size":)" +
         size + "}";
}

std::string manifest(const std::string& config, const std::string& layer) {
  return R"({"schemaVersion":2,"config":)" + config + R"(,"layers":[)" + layer + "]}";
}

std::string sentence(const std::string& text) {
  const Outcome<Manifest> parsed = parse_manifest(text);
  return parsed ? "accepted" : parsed.error().sentence;
}

TEST(Manifest, SurvivesWritingAndReading) {
  const Manifest before{{std::string(kOciConfig), Digest::of("c"), 7},
                        {{std::string(kOciLayerGzip), Digest::of("l"), 9}}};
  const Outcome<Manifest> after = parse_manifest(write_manifest(before));
  ASSERT_TRUE(after);
  EXPECT_EQ(after->config.digest, before.config.digest);
  ASSERT_EQ(after->layers.size(), 1U);
  EXPECT_EQ(after->layers[0].size, 9U);
  EXPECT_EQ(after->layers[0].media_type, kOciLayerGzip);
}

TEST(Manifest, IsRefusedWithTheReason) {
  EXPECT_THAT(sentence("{"), HasSubstr("not JSON"));
  EXPECT_THAT(sentence("[]"), HasSubstr("not JSON"));
  EXPECT_THAT(sentence(R"({"schemaVersion":1})"), HasSubstr("old form"));
  EXPECT_THAT(sentence(manifest(descriptor("text/plain"), "")), HasSubstr("text/plain"));
  EXPECT_THAT(sentence(manifest(descriptor(kOciConfig), descriptor("application/zip"))),
              HasSubstr("application/zip"));
  EXPECT_THAT(sentence(manifest(descriptor(kOciConfig, "sha256:../x"), "")),
              HasSubstr("not a SHA-256"));
  EXPECT_THAT(sentence(manifest(descriptor(kOciConfig, kDigest, "-1"), "")), HasSubstr("size"));
  EXPECT_THAT(sentence(manifest(descriptor(kOciConfig), "7")), HasSubstr("layer 1"));
}

TEST(ImageConfig, ReadsWhatRunningNeeds) {
  const Outcome<ImageConfig> config = parse_image_config(
      R"({"os":"linux","architecture":"arm64","config":{"Env":["A=b"],"Cmd":["x","y"],"User":"u:g",
          "Volumes":{"/data":{}},"Labels":{"k":"v"}},"rootfs":{"diff_ids":[")" +
      kDigest + R"("]}})");
  ASSERT_TRUE(config);
  EXPECT_EQ(config->architecture, "arm64");
  EXPECT_THAT(config->cmd, testing::ElementsAre("x", "y"));
  EXPECT_EQ(config->user, "u:g");
  EXPECT_THAT(config->volumes, testing::ElementsAre("/data"));
  EXPECT_EQ(config->labels.at("k"), "v");
  EXPECT_THAT(config->diff_ids, testing::ElementsAre(Digest::of("x")));
}

TEST(ImageConfig, IsRefusedWithoutLayersThatAreDigests) {
  EXPECT_FALSE(parse_image_config("{}"));
  EXPECT_FALSE(parse_image_config(R"({"rootfs":{"diff_ids":["md5:0"]}})"));
  EXPECT_FALSE(parse_image_config(R"({"rootfs":{"diff_ids":[7]}})"));
}

Descriptor entry(const std::string& name, std::optional<Platform> platform) {
  return {std::string(kOciManifest), Digest::of(name), 1, std::move(platform)};
}

TEST(ChoosePlatform, PrefersTheSameVariant) {
  const std::vector<Descriptor> entries = {entry("v6", Platform{"linux", "arm", "v6"}),
                                           entry("v7", Platform{"linux", "arm", "v7"}),
                                           entry("v8", Platform{"linux", "arm", "v8"})};
  EXPECT_EQ(choose_platform(entries, {"linux", "arm", "v7"})->digest, Digest::of("v7"));
  EXPECT_EQ(choose_platform({entries[0], entries[2]}, {"linux", "arm", "v7"})->digest,
            Digest::of("v6"));
}

TEST(ChoosePlatform, NeverTakesAnotherMachinesOrAnAttestation) {
  const std::vector<Descriptor> entries = {entry("s390x", Platform{"linux", "s390x", ""}),
                                           entry("att", Platform{"unknown", "unknown", ""})};
  EXPECT_EQ(choose_platform(entries, {"linux", "amd64", ""}), nullptr);
}

TEST(ChoosePlatform, TakesAnEntryThatDoesNotSay) {
  EXPECT_NE(choose_platform({entry("plain", std::nullopt)}, {"linux", "amd64", ""}), nullptr);
}

}  // namespace
}  // namespace layerfs::store
