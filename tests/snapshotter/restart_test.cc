// Ends of all kinds: of the process, of the disk's space.
#include <signal.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <random>
#include <thread>

#include "snapshotter/catalog.h"
#include "tests/snapshotter/fixture.h"
#include "tests/support/command.h"
#include "tests/support/loop_fs.h"

namespace layerfs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Restart : public SnapshotterTest {};

TEST_F(Restart, KeepsEverySnapshot) {
  layer("base", "", "echo x >file");
  const auto prepared = snapshots().prepare("active", "base", {{"a", "b"}});
  const auto point = mount(*prepared);
  write_file(point / "written", "y");
  const Info before = *snapshots().stat("active");
  restart();
  EXPECT_EQ(*snapshots().stat("active"), before);
  write_file(point / "more", "z");  // the mount goes on
  unmount(point);
  ASSERT_THAT(snapshots().commit("next", "active", {}), Granted());
  EXPECT_EQ(shown("next", "cat file written more"), "x\nyz");
  expect_consistent();
}

TEST_F(Restart, RemovesWhatHasNoRow) {
  layer("base", "", "true");
  fs::create_directories(root() / "containerd/snapshots/0123456789abcdef/fs/deep/er");
  fs::create_directories(root() / "tmp/orphan/fs");
  fs::create_directories(root() / "layers/sha256/snap.orphan/fs");
  write_file(root() / "pins/containerd/snap.orphan", "");
  restart();
  expect_consistent();
}

// Whoever could write the store once has left it.
TEST_F(Restart, DoesNotFollowWhatWasPutInPlaceOfItsFiles) {
  const fs::path outside = root().parent_path() / "outside";
  write_file(outside / "victim", "untouched");
  stop();
  for (const char* name : {"metadata.db", "metadata.db-wal", "lock", "reserve", "mounts"}) {
    const fs::path file = root() / "containerd" / name;
    fs::remove_all(file);
    for (const char* target : {"victim", "new"}) {
      fs::create_symlink(outside / target, file);
      const auto opened = snapshotter::Snapshotter::open(root(), {});
      ASSERT_FALSE(opened) << name;
      EXPECT_THAT(opened.error().sentence, HasSubstr("symbolic link")) << name;
      fs::remove(file);
    }
    EXPECT_EQ(read_file(outside / "victim"), "untouched");
    EXPECT_FALSE(fs::exists(outside / "new"));
  }
}

TEST_F(Restart, RefusesAStoreThatAnotherCanChange) {
  stop();
  for (const char* name : {"containerd", "containerd/snapshots", "containerd/mounts"}) {
    ASSERT_EQ(::chown((root() / name).c_str(), 1000, 1000), 0);
    const auto opened = snapshotter::Snapshotter::open(root(), {});
    ASSERT_FALSE(opened) << name;
    EXPECT_THAT(opened.error().sentence, HasSubstr("belongs to user 1000")) << name;
    ASSERT_EQ(::chown((root() / name).c_str(), 0, 0), 0);
  }
}

TEST_F(Restart, PinsAgainWhatIsUsed) {
  layer("base", "", "true");
  stop();
  fs::remove_all(root() / "pins");
  restart();
  layerfs({"gc"});
  expect_consistent();
}

TEST_F(Restart, TakesBackACommitThatWasNotAnswered) {
  ASSERT_THAT(snapshots().prepare("key", "", {}), Granted());
  const std::string dir = listed("containerd/snapshots").at(0);
  write_file(root() / "containerd/snapshots" / dir / "fs/file", "x");
  stop();
  {
    const auto catalog = snapshotter::Catalog::open(root() / "containerd/metadata.db");
    ASSERT_TRUE(catalog->set_publishing(catalog->find("key")->id, "snap." + dir));
  }
  write_file(root() / "pins/containerd" / ("snap." + dir), "");
  fs::rename(root() / "containerd/snapshots" / dir, root() / "layers/sha256" / ("snap." + dir));
  restart();
  EXPECT_EQ(snapshots().stat("key")->kind, Kind::kActive);
  expect_consistent();
  ASSERT_THAT(snapshots().commit("name", "key", {}), Granted());
  EXPECT_EQ(shown("name", "cat file"), "x");
}

TEST_F(Restart, DropsAnActiveSnapshotWhoseDirectoryIsLost) {
  ASSERT_THAT(snapshots().prepare("key", "", {}), Granted());
  stop();
  fs::remove_all(root() / "containerd/snapshots");
  restart();
  EXPECT_THAT(snapshots().stat("key"), Refused(Code::kNotFound));
  expect_consistent();
}

TEST_F(Restart, SaysWhichLayerIsLost) {
  layer("base", "", "true");
  stop();
  const std::string key = listed("layers/sha256").at(0);
  fs::remove_all(root() / "layers/sha256" / key);
  restart();
  const auto prepared = snapshots().prepare("key", "base", {});
  EXPECT_THAT(prepared, Refused(Code::kFailedPrecondition));
  EXPECT_THAT(prepared.error().sentence, HasSubstr(key));
  EXPECT_THAT(snapshots().stat("key"), Refused(Code::kNotFound));
  EXPECT_THAT(snapshots().remove("base"), Granted());
}

