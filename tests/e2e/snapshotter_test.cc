// A real containerd with layerfs as its snapshotter.
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fs/sys/unique_fd.h"
#include "tests/e2e/containerd.h"
#include "tests/e2e/layerfs.h"
#include "tests/support/image.h"
#include "tests/support/tar.h"

namespace layerfs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// What a container sees of its root file system, but for what the runtime mounts there.
constexpr const char* kEverything =
    "cd /; find . -xdev -path ./proc -prune -o -path ./sys -prune -o -path ./dev -prune -o "
    "-path ./run -prune -o -type d -printf \"%p %m %U:%G\\n\" -o "
    "-printf \"%p %y %m %U:%G %n %s %T@ %l\\n\" | sort; "
    "find . -xdev -type f -print0 | sort -z | xargs -0 cksum";

// layerfs-snapshotter over a store of its own, for as long as it lives.
class SnapshotterProcess {
 public:
  // `activated`: its socket is kept by the test, as systemd does, so that no client is turned away
  // while it starts again.
  SnapshotterProcess(const fs::path& dir, std::vector<std::string> more, bool activated)
      : dir_(dir), more_(std::move(more)) {
    fs::create_directories(dir);
    if (activated) make_socket();
    start();
  }
  ~SnapshotterProcess() { stop(SIGTERM); }
  SnapshotterProcess(const SnapshotterProcess&) = delete;
  SnapshotterProcess& operator=(const SnapshotterProcess&) = delete;

  void start() {
    // Under the limits of its unit.
    std::vector<std::string> words{LAYERFS_E2E_SOURCE "/as-unit",
                                   LAYERFS_BUILD_ROOT
                                   "/tools/snapshotter/layerfs-snapshotter.service",
                                   LAYERFS_BUILD_ROOT "/tools/snapshotter/layerfs-snapshotter",
                                   "--root=" + store().string(),
                                   "--address=" + socket().string(),
                                   "--helper=" + layerfs_program()};
    words.insert(words.end(), more_.begin(), more_.end());
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    process_ = ::fork();
    if (process_ == 0) {
      const int log = ::open((dir_ / "log").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
      ::dup2(log, STDERR_FILENO);
      if (kept_) {
        ::dup2(kept_.get(), 3);
        ::setenv("LISTEN_PID", std::to_string(::getpid()).c_str(), 1);
        ::setenv("LISTEN_FDS", "1", 1);
      }
      ::execv(argv[0], argv.data());
      ::_exit(127);
    }
    for (int tries = 0; !answers(); ++tries) {
      if (tries == 1500) throw std::runtime_error("no snapshotter: " + log());
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }

  void stop(int signal) {
    if (process_ < 0) return;
    ::kill(process_, signal);
    ::waitpid(process_, nullptr, 0);
    process_ = -1;
  }

  // A connection, or -1.
  int connect() const {
    const sockaddr_un address = socket_address();
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return fd;
    ::close(fd);
    return -1;
  }
  bool answers() const {
    const int fd = connect();
    if (fd >= 0) ::close(fd);
    return fd >= 0;
  }

  fs::path store() const { return dir_ / "store"; }
  fs::path socket() const { return dir_ / "socket" / "s"; }
  std::string log() const { return read_file(dir_ / "log"); }

 private:
  sockaddr_un socket_address() const {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, socket().c_str(), sizeof address.sun_path - 1);
    return address;
  }

  void make_socket() {
    fs::create_directories(socket().parent_path());
    // Not 3, which is the descriptor's number in the program.
    kept_.reset(::fcntl(::socket(AF_UNIX, SOCK_STREAM, 0), F_DUPFD_CLOEXEC, 10));
    const sockaddr_un address = socket_address();
    if (::bind(kept_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(kept_.get(), 64) != 0) {
      throw std::runtime_error("no socket");
    }
  }

  const fs::path dir_;
  const std::vector<std::string> more_;
  sys::UniqueFd kept_;
  pid_t process_ = -1;
};

class SnapshotterRun : public ::testing::Test {
 protected:
  explicit SnapshotterRun(std::vector<std::string> options = {}, bool activated = true)
      : snapshotter_(dir_ / "s", std::move(options), activated),
        containerd_(dir_ / "c", "[proxy_plugins.layerfs]\n  type = \"snapshot\"\n  address = \"" +
                                    snapshotter_.socket().string() + "\"\n") {}

  void TearDown() override {
    if (HasFailure()) std::cerr << snapshotter_.log();
  }

  std::string ctr(const std::string& arguments) const {
    const Ran ran = containerd_.ctr(arguments);
    EXPECT_TRUE(ran.ok()) << arguments << ": " << ran.out << ran.err;
    return ran.out;
  }

  void import(const std::string& snapshotter, const fs::path& archive) const {
    ctr("images import --snapshotter " + snapshotter + " --base-name localhost/test " +
        archive.string());
  }

  // An image of some layers with busybox, made here.
  void import_small() {
    std::vector<TarEntry> base{tar_dir("bin"),
                               tar_dir("etc"),
                               tar_dir("proc"),
                               tar_dir("sys"),
                               tar_dir("dev"),
                               tar_dir("tmp", 01777),
                               tar_file("bin/busybox", read_file("/bin/busybox"), 0755)};
    for (const char* tool : {"sh", "cat", "ls", "echo", "sleep", "rm", "wc", "find"}) {
      base.push_back(tar_symlink(std::string("bin/") + tool, "busybox"));
    }
    for (int i = 0; i < 50; ++i) base.push_back(tar_file("etc/file-" + std::to_string(i), "x"));
    write_layout(
        dir_ / "layout", "small",
        {{make_tar(base), LayerForm::kGzip},
         {make_tar({tar_dir("etc"), tar_whiteout("etc", "file-7"), tar_file("etc/two", "two\n")})},
         {make_tar({tar_dir("srv"), tar_file("srv/three", "three\n")})}});
    const Ran ran = run({"tar", "-C", dir_ / "layout", "-cf", dir_ / "small.tar", "."});
    ASSERT_TRUE(ran.ok()) << ran.err;
    import("layerfs", dir_ / "small.tar");
    image_ = ctr("images ls -q");
    image_.resize(image_.find('\n'));
  }

  std::string run_in(const std::string& name, const std::string& script,
                     const std::string& snapshotter = "layerfs",
                     const std::string& flags = "") const {
    return ctr("run --rm --snapshotter " + snapshotter + " " + flags + " " + image_ + " " + name +
               " /bin/sh -ec '" + script + "'");
  }

  // containerd collects what has become free some time later.
  void expect_empty_soon(const std::string& name) const {
    for (int tries = 0; tries < 600 && !listed(name).empty(); ++tries) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    EXPECT_THAT(listed(name), IsEmpty()) << name;
  }

  std::vector<std::string> listed(const std::string& name) const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(snapshotter_.store() / name)) {
      names.push_back(entry.path().filename());
    }
    return names;
  }

