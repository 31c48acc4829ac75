// Files that lose one of several names, as git, mail deliveries, package managers and lock files do
// it all the time.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "fs/sys/unique_fd.h"
#include "tests/mount/union_fixture.h"

namespace layerfs::test {
namespace {

namespace fs = std::filesystem;

class LostName : public Union {
 protected:
  static std::ptrdiff_t descriptors() {
    return std::distance(fs::directory_iterator("/proc/self/fd"), {});
  }

  sys::UniqueFd open(const std::string& name, int flags) const {
    sys::UniqueFd fd(::open((root_ / name).c_str(), flags, 0600));
    EXPECT_TRUE(fd) << name << ": " << errno;
    return fd;
  }
  void link(const std::string& from, const std::string& to) const {
    EXPECT_EQ(::link((root_ / from).c_str(), (root_ / to).c_str()), 0) << to << ": " << errno;
  }
  void unlink(const std::string& name) const {
    EXPECT_EQ(::unlink((root_ / name).c_str()), 0) << name << ": " << errno;
  }
};

// The issue's own: cp -al, and the first names go.
TEST_F(LostName, ATreeOfLinksFitsUnderALowLimit) {
  mount("true");
  out("mnt", "mkdir a; for i in $(seq 650); do echo $i > a/f$i; done");
  rlimit before = {};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit few = {.rlim_cur = static_cast<rlim_t>(descriptors()) + 70,
                      .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  EXPECT_EQ(out("mnt", "cp -al a b; rm -r a; ls b | wc -l; ls -l b | wc -l"), "650\n651\n");
  EXPECT_EQ(out("mnt", "mv b/f640 g; cat g; cat b/* | wc -l; stat -c %h b/* | sort | uniq -c"),
            "640\n649\n    649 1\n");
  EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
}

// Objects of git, written to a temporary name in their directory; mail, in another.
TEST_F(LostName, AHundredThousandNamesGivenAndTakenKeepNoDescriptor) {
  mount("true");
  constexpr int kDirs = 20, kFiles = 50'000;
  for (int i = 0; i < kDirs; ++i) fs::create_directories(root_ / ("d" + std::to_string(i)));
  fs::create_directory(root_ / "tmp");
  const std::ptrdiff_t before = descriptors();
  std::ptrdiff_t most = 0;
  const auto requests = mount_->requests_of([&] {
    for (int i = 0; i < kFiles; ++i) {
      const std::string dir = "d" + std::to_string(i % kDirs) + "/", own = std::to_string(i);
      const std::string tmp = (i % 2 == 0 ? dir : "tmp/") + "new" + own;
      open(tmp, O_WRONLY | O_CREAT | O_EXCL);
      link(tmp, dir + own);
      unlink(tmp);
      if (i % 1000 == 0) most = std::max(most, descriptors());
    }
  });
  EXPECT_LE(most, before + 100);  // the cache of directories, and what is in use meanwhile
  // Each creation, link and removal, what asks for the two new names, and what asks for the
  // directory's attributes after each change.
  std::map<std::string, std::uint64_t> expected;
  for (const char* kind : {"CREATE", "RELEASE", "LINK", "UNLINK"}) expected[kind] = kFiles;
  expected["LOOKUP"] = 2 * std::uint64_t{kFiles};
  expected["GETATTR"] = 3 * std::uint64_t{kFiles};
  for (const auto& [kind, count] : requests) EXPECT_LE(count, expected[kind] + 100) << kind;
  EXPECT_EQ(out("mnt", "for d in d*; do ls $d; done | wc -l; ls tmp | wc -l"), "50000\n0\n");
  EXPECT_LE(descriptors(), before + 100);
}

// A process that has it open, by any way, has the file that it opened.
TEST_F(LostName, DescriptorsWorkInEveryOrder) {
  mount("mkdir lower/e; echo lower > lower/x; ln lower/x lower/e/y; mkdir lower/d");
  const std::array<std::string, 3> names = {"d/a", "d/b", "e/c"};
  std::vector<std::size_t> order = {0, 1, 2};
  int round = 0;
  do {
    SCOPED_TRACE(testing::Message() << order[0] << order[1] << order[2]);
    const std::string content = "content " + std::to_string(++round) + "\n";
    out("mnt", "printf '" + content + "' > d/a; ln d/a d/b; ln d/b e/c");
    const sys::UniqueFd written = open(names[order[0]], O_RDWR);
    const sys::UniqueFd read = open(names[order[1]], O_RDONLY);
    const sys::UniqueFd path = open(names[order[2]], O_PATH);
    void* const mapped = ::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, read.get(), 0);
    ASSERT_NE(mapped, MAP_FAILED);
    for (std::size_t gone = 0; gone < 3; ++gone) {
      unlink(names[order[gone]]);
      const mode_t mode = 0600 + static_cast<mode_t>(gone);
      EXPECT_EQ(::fchmod(written.get(), mode), 0) << errno;
      EXPECT_EQ(::pwrite(written.get(), std::to_string(gone).c_str(), 1, 0), 1) << errno;
      for (const sys::UniqueFd* fd : {&written, &read, &path}) {
        struct stat st = {};
        EXPECT_EQ(::fstat(fd->get(), &st), 0) << errno;
        EXPECT_EQ(st.st_nlink, 2 - gone);
        EXPECT_EQ(st.st_mode & 07777, mode);
      }
      EXPECT_EQ(*static_cast<const char*>(mapped), static_cast<char>('0' + gone));
      for (std::size_t left = gone + 1; left < 3; ++left)
        EXPECT_EQ(read_file(root_ / names[order[left]]), std::to_string(gone) + content.substr(1));
    }
    EXPECT_EQ(::munmap(mapped, 4096), 0);
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST_F(LostName, OfAFileOfAnEarlierMountWhoseOtherNameNobodyKnows) {
  mount("true");
  out("mnt", "mkdir d e; echo one > d/a; ln d/a e/b");
  mount_again();
  const sys::UniqueFd held = open("d/a", O_RDWR);
  unlink("d/a");
  EXPECT_EQ(::fchmod(held.get(), 0604), 0) << errno;
  EXPECT_EQ(::pwrite(held.get(), "O", 1, 0), 1);
  EXPECT_EQ(out("mnt", "cat e/b; stat -c '%a %h' e/b"), "One\n604 1\n");
  EXPECT_EQ(::fchmod(held.get(), 0640), 0) << errno;
  EXPECT_EQ(out("mnt", "stat -c %a e/b; mv e/b d/a; cat d/a"), "640\nOne\n");
}

// What programs of every day do: mail delivery, git, package stores, lock files.
TEST_F(LostName, LockFilesDeliveriesAndTreesOfLinks) {
  mount(
      "mkdir -p lower/store lower/p; for i in 1 2 3; do echo $i > lower/store/$i; done; ln "
      "lower/store/1 lower/p/1");
  // A lock file: a name of one's own, linked to the one that all know.
  out("mnt",
      "for i in 1 2 3; do echo $i > lock.$i; ln lock.$i lock; test $(stat -c %h lock.$i) = 2; rm "
      "lock.$i; test $(cat lock) = $i; rm lock; done");
  // rsync --link-dest, three times over, and the oldest goes.
  EXPECT_EQ(out("mnt",
                "mkdir s1; cp store/* s1; cp -al s1 s2; rm s2/2; echo new > s2/2; cp -al s2 s3; rm "
                "-r s1; stat -c '%n %h' s2/* s3/*; cat s2/* s3/*; rm -r s2; stat -c '%h' s3/*"),
            "s2/1 2\ns2/2 2\ns2/3 2\ns3/1 2\ns3/2 2\ns3/3 2\n1\nnew\n3\n1\nnew\n3\n1\n1\n1\n");
  // A store of files that trees link to, lower ones among them.
  EXPECT_EQ(out("mnt",
                "mkdir q; ln store/* q; rm -r store; cat q/* p/1; stat -c '%h' q/* p/1; chmod 600 "
                "q/1; rm q/1; stat -c '%h %a' p/1; cat p/1"),
            "1\n2\n3\n1\n2\n1\n1\n2\n1 600\n1\n");
  mount_again();
  EXPECT_EQ(out("mnt", "cat p/1 q/* s3/*; ls; stat -c '%h' p/1 q/*"),
            "1\n2\n3\n1\nnew\n3\np\nq\ns3\n1\n1\n1\n");
}

}  // namespace
}  // namespace layerfs::test
