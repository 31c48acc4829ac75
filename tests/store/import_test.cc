// What `layerfs import` takes, shares, names and survives.
#include <grp.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "tests/store/store_fixture.h"
#include "tests/support/command.h"

namespace layerfs::test {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

std::vector<LayerSpec> two_layers(LayerForm form) {
  return {{make_tar({tar_dir("d"), tar_file("d/a", "1")}), form},
          {make_tar({tar_dir("d"), tar_file("d/b", "2")}), form}};
}

class Import : public StoreTest {
 protected:
  // The command in a process of this user, who has no privilege.
  CommandResult layerfs_as(uid_t uid, const std::vector<std::string>& args) const {
    const pid_t child = ::fork();
    if (child == 0) {
      CommandResult result;
      if (::setgroups(0, nullptr) == 0 && ::setresgid(uid, uid, uid) == 0 &&
          ::setresuid(uid, uid, uid) == 0) {
        result = layerfs(args);
      }
      write_file(root() / "said", result.err);
      ::_exit(result.status);
    }
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, "", read_file(root() / "said")};
  }
};

TEST_F(Import, TakesEachFormOfAnImageAndUnpacksItsLayersOnce) {
  write_layout(dir_ / "plain", "plain:1", two_layers(LayerForm::kPlain));
  write_layout(dir_ / "gzip", "gzip:1", two_layers(LayerForm::kGzip));
  write_layout(dir_ / "zstd", "zstd:1", two_layers(LayerForm::kZstd));
  ASSERT_TRUE(shell("tar -C '" + (dir_ / "zstd").string() + "' -cf '" +
                    (dir_ / "archive.tar").string() + "' .")
                  .ok());
  write_docker_archive(dir_ / "docker.tar", "docker:1", two_layers(LayerForm::kPlain));
  write_docker_archive(dir_ / "dockergz.tar", "dockergz:1", two_layers(LayerForm::kGzip));
  for (const char* source :
       {"plain", "gzip", "zstd", "archive.tar", "docker.tar", "dockergz.tar"}) {
    const CommandResult result = layerfs({"import", dir_ / source});
    EXPECT_EQ(result.status, 0) << source << result.err;
    EXPECT_EQ(result.err, "") << source;
  }
  EXPECT_THAT(listed("layers/sha256"), SizeIs(2));
  EXPECT_THAT(listed("tmp"), SizeIs(0));
  for (const char* image : {"plain:1", "gzip:1", "zstd:1", "docker:1", "dockergz:1"}) {
    const auto layers = trees(image);
    ASSERT_EQ(layers.size(), 2U) << image;
    EXPECT_EQ(read_file(layers[0] / "d/b"), "2");
    EXPECT_EQ(read_file(layers[1] / "d/a"), "1");
  }
}

TEST_F(Import, TakesACompressedArchiveAndAPipe) {
  write_docker_archive(dir_ / "docker.tar", "docker:1", two_layers(LayerForm::kPlain));
  write_file(dir_ / "docker.tar.gz", gzipped(read_file(dir_ / "docker.tar")));
  EXPECT_EQ(layerfs({"import", dir_ / "docker.tar.gz", "--name", "a"}).err, "");
  const Ran piped = run({layerfs_program(), "import", "--root", root(), "-", "--name", "b"},
                        {.input = read_file(dir_ / "docker.tar")});
  EXPECT_TRUE(piped.ok()) << piped.err;
  EXPECT_EQ(trees("a"), trees("b"));
}

TEST_F(Import, TakesTheLayersOfOldDockersThatAreLinks) {
  const std::string tar = make_tar({tar_file("f", "x")});
  const std::string id = sha256_hex(tar);
  const std::string config = R"({"os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:)" +
                             id + R"(","sha256:)" + id + R"("]}})";
  write_file(
      dir_ / "old.tar",
      make_tar({tar_file("one/layer.tar", tar), tar_symlink("two/layer.tar", "../one/layer.tar"),
                tar_file("c.json", config),
                tar_file("manifest.json", R"([{"Config":"c.json","RepoTags":null,)"
                                          R"("Layers":["one/layer.tar","two/layer.tar"]}])")}));
  EXPECT_EQ(layerfs({"import", dir_ / "old.tar"}).err, "");
  // A layer that comes twice is mounted once: it hides all that it would show further down.
  EXPECT_EQ(trees("old").size(), 1U);
  EXPECT_THAT(listed("layers/sha256"), SizeIs(1));
}

TEST_F(Import, SaysTheSameInJson) {
  write_layout(dir_ / "layout", "image:1", two_layers(LayerForm::kGzip));
  const CommandResult first = layerfs({"import", "--json", dir_ / "layout"});
  EXPECT_THAT(first.out, HasSubstr("\"newLayers\": 2"));
  EXPECT_THAT(layerfs({"import", "--json", dir_ / "layout"}).out, HasSubstr("\"newLayers\": 0"));
  EXPECT_THAT(layerfs({"images", "--json"}).out, HasSubstr("\"name\": \"image:1\""));
}

