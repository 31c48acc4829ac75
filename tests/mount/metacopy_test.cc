// Files whose attributes are in one layer and whose data is in another below, beside the kernel's
// overlayfs, which makes the layers.
#include <fcntl.h>

#include <filesystem>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "fs/layer/index_writer.h"
#include "fs/sys/unique_fd.h"
#include "tests/mount/union_fixture.h"
#include "tests/support/loop_fs.h"

namespace layerfs::test {
namespace {

// The kernel's mount of layers that have metacopies, at the directory "kernel" until this goes.
class KernelMount {
 public:
  KernelMount(std::filesystem::path fs, const std::string& lowers, const std::string& upper)
      : fs_(std::move(fs)) {
    script(
        fmt::format("mkdir -p kernel {0} {0}.work; mount -t overlay -o metacopy=on,index=on,"
                    "redirect_dir=on,lowerdir={1},upperdir={0},workdir={0}.work none kernel",
                    upper, lowers));
  }
  KernelMount(const KernelMount&) = delete;
  KernelMount& operator=(const KernelMount&) = delete;
  ~KernelMount() { script("umount kernel"); }

  std::string script(const std::string& text) const {
    const Ran ran = shell(text, {.directory = fs_});
    EXPECT_TRUE(ran.ok()) << ran.err;
    return ran.out;
  }

 private:
  std::filesystem::path fs_;
};

class Metacopy : public Union, public testing::WithParamInterface<bool> {
 protected:
  // "bottom" has the data; "middle" and "top", metacopies of "bottom" and of "middle".
  void SetUp() override {
    fs_ = mount_new_fs(dir_, "ext4");
    ASSERT_TRUE(
        shell("mkdir -p bottom/d; for f in once twice stays d/in both1; do"
              " head -c 100000 /dev/urandom > bottom/$f; done; ln bottom/both1 bottom/both2",
              {.directory = fs_})
            .ok());
    KernelMount(fs_, "bottom", "middle")
        .script("cd kernel; chmod 600 once twice both1; mv once moved; mv d e; chmod 700 e/in");
    KernelMount(fs_, "middle:bottom", "top")
        .script("cd kernel; chmod 604 twice; chmod 640 moved; mv moved again");
  }
  void mount_layers() {
    for (const char* name : {"upper", "work", "mnt"}) dir_.make("fs-ext4/" + std::string(name));
    fuse::MountOptions options;
    for (const std::string name : {"top", "middle", "bottom"}) {
      options.stack.lowerdirs.push_back(fs_ / name);
      if (GetParam()) options.stack.layer_indexes.push_back(index(name));
    }
    options.stack.upperdir = fs_ / "upper";
    options.stack.workdir = fs_ / "work";
    options.stack.metacopy = true;
    options.mountpoint = root_ = fs_ / "mnt";
    mount_.emplace(options);
  }
  std::string index(const std::string& layer) const {
    const sys::UniqueFd tree(::open((fs_ / layer).c_str(), O_RDONLY | O_DIRECTORY));
    const sys::UniqueFd base(::open(fs_.c_str(), O_RDONLY | O_DIRECTORY));
    const auto written =
        layer::write_index(tree.get(), base.get(), (layer + ".index").c_str(), false);
    EXPECT_TRUE(written) << written.error().sentence;
    return fs_ / (layer + ".index");
  }
  std::string in_union(const std::string& script) const {
    const Ran ran = shell(script, {.directory = root_});
    EXPECT_TRUE(ran.ok()) << ran.err;
    return ran.out;
  }

  std::filesystem::path fs_;
};

constexpr const char* kLook =
    "find . -type f -printf '%p %m %s %b\\n' | sort; md5sum $(find . -type f | sort)";

TEST_P(Metacopy, SpaceIsThatOfTheFileWithTheData) {
  mount_layers();
  const KernelMount kernel(fs_, "top:middle:bottom", "kernel.upper");
  const std::string before = in_union(kLook);
  EXPECT_EQ(before, kernel.script("cd kernel; " + std::string(kLook)));
  EXPECT_NE(before.find("./again 640 100000 "), std::string::npos) << before;
  EXPECT_EQ(before.find(" 0\n"), std::string::npos) << before;
}

TEST_P(Metacopy, SpaceIsTheSameAfterAChangeOfMetadata) {
  mount_layers();
  const KernelMount kernel(fs_, "top:middle:bottom", "kernel.upper");
  const std::string change = "chmod 444 again twice both2 e/in; mv e f; mv twice f/two; ";
  EXPECT_EQ(in_union(change + kLook), kernel.script("cd kernel; " + change + kLook));
}

TEST_P(Metacopy, ItsDataIsCopiedWhereItIsChanged) {
  mount_layers();
  const KernelMount kernel(fs_, "top:middle:bottom", "kernel.upper");
  const std::string change =
      "echo more | tee -a again twice both1 e/in > /dev/null; truncate -s 50000 stays; ";
  EXPECT_EQ(in_union(change + kLook), kernel.script("cd kernel; " + change + kLook));
}

INSTANTIATE_TEST_SUITE_P(Layers, Metacopy, testing::Bool(), [](const auto& indexed) {
  return std::string(indexed.param ? "Indexed" : "Plain");
});

}  // namespace
}  // namespace layerfs::test
