// Whoever made the directory that is imported chose its names, links and types: nothing outside of
// it is read, and nothing in it is waited for.
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <nlohmann/json.hpp>

#include "tests/store/store_fixture.h"
#include "tests/support/command.h"

namespace layerfs::test {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class Confined : public StoreTest {
 protected:
  void SetUp() override {
    write_file(secret(), tar_);
    ASSERT_EQ(::chmod(secret().c_str(), 0600), 0);
    write_layout(layout(), "image:1", {{tar_}});
    fs::create_directory(docker());
    config_ = Json{{"architecture", "amd64"},
                   {"os", "linux"},
                   {"rootfs", {{"type", "layers"}, {"diff_ids", {"sha256:" + sha256_hex(tar_)}}}}}
                  .dump();
  }

  fs::path secret() const { return dir_ / "secret.tar"; }
  fs::path layout() const { return dir_ / "layout"; }
  fs::path docker() const { return dir_ / "docker"; }
  fs::path blob() const { return layout() / "blobs/sha256" / sha256_hex(tar_); }

  CommandResult import_docker(const std::string& config, const std::string& layer) const {
    if (config == "config.json") write_file(docker() / config, config_);
    write_file(docker() / "manifest.json",
               Json{{{"Config", config}, {"RepoTags", {"image:1"}}, {"Layers", {layer}}}}.dump());
    return layerfs({"import", docker()});
  }

  // Says nothing of what is outside, neither its size nor its digest.
  void expect_refused(const CommandResult& result, const std::string& sentence) const {
    EXPECT_EQ(result.status, 1);
    EXPECT_EQ(result.out, "");
    EXPECT_THAT(result.err,
                AllOf(HasSubstr(sentence), Not(HasSubstr(std::to_string(tar_.size())))));
    expect_untouched();
  }

  const std::string tar_ = make_tar({tar_file("secret", "of root")});
  std::string config_;
};

TEST_F(Confined, ALayerByAPathThatLeadsOut) {
  fs::create_directory(docker() / "d");
  for (const std::string path : {"../secret.tar", "d/../../secret.tar", "/etc/passwd"})
    expect_refused(import_docker("config.json", path), "leads out of the image's directory");
  expect_refused(import_docker("config.json", secret()), "leads out of the image's directory");
}

TEST_F(Confined, AConfigurationByAPathThatLeadsOut) {
  write_file(dir_ / "config.json", config_);
  expect_refused(import_docker("../config.json", "layer.tar"), "leads out");
}

TEST_F(Confined, ASymlinkInPlaceOfALayer) {
  for (const fs::path& target : {secret(), fs::path("../secret.tar"), fs::path("/etc/shadow")}) {
    fs::remove(docker() / "layer.tar");
    fs::create_symlink(target, docker() / "layer.tar");
    expect_refused(import_docker("config.json", "layer.tar"), "symbolic link");
  }
  fs::create_directory_symlink(dir_.path(), docker() / "link");
  expect_refused(import_docker("config.json", "link/secret.tar"), "symbolic link");
}

TEST_F(Confined, ASymlinkInPlaceOfABlob) {
  fs::remove(blob());
  fs::create_symlink("/etc/shadow", blob());
  expect_refused(layerfs({"import", layout()}), "symbolic link");
}

TEST_F(Confined, ASymlinkInPlaceOfADocumentOrDirectory) {
  for (const std::string name : {"index.json", "oci-layout", "blobs"}) {
    fs::rename(layout() / name, dir_ / name);
    fs::create_symlink(dir_ / name, layout() / name);
    expect_refused(layerfs({"import", layout()}), "symbolic link");
    fs::remove(layout() / name);
    fs::rename(dir_ / name, layout() / name);
  }
  EXPECT_EQ(layerfs({"import", layout()}).err, "");
}

TEST_F(Confined, AFifoIsNotWaitedFor) {
  ASSERT_EQ(::mkfifo((docker() / "layer.tar").c_str(), 0644), 0);
  expect_refused(import_docker("config.json", "layer.tar"), "is not a regular file");
  fs::remove(blob());
  ASSERT_EQ(::mkfifo(blob().c_str(), 0644), 0);
  expect_refused(layerfs({"import", layout()}), "is not a regular file");
  fs::remove(layout() / "index.json");
  ASSERT_EQ(::mkfifo((layout() / "index.json").c_str(), 0644), 0);
  expect_refused(layerfs({"import", layout()}), "is not a regular file");
}

TEST_F(Confined, ADeviceIsNotOpened) {
  // Opening this one would fail with ENXIO: there is no such driver.
  ASSERT_EQ(::mknod((docker() / "layer.tar").c_str(), S_IFCHR | 0644, makedev(60, 7)), 0);
  expect_refused(import_docker("config.json", "layer.tar"), "is not a regular file");
}

// Of another user, who swaps the layer all the time for a symlink to what only root may read.
TEST_F(Confined, ASwapMeanwhileReadsNothingOutside) {
  write_file(docker() / "good.tar", tar_);
  const std::string swap = "while :; do ln -sfn " + secret().string() +
                           " l.new; mv -fT l.new layer.tar; "
                           "ln -f good.tar g.new; mv -fT g.new layer.tar; done";
  ASSERT_TRUE(
      shell("chown -R 1000:1000 " + docker().string() + " && chmod 711 " + dir_.path().string())
          .ok());
  write_file(secret(), "not an archive, and root's own");
  const Ran ran = shell("cd " + docker().string() +
                        "; setpriv --reuid 1000 --regid 1000 --clear-groups sh -c '" + swap +
                        "' >/dev/null 2>&1 & echo $!");
  const std::string swapper = ran.out.substr(0, ran.out.find('\n'));
  int imported = 0, refused = 0;
  for (int i = 0; i < 60; ++i) {
    const CommandResult result = import_docker("config.json", "layer.tar");
    EXPECT_THAT(result.err, Not(HasSubstr("the digest of"))) << "the secret was read";
    result.status == 0 ? ++imported : ++refused;
    layerfs({"rmi", "image:1"});
  }
  EXPECT_TRUE(shell("kill " + swapper).ok());
  EXPECT_GT(imported, 0);
  EXPECT_GT(refused, 0);
}

}  // namespace
}  // namespace layerfs::test
