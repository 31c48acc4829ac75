// Files with several names that lose one of them, the one that the daemon reached them by among
// them.
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <iterator>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fs/op/attr.h"
#include "fs/op/dir.h"
#include "fs/op/file.h"
#include "fs/op/file_system.h"
#include "fs/op/lookup.h"
#include "fs/op/namespace.h"
#include "tests/support/elf_file.h"
#include "tests/support/temp_dir.h"

namespace layerfs::op {
namespace {

namespace disk = std::filesystem;

// A name of the test, in one of two directories.
struct At {
  NodeId dir;
  std::string name;
};

// The thread's effective capabilities without one, for as long as it lives.
class WithoutCapability {
 public:
  explicit WithoutCapability(unsigned capability) {
    EXPECT_EQ(::syscall(SYS_capget, &header_, before_), 0);
    auto without = std::to_array(before_);
    without[capability / 32].effective &= ~(1U << (capability % 32));
    EXPECT_EQ(::syscall(SYS_capset, &header_, without.data()), 0);
  }
  ~WithoutCapability() { EXPECT_EQ(::syscall(SYS_capset, &header_, before_), 0); }
  WithoutCapability(const WithoutCapability&) = delete;
  WithoutCapability& operator=(const WithoutCapability&) = delete;

 private:
  __user_cap_header_struct header_ = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct before_[2] = {};
};

class LostName : public testing::Test {
 protected:
  LostName() {
    for (const char* name : {"lower", "upper/d", "upper/e", "work"}) dir_.make(name);
  }

  // Mounts, if it is mounted, once more.
  void open_tree() {
    fs_.reset();
    StackOptions options;
    options.lowerdirs = {dir_ / "lower"};
    options.upperdir = dir_ / "upper";
    options.workdir = dir_ / "work";
    fs_ = *open_file_system(options);
    d_ = lookup(*fs_, kRootNode, "d")->node;
    e_ = lookup(*fs_, kRootNode, "e")->node;
  }

  static std::ptrdiff_t descriptors() {
    return std::distance(disk::directory_iterator("/proc/self/fd"), {});
  }

  NodeId make(const At& at, const std::string& content) {
    const auto created = create(*fs_, {}, at.dir, at.name, 0600, O_RDWR | O_EXCL);
    EXPECT_TRUE(created) << at.name;
    write_to(created->entry.node, content);
    release(*fs_, created->entry.node, created->opened.handle);
    return created->entry.node;
  }
  void write_to(NodeId node, const std::string& content) {
    const auto bytes = std::as_bytes(std::span(content));
    EXPECT_EQ(write(*fs_, node, 1, bytes, 0, std::nullopt), content.size());
  }
  std::string content_of(NodeId node) {
    std::array<char, 100> bytes;
    const auto length = read(*fs_, node, 1, std::as_writable_bytes(std::span(bytes)), 0);
    return length ? std::string(bytes.data(), *length)
                  : "errno " + std::to_string(length.error().code());
  }
  void add_name(NodeId node, const At& at) {
    const auto linked = link(*fs_, node, at.dir, at.name);
    ASSERT_TRUE(linked) << at.name;
    EXPECT_EQ(linked->node, node);
    forget(*fs_, node, 1);  // the lookup of before is the one that stays
  }
  bool remove(const At& at) { return static_cast<bool>(unlink(*fs_, at.dir, at.name)); }
  // The node that the name leads to, whose lookup is not kept; 0: none.
  NodeId found(const At& at) {
    const auto entry = lookup(*fs_, at.dir, at.name);
    if (!entry) return 0;
    forget(*fs_, entry->node, 1);
    return entry->node;
  }
  nlink_t links(NodeId node) {
    const auto attr = getattr(*fs_, node);
    EXPECT_TRUE(attr) << attr.error().code();
    return attr ? attr->st_nlink : 999;
  }
  // Changes the file by its node, and looks at it.
  void expect_works(NodeId node, const std::string& content, nlink_t names) {
    EXPECT_EQ(content_of(node), content);
    EXPECT_EQ(links(node), names);
    mode_ = mode_ == 0640 ? 0600 : 0640;
    AttrChange change;
    change.mode = mode_;
    const auto changed = setattr(*fs_, node, change);
    ASSERT_TRUE(changed) << changed.error().code();
    EXPECT_EQ(changed->st_mode & 07777, mode_);
  }