  // Waits until the file exists: a container is far enough.
  static void wait_for(const fs::path& file) {
    for (int tries = 0; !fs::exists(file); ++tries) {
      ASSERT_LT(tries, 1000) << file;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }

  TempDir dir_;
  SnapshotterProcess snapshotter_;
  Containerd containerd_;
  std::string image_;
};

TEST_F(SnapshotterRun, ARealImageIsWhatItIsOnOverlayfs) {
  import("layerfs", real_images() / "oci.tar");
  import("overlayfs", real_images() / "oci.tar");
  image_ = ctr("images ls -q");
  image_.resize(image_.find('\n'));
  const std::string expected = run_in("native", kEverything, "overlayfs");
  EXPECT_GT(std::count(expected.begin(), expected.end(), '\n'), 5000);
  EXPECT_EQ(run_in("ours", kEverything), expected);
  EXPECT_THAT(ctr("snapshots --snapshotter layerfs ls"), HasSubstr("Committed"));

  const std::vector<std::string> layers = listed("layers/sha256");
  EXPECT_EQ(layers.size(), 3U);
  for (const std::string& key : layers) {
    EXPECT_TRUE(fs::exists(snapshotter_.store() / "layers/sha256" / key / "index")) << key;
  }
  const Ran ran = run({layerfs_program(), "import", real_images() / "oci-zstd", "--name", "same",
                       "--root", snapshotter_.store()});
  EXPECT_TRUE(ran.ok()) << ran.err;
  EXPECT_EQ(listed("layers/sha256").size(), 3U);
}

TEST_F(SnapshotterRun, TwentyContainersOfOneImageWriteAtOnce) {
  import_small();
  std::mutex mutex;
  std::vector<std::string> answers;
  {
    std::vector<std::jthread> runs;
    for (int i = 0; i < 20; ++i) {
      runs.emplace_back([&, i] {
        const std::string n = std::to_string(i);
        std::string answer = run_in("c" + n, "echo " + n + " >/etc/mine; rm /etc/file-" + n +
                                                 "0 2>/dev/null || true; echo x >>/etc/two; "
                                                 "cat /etc/mine /etc/two /srv/three");
        const std::lock_guard lock(mutex);
        answers.push_back(std::move(answer));
      });
    }
  }
  std::vector<std::string> expected;
  for (int i = 0; i < 20; ++i) expected.push_back(std::to_string(i) + "\ntwo\nx\nthree\n");
  EXPECT_THAT(answers, ::testing::UnorderedElementsAreArray(expected));
  EXPECT_EQ(run_in("after", "cat /etc/two; ls /etc | wc -l"), "two\n50\n");
  EXPECT_EQ(listed("layers/sha256").size(), 3U);
  expect_empty_soon("containerd/snapshots");
}

TEST_F(SnapshotterRun, ContainersOutliveTheDeathOfEach) {
  import_small();
  ctr("run -d --snapshotter layerfs " + image_ +
      " c1 /bin/sh -ec 'echo started >/etc/mine; while true; do sleep 1; done'");
  const std::string upper =
      snapshotter_.store() / "containerd/snapshots" / listed("containerd/snapshots").at(0) / "fs";
  wait_for(upper + "/etc/mine");

  snapshotter_.stop(SIGKILL);
  EXPECT_THAT(ctr("task exec --exec-id e1 c1 /bin/cat /etc/mine"), HasSubstr("started"));
  snapshotter_.start();
  EXPECT_EQ(run_in("c2", "cat /etc/two"), "two\n");

  containerd_.stop(SIGKILL);
  containerd_.start();
  EXPECT_THAT(ctr("task exec --exec-id e2 c1 /bin/sh -c 'cat /etc/mine; echo more >/etc/more'"),
              HasSubstr("started"));
  EXPECT_EQ(run_in("c3", "cat /etc/two"), "two\n");

  snapshotter_.stop(SIGTERM);
  containerd_.stop(SIGTERM);
  snapshotter_.start();
  containerd_.start();
  EXPECT_THAT(ctr("task exec --exec-id e3 c1 /bin/cat /etc/more"), HasSubstr("more"));
  EXPECT_THAT(ctr("snapshots --snapshotter layerfs ls"), HasSubstr("c1"));
  ctr("task kill -s SIGKILL c1");
  ctr("task rm -f c1 || true");
  ctr("containers rm c1");
}

TEST_F(SnapshotterRun, GarbageCollectionLeavesNothing) {
  import_small();
  EXPECT_EQ(run_in("c1", "cat /srv/three"), "three\n");
  const Ran used = run({layerfs_program(), "gc", "--root", snapshotter_.store()});
  EXPECT_TRUE(used.ok()) << used.err;
  EXPECT_EQ(run_in("c2", "cat /srv/three"), "three\n");
  ctr("images rm --sync " + image_);
  EXPECT_EQ(ctr("snapshots --snapshotter layerfs ls").find("sha256"), std::string::npos);
  for (const std::string name :
       {"layers/sha256", "containerd/snapshots", "pins/containerd", "tmp"}) {
    expect_empty_soon(name);
  }
}

TEST_F(SnapshotterRun, AContainerInAUserNamespaceOwnsItsFiles) {
  import_small();
  // The container's root must reach its root file system.
  for (const fs::path& path : {dir_.path(), dir_ / "c"}) {
    fs::permissions(path, fs::perms::others_exec | fs::perms::group_exec, fs::perm_options::add);
  }
  ctr("run -d --snapshotter layerfs --uidmap 0:100000:65536 --gidmap 0:100000:65536 "
      "--remap-labels " +
      image_ + " c1 /bin/sh -ec 'ls -n /etc/two >/etc/new; exec sleep 1000'");
  const fs::path upper =
      snapshotter_.store() / "containerd/snapshots" / listed("containerd/snapshots").at(0) / "fs";
  wait_for(upper / "etc/new");
  struct stat status {};
  ASSERT_EQ(::stat((upper / "etc/new").c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, 0U);  // as the container has it
  EXPECT_THAT(ctr("task exec --exec-id e1 c1 /bin/cat /etc/new"), HasSubstr(" 0        0 "));
  std::istringstream task(ctr("task ls | grep ^c1"));
  std::string name, pid;
  task >> name >> pid;
  ASSERT_EQ(::stat(("/proc/" + pid + "/root/etc/new").c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, 100000U);
  ctr("task kill -s SIGKILL c1");
  ctr("task rm -f c1 || true");
  ctr("containers rm c1");
}

TEST_F(SnapshotterRun, SnapshotsAreCommittedViewedAndMeasuredByHand) {
  import_small();
  const std::string chain = [&] {
    const std::string info = ctr("snapshots --snapshotter layerfs ls");
    // Of the image's layers, the one that is nobody's parent.
    std::istringstream lines(info);
    std::string line, top;
    std::vector<std::string> keys, parents;
    for (std::getline(lines, line); std::getline(lines, line);) {
      std::istringstream words(line);
      std::string key, parent;
      words >> key >> parent;
      keys.push_back(key);
      parents.push_back(parent);
    }
    for (const std::string& key : keys) {
      if (std::ranges::find(parents, key) == parents.end()) top = key;
    }
    return top;
  }();
  const std::string snapshots = "snapshots --snapshotter layerfs ";
  ctr(snapshots + "prepare work " + chain);
  const fs::path point = dir_.make("work");
  // It prints a call of mount(8), which knows no type with a path in it; containerd calls the
  // helper.
  std::istringstream words(ctr(snapshots + "mounts " + point.string() + " work"));
  std::string word, options;
  while (words >> word) {
    if (word.find("lowerdir=") != word.npos) options = word;
  }
  const Ran mounted =
      run({"mount.fuse3", "overlay", point, "-o", options, "-t", layerfs_program()});
  ASSERT_TRUE(mounted.ok()) << mounted.err;
  write_file(point / "etc/four", "four\n");
  ASSERT_TRUE(run({"umount", point}).ok());
  ctr(snapshots + "commit mine work");
  EXPECT_THAT(ctr(snapshots + "info mine"), HasSubstr("Committed"));
  EXPECT_THAT(ctr(snapshots + "usage mine"), HasSubstr("KiB"));
  ctr(snapshots + "label mine containerd.io/snapshot/x=y");
  EXPECT_THAT(ctr(snapshots + "info mine"), HasSubstr("containerd.io/snapshot/x"));
  ctr(snapshots + "view look mine");
  EXPECT_FALSE(containerd_.ctr(snapshots + "rm mine").ok());
  ctr(snapshots + "rm look");
  ctr(snapshots + "rm mine");
}

class SnapshotterMountsHere : public SnapshotterRun {
 protected:
  SnapshotterMountsHere() : SnapshotterRun({"--mount=daemon"}) {}
};

TEST_F(SnapshotterMountsHere, ContainersRunAndLeaveNothing) {
  import_small();
  EXPECT_EQ(run_in("c1", "echo x >>/etc/two; cat /etc/two"), "two\nx\n");
  ctr("run -d --snapshotter layerfs " + image_ + " c2 /bin/sleep 1000");
  snapshotter_.stop(SIGKILL);
  EXPECT_THAT(ctr("task exec --exec-id e1 c2 /bin/cat /etc/two"), HasSubstr("two"));
  snapshotter_.start();
  EXPECT_EQ(run_in("c3", "cat /etc/two"), "two\n");
  ctr("task kill -s SIGKILL c2");
  ctr("task rm -f c2 || true");
  ctr("containers rm c2");
  ctr("images rm --sync " + image_);
  for (const char* name : {"containerd/mounts", "containerd/snapshots", "layers/sha256"}) {
    expect_empty_soon(name);
  }
}

class SnapshotterSocket : public SnapshotterRun {
 protected:
  SnapshotterSocket() : SnapshotterRun({}, false) {}
};

TEST_F(SnapshotterSocket, IsMadeAgainOverThatOfAKilledOne) {
  snapshotter_.stop(SIGKILL);
  EXPECT_FALSE(snapshotter_.answers());
  snapshotter_.start();
  EXPECT_TRUE(snapshotter_.answers());
  snapshotter_.stop(SIGTERM);
  EXPECT_FALSE(fs::exists(snapshotter_.socket()));
}

TEST_F(SnapshotterSocket, IsForRootAlone) {
  struct stat status {};
  ASSERT_EQ(::stat(snapshotter_.socket().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600U);
  ASSERT_EQ(::stat(snapshotter_.socket().parent_path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0700U);
  // Even a client that has come through is turned away.
  fs::permissions(dir_.path(), fs::perms::all);
  fs::permissions(dir_ / "s", fs::perms::all);
  fs::permissions(snapshotter_.socket().parent_path(), fs::perms::all);
  fs::permissions(snapshotter_.socket(), fs::perms::all);
  const pid_t child = ::fork();
  if (child == 0) {
    if (::setgid(65534) != 0 || ::setuid(65534) != 0) ::_exit(9);
    const int fd = snapshotter_.connect();
    char byte = 0;
    // Closed without a word.
    ::_exit(fd >= 0 && ::read(fd, &byte, 1) <= 0 ? 0 : 1);
  }
  int ended = -1;
  ::waitpid(child, &ended, 0);
  EXPECT_EQ(ended, 0);
  EXPECT_THAT(snapshotter_.log(), HasSubstr("turned away"));
}

TEST_F(SnapshotterRun, NoiseOnTheSocketDisturbsNobody) {
  import_small();
  std::mt19937 random(3);
  for (int i = 0; i < 200; ++i) {
    const int fd = snapshotter_.connect();
    ASSERT_GE(fd, 0);
    std::string noise = i % 2 ? "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" : "";
    for (unsigned n = random() % 2000; n > 0; --n) noise += static_cast<char>(random());
    [[maybe_unused]] const ssize_t sent = ::send(fd, noise.data(), noise.size(), MSG_NOSIGNAL);
    ::close(fd);
  }
  EXPECT_EQ(run_in("c1", "cat /etc/two"), "two\n");
}

}  // namespace
}  // namespace layerfs::test
