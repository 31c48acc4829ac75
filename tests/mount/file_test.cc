// What programs do with one file: kinds of I/O, locks, holes, files without a name.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "fs/sys/unique_fd.h"
#include "tests/mount/union_fixture.h"

namespace layerfs::test {
namespace {

namespace fs = std::filesystem;

class File : public Union {
 protected:
  sys::UniqueFd open(const std::string& name, int flags) const {
    sys::UniqueFd fd(::open((root_ / name).c_str(), flags | O_CLOEXEC, 0644));
    EXPECT_TRUE(fd) << name << ": " << errno;
    return fd;
  }
  // Whether `body` is true in another process.
  static bool elsewhere(const std::function<bool()>& body) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(body() ? 0 : 1);
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }
};

TEST_F(File, DirectIoSeesWhatOrdinaryIoWroteAndBack) {
  mount("head -c 16384 /dev/zero | tr '\\0' x > lower/file");
  void* memory = nullptr;
  ASSERT_EQ(::posix_memalign(&memory, 4096, 4096), 0);
  const std::unique_ptr<char, void (*)(void*)> page(static_cast<char*>(memory), &::free);
  {
    const sys::UniqueFd lower = open("file", O_RDONLY | O_DIRECT);
    EXPECT_EQ(::pread(lower.get(), page.get(), 4096, 4096), 4096);
    EXPECT_EQ(page.get()[0], 'x');
  }
  const sys::UniqueFd plain = open("file", O_RDWR);
  ASSERT_EQ(::pwrite(plain.get(), "ordinary", 8, 4096), 8);
  const sys::UniqueFd direct = open("file", O_RDWR | O_DIRECT);
  EXPECT_EQ(::pread(direct.get(), page.get(), 4096, 4096), 4096);
  EXPECT_EQ(std::string(page.get(), 9), "ordinaryx");
  std::fill_n(page.get(), 4096, 'd');
  EXPECT_EQ(::pwrite(direct.get(), page.get(), 4096, 8192), 4096);
  char got[4] = {};
  EXPECT_EQ(::pread(plain.get(), got, 4, 8192), 4);
  EXPECT_EQ(std::string(got, 4), "dddd");
}

TEST_F(File, MappingsWriteAndAreWritten) {
  mount("printf 0123456789 > lower/file");
  const sys::UniqueFd fd = open("file", O_RDWR);
  auto* map =
      static_cast<char*>(::mmap(nullptr, 10, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0));
  ASSERT_NE(map, MAP_FAILED);
  map[1] = 'm';
  ASSERT_EQ(::pwrite(fd.get(), "w", 1, 3), 1);
  EXPECT_EQ(std::string(map, 5), "0m2w4");
  ASSERT_EQ(::msync(map, 10, MS_SYNC), 0);
  EXPECT_EQ(read_file(root_ / "file"), "0m2w456789");
  ::munmap(map, 10);
  EXPECT_EQ(read_file(dir_ / "lower/file"), "0123456789");
}

TEST_F(File, SendfileSpliceAndCopyFileRangeMoveItsData) {
  mount("seq 20000 > lower/from");
  const std::string content = read_file(root_ / "from");
  const auto size = content.size();
  const sys::UniqueFd from = open("from", O_RDONLY);
  {
    const sys::UniqueFd to = open("sent", O_WRONLY | O_CREAT);
    off_t at = 0;
    while (at < static_cast<off_t>(size)) ASSERT_GT(::sendfile(to.get(), from.get(), &at, size), 0);
  }
  {
    const sys::UniqueFd to = open("copied", O_WRONLY | O_CREAT);
    loff_t in = 0;
    while (in < static_cast<loff_t>(size))
      ASSERT_GT(::copy_file_range(from.get(), &in, to.get(), nullptr, size, 0), 0);
  }
  {
    const sys::UniqueFd to = open("spliced", O_WRONLY | O_CREAT);
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    loff_t in = 0;
    while (in < static_cast<loff_t>(size)) {
      const ssize_t moved = ::splice(from.get(), &in, ends[1], nullptr, 65536, 0);
      ASSERT_GT(moved, 0);
      ASSERT_EQ(::splice(ends[0], nullptr, to.get(), nullptr, static_cast<size_t>(moved), 0),
                moved);
    }
    ::close(ends[0]);
    ::close(ends[1]);
  }
  for (const char* name : {"sent", "copied", "spliced"})
    EXPECT_EQ(read_file(root_ / name), content) << name;
}

TEST_F(File, LocksExcludeOtherProcesses) {
  mount("echo x > lower/file");
  const sys::UniqueFd mine = open("file", O_RDWR);
  const auto try_flock = [&] {
    return ::flock(open("file", O_RDWR).get(), LOCK_EX | LOCK_NB) == 0;
  };
  ASSERT_EQ(::flock(mine.get(), LOCK_EX), 0);
  EXPECT_FALSE(elsewhere(try_flock));
  ASSERT_EQ(::flock(mine.get(), LOCK_UN), 0);
  EXPECT_TRUE(elsewhere(try_flock));

  for (const int command : {F_SETLK, F_OFD_SETLK}) {
    struct flock range = {};
    range.l_type = F_WRLCK;
    range.l_whence = SEEK_SET;
    range.l_start = 10;
    range.l_len = 5;
    ASSERT_EQ(::fcntl(mine.get(), command, &range), 0);
    const auto try_at = [&](off_t at) {
      struct flock other = {};
      other.l_type = F_WRLCK;
      other.l_whence = SEEK_SET;
      other.l_start = at;
      other.l_len = 1;
      return ::fcntl(open("file", O_RDWR).get(), command, &other) == 0;
    };
    EXPECT_FALSE(elsewhere([&] { return try_at(12); })) << command;
    EXPECT_TRUE(elsewhere([&] { return try_at(15); })) << command;
    range.l_type = F_UNLCK;
    ASSERT_EQ(::fcntl(mine.get(), command, &range), 0);
    EXPECT_TRUE(elsewhere([&] { return try_at(12); })) << command;
  }
}

TEST_F(File, ALockOutlivesTheCopyUpOfItsFile) {
  mount("echo x > lower/file");
  const sys::UniqueFd reader = open("file", O_RDONLY);
  ASSERT_EQ(::flock(reader.get(), LOCK_SH), 0);
  out("mnt", "echo y >> file");
  EXPECT_FALSE(
      elsewhere([&] { return ::flock(open("file", O_RDWR).get(), LOCK_EX | LOCK_NB) == 0; }));
}

TEST_F(File, WithoutANameIsLinkedIn) {
  mount("mkdir lower/d");
  const sys::UniqueFd fd = open("d", O_TMPFILE | O_RDWR);
  ASSERT_EQ(::write(fd.get(), "unnamed", 7), 7);
  EXPECT_EQ(out("mnt", "ls d"), "");
  const std::string self = "/proc/self/fd/" + std::to_string(fd.get());
  ASSERT_EQ(
      ::linkat(AT_FDCWD, self.c_str(), AT_FDCWD, (root_ / "d/named").c_str(), AT_SYMLINK_FOLLOW),
      0);
  EXPECT_EQ(read_file(root_ / "d/named"), "unnamed");
  mount_again();
  EXPECT_EQ(read_file(root_ / "d/named"), "unnamed");
}

TEST_F(File, KeepsItsHolesWhenItIsCopiedUp) {
  mount(
      "truncate -s 64M lower/sparse; printf data | dd of=lower/sparse bs=1M seek=32 conv=notrunc "
      "status=none");
  out("mnt", "printf x | dd of=sparse bs=1 conv=notrunc status=none");
  EXPECT_EQ(attr_of(root_ / "sparse").st_size, 64 << 20);
  EXPECT_LT(attr_of(dir_ / "upper/sparse").st_blocks, 2048);
  EXPECT_EQ(out("mnt", "cmp -i 1:1 sparse ../lower/sparse"), "");
  const sys::UniqueFd fd = open("sparse", O_RDONLY);
  EXPECT_GT(::lseek(fd.get(), 1 << 20, SEEK_DATA), 31 << 20);
}

TEST_F(File, ChangesOfMetadataCopyNoData) {
  mount("for i in 1 2 3 4 5; do head -c 1000000 /dev/urandom > lower/$i; done");
  out("mnt", "chmod 600 1; chown 5:5 2; touch -h -d @1000 3; setfattr -n user.a -v b 4; ln 5 link");
  for (const char* name : {"1", "2", "3", "4", "5"}) {
    const fs::path upper = dir_ / "upper" / name;
    EXPECT_LE(attr_of(upper).st_blocks, 16) << name;  // of its xattrs
    EXPECT_GE(::getxattr(upper.c_str(), "trusted.overlay.metacopy", nullptr, 0), 0) << name;
    EXPECT_EQ(out("mnt", std::string("cmp ") + name + " ../lower/" + name), "");
  }
}

TEST_F(File, AclsAndDefaultAclsAreKeptAndInherited) {
  mount("mkdir lower/d; setfacl -d -m u:7:rwx lower/d; echo x > lower/f; setfacl -m g:8:r lower/f");
  out("mnt", "umask 077; echo y > d/new; mkdir d/sub; chmod 640 f; mv d e; mkdir e/sub2");
  EXPECT_EQ(out("mnt", "getfacl -cn e/new | grep user:7"), "user:7:rwx\t#effective:rw-\n");
  EXPECT_EQ(out("mnt",
                "getfacl -cn e/sub | grep default:user:7; getfacl -cn e/sub2 | grep "
                "default:user:7; getfacl -cn f | grep group:8"),
            "default:user:7:rwx\ndefault:user:7:rwx\ngroup:8:r--\n");
}

}  // namespace
}  // namespace layerfs::test