  std::vector<At> names() const { return {{d_, "a"}, {d_, "b"}, {e_, "c"}}; }
  disk::path on_disk(const At& at) const {
    return dir_ / "upper" / (at.dir == d_ ? "d" : "e") / at.name;
  }

  // One node with three names, of which none, some or all are known to the daemon, loses them in
  // one order.
  void lose(const std::vector<std::size_t>& order, unsigned known) {
    const std::vector<At> at = names();
    const NodeId node = lookup(*fs_, at[order[0]].dir, at[order[0]].name)->node;
    for (std::size_t i = 0; i < at.size(); ++i) {
      if ((known & (1U << i)) != 0) {
        EXPECT_EQ(found(at[i]), node);
      }
    }
    for (std::size_t gone = 0; gone < at.size(); ++gone) {
      EXPECT_TRUE(remove(at[order[gone]]));
      expect_works(node, "three", at.size() - gone - 1);
      EXPECT_EQ(found(at[order[gone]]), 0U);
      for (std::size_t left = gone + 1; left < at.size(); ++left) {
        struct stat st = {};
        EXPECT_EQ(::stat(on_disk(at[order[left]]).c_str(), &st), 0);
        EXPECT_EQ(st.st_mode & 07777, mode_);
      }
      if (gone == 0 && known == 0) continue;  // the next removal is the first that finds a name
      for (std::size_t left = gone + 1; left < at.size(); ++left)
        EXPECT_EQ(found(at[order[left]]), node);
    }
    forget(*fs_, node, 1);
  }
  void lose_in_every_order() {
    for (unsigned known = 0; known < 8; ++known) {
      std::vector<std::size_t> order = {0, 1, 2};
      do {
        SCOPED_TRACE(testing::Message()
                     << "known " << known << ", order " << order[0] << order[1] << order[2]);
        test::write_file(on_disk({d_, "a"}), "three");
        disk::create_hard_link(on_disk({d_, "a"}), on_disk({d_, "b"}));
        disk::create_hard_link(on_disk({d_, "a"}), on_disk({e_, "c"}));
        open_tree();
        const std::ptrdiff_t before = descriptors();
        lose(order, known);
        EXPECT_LE(descriptors(), before + 2);  // of directories
      } while (std::next_permutation(order.begin(), order.end()));
    }
  }