TEST_F(Import, LeavesALayoutThatOthersRead) {
  write_layout(dir_ / "layout", "image:1", two_layers(LayerForm::kGzip));
  ASSERT_EQ(layerfs({"import", dir_ / "layout"}).status, 0);
  const std::string store = root().string();
  const Ran skopeo = run({"skopeo", "inspect", "oci:" + store + ":image:1"});
  EXPECT_TRUE(skopeo.ok()) << skopeo.err;
  EXPECT_EQ(run({"umoci", "ls", "--layout", store}).out, "image:1\n");
}

TEST_F(Import, UnpacksAnImageThatAnotherProgramPutIntoTheStore) {
  write_layout(dir_ / "layout", "first", two_layers(LayerForm::kGzip));
  ASSERT_EQ(layerfs({"import", dir_ / "layout"}).status, 0);
  write_layout(dir_ / "other", "second", {{make_tar({tar_file("f", "x")}), LayerForm::kGzip}});
  const Ran copy = run({"skopeo", "copy", "oci:" + (dir_ / "other").string() + ":second",
                        "oci:" + root().string() + ":second"});
  ASSERT_TRUE(copy.ok()) << copy.err;
  EXPECT_THAT(layerfs({"images"}).out, HasSubstr("1 (packed)"));
  EXPECT_EQ(layerfs({"import", root(), "--select", "second"}).err, "");
  EXPECT_EQ(read_file(trees("second")[0] / "f"), "x");
}

TEST_F(Import, ChoosesAmongSeveralImages) {
  write_layout(dir_ / "layout", "one", {{make_tar({tar_file("1")})}});
  write_layout(dir_ / "layout", "two", {{make_tar({tar_file("2")})}});
  EXPECT_THAT(layerfs({"import", dir_ / "layout", "--name", "x"}).err, HasSubstr("one, two"));
  EXPECT_THAT(layerfs({"import", dir_ / "layout", "--select", "six"}).err, HasSubstr("one, two"));
  EXPECT_EQ(layerfs({"import", dir_ / "layout", "--select", "two", "--name", "x"}).err, "");
  EXPECT_TRUE(std::filesystem::exists(trees("x")[0] / "2"));
  EXPECT_EQ(layerfs({"import", dir_ / "layout"}).err, "");
  EXPECT_EQ(layerfs({"inspect", "one"}).status, 0);
}

TEST_F(Import, TakesNothingIfOneOfSeveralImagesIsBroken) {
  write_layout(dir_ / "layout", "good", {{make_tar({tar_file("1")})}});
  write_layout(dir_ / "layout", "bad", {{make_tar({tar_file("../2")})}});
  EXPECT_EQ(layerfs({"import", dir_ / "layout"}).status, 1);
  expect_untouched();
}

TEST_F(Import, ReplacesAnImageOfTheSameName) {
  ASSERT_EQ(import_layers("image", {{make_tar({tar_file("old")})}}).status, 0);
  ASSERT_EQ(import_layers("image", {{make_tar({tar_file("new")})}}).status, 0);
  EXPECT_TRUE(std::filesystem::exists(tree() / "new"));
  EXPECT_EQ(layerfs({"images"}).out.find("image"), layerfs({"images"}).out.rfind("image"));
}

TEST_F(Import, FindsImagesByPartsOfTheirNames) {
  ASSERT_EQ(import_layers("localhost/t/py:latest", {{make_tar({tar_file("1")})}}).status, 0);
  ASSERT_EQ(import_layers("localhost/t/go:1", {{make_tar({tar_file("2")})}}).status, 0);
  ASSERT_EQ(import_layers("example/go:1", {{make_tar({tar_file("3")})}}).status, 0);
  for (const char* name : {"localhost/t/py:latest", "localhost/t/py", "py", "t/py", "py:latest"}) {
    EXPECT_EQ(layerfs({"inspect", name}).status, 0) << name;
  }
  EXPECT_THAT(layerfs({"inspect", "go:1"}).err,
              HasSubstr("may mean localhost/t/go:1, example/go:1"));
  EXPECT_THAT(layerfs({"inspect", "y"}).err, HasSubstr("no image 'y'"));
  const Outcome<store::Store> store = store::Store::open(root());
  const std::string digest = store->find("py")->manifest.hex();
  EXPECT_EQ(layerfs({"inspect", digest.substr(0, 6)}).status, 0);
  EXPECT_EQ(layerfs({"inspect", "sha256:" + digest}).status, 0);
}

TEST_F(Import, TeachesHowItIsUsed) {
  EXPECT_THAT(layerfs({"import", "--help"}).out, HasSubstr("docker save"));
  EXPECT_EQ(layerfs({"import"}).status, 2);
  EXPECT_EQ(layerfs({"import", "x", "--name", "no good"}).status, 2);
  EXPECT_THAT(layerfs({"images"}).err, HasSubstr("`layerfs import` makes one"));
}

