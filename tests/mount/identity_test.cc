// What stays the same while files are copied up, renamed, linked and mounted again.
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "fs/sys/unique_fd.h"
#include "tests/mount/union_fixture.h"
#include "tests/support/loop_fs.h"

namespace layerfs::test {
namespace {

namespace fs = std::filesystem;

class Identity : public Union {
 protected:
  // The inode number that the listing of the parent shows.
  static ino_t listed(const fs::path& path) {
    const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(path.parent_path().c_str()),
                                                  &::closedir);
    while (const dirent* entry = ::readdir(dir.get()))
      if (path.filename() == entry->d_name) return entry->d_ino;
    ADD_FAILURE() << path << " is not listed";
    return 0;
  }
  ino_t number(const std::string& name) const {
    const ino_t ino = attr_of(root_ / name).st_ino;
    EXPECT_EQ(listed(root_ / name), ino) << name;
    return ino;
  }
};

TEST_F(Identity, InodeNumbersStayOverCopyUpRenameAndRemount) {
  mount(
      "mkdir -p lower/dir/sub below/dir; echo a > lower/dir/file; echo b > below/dir/deep; ln -s x "
      "lower/link; mkfifo lower/fifo");
  std::map<std::string, ino_t> before;
  for (const std::string name : {"dir", "dir/file", "dir/deep", "dir/sub", "link", "fifo"})
    before[name] = number(name);
  out("mnt", "echo more >> dir/file; chmod 600 dir/deep dir/sub; chown -h 1:1 link fifo");
  for (const auto& [name, ino] : before) EXPECT_EQ(number(name), ino) << name;
  out("mnt", "mkdir other; mv dir other/moved; mv link other/l; mv fifo other/f");
  mount_again();
  EXPECT_EQ(number("other/moved"), before["dir"]);
  EXPECT_EQ(number("other/moved/file"), before["dir/file"]);
  EXPECT_EQ(number("other/moved/deep"), before["dir/deep"]);
  EXPECT_EQ(number("other/moved/sub"), before["dir/sub"]);
  EXPECT_EQ(number("other/l"), before["link"]);
  EXPECT_EQ(number("other/f"), before["fifo"]);
}

TEST_F(Identity, InodeNumbersAreUniqueOverLayersOnSeveralFileSystems) {
  for (const char* name : {"upper", "work", "mnt"}) dir_.make(name);
  layers_ = {mount_new_fs(dir_, "ext4"), mount_new_fs(dir_, "tmpfs"), mount_new_fs(dir_, "xfs")};
  // Fresh file systems number alike.
  for (const fs::path& layer : layers_) {
    const std::string own = layer.filename();
    ASSERT_TRUE(shell("mkdir d-" + own + "; for i in $(seq 50); do echo > " + own + "-$i; done",
                      {.directory = layer})
                    .ok());
  }
  mount_again();
  out("mnt",
      "for i in $(seq 50); do echo > upper-$i; done; for f in $(ls | head -n 40); do test -d "
      "$f || chmod 600 $f; done");
  std::map<ino_t, std::string> names;
  for (const auto& entry : fs::directory_iterator(root_)) {
    const std::string name = entry.path().filename();
    if (name == "lost+found") continue;
    const auto [known, is_new] = names.emplace(number(name), name);
    EXPECT_TRUE(is_new) << name << " and " << known->second;
  }
  EXPECT_GT(names.size(), 200U);
}

TEST_F(Identity, HardLinksOfALowerFileStayOneFile) {
  mount("echo old > lower/a; ln lower/a lower/b; mkdir lower/d; ln lower/a lower/d/c");
  out("mnt", "echo new > b");
  EXPECT_EQ(out("mnt", "cat a b d/c"), "new\nnew\nnew\n");
  EXPECT_EQ(out("mnt", "stat -c '%h' a b d/c"), "3\n3\n3\n");
  EXPECT_EQ(number("a"), number("d/c"));
  out("mnt", "chmod 640 d/c; rm a");
  mount_again();
  EXPECT_EQ(out("mnt", "stat -c '%h %a' b d/c"), "2 640\n2 640\n");
  EXPECT_EQ(out("mnt", "cat d/c"), "new\n");
  EXPECT_EQ(out("lower", "cat a b d/c"), "old\nold\nold\n");
}

class Handle {
 public:
  explicit Handle(const fs::path& path) {
    handle()->handle_bytes = MAX_HANDLE_SZ;
    EXPECT_EQ(::name_to_handle_at(AT_FDCWD, path.c_str(), handle(), &mount_, 0), 0) << path;
  }
  sys::UniqueFd open(const fs::path& root, int flags) const {
    const sys::UniqueFd mount(::open(root.c_str(), O_RDONLY | O_DIRECTORY));
    Handle copy = *this;
    return sys::UniqueFd(::open_by_handle_at(mount.get(), copy.handle(), flags));
  }