TEST_F(Restart, IsRefusedWhileAnotherServes) {
  const auto second = snapshotter::Snapshotter::open(root(), options_);
  ASSERT_FALSE(second.has_value());
  EXPECT_THAT(second.error().sentence, HasSubstr("another layerfs-snapshotter serves"));
}

TEST_F(Restart, IsRefusedWhereMountOptionsCannotNameTheStore) {
  const auto odd = snapshotter::Snapshotter::open(dir_ / "a:b", options_);
  ASSERT_FALSE(odd.has_value());
  EXPECT_THAT(odd.error().sentence, HasSubstr("choose another --root"));
}

// Works until it is killed.
void work_forever(const fs::path& root, const snapshotter::Options& options, unsigned seed) {
  auto opened = snapshotter::Snapshotter::open(root, options);
  if (!opened) ::_exit(1);
  snapshotter::Snapshotter& snapshots = **opened;
  const auto work = [&](unsigned own) {
    std::mt19937 random(own);
    const auto name = [&](const char* prefix) { return prefix + std::to_string(random() % 12); };
    while (true) {
      const std::string key = name("k");
      const std::string parent = random() % 3 == 0 ? "" : name("n");
      switch (random() % 5) {
        case 0:
          static_cast<void>(snapshots.view(name("v"), parent, {}));
          break;
        case 1:
          static_cast<void>(snapshots.remove(name(random() % 2 ? "n" : "v")));
          break;
        case 2:
          static_cast<void>(snapshots.cleanup());
          break;
        default:
          if (const auto mounts = snapshots.prepare(key, parent, {})) {
            if (mounts->at(0).type == "bind") std::ofstream(mounts->at(0).source + "/f") << own;
          }
          static_cast<void>(snapshots.commit(name("n"), key, {}));
      }
    }
  };
  std::jthread other(work, seed);
  work(seed + 1000);
}

TEST_F(Restart, AfterKillNeitherLosesNorLeaks) {
  std::mt19937 random(20);
  for (unsigned round = 0; round < 15; ++round) {
    stop();
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      work_forever(root(), options_, round);
      ::_exit(1);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20 + random() % 150));
    ::kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the worker could not open the store";
    restart();
    expect_consistent();
    if (HasFailure()) return;
  }
}

class FullDisk : public SnapshotterTest {
 protected:
  void SetUp() override {
    stop();
    root_ = mount_new_fs(dir_, "tmpfs", 16 << 20) / "root";
    restart();
    layer("base", "", "head -c 50000 /dev/zero >file");
  }
  ~FullDisk() override { stop(); }

  // Leaves this many KiB.
  void fill(unsigned leave) {
    struct statvfs status {};
    ASSERT_EQ(::statvfs(root().c_str(), &status), 0);
    const std::uint64_t free = status.f_bavail * status.f_bsize / 1024;
    const fs::path ballast = root().parent_path() / "ballast";
    ASSERT_TRUE(shell("head -c " + std::to_string((free - leave) * 1024) + " /dev/zero >" +
                      ballast.string())
                    .ok());
  }
  void make_room() { fs::remove(root().parent_path() / "ballast"); }

  template <typename T>
  static bool refused_for_space(const Answer<T>& answer) {
    if (answer) return false;
    EXPECT_EQ(answer.error().code, Code::kExhausted) << answer.error().sentence;
    return true;
  }
};

TEST_F(FullDisk, RefusesAndLosesNothingAtEveryStep) {
  unsigned refusals = 0;
  for (unsigned leave = 0; leave <= 160; leave += 8) {
    const std::string n = std::to_string(leave);
    ASSERT_THAT(snapshots().prepare("key" + n, "base", {}), Granted());
    fill(leave);
    if (refused_for_space(snapshots().prepare("other" + n, "base", {}))) {
      ++refusals;
      EXPECT_THAT(snapshots().stat("other" + n), Refused(Code::kNotFound));
    }
    if (refused_for_space(snapshots().commit("name" + n, "key" + n, {}))) {
      ++refusals;
      EXPECT_EQ(snapshots().stat("key" + n)->kind, Kind::kActive);
      EXPECT_THAT(snapshots().stat("name" + n), Refused(Code::kNotFound));
    }
    if (refused_for_space(snapshots().view("view" + n, "base", {}))) ++refusals;
    make_room();
    expect_consistent();
    ASSERT_FALSE(HasFailure()) << "with " << leave << " KiB left";
    for (const std::string prefix : {"key", "other", "name", "view"}) {
      static_cast<void>(snapshots().remove(prefix + n));
    }
  }
  EXPECT_GT(refusals, 0U);
  restart();
  expect_consistent();
}

TEST_F(FullDisk, AllowsRemoval) {
  ASSERT_THAT(snapshots().prepare("key", "base", {}), Granted());
  const std::string dir = listed("containerd/snapshots").at(0);
  fill(512);
  shell("head -c 2000000 /dev/zero >" +
        (root() / "containerd/snapshots" / dir / "fs/big").string());
  EXPECT_THAT(snapshots().remove("key"), Granted());
  EXPECT_THAT(listed("containerd/snapshots"), IsEmpty());
  make_room();
  expect_consistent();
}

}  // namespace
}  // namespace layerfs::test
