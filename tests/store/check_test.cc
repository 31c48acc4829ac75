// What `layerfs check` finds in a store, and what it repairs.
#include "layerstore/check.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "tests/store/store_fixture.h"

namespace layerfs::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class Check : public StoreTest {
 protected:
  void SetUp() override {
    const LayerSpec base{
        make_tar({tar_dir("./"), tar_dir("dir"), tar_file("dir/base", "0123456789"),
                  tar_symlink("link", "dir/base")}),
        LayerForm::kGzip};
    const LayerSpec top{make_tar({tar_file("top", "x"), tar_whiteout("dir", "base")})};
    ASSERT_EQ(import_layers("image:1", {base, top}).err, "");
  }

  // The problems as "PART SENTENCE"; whether the exit status fits them is checked on the way.
  std::vector<std::string> found(const std::vector<std::string>& options = {}) const {
    std::vector<std::string> args = {"check", "--json"};
    args.insert(args.end(), options.begin(), options.end());
    const CommandResult ran = layerfs(args);
    const json all = json::parse(ran.out);
    std::vector<std::string> problems;
    bool good = true;
    for (const json& problem : all.at("problems")) {
      const bool repaired = problem.at("repaired");
      good = good && repaired;
      problems.push_back((repaired ? "repaired " : "") + problem.at("part").get<std::string>() +
                         " " + problem.at("sentence").get<std::string>());
    }
    EXPECT_EQ(all.at("good"), good);
    EXPECT_EQ(ran.status, good ? 0 : 1);
    return problems;
  }
  // The only problem, which --repair must leave as it is.
  std::string damage() const {
    const std::vector<std::string> problems = found();
    EXPECT_THAT(problems, SizeIs(1));
    EXPECT_EQ(found({"--repair"}), problems);
    return problems.empty() ? "" : problems[0];
  }
  // The only problem, which --repair must make go.
  std::string repairable() const {
    const std::vector<std::string> problems = found();
    EXPECT_THAT(problems, SizeIs(1));
    EXPECT_THAT(found({"--repair"}), testing::ElementsAre("repaired " + problems.at(0)));
    EXPECT_THAT(found(), IsEmpty());
    return problems[0];
  }

  // The directory of the upper layer, or of the one below.
  fs::path layer(std::size_t index = 0) const { return trees("image:1").at(index).parent_path(); }
  fs::path blob(std::size_t at_least_bytes) const {
    for (const auto& entry : fs::directory_iterator(root() / "blobs/sha256")) {
      if (entry.file_size() >= at_least_bytes) return entry.path();
    }
    return {};
  }
  void make_snapshot(const std::string& name) const {
    const auto store = store::Store::open(root());
    ASSERT_TRUE(store->create_snapshot(*store->find("image:1"), name));
  }
};

TEST_F(Check, FindsNothingInAGoodStore) {
  make_snapshot("kept");
  EXPECT_THAT(found(), IsEmpty());
  const CommandResult ran = layerfs({"check"});
  EXPECT_EQ(ran.status, 0);
  EXPECT_EQ(ran.out, "checked 1 image, 4 blobs, 2 layers and 1 snapshot: all is well\n");
}

TEST_F(Check, ChangesNothing) {
  fs::create_directory(root() / "tmp/left");
  fs::remove(layer() / "index");
  EXPECT_THAT(found(), SizeIs(2));
  EXPECT_TRUE(fs::exists(root() / "tmp/left"));
  EXPECT_FALSE(fs::exists(layer() / "index"));
}

TEST_F(Check, FindsABlobOfWhichOneBitHasChanged) {
  const fs::path path = blob(1000);
  std::string content = read_file(path);
  content[content.size() / 2] ^= 1;
  write_file(path, content);
  EXPECT_THAT(damage(), AllOf(HasSubstr("blob "), HasSubstr(path.filename().string()),
                              HasSubstr("another digest")));
}

TEST_F(Check, FindsABlobThatIsTooShort) {
  const fs::path path = blob(1000);
  fs::resize_file(path, fs::file_size(path) - 1);
  const std::vector<std::string> problems = found();
  ASSERT_THAT(problems, SizeIs(2));
  EXPECT_THAT(problems[0], HasSubstr("another digest"));
  EXPECT_THAT(problems[1], AllOf(HasSubstr("image 'image:1'"), HasSubstr("bytes, but it has")));
}

TEST_F(Check, FindsFilesThatAreNoBlobs) {
  write_file(root() / "blobs/sha256/notes.txt", "mine");
  EXPECT_THAT(damage(), HasSubstr("it is no blob"));
  fs::remove(root() / "blobs/sha256/notes.txt");
  const std::string name(64, '0');
  fs::create_directory(root() / "blobs/sha256" / name);
  EXPECT_THAT(damage(), HasSubstr("is no file"));
}

TEST_F(Check, FindsABlobThatIsGone) {
  fs::remove(blob(1000));
  EXPECT_THAT(damage(), AllOf(HasSubstr("image 'image:1' lacks the blob sha256:"),
                              HasSubstr("import it again")));
}

TEST_F(Check, FindsAManifestThatIsGone) {
  const auto store = store::Store::open(root());
  fs::remove(root() / "blobs/sha256" / store->find("image:1")->manifest.hex());
  EXPECT_THAT(damage(), HasSubstr("the image 'image:1' is broken"));
}

TEST_F(Check, FindsAnIndexOfImagesThatIsBroken) {
  write_file(root() / "index.json", "{");
  EXPECT_THAT(damage(), AllOf(HasSubstr("store "), HasSubstr("index.json")));
}