TEST_F(Import, SharesLayersAmongConcurrentImporters) {
  std::vector<LayerSpec> layers;
  for (int layer = 0; layer < 4; ++layer) {
    std::vector<TarEntry> entries;
    for (int i = 0; i < 300; ++i) {
      entries.push_back(tar_file(std::to_string(i), std::to_string(layer)));
    }
    layers.push_back({make_tar(entries), LayerForm::kGzip});
  }
  write_layout(dir_ / "layout", "image", layers);
  std::vector<Ran> results(4);
  {
    std::vector<std::jthread> importers;
    for (std::size_t i = 0; i < results.size(); ++i) {
      importers.emplace_back([&, i] {
        results[i] = run({layerfs_program(), "import", "--root", root(), dir_ / "layout", "--name",
                          "image" + std::to_string(i)});
      });
    }
  }
  for (std::size_t i = 0; i < results.size(); ++i) {
    EXPECT_TRUE(results[i].ok()) << results[i].err;
    EXPECT_EQ(trees("image" + std::to_string(i)), trees("image0"));
  }
  EXPECT_THAT(listed("layers/sha256"), SizeIs(4));
  EXPECT_THAT(listed("tmp"), SizeIs(0));
}

TEST_F(Import, LeavesAStoreThatWorksWheneverItIsKilled) {
  std::vector<TarEntry> entries;
  for (int i = 0; i < 4000; ++i) entries.push_back(tar_file("f" + std::to_string(i), "x"));
  write_layout(dir_ / "layout", "image", {{make_tar(entries), LayerForm::kGzip}});
  ASSERT_EQ(import_layers("kept", {{make_tar({tar_file("kept", "1")})}}).status, 0);
  for (int delay = 0; delay < 12; ++delay) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      ::execl(layerfs_program().c_str(), "layerfs", "import", "--root", root().c_str(),
              (dir_ / "layout").c_str(), nullptr);
      ::_exit(127);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(8 * delay));
    ::kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(layerfs({"images"}).status, 0);
    EXPECT_EQ(read_file(trees("kept")[0] / "kept"), "1");
  }
  const CommandResult last = layerfs({"import", dir_ / "layout"});
  EXPECT_EQ(last.status, 0) << last.err;
  EXPECT_THAT(listed("tmp"), SizeIs(0));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(tree()), {}), 4000);
}

TEST_F(Import, InheritsNothingFromWhereTheStoreLies) {
  TarEntry shadow = tar_file("shadow", "secret", 0600);
  shadow.pax = {{"SCHILY.xattr.user.containers.override_stat", "0:0:04755"}};
  write_layout(dir_ / "layout", "image", {{make_tar({tar_dir("d", 0700), shadow})}});
  std::filesystem::create_directory(root());
  ASSERT_TRUE(shell("chmod 2755 .; setfacl -d -m u:1001:rwx,o::rwx .", {.directory = root()}).ok());
  ASSERT_EQ(layerfs({"import", dir_ / "layout"}).status, 0);
  const Ran acls = shell("getfacl -csR . | sed /^$/d; stat -c '%a %n' d shadow; getfattr -d shadow",
                         {.directory = tree()});
  // What the archive calls a record of an owner is none.
  EXPECT_EQ(acls.out,
            "700 d\n600 shadow\n# file: shadow\n"
            "user.containers.overlay.override_stat=\"0:0:04755\"\n\n");
}

TEST_F(Import, WithoutPrivilegeRecordsOwners) {
  TarEntry file = tar_file("f", "x", 04511);
  file.uid = 33;
  TarEntry device{"null", '3'};
  device.major = 1;
  device.minor = 3;
  write_layout(
      dir_ / "layout", "image",
      {{make_tar({tar_dir("d", 0500), file, device, tar_whiteout("d", "w"), tar_opaque("d")})}});
  std::filesystem::permissions(dir_.path(), std::filesystem::perms(0755));
  std::filesystem::create_directory(root());
  ASSERT_EQ(::chown(root().c_str(), 1000, 1000), 0);
  const CommandResult result = layerfs_as(1000, {"import", dir_ / "layout"});
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("left out 1 device nodes"));
  // Root does not use a user's store.
  ASSERT_THAT(listed("layers/sha256"), SizeIs(1));
  const std::filesystem::path layer = root() / "layers/sha256" / listed("layers/sha256")[0] / "fs";
  EXPECT_EQ(xattr_of(layer / "f", "user.containers.override_stat"), "33:0:04511");
  EXPECT_EQ(status_of(layer / "f").st_mode, S_IFREG | 0711U);
  EXPECT_EQ(status_of(layer / "f").st_uid, 1000U);
  EXPECT_EQ(xattr_of(layer / "d", "user.containers.override_stat"), "0:0:0500");
  EXPECT_EQ(xattr_of(layer / "d", "user.overlay.opaque"), "y");
  EXPECT_TRUE(is_whiteout(layer / "d/w"));
}

}  // namespace
}  // namespace layerfs::test
