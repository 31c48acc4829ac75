// The marks as kernel overlayfs itself writes them, byte for byte.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <optional>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "fs/layer/marks.h"
#include "fs/layer/origin.h"
#include "fs/layer/xattr_names.h"
#include "tests/support/command.h"
#include "tests/support/loop_fs.h"
#include "tests/support/temp_dir.h"

namespace layerfs::layer {
namespace {

using std::filesystem::path;

std::optional<std::string> xattr(const path& file, const std::string& name) {
  char value[1024];
  const ssize_t size = lgetxattr(file.c_str(), name.c_str(), value, sizeof value);
  if (size < 0) return std::nullopt;
  return std::string(value, static_cast<std::size_t>(size));
}

// The entries of work/index; the kernel keeps temporaries there too, named #...
std::set<std::string> index_entries(const path& directory) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    const std::string name = entry.path().filename();
    if (!name.starts_with('#')) names.insert(name);
  }
  return names;
}

void must(const std::string& script, const path& directory) {
  const test::Ran ran = test::shell(script, {.directory = directory});
  ASSERT_TRUE(ran.ok()) << script << ": " << ran.err;
}

// A lower and an upper on one file system, merged by the kernel at `merged`.
class KernelOverlay {
 public:
  KernelOverlay(const std::string& type, const std::string& options)
      : fs_(test::mount_new_fs(dir_, type)), options_(options) {
    for (const char* name : {"lower", "upper", "work", "merged"}) {
      std::filesystem::create_directory(fs_ / name);
    }
    const sys::UniqueFd fd(open(fs_.c_str(), O_RDONLY | O_DIRECTORY));
    uuid_ = sys::filesystem_uuid(fd.get());
  }

  void mount() {
    const std::string options = "lowerdir=" + (fs_ / "lower").string() +
                                ",upperdir=" + (fs_ / "upper").string() +
                                ",workdir=" + (fs_ / "work").string() + "," + options_;
    ASSERT_EQ(::mount("overlay", (fs_ / "merged").c_str(), "overlay", 0, options.c_str()), 0)
        << strerror(errno);
  }

  path lower(const std::string& name = "") const { return fs_ / "lower" / name; }
  path upper(const std::string& name = "") const { return fs_ / "upper" / name; }
  path merged(const std::string& name = "") const { return fs_ / "merged" / name; }
  path index() const { return fs_ / "work" / "index"; }
  const path& fs() const { return fs_; }
  const sys::Uuid& uuid() const { return uuid_; }
  void forget_uuid() { uuid_ = {}; }

  // What we say of a file below the root of the file system.
  std::string our_origin(const path& file, bool upper = false) const {
    const auto origin = origin_of(AT_FDCWD, file.c_str(), uuid_, upper);
    return origin ? format_origin(*origin).value_or("too long") : "no handle";
  }

 private:
  const test::TempDir dir_;
  const path fs_;
  const std::string options_;
  sys::Uuid uuid_ = {};
};

const std::string kOrigin = "trusted.overlay.origin";

class KernelFormatOn : public testing::TestWithParam<std::string> {};

TEST_P(KernelFormatOn, OriginIsTheSame) {
  KernelOverlay overlay(GetParam(), "redirect_dir=on,index=on,metacopy=on");
  must(
      "mkdir dir; echo 1 > dir/file; ln -s target link; mkfifo fifo; mknod device c 1 3; "
      "echo 2 > plain",
      overlay.lower());
  overlay.mount();
  must("chmod 600 plain; chown -h 1:1 link; chmod 600 fifo device; echo 3 >> dir/file",
       overlay.merged());
  EXPECT_NE(overlay.uuid(), sys::Uuid{});
  for (const char* name : {"dir", "dir/file", "link", "fifo", "device", "plain"}) {
    EXPECT_EQ(xattr(overlay.upper(name), kOrigin), overlay.our_origin(overlay.lower(name))) << name;
  }
}

TEST_P(KernelFormatOn, OriginLeadsBackToTheLowerFile) {
  KernelOverlay overlay(GetParam(), "redirect_dir=on,index=on,metacopy=on");
  must("mkdir dir; echo 1 > dir/file", overlay.lower());
  overlay.mount();
  must("chmod 600 dir/file", overlay.merged());
  const sys::UniqueFd root(open(overlay.fs().c_str(), O_RDONLY | O_DIRECTORY));
  for (const char* name : {"dir", "dir/file"}) {
    struct stat expected = {};
    ASSERT_EQ(stat(overlay.lower(name).c_str(), &expected), 0);
    const auto origin = parse_origin(xattr(overlay.upper(name), kOrigin).value());
    ASSERT_TRUE(origin);
    EXPECT_EQ(inode_number(origin->handle), expected.st_ino) << name;
    const auto opened = open_origin(root.get(), overlay.uuid(), *origin, O_PATH);
    ASSERT_TRUE(opened) << name << ' ' << opened.error().code();
    struct stat found = {};
    ASSERT_EQ(fstat(opened->get(), &found), 0);
    EXPECT_EQ(found.st_ino, expected.st_ino);
  }
}