TEST_F(Check, FindsALayerThatIsGone) {
  fs::remove_all(layer());
  EXPECT_THAT(damage(), AllOf(HasSubstr("image 'image:1' lacks 1 of its 2 layers"),
                              HasSubstr("--select image:1")));
  EXPECT_EQ(layerfs({"import", root(), "--select", "image:1"}).err, "")
      << "the way out that it names";
  EXPECT_THAT(found(), IsEmpty());
}

TEST_F(Check, FindsALayerWithoutARecordOrTree) {
  const fs::path place = layer();
  fs::rename(place / "layer.json", dir_ / "record");
  EXPECT_THAT(damage(), AllOf(HasSubstr("layer "), HasSubstr("cannot read the record")));
  fs::rename(dir_ / "record", place / "layer.json");
  fs::rename(place / "fs", dir_ / "tree");
  EXPECT_THAT(damage(), HasSubstr("its tree is gone"));
}

TEST_F(Check, FindsALayerWithTheRecordOfAnother) {
  fs::copy_file(layer(1) / "layer.json", layer(0) / "layer.json",
                fs::copy_options::overwrite_existing);
  EXPECT_THAT(damage(), HasSubstr("its record is that of the layer sha256:"));
}

TEST_F(Check, FindsATreeThatHasChanged) {
  const fs::path file = layer(1) / "fs/dir/base";
  write_file(file, "0123456789 and more");
  EXPECT_THAT(damage(), AllOf(HasSubstr("not as it was unpacked"), HasSubstr("dir/base has another "
                                                                             "size")));
}

TEST_F(Check, FindsEveryKindOfChange) {
  const fs::path dir = layer(1) / "fs/dir";
  fs::permissions(dir / "base", fs::perms::owner_all);
  EXPECT_THAT(damage(), HasSubstr("dir/base has another mode"));
  fs::permissions(dir / "base", fs::perms(0644));
  EXPECT_THAT(found(), IsEmpty());
  ASSERT_EQ(::chown((dir / "base").c_str(), 5, 6), 0);
  EXPECT_THAT(damage(), HasSubstr("dir/base has another owner"));
  ASSERT_EQ(::chown((dir / "base").c_str(), 0, 0), 0);
  write_file(dir / "base", "9876543210");
  EXPECT_THAT(damage(), HasSubstr("dir/base was modified"));
  fs::remove(dir / "base");
  EXPECT_THAT(damage(), HasSubstr("dir "));
}

TEST_F(Check, RepairsAnIndexThatIsGoneOrOfNoUse) {
  fs::remove(layer() / "index");
  EXPECT_THAT(repairable(), HasSubstr("index "));
  write_file(layer() / "index", std::string(4096, 'x'));
  EXPECT_THAT(repairable(), HasSubstr("of no use"));
  fs::copy_file(layer(1) / "index", layer(0) / "index", fs::copy_options::overwrite_existing);
  EXPECT_THAT(repairable(), HasSubstr("another tree"));
}

TEST_F(Check, RepairsAnIndexOfWhichOneBitHasChanged) {
  std::string content = read_file(layer() / "index");
  content[content.size() - 1] ^= 4;
  write_file(layer() / "index", content);
  EXPECT_THAT(repairable(), HasSubstr("its checksum differs"));
}

TEST_F(Check, RemovesWhatKilledProcessesLeft) {
  write_file(root() / "tmp/left/deep/file", "x");
  EXPECT_THAT(repairable(), HasSubstr("tmp/left"));
  EXPECT_FALSE(fs::exists(root() / "tmp/left"));
}

TEST_F(Check, LeavesTemporariesThatAreInUse) {
  const auto store = store::Store::open(root());
  const auto temporary = store::TempDir::make(store->dir());
  ASSERT_TRUE(temporary);
  EXPECT_THAT(found({"--repair"}), IsEmpty());
  EXPECT_TRUE(fs::exists(temporary->path()));
}

TEST_F(Check, FindsSnapshotsThatCannotBeUsed) {
  make_snapshot("one");
  fs::remove(root() / "snapshots/one/work");
  EXPECT_THAT(damage(), AllOf(HasSubstr("snapshot 'one' has no directory"), HasSubstr("/work'")));
  fs::create_directory(root() / "snapshots/one/work");
  write_file(root() / "snapshots/one/snapshot.json", "{");
  EXPECT_THAT(damage(), AllOf(HasSubstr("snapshot 'one' has no record"), HasSubstr("one/fs'")));
}

TEST_F(Check, FindsASnapshotWithoutItsLayer) {
  make_snapshot("one");
  fs::remove_all(layer());
  const std::vector<std::string> problems = found();
  ASSERT_THAT(problems, SizeIs(2));
  EXPECT_THAT(problems[1], AllOf(HasSubstr("snapshot 'one' lacks its layer"),
                                 HasSubstr("import the image 'image:1' again")));
}

TEST_F(Check, FindsAPinnedLayerThatIsGone) {
  write_file(root() / "pins/containerd/snap.gone", "");
  EXPECT_THAT(damage(), HasSubstr("another program needs it"));
}

TEST_F(Check, FindsDirectoriesThatAreOpenToOthers) {
  fs::permissions(root() / "layers", fs::perms(0755));
  EXPECT_THAT(damage(), HasSubstr("chmod 700"));
}

TEST_F(Check, WantsAStore) {
  fs::remove(root() / "oci-layout");
  const CommandResult ran = layerfs({"check"});
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, HasSubstr("no store at"));
}

}  // namespace
}  // namespace layerfs::test