  const test::TempDir dir_;
  FileSystemPtr fs_;
  NodeId d_ = 0, e_ = 0;
  mode_t mode_ = 0600;
};

TEST_F(LostName, TheFileWorksByWhatIsLeftInEveryOrder) {
  open_tree();
  lose_in_every_order();
}

TEST_F(LostName, TheSameWithoutThePrivilegeToOpenHandles) {
  const WithoutCapability less(CAP_DAC_READ_SEARCH);
  open_tree();
  lose_in_every_order();
}

// As git, maildir deliveries and lock files do it: the kernel keeps all of them in mind.
TEST_F(LostName, LinkAndUnlinkKeepNoDescriptor) {
  for (const bool privileged : {true, false}) {
    std::optional<WithoutCapability> less;
    if (!privileged) less.emplace(CAP_DAC_READ_SEARCH);
    open_tree();
    found({d_, "none"});
    found({e_, "none"});
    std::vector<NodeId> nodes;
    nodes.push_back(make({d_, "first"}, "0"));
    const std::ptrdiff_t before = descriptors();
    for (int i = 0; i < 500; ++i) {
      const std::string name = (privileged ? "p" : "u") + std::to_string(i);
      const NodeId node = make({d_, "tmp"}, name);
      add_name(node, {i % 2 == 0 ? d_ : e_, name});
      ASSERT_TRUE(remove({d_, "tmp"}));
      expect_works(node, name, 1);
      nodes.push_back(node);
    }
    EXPECT_LE(descriptors(), before + 2);
    for (int i = 0; i < 500; ++i) {
      const std::string name = (privileged ? "p" : "u") + std::to_string(i);
      EXPECT_EQ(found({i % 2 == 0 ? d_ : e_, name}), nodes[static_cast<std::size_t>(i) + 1]);
    }
    remove({d_, "first"});
  }
}

TEST_F(LostName, ANameThatNobodyHasLookedUpIsFoundAgain) {
  for (const bool privileged : {true, false}) {
    std::optional<WithoutCapability> less;
    if (!privileged) less.emplace(CAP_DAC_READ_SEARCH);
    test::write_file(dir_ / "upper/d/a", "two");
    disk::create_hard_link(dir_ / "upper/d/a", dir_ / "upper/e/b");
    open_tree();
    found({e_, "none"});
    const NodeId node = lookup(*fs_, d_, "a")->node;
    const std::ptrdiff_t before = descriptors();
    ASSERT_TRUE(remove({d_, "a"}));
    expect_works(node, "two", 1);
    // The kernel may ask by the id as long as it likes.
    EXPECT_EQ(descriptors(), privileged ? before : before + 1);
    EXPECT_EQ(found({e_, "b"}), node);
    EXPECT_EQ(descriptors(), before);
    expect_works(node, "two", 1);
    ASSERT_TRUE(rename(*fs_, e_, "b", d_, "c", 0));
    expect_works(node, "two", 1);
    ASSERT_TRUE(remove({d_, "c"}));
    expect_works(node, "two", 0);
    EXPECT_EQ(descriptors(), before + 1);
    forget(*fs_, node, 1);
    EXPECT_EQ(descriptors(), before);
  }
}

TEST_F(LostName, ATemporaryFileThatGetsANameNeedsNoDescriptor) {
  open_tree();
  found({e_, "none"});
  const std::ptrdiff_t before = descriptors();
  const auto made = tmpfile(*fs_, {}, d_, 0600, O_RDWR);
  ASSERT_TRUE(made);
  const NodeId node = made->entry.node;
  write_to(node, "tmp");
  add_name(node, {d_, "a"});
  release(*fs_, node, made->opened.handle);
  EXPECT_LE(descriptors(), before + 1);  // of the directory
  add_name(node, {e_, "b"});
  ASSERT_TRUE(remove({d_, "a"}));
  expect_works(node, "tmp", 1);
  EXPECT_LE(descriptors(), before + 1);
  ASSERT_TRUE(remove({e_, "b"}));
  expect_works(node, "tmp", 0);
  EXPECT_LE(descriptors(), before + 2);
  forget(*fs_, node, 1);
  EXPECT_LE(descriptors(), before + 1);
}

TEST_F(LostName, UnderARenameAndByOne) {
  open_tree();
  const NodeId old = make({d_, "old"}, "old"), fresh = make({d_, "new"}, "new");
  add_name(old, {e_, "other"});
  add_name(fresh, {e_, "fresh"});
  const std::ptrdiff_t before = descriptors();
  // Over the place of one that lives on.
  ASSERT_TRUE(rename(*fs_, d_, "new", d_, "old", 0));
  expect_works(old, "old", 1);
  expect_works(fresh, "new", 2);
  EXPECT_EQ(found({d_, "old"}), fresh);
  EXPECT_EQ(found({e_, "other"}), old);
  // Of a name that is not the place.
  ASSERT_TRUE(rename(*fs_, e_, "fresh", d_, "moved", 0));
  ASSERT_TRUE(remove({d_, "old"}));
  expect_works(fresh, "new", 1);
  EXPECT_EQ(found({d_, "moved"}), fresh);
  // Names of two files change places.
  add_name(old, {d_, "again"});
  add_name(fresh, {e_, "again"});
  ASSERT_TRUE(rename(*fs_, d_, "again", e_, "again", RENAME_EXCHANGE));
  ASSERT_TRUE(remove({e_, "other"}));
  ASSERT_TRUE(remove({d_, "moved"}));
  expect_works(old, "old", 1);
  expect_works(fresh, "new", 1);
  EXPECT_EQ(found({e_, "again"}), old);
  EXPECT_EQ(found({d_, "again"}), fresh);
  EXPECT_EQ(descriptors(), before);
  // Over the last.
  ASSERT_TRUE(rename(*fs_, e_, "again", d_, "again", 0));
  expect_works(fresh, "new", 0);
  expect_works(old, "old", 1);
  EXPECT_EQ(descriptors(), before + 1);
}

TEST_F(LostName, LowerFilesWithSeveralNamesKeepNoDescriptor) {
  constexpr int kFiles = 50;
  for (int i = 0; i < kFiles; ++i) {
    const std::string n = std::to_string(i);
    test::write_file(dir_ / ("lower/d/a" + n), "low " + n);
    disk::create_directories(dir_ / "lower/e");
    disk::create_hard_link(dir_ / ("lower/d/a" + n), dir_ / ("lower/e/b" + n));
  }
  open_tree();
  for (int i = 0; i < kFiles; ++i) {
    AttrChange change;
    change.mode = 0604;
    const auto file = lookup(*fs_, d_, "a" + std::to_string(i));
    ASSERT_TRUE(setattr(*fs_, file->node, change));
  }
  open_tree();
  found({d_, "none"});
  found({e_, "none"});
  const std::ptrdiff_t before = descriptors();
  for (int i = 0; i < kFiles; ++i) {
    const std::string n = std::to_string(i);
    // Only the index knows that this one was copied up.
    const NodeId node = lookup(*fs_, e_, "b" + n)->node;
    expect_works(node, "low " + n, 2);
    if (i % 3 != 0) {
      EXPECT_EQ(found({d_, "a" + n}), node);
    }
    ASSERT_TRUE(remove({i % 2 == 0 ? d_ : e_, (i % 2 == 0 ? "a" : "b") + n}));
    expect_works(node, "low " + n, 1);
    EXPECT_EQ(found({i % 2 == 0 ? e_ : d_, (i % 2 == 0 ? "b" : "a") + n}), node);
  }
  EXPECT_LE(descriptors(), before + 3);  // of directories
  for (int i = 0; i < kFiles; ++i) {
    const std::string n = std::to_string(i);
    const At last{i % 2 == 0 ? e_ : d_, (i % 2 == 0 ? "b" : "a") + n};
    const NodeId node = found(last);
    ASSERT_TRUE(remove(last));
    expect_works(node, "low " + n, 0);
    forget(*fs_, node, 1);
  }
  EXPECT_LE(descriptors(), before + 3);
}

TEST_F(LostName, TheLastIsKeptWhereThereIsNoDescriptor) {
  open_tree();
  const NodeId node = make({d_, "a"}, "one");
  make({d_, "spare"}, "");
  rlimit before = {};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  std::vector<int> taken;
  const auto take_all = [&] {
    for (int fd; (fd = ::dup(0)) >= 0;) taken.push_back(fd);
  };
  const rlimit few = {.rlim_cur = 64, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  take_all();
  EXPECT_TRUE(remove({d_, "spare"}));  // by one of those that the cache of directories has
  take_all();
  ::close(taken.back());  // one is needed for the directory
  taken.pop_back();
  const auto removed = unlink(*fs_, d_, "a");
  EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  for (const int fd : taken) ::close(fd);
  ASSERT_FALSE(removed);
  EXPECT_EQ(removed.error(), Errno(EMFILE));
  EXPECT_EQ(found({d_, "a"}), node);
  expect_works(node, "one", 1);
  EXPECT_TRUE(remove({d_, "a"}));
  expect_works(node, "one", 0);
}

// What the kernel reads by itself.
class Registry : public Backing {
 public:
  Result<int> open(int) override { return 1; }
  void close(int) override {}
};

TEST_F(LostName, AProgramInUseIsWrittenByItsOtherName) {
  test::write_file(dir_ / "lower/d/a", test::elf_file(ET_EXEC));
  disk::create_directories(dir_ / "lower/e");
  disk::create_hard_link(dir_ / "lower/d/a", dir_ / "lower/e/b");
  Registry registry;
  open_tree();
  set_backing(*fs_, &registry);
  const NodeId node = lookup(*fs_, d_, "a")->node;
  const auto opened = open(*fs_, node, O_RDONLY);
  ASSERT_TRUE(opened);
  ASSERT_EQ(opened->mode, IoMode::kPassthrough);
  ASSERT_TRUE(remove({d_, "a"}));
  const NodeId other = lookup(*fs_, e_, "b")->node;
  if (const auto refused = open(*fs_, other, O_RDWR); !refused) {
    EXPECT_EQ(refused.error(), Errno(ESTALE));
  }
  const NodeId again = lookup(*fs_, e_, "b")->node;
  const auto written = open(*fs_, again, O_RDWR);
  ASSERT_TRUE(written) << written.error().code();
  write_to(again, "new");
  EXPECT_TRUE(test::read_file(dir_ / "upper/e/b").starts_with("new"));
  release(*fs_, again, written->handle);
  release(*fs_, node, opened->handle);
  fs_.reset();
}

// Several threads take and give names of the same files; whatever the order was, a name leads to
// the file that it was given to, and no descriptor is left.
TEST_F(LostName, ManyAtOnce) {
  constexpr int kFiles = 4, kThreads = 4, kRounds = 3000;
  open_tree();
  std::vector<NodeId> files;
  for (int i = 0; i < kFiles; ++i)
    files.push_back(make({d_, "keep" + std::to_string(i)}, std::to_string(i)));
  const std::ptrdiff_t before = descriptors();
  std::vector<std::thread> threads;
  for (int id = 0; id < kThreads; ++id) {
    threads.emplace_back([&, id] {
      std::minstd_rand random(static_cast<unsigned>(id) + 1);
      const auto pick = [&](unsigned below) { return static_cast<int>(random() % below); };
      for (int round = 0; round < kRounds; ++round) {
        const int file = pick(kFiles);
        // Two names for each file in each directory, which all threads share.
        const std::string name = std::to_string(file) + (pick(2) == 0 ? "x" : "y");
        const NodeId dir = pick(2) == 0 ? d_ : e_;
        const NodeId node = files[static_cast<std::size_t>(file)];
        switch (pick(6)) {
          case 0:
          case 1:
            if (const auto made = link(*fs_, node, dir, name)) forget(*fs_, made->node, 1);
            break;
          case 2:
            (void)unlink(*fs_, dir, name);
            break;
          case 3:
            (void)rename(*fs_, dir, name, dir == d_ ? e_ : d_, name, 0);
            break;
          case 4:
            if (const auto entry = lookup(*fs_, dir, name)) {
              EXPECT_EQ(entry->node, node);
              EXPECT_EQ(content_of(entry->node), std::to_string(file));
              forget(*fs_, entry->node, 1);
            }
            break;
          default:
            // The first name goes, and comes back by another.
            if (round % 50 == 0) (void)unlink(*fs_, d_, "keep" + std::to_string(file));
            EXPECT_TRUE(getattr(*fs_, node));
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int i = 0; i < kFiles; ++i) {
    const NodeId node = files[static_cast<std::size_t>(i)];
    if (links(node) > 0) expect_works(node, std::to_string(i), links(node));
    forget(*fs_, node, 1);
  }
  EXPECT_LE(descriptors(), before + 2);  // of directories
}

}  // namespace
}  // namespace layerfs::op