TEST_P(KernelFormatOn, IndexAndLinkCountAreTheSame) {
  KernelOverlay overlay(GetParam(), "redirect_dir=on,index=on,metacopy=on");
  must("echo 1 > a; ln a b; ln a c; mkdir dir; ln a dir/d; echo 2 > single", overlay.lower());
  overlay.mount();
  must("chmod 600 a single; ln b new; rm c", overlay.merged());
  const std::string name = index_name(overlay.our_origin(overlay.lower("a")));
  EXPECT_EQ(index_entries(overlay.index()), std::set<std::string>{name});
  // Lower: a, b, c, d; upper: a, b, new and the index entry itself. Overlay: a, b, d, new.
  struct stat upper = {};
  ASSERT_EQ(stat(overlay.upper("a").c_str(), &upper), 0);
  const auto nlink = xattr(overlay.index() / name, "trusted.overlay.nlink");
  ASSERT_TRUE(nlink);
  const auto mark = parse_nlink(*nlink);
  ASSERT_TRUE(mark) << *nlink;
  EXPECT_EQ(format_nlink(*mark), *nlink);
  const int base = mark->of_upper ? static_cast<int>(upper.st_nlink) : 4;
  EXPECT_EQ(base + mark->difference, 4) << *nlink;
  EXPECT_EQ(parse_index_name(name), xattr(overlay.index() / name, kOrigin));
}

TEST_P(KernelFormatOn, RedirectOpaqueMetacopyAndImpureAreTheSame) {
  KernelOverlay overlay(GetParam(), "redirect_dir=on,index=on,metacopy=on");
  must("mkdir -p old/sub gone parent; echo 1 > gone/file; echo 2 > file; echo 3 > parent/moved",
       overlay.lower());
  overlay.mount();
  must(
      "mv old new; mv new/sub elsewhere; rm -r gone; mkdir gone; chmod 600 file; "
      "mv parent/moved renamed",
      overlay.merged());
  EXPECT_EQ(xattr(overlay.upper("new"), "trusted.overlay.redirect"), "old");
  EXPECT_EQ(xattr(overlay.upper("elsewhere"), "trusted.overlay.redirect"), "/old/sub");
  EXPECT_EQ(xattr(overlay.upper("renamed"), "trusted.overlay.redirect"), "/parent/moved");
  EXPECT_EQ(xattr(overlay.upper("gone"), "trusted.overlay.opaque"), kOpaqueValue);
  EXPECT_EQ(xattr(overlay.upper(), "trusted.overlay.impure"), kYes);
  const auto metacopy = xattr(overlay.upper("file"), "trusted.overlay.metacopy");
  ASSERT_TRUE(metacopy);
  EXPECT_TRUE(is_valid_metacopy(*metacopy));
  EXPECT_EQ(*metacopy, "");
  EXPECT_TRUE(is_valid_redirect("old") && is_valid_redirect("/old/sub"));
}

TEST_P(KernelFormatOn, DirectoriesInTheIndexNameTheUpper) {
  KernelOverlay overlay(GetParam(), "redirect_dir=on,index=on,nfs_export=on");
  must("mkdir dir; echo 1 > dir/file", overlay.lower());
  overlay.mount();
  must("chmod 700 dir", overlay.merged());
  const path entry = overlay.index() / index_name(overlay.our_origin(overlay.lower("dir")));
  EXPECT_EQ(xattr(entry, "trusted.overlay.upper"), overlay.our_origin(overlay.upper("dir"), true));
}

TEST_P(KernelFormatOn, UuidOffLeavesItOut) {
  KernelOverlay overlay(GetParam(), "index=on,uuid=off");
  must("echo 1 > file", overlay.lower());
  overlay.mount();
  must("chmod 600 file", overlay.merged());
  overlay.forget_uuid();
  EXPECT_EQ(xattr(overlay.upper("file"), kOrigin), overlay.our_origin(overlay.lower("file")));
}

INSTANTIATE_TEST_SUITE_P(FileSystems, KernelFormatOn,
                         testing::Values("ext4", "xfs", "btrfs", "tmpfs"),
                         [](const auto& test) { return test.param; });

TEST(OpenOrigin, OnAnotherFileSystemIsStale) {
  const test::TempDir dir;
  test::write_file(dir / "file", "1");
  const sys::UniqueFd root(open(dir.path().c_str(), O_RDONLY | O_DIRECTORY));
  const auto uuid = sys::filesystem_uuid(root.get());
  auto origin = origin_of(root.get(), "file", uuid);
  ASSERT_TRUE(origin);
  ASSERT_TRUE(open_origin(root.get(), uuid, *origin, O_PATH));
  origin->uuid[0] ^= std::byte{1};
  EXPECT_EQ(open_origin(root.get(), uuid, *origin, O_PATH).error().code(), ESTALE);
}

