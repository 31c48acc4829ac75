// Names: listings while others change the directory, and renames of whole trees.
#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/mount/union_fixture.h"

namespace layerfs::test {
namespace {

namespace fs = std::filesystem;
using DirPtr = std::unique_ptr<DIR, int (*)(DIR*)>;

class Names : public Union {
 protected:
  static DirPtr open_dir(const fs::path& path) {
    return DirPtr(::opendir(path.c_str()), &closedir);
  }
};

TEST_F(Names, AListingHasEachNameThatStaysOnceWhileOthersComeAndGo) {
  mount(
      "mkdir lower/d; cd lower/d; seq -f 'stays-%g' 600 | xargs touch; seq -f 'goes-%g' 300 | "
      "xargs "
      "touch; mkdir ../../below/d; cd ../../below/d; seq -f 'below-%g' 400 | xargs touch");
  out("mnt/d", "seq -f 'upper-%g' 200 | xargs touch");
  std::atomic<bool> stop{false};
  std::vector<std::thread> others;
  for (int id = 0; id < 3; ++id) {
    others.emplace_back([&, id] {
      for (int i = 1; !stop; i = i % 300 + 1) {
        const fs::path base = root_ / "d";
        const std::string own = std::to_string(id) + "-" + std::to_string(i);
        std::error_code ignored;
        fs::create_directory(base / ("new-" + own), ignored);
        fs::rename(base / ("goes-" + std::to_string(i)), base / ("went-" + own), ignored);
        fs::remove(base / ("new-" + own), ignored);
        fs::rename(base / ("went-" + own), base / ("goes-" + std::to_string(i)), ignored);
      }
    });
  }
  for (int round = 0; round < 30; ++round) {
    std::multiset<std::string> seen;
    const DirPtr dir = open_dir(root_ / "d");
    while (const dirent* entry = ::readdir(dir.get())) seen.insert(entry->d_name);
    for (const std::string& name : seen) EXPECT_EQ(seen.count(name), 1U) << name;
    for (const auto& [kind, count] :
         std::map<std::string, int>{{"stays", 600}, {"below", 400}, {"upper", 200}})
      for (int i = 1; i <= count; ++i)
        EXPECT_EQ(seen.count(kind + "-" + std::to_string(i)), 1U) << kind << i;
  }
  stop = true;
  for (std::thread& each : others) each.join();
}

TEST_F(Names, PositionsInAListingHoldWhileItChanges) {
  mount("mkdir lower/d; cd lower/d; seq -f 'n%g' 500 | xargs touch");
  const DirPtr dir = open_dir(root_ / "d");
  std::vector<std::pair<long, std::string>> walk;
  while (const dirent* entry = ::readdir(dir.get()))
    walk.emplace_back(::telldir(dir.get()), entry->d_name);
  ASSERT_EQ(walk.size(), 502U);
  for (std::size_t i = 10; i < 500; i += 3) ::unlink((root_ / "d" / walk[i].second).c_str());
  out("mnt/d", "seq -f 'later%g' 200 | xargs touch");
  for (std::size_t i = 11; i + 3 < 500; i += 3) {
    ::seekdir(dir.get(), walk[i].first);
    std::string next;
    do next = ::readdir(dir.get())->d_name;
    while (next.starts_with("later"));
    EXPECT_EQ(next, walk[i + 1].second) << i;
  }
}

// The blocks of what is removed may be given back more slowly than names are taken away, and until
// then each costs a descriptor.
TEST_F(Names, RemovalsDoNotExhaustTheDescriptors) {
  mount("echo x > lower/one; ln lower/one lower/other");
  out("mnt",
      "echo y >> one; mkdir d; cd d; for i in $(seq 1000); do echo x > $i; done; sync -f ../..");
  rlimit before = {};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const auto used = std::distance(fs::directory_iterator("/proc/self/fd"), {});
  const rlimit few = {.rlim_cur = static_cast<rlim_t>(used) + 70, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  for (int i = 1; i <= 1000; ++i) {
    const std::string name = root_ / "d" / std::to_string(i);
    EXPECT_EQ(::unlink(name.c_str()), 0) << name << ": " << std::strerror(errno);
  }
  EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
}

TEST_F(Names, ALowerTreeOfTwentyThousandFilesIsRemoved) {
  mount(
      "mkdir -p lower/t; cd lower/t; for d in $(seq 40); do mkdir $d; (cd $d; seq 500 | xargs "
      "touch); "
      "done");
  out("mnt", "rm -rf t");
  EXPECT_FALSE(fs::exists(root_ / "t"));
  mount_again();
  EXPECT_FALSE(fs::exists(root_ / "t"));
  EXPECT_EQ(out("upper", "find . | wc -l"), "2\n");  // one whiteout
}

TEST_F(Names, WhatRemovedDirectoriesHeldLeavesTheWorkDirectory) {
  mount(
      "mkdir -p lower/t; cd lower/t; for d in $(seq 30); do mkdir $d; (cd $d; seq 50 | xargs "
      "touch); done");
  out("mnt", "rm -rf t; mkdir new other; touch other/file; rm other/file; mv -T new other");
  // By and by while the mount lives.
  const std::string wait =
      "for i in $(seq 500); do [ $(find . -mindepth 1 -type d | wc -l) = 0 ] && exit 0; "
      "sleep 0.02; done; find .; exit 1";
  out("work/work", wait);
  // And before it has ended.
  out("mnt", "mkdir -p d; rmdir d");
  mount_.reset();
  EXPECT_EQ(out("work/work", "find . -mindepth 1"), "");
}

TEST_F(Names, RenamingALowerTreeCopiesNothingUp) {
  mount(
      "mkdir -p lower/a/deep below/a; cd lower/a; seq 300 | xargs touch; cd ../../below/a; seq -f "
      "'b%g' 300 | xargs touch; echo in > deep-file");
  const auto requests = mount_->requests_of([&] { fs::rename(root_ / "a", root_ / "b"); });
  EXPECT_EQ(requests.at("RENAME"), 1U);
  EXPECT_EQ(out("upper", "find . -type f | wc -l"), "0\n");
  EXPECT_EQ(out("mnt", "ls b | wc -l; cat b/deep-file; test ! -e a"), "602\nin\n");
  mount_again();
  EXPECT_EQ(out("mnt", "ls b | wc -l; cat b/deep-file; test ! -e a"), "602\nin\n");
}

TEST_F(Names, TreesAreRenamedOverUnderAndWithEachOther) {
  mount(
      "mkdir -p lower/a/x lower/b/y below/a/z below/c; echo a > lower/a/f; echo b > lower/b/f; "
      "echo "
      "z > below/a/z/f; echo c > below/c/f; mkdir lower/empty");
  out("mnt", "mv -T a empty; mv b empty/x/b; mkdir a; echo fresh > a/f");
  ASSERT_EQ(::renameat2(AT_FDCWD, (root_ / "a").c_str(), AT_FDCWD, (root_ / "empty").c_str(),
                        RENAME_EXCHANGE),
            0);
  const std::string tree = "a/f a/x/b/f a/z/f c/f empty/f";
  EXPECT_EQ(out("mnt", "cat " + tree), "a\nb\nz\nc\nfresh\n");
  mount_again();
  EXPECT_EQ(out("mnt", "cat " + tree + "; ls a/x/b empty"),
            "a\nb\nz\nc\nfresh\na/x/b:\nf\ny\n\nempty:\nf\n");
}

TEST_F(Names, DescriptorsAndWorkingDirectoriesStayInATreeThatIsRenamed) {
  mount("mkdir -p lower/a/deep/er; echo in > lower/a/deep/file");
  const std::string result =
      out("mnt",
          "cd a/deep/er; exec 3< ../file; mv $OLDPWD/a $OLDPWD/moved; echo new > here; cat ../file "
          "<&3; cd -P ..; pwd -P | sed 's,.*/mnt,,'; ls er; rm -r er; ls");
  EXPECT_EQ(result, "in\n/moved/deep\nhere\nfile\n");
  EXPECT_EQ(out("mnt", "find moved | sort"), "moved\nmoved/deep\nmoved/deep/file\n");
}

}  // namespace
}  // namespace layerfs::test
