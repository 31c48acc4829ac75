// Root's command on a store that others own, may write or have prepared: refused with a sentence,
// and nothing outside of it is read, made or removed.
#include <grp.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <functional>
#include <sstream>

#include "tests/store/store_fixture.h"
#include "tests/support/command.h"
#include "tools/commands.h"

namespace layerfs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr uid_t kAlice = 1000;

class Others : public StoreTest {
 protected:
  void SetUp() override {
    ASSERT_EQ(::geteuid(), 0U);
    ASSERT_EQ(import_tar({tar_dir("d"), tar_file("d/f", "x")}).err, "");
    ASSERT_EQ(::chmod(dir_.path().c_str(), 0755), 0);
    write_file(outside() / "victim", "untouched");
    fs::create_directory(point());
  }

  fs::path outside() const { return dir_ / "outside"; }
  fs::path point() const { return dir_ / "point"; }
  fs::path at(const std::string& name) const { return root() / name; }

  static void give_to_alice(const fs::path& path) {
    ASSERT_EQ(::lchown(path.c_str(), kAlice, kAlice), 0) << path;
  }
  static void allow(const fs::path& path, mode_t mode) {
    ASSERT_EQ(::chmod(path.c_str(), mode), 0) << path;
  }

  // Every command that opens a store.
  std::vector<std::vector<std::string>> commands() const {
    return {{"images"},
            {"inspect", "image"},
            {"rmi", "image"},
            {"snapshots"},
            {"snapshots", "--rm", "s"},
            {"gc"},
            {"check"},
            {"check", "--repair"},
            {"image-store"},
            {"import", (dir_ / "layout").string()},
            {"mount", "image", point().string()},
            {"bundle", "image", (dir_ / "bundle").string()},
            {"run", "image", "--runtime", "/bin/true"}};
  }

  void expect_all_refused(const std::string& sentence) const {
    const std::string before = listing();
    for (const auto& command : commands()) {
      const CommandResult result = layerfs(command);
      EXPECT_NE(result.status, 0) << command[0];
      EXPECT_EQ(result.out, "") << command[0];
      EXPECT_THAT(result.err, AllOf(HasSubstr("cannot be used: "), HasSubstr(sentence)))
          << command[0];
    }
    EXPECT_EQ(listing(), before);
    expect_outside_untouched();
  }

  std::string listing() const {
    return shell("cd '" + dir_.path().string() +
                 "' && find . -printf '%p %y %s %u %m %l\\n' | sort")
        .out;
  }

  void expect_outside_untouched() const {
    EXPECT_EQ(read_file(outside() / "victim"), "untouched");
    EXPECT_EQ(std::distance(fs::directory_iterator(outside()), {}), 1);
  }

  static CommandResult layerfs_at(const fs::path& store, std::vector<std::string> args) {
    args.push_back("--root=" + store.string());
    std::ostringstream out, err;
    tools::Io io{out, err};
    const int status = tools::run_layerfs(args, io);
    return {status, out.str(), err.str()};
  }