 private:
  file_handle* handle() { return reinterpret_cast<file_handle*>(room_); }

  alignas(file_handle) char room_[sizeof(file_handle) + MAX_HANDLE_SZ] = {};
  int mount_ = 0;
};

TEST_F(Identity, FileHandlesLeadToTheSameFile) {
  mount("mkdir -p lower/dir; echo one > lower/dir/file");
  const Handle file(root_ / "dir/file"), dir(root_ / "dir");
  const sys::UniqueFd held(::open((root_ / "dir/file").c_str(), O_PATH));
  out("mnt", "mkdir other; echo two > dir/file; mv dir other/d");
  const sys::UniqueFd opened = file.open(root_, O_RDONLY);
  ASSERT_TRUE(opened) << errno;
  char text[8] = {};
  EXPECT_EQ(::read(opened.get(), text, sizeof text), 4);
  EXPECT_STREQ(text, "two\n");
  const sys::UniqueFd opened_dir = dir.open(root_, O_RDONLY | O_DIRECTORY);
  ASSERT_TRUE(opened_dir);
  struct stat st;
  ASSERT_EQ(::fstat(opened_dir.get(), &st), 0);
  EXPECT_EQ(st.st_ino, attr_of(root_ / "other/d").st_ino);
}

// Makes the kernel forget all inodes that nobody uses, and waits until the daemon was told.
void make_kernel_forget() {
  std::ofstream("/proc/sys/vm/drop_caches") << "2";
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
}

ino_t inode_of(const sys::UniqueFd& fd) {
  struct stat st = {};
  EXPECT_EQ(::fstat(fd.get(), &st), 0);
  return st.st_ino;
}

TEST_F(Identity, FileHandlesOutliveTheKernelsMemory) {
  mount(
      "mkdir -p lower/a/b below/a; echo low > lower/a/b/file; ln -s x lower/a/link; echo l > "
      "below/a/low");
  out("mnt", "mkdir -p new/dir; echo up > new/dir/file; echo changed > a/low");
  std::map<std::string, std::pair<Handle, ino_t>> handles;
  for (const char* name :
       {"", "a", "a/b", "a/b/file", "a/link", "a/low", "new", "new/dir", "new/dir/file"})
    handles.emplace(name, std::pair{Handle(root_ / name), attr_of(root_ / name).st_ino});
  make_kernel_forget();
  for (int round = 0; round < 2; ++round) {
    for (const auto& [name, known] : handles) {
      const sys::UniqueFd opened = known.first.open(root_, O_PATH);
      ASSERT_TRUE(opened) << name << ": " << errno;
      EXPECT_EQ(inode_of(opened), known.second) << name;
    }
    make_kernel_forget();
    // The second time the names have been looked up before.
    out("mnt", "find . > /dev/null");
  }
}

TEST_F(Identity, FileHandlesOfAnEarlierMountAreStale) {
  mount("for i in 1 2 3; do echo one > lower/a$i; done");
  const Handle file(root_ / "a1");
  mount_.reset();
  out("lower", "rm a*; for i in 1 2 3; do echo two > b$i; done");
  mount_again();
  out("mnt", "ls -l");
  const sys::UniqueFd opened = file.open(root_, O_PATH);
  EXPECT_FALSE(opened);
  EXPECT_EQ(errno, ESTALE);
}

TEST_F(Identity, FileHandlesFollowCopyUpAndRename) {
  mount("mkdir -p lower/a/b; echo low > lower/a/b/file; mkdir lower/other");
  const Handle dir(root_ / "a"), below(root_ / "a/b"), file(root_ / "a/b/file");
  const ino_t ino = attr_of(root_ / "a/b/file").st_ino;
  make_kernel_forget();
  out("mnt", "echo up > a/b/file; mv a/b/file a/b/moved; mv a/b other/c; mv a z");
  make_kernel_forget();
  const sys::UniqueFd opened = file.open(root_, O_RDONLY);
  ASSERT_TRUE(opened) << errno;
  EXPECT_EQ(inode_of(opened), ino);
  char text[8] = {};
  EXPECT_EQ(::read(opened.get(), text, sizeof text), 3);
  EXPECT_STREQ(text, "up\n");
  const sys::UniqueFd moved = below.open(root_, O_RDONLY | O_DIRECTORY);
  ASSERT_TRUE(moved) << errno;
  EXPECT_EQ(fs::read_symlink("/proc/self/fd/" + std::to_string(moved.get())), root_ / "other/c");
  EXPECT_EQ(::faccessat(moved.get(), "../../z", F_OK, 0), 0);
  EXPECT_TRUE(dir.open(root_, O_RDONLY | O_DIRECTORY));
}

TEST_F(Identity, FileHandlesOfRemovedObjectsAreStaleForGood) {
  mount("mkdir -p lower/a/b; echo low > lower/a/file");
  out("mnt", "mkdir new; echo up > new/file; mkdir new/dir");
  std::vector<Handle> handles;
  for (const char* name : {"a/b", "a/file", "new/file", "new/dir", "new"})
    handles.emplace_back(root_ / name);
  make_kernel_forget();
  out("mnt", "rm -r a/b a/file new");
  const auto all_stale = [&](const char* when) {
    for (const Handle& handle : handles) {
      EXPECT_FALSE(handle.open(root_, O_PATH)) << when;
      EXPECT_EQ(errno, ESTALE) << when;
    }
  };
  all_stale("removed");
  // The names, and on most file systems the inode numbers, are used again.
  out("mnt", "mkdir new a/b new/dir; echo 1 > a/file; echo 2 > new/file");
  all_stale("made again");
  make_kernel_forget();
  all_stale("forgotten");
  out("mnt", "find . > /dev/null");
  all_stale("looked up");
}

TEST_F(Identity, FileHandlesFindOneOfSeveralNames) {
  mount("echo one > lower/a; ln lower/a lower/b");
  out("mnt", "echo up > c; ln c d");
  const Handle lower(root_ / "b"), upper(root_ / "d");
  const ino_t lower_ino = attr_of(root_ / "b").st_ino, upper_ino = attr_of(root_ / "d").st_ino;
  make_kernel_forget();
  // Found by the other name first.
  out("mnt", "stat a c");
  const sys::UniqueFd first = lower.open(root_, O_PATH), second = upper.open(root_, O_PATH);
  ASSERT_TRUE(first) << errno;
  ASSERT_TRUE(second) << errno;
  EXPECT_EQ(inode_of(first), lower_ino);
  EXPECT_EQ(inode_of(second), upper_ino);
}

TEST_F(Identity, FileHandlesFindAFileThatLostOneOfItsNames) {
  mount("");
  out("mnt", "mkdir dir; echo up > dir/c; ln dir/c dir/d; echo up > dir/e; ln dir/e dir/f");
  const ino_t ino = attr_of(root_ / "dir/d").st_ino;
  make_kernel_forget();
  const Handle first(root_ / "dir/c"), second(root_ / "dir/e");
  out("mnt", "rm dir/c dir/e");
  make_kernel_forget();
  {
    const sys::UniqueFd found = first.open(root_, O_RDWR);
    ASSERT_TRUE(found) << errno;
    EXPECT_EQ(inode_of(found), ino);
    EXPECT_EQ(::pwrite(found.get(), "UP", 2, 0), 2);
    EXPECT_EQ(out("mnt", "cat dir/d"), "UP\n");
    // The name leads to the same inode now.
    EXPECT_EQ(attr_of(root_ / "dir/d").st_ino, ino);
  }
  out("mnt", "stat dir/f");
  EXPECT_TRUE(second.open(root_, O_RDONLY));
  make_kernel_forget();
  EXPECT_TRUE(first.open(root_, O_RDONLY));
  EXPECT_TRUE(second.open(root_, O_RDONLY));
  out("mnt", "rm dir/d dir/f");
  EXPECT_FALSE(first.open(root_, O_RDONLY));
  EXPECT_FALSE(second.open(root_, O_RDONLY));
  make_kernel_forget();
  EXPECT_FALSE(first.open(root_, O_RDONLY));
  EXPECT_FALSE(second.open(root_, O_RDONLY));
}

TEST_F(Identity, InotifyFollowsACopyUp) {
  mount("echo one > lower/file");
  const sys::UniqueFd watch(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  ASSERT_GE(::inotify_add_watch(watch.get(), (root_ / "file").c_str(), IN_MODIFY | IN_ATTRIB), 0);
  out("mnt", "echo two >> file; chmod 600 file");
  char events[4096];
  pollfd ready = {.fd = watch.get(), .events = POLLIN, .revents = 0};
  ASSERT_EQ(::poll(&ready, 1, 5000), 1);
  const ssize_t size = ::read(watch.get(), events, sizeof events);
  uint32_t seen = 0;
  for (ssize_t at = 0; at < size;) {
    const auto* event = reinterpret_cast<const inotify_event*>(events + at);
    seen |= event->mask;
    at += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
  }
  EXPECT_EQ(seen & (IN_MODIFY | IN_ATTRIB), static_cast<uint32_t>(IN_MODIFY | IN_ATTRIB));
}

}  // namespace
}  // namespace layerfs::test