TEST(OpenOrigin, OfARemovedFileIsStale) {
  const test::TempDir dir;
  test::write_file(dir / "file", "1");
  const sys::UniqueFd root(open(dir.path().c_str(), O_RDONLY | O_DIRECTORY));
  const auto uuid = sys::filesystem_uuid(root.get());
  const auto origin = origin_of(root.get(), "file", uuid);
  ASSERT_TRUE(origin);
  std::filesystem::remove(dir / "file");
  EXPECT_EQ(open_origin(root.get(), uuid, *origin, O_PATH).error().code(), ESTALE);
}

TEST(HandleOf, AFileSystemWithoutHandlesIsUnsupported) {
  EXPECT_EQ(sys::handle_of(AT_FDCWD, "/proc/self/status").error().code(), EOPNOTSUPP);
}

TEST(InodeNumber, OfAnUnknownHandleIsNothing) {
  EXPECT_FALSE(inode_number({1, "1234"}));
  EXPECT_FALSE(inode_number({0xfe, "12345678"}));
  EXPECT_FALSE(inode_number({0x4d, "12345678"}));
  EXPECT_FALSE(inode_number({0, ""}));
}

class KernelNames : public testing::TestWithParam<bool> {
 protected:
  KernelNames() : prefix_(GetParam() ? "user.overlay." : "trusted.overlay.") {}

  const std::string prefix_;
  const XattrNames names_{GetParam()};
};

TEST_P(KernelNames, LieWhereTheKernelPutsThem) {
  KernelOverlay overlay("ext4", GetParam() ? "userxattr" : "redirect_dir=on");
  overlay.mount();
  const std::string other = GetParam() ? "trusted.overlay." : "user.overlay.";
  const std::string longest(255 - prefix_.size() - 8, 'x');
  test::write_file(overlay.merged("file"), "1");
  for (const std::string& name :
       {std::string("user.plain"), std::string("trusted.plain"), prefix_ + "opaque",
        prefix_ + "own", prefix_ + "overlay.own", prefix_ + "overlay.overlay.own", other + "own",
        std::string("user.overlayx"), prefix_ + longest}) {
    ASSERT_EQ(setxattr(overlay.merged("file").c_str(), name.c_str(), "v", 1, 0), 0)
        << name << ' ' << strerror(errno);
    const auto on_disk = names_.on_disk(name);
    ASSERT_TRUE(on_disk);
    EXPECT_EQ(xattr(overlay.upper("file"), *on_disk), "v") << name;
    EXPECT_FALSE(names_.is_private(*on_disk)) << *on_disk;
    EXPECT_EQ(names_.visible(*on_disk), name);
    EXPECT_EQ(removexattr(overlay.merged("file").c_str(), name.c_str()), 0);
    EXPECT_EQ(xattr(overlay.upper("file"), *on_disk), std::nullopt);
  }
}

TEST_P(KernelNames, TooLongToBeEscapedAreRefusedAlike) {
  KernelOverlay overlay("ext4", GetParam() ? "userxattr" : "redirect_dir=on");
  overlay.mount();
  test::write_file(overlay.merged("file"), "1");
  const std::string name = prefix_ + std::string(255 - prefix_.size() - 7, 'x');
  ASSERT_EQ(setxattr(overlay.merged("file").c_str(), name.c_str(), "v", 1, 0), -1);
  const int set = errno;
  ASSERT_EQ(getxattr(overlay.merged("file").c_str(), name.c_str(), nullptr, 0), -1);
  EXPECT_EQ(errno, set);
  EXPECT_EQ(names_.on_disk(name).error().code(), set);
}

TEST_P(KernelNames, AreListedAlike) {
  KernelOverlay overlay("ext4", GetParam() ? "userxattr" : "redirect_dir=on");
  test::write_file(overlay.lower("file"), "1");
  const auto set = [&](const std::string& name) {
    ASSERT_EQ(setxattr(overlay.lower("file").c_str(), name.c_str(), "v", 1, 0), 0) << name;
  };
  for (const char* name : {"user.plain", "trusted.plain", "user.overlay.x", "trusted.overlay.x",
                           "user.overlay.overlay.y", "trusted.overlay.overlay.y",
                           "trusted.overlay.overlay.overlay.z"}) {
    set(name);
  }
  overlay.mount();
  const auto list = [](const path& file) {
    char names[4096];
    const ssize_t size = listxattr(file.c_str(), names, sizeof names);
    std::set<std::string> found;
    for (const char* name = names; name < names + size; name += strlen(name) + 1) {
      found.insert(name);
    }
    return found;
  };
  std::set<std::string> ours;
  for (const auto& name : list(overlay.lower("file"))) {
    if (!names_.is_private(name)) ours.insert(names_.visible(name));
  }
  EXPECT_EQ(ours, list(overlay.merged("file")));
  EXPECT_GE(ours.size(), 5u);
}

INSTANTIATE_TEST_SUITE_P(Prefixes, KernelNames, testing::Bool(),
                         [](const auto& test) { return test.param ? "user" : "trusted"; });

}  // namespace
}  // namespace layerfs::layer