  // The command in a process of the user 1000, with this umask.
  int as_alice(mode_t mask, const std::function<CommandResult()>& command) const {
    const pid_t child = ::fork();
    if (child == 0) {
      ::umask(mask);
      const bool dropped = ::setgroups(0, nullptr) == 0 &&
                           ::setresgid(kAlice, kAlice, kAlice) == 0 &&
                           ::setresuid(kAlice, kAlice, kAlice) == 0;
      ::_exit(dropped ? command().status : 99);
    }
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
};

TEST_F(Others, AStoreOfAnotherIsRefused) {
  ASSERT_TRUE(shell("chown -R 1000:1000 '" + root().string() + "'").ok());
  expect_all_refused("belongs to user 1000");
}

TEST_F(Others, AStoreThatOthersMayWriteIsRefused) {
  allow(root(), 0777);
  expect_all_refused("others may write");
  allow(root(), 01777);
  expect_all_refused("others may write");
  allow(root(), 0775);
  ASSERT_EQ(::chown(root().c_str(), 0, kAlice), 0);
  expect_all_refused("others may write");
}

TEST_F(Others, AStoreThatAnAclLetsOthersWriteIsRefused) {
  ASSERT_TRUE(shell("setfacl -m u:1000:rwx '" + root().string() + "'").ok());
  expect_all_refused("others may write");
}

TEST_F(Others, AStoreBelowADirectoryOfAnotherIsRefused) {
  give_to_alice(dir_.path());
  expect_all_refused("belongs to user 1000");
  ASSERT_EQ(::chown(dir_.path().c_str(), 0, 0), 0);
  allow(dir_.path(), 0757);
  expect_all_refused("others may write");
  // As /tmp is: what is root's there nobody else takes away.
  allow(dir_.path(), 01777);
  EXPECT_EQ(layerfs({"images"}).err, "");
}

TEST_F(Others, EachDirectoryOfTheStoreIsLookedAt) {
  ASSERT_EQ(layerfs({"image-store"}).err, "");
  for (const char* name : {"pins", "containerd"}) fs::create_directory(at(name));
  for (const char* name : {"blobs", "blobs/sha256", "layers", "layers/sha256", "snapshots", "tmp",
                           "pins", "image-store", "containerd"}) {
    give_to_alice(at(name));
    expect_all_refused("belongs to user 1000");
    ASSERT_EQ(::chown(at(name).c_str(), 0, 0), 0);
    const mode_t mode = status_of(at(name)).st_mode & 07777;
    allow(at(name), mode | 0002);
    expect_all_refused("others may write");
    allow(at(name), mode);
  }
  EXPECT_EQ(layerfs({"check"}).err, "");
}

TEST_F(Others, ASymlinkOfAnotherDoesNotLeadToAStore) {
  fs::rename(root(), dir_ / "real");
  fs::create_directory_symlink("real", root());
  EXPECT_EQ(layerfs({"images"}).err, "");
  give_to_alice(root());
  expect_all_refused("belongs to user 1000");
}

// Whoever could write the store once has left it.
TEST_F(Others, ASymlinkInPlaceOfADirectoryIsNotFollowed) {
  for (const char* name : {"blobs", "layers", "snapshots", "tmp"}) {
    fs::rename(at(name), dir_ / "away");
    fs::create_directory_symlink(outside(), at(name));
    for (const auto& command : commands()) {
      const CommandResult result = layerfs(command);
      EXPECT_NE(result.status, 0) << name << command[0];
      EXPECT_THAT(result.err, HasSubstr("symbolic link")) << name << command[0];
    }
    fs::remove(at(name));
    fs::rename(dir_ / "away", at(name));
    expect_outside_untouched();
  }
}

// Of each file of the store a command that needs it.
const std::vector<std::pair<std::string, std::vector<std::string>>> kFiles = {
    {"index.json", {"images"}}, {"index.lock", {"rmi", "image"}}, {"add.lock", {"gc"}}};

TEST_F(Others, ASymlinkInPlaceOfAFileIsNotFollowed) {
  for (const auto& [name, command] : kFiles) {
    fs::rename(at(name), dir_ / name);
    for (const fs::path& target : {outside() / "victim", outside() / "new"}) {
      fs::create_symlink(target, at(name));
      const CommandResult result = layerfs(command);
      EXPECT_EQ(result.status, 1) << name;
      EXPECT_THAT(result.err, HasSubstr("it is a symbolic link")) << name;
      fs::remove(at(name));
      expect_outside_untouched();
    }
    fs::rename(dir_ / name, at(name));
  }
}

TEST_F(Others, TheTemporaryOfAFileIsMadeAnew) {
  fs::create_symlink(outside() / "victim", at("index.json.new"));
  EXPECT_EQ(layerfs({"rmi", "image"}).err, "");
  expect_outside_untouched();
  ASSERT_EQ(::mkfifo(at("index.json.new").c_str(), 0600), 0);
  EXPECT_EQ(import_tar({tar_file("g", "y")}).err, "");
}

TEST_F(Others, AFifoIsNotWaitedFor) {
  for (const auto& [name, command] : kFiles) {
    fs::rename(at(name), dir_ / name);
    ASSERT_EQ(::mkfifo(at(name).c_str(), 0600), 0);
    const CommandResult result = layerfs(command);
    EXPECT_EQ(result.status, 1) << name;
    EXPECT_THAT(result.err, HasSubstr("it is no regular file")) << name;
    fs::rename(dir_ / name, at(name));
  }
}

TEST_F(Others, ALayerThatLeadsOutIsRefused) {
  const fs::path layer = tree().parent_path();
  fs::rename(layer / "fs", dir_ / "fs");
  fs::create_directory_symlink("/", layer / "fs");
  EXPECT_THAT(layerfs({"mount", "-r", "image", point()}).err, HasSubstr("symbolic link"));
  EXPECT_THAT(layerfs({"inspect", "image"}).err, HasSubstr("symbolic link"));
  EXPECT_THAT(layerfs({"check", "--repair"}).out, HasSubstr("is damaged"));
  fs::remove(layer / "fs");
  fs::rename(dir_ / "fs", layer / "fs");
  fs::remove(layer / "layer.json");
  ASSERT_EQ(::mkfifo((layer / "layer.json").c_str(), 0600), 0);
  EXPECT_THAT(layerfs({"mount", "-r", "image", point()}).err, HasSubstr("no regular file"));
  fs::remove(layer / "layer.json");
  fs::create_symlink(outside() / "victim", layer / "layer.json");
  EXPECT_THAT(layerfs({"mount", "-r", "image", point()}).err, HasSubstr("symbolic link"));
  give_to_alice(layer);
  EXPECT_THAT(layerfs({"mount", "-r", "image", point()}).err, HasSubstr("belongs to user 1000"));
}

TEST_F(Others, ASnapshotThatLeadsOutIsRefused) {
  const auto mount = [&] { return layerfs({"mount", "--snapshot", "s", point()}).err; };
  const auto snapshot = at("snapshots/s");
  const auto made = [&] {
    const auto store = store::Store::open(root());
    return store && store->create_snapshot(*store->find("image"), "s").has_value();
  };
  ASSERT_TRUE(made());
  for (const char* part : {"fs", "work"}) {
    fs::rename(snapshot / part, dir_ / part);
    fs::create_directory_symlink(outside(), snapshot / part);
    EXPECT_THAT(mount(), HasSubstr("symbolic link"));
    fs::remove(snapshot / part);
    fs::rename(dir_ / part, snapshot / part);
  }
  fs::rename(snapshot / "snapshot.json", dir_ / "snapshot.json");
  ASSERT_EQ(::mkfifo((snapshot / "snapshot.json").c_str(), 0600), 0);
  EXPECT_THAT(mount(), HasSubstr("no regular file"));
  fs::remove(snapshot / "snapshot.json");
  fs::rename(dir_ / "snapshot.json", snapshot / "snapshot.json");
  give_to_alice(snapshot);
  EXPECT_THAT(mount(), HasSubstr("belongs to user 1000"));
  fs::rename(snapshot, dir_ / "s");
  fs::create_directory_symlink(dir_ / "s", snapshot);
  EXPECT_THAT(mount(), HasSubstr("symbolic link"));
  EXPECT_THAT(layerfs({"snapshots", "--rm", "s"}).err, HasSubstr("symbolic link"));
  expect_outside_untouched();
}

// Where private groups are usual, so is this umask.
TEST_F(Others, AUsersOwnStoreIsFineWithAnyUmask) {
  ASSERT_TRUE(shell("rm -r '" + root().string() + "'").ok());
  const fs::path home = dir_.make("home");
  give_to_alice(home);
  allow(home, 0775);
  write_layout(dir_ / "layout", "image:1", {{make_tar({tar_file("f", "x")})}});
  const auto own = [&](const std::vector<std::string>& args) {
    return as_alice(002, [&] { return layerfs_at(home / "data/layerfs", args); });
  };
  ASSERT_EQ(own({"import", (dir_ / "layout").string()}), 0);
  EXPECT_EQ(own({"check"}), 0);
  // A group that is not private has others in it.
  ASSERT_EQ(::chown(home.c_str(), kAlice, 100), 0);
  EXPECT_EQ(own({"check"}), 1);
}

TEST_F(Others, RootsStoreIsFineForAUserWhoMayReadIt) {
  EXPECT_EQ(as_alice(022, [&] { return layerfs({"images"}); }), 0);
  ASSERT_TRUE(shell("chown -R 1001:1001 '" + root().string() + "'").ok());
  EXPECT_EQ(as_alice(022, [&] { return layerfs({"images"}); }), 1);
}

}  // namespace
}  // namespace layerfs::test
