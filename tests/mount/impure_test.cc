// overlay.impure: the mark of directories that show inode numbers of lower layers.
#include <dirent.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <algorithm>
#include <memory>
#include <vector>

#include <gmock/gmock.h>

#include "tests/mount/beside_kernel.h"

namespace layerfs::test {
namespace {

constexpr const char* kLower =
    "mkdir -p a/sub b/sub c/sub d e/sub deep/x/y; "
    "for dir in a b c d e a/sub b/sub c/sub deep/x/y; do echo f >$dir/f; echo g >$dir/g; done; "
    "ln d/f d/link; ln -s nowhere e/symlink";
// Copies up files, a hard link, a symlink and directories; moves, links, exchanges and removes.
constexpr const char* kChanges =
    "chmod 600 a/f; chmod 700 b/sub; chmod 600 d/f; echo + >>deep/x/y/f; touch -h e/symlink; "
    "mkdir plain merged file linked onto; echo n >plain/new; "
    "mv c/sub merged/sub; mv c/g file/g; ln a/g linked/g; mv -T e/sub onto/sub; rm b/f; "
    "mkdir over; mv b over/b; mkdir -m 700 c/new";

std::vector<std::string> impure_in(const std::filesystem::path& upper) {
  std::vector<std::string> found;
  const auto look = [&](const std::filesystem::path& dir) {
    if (getxattr(dir.c_str(), "trusted.overlay.impure", nullptr, 0) > 0)
      found.push_back(std::filesystem::relative(dir, upper));
  };
  look(upper);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(upper))
    if (entry.is_directory() && !entry.is_symlink()) look(entry.path());
  std::sort(found.begin(), found.end());
  return found;
}

// The names that are listed with another inode number than they have.
std::vector<std::string> differing_in(const std::filesystem::path& dir) {
  std::vector<std::string> found;
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(opendir(dir.c_str()), closedir);
  while (const dirent* entry = readdir(stream.get())) {
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    struct stat attr = {};
    EXPECT_EQ(lstat((dir / name).c_str(), &attr), 0) << name;
    if (attr.st_ino != entry->d_ino) found.push_back(dir / name);
    if (!S_ISDIR(attr.st_mode)) continue;
    for (std::string& below : differing_in(dir / name)) found.push_back(std::move(below));
  }
  return found;
}

class Impure : public BesideKernel {
 protected:
  void make_lower(const std::filesystem::path& where) {
    std::filesystem::create_directories(where);
    ASSERT_TRUE(shell(kLower, {.directory = where}).ok());
  }
};

// The lower is kernel overlayfs, which has no file handles.
TEST_F(Impure, DirectoriesAreMarkedAsByTheKernelWithoutOriginsToo) {
  ASSERT_NO_FATAL_FAILURE(make_lower(dir_ / "source"));
  const std::string data =
      "lowerdir=" + (dir_ / "source").string() + ":" + dir_.make("nothing").string();
  ASSERT_EQ(::mount("overlay", dir_.make("inner").c_str(), "overlay", 0, data.c_str()), 0);
  ASSERT_NO_FATAL_FAILURE(mount_over(dir_ / "inner"));
  expect_alike(kChanges);
  EXPECT_EQ(impure_in(ours_.upper), impure_in(kernel_.upper));
}

TEST_F(Impure, TheKernelListsTheInodeNumbersThatFilesHave) {
  ASSERT_NO_FATAL_FAILURE(make_lower(scratch_ / "lower"));
  ASSERT_NO_FATAL_FAILURE(mount_over(scratch_ / "lower"));
  expect_alike(kChanges);
  EXPECT_EQ(impure_in(ours_.upper), impure_in(kernel_.upper));
  EXPECT_THAT(differing_in(ours_.root), testing::IsEmpty());
  mount_.reset();
  mount_ours();
  EXPECT_THAT(differing_in(ours_.root), testing::IsEmpty());
  give_ours_to_kernel();
  EXPECT_THAT(differing_in(ours_.root), testing::IsEmpty());
}

}  // namespace
}  // namespace layerfs::test
