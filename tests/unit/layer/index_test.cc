#include "fs/layer/index.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "fs/layer/index_builder.h"
#include "fs/layer/index_format.h"
#include "fs/layer/name_hash.h"
#include "fs/sys/unique_fd.h"
#include "tests/support/temp_dir.h"

namespace layerfs::layer {
namespace {

struct stat attr(mode_t mode, ino_t ino = 7) {
  struct stat st = {};
  st.st_mode = mode;
  st.st_ino = ino;
  st.st_nlink = 1;
  st.st_blksize = 4096;
  return st;
}

const struct stat kDir = attr(S_IFDIR | 0755);
const struct stat kFile = attr(S_IFREG | 0644);

// An index file in a directory of its own.
class IndexFile {
 public:
  void write(const IndexBuilder& builder) {
    const sys::UniqueFd fd(open(path().c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600));
    ASSERT_TRUE(builder.write(fd.get()));
  }
  void write(const std::string& bytes) {
    // A new file each time: ext4 flushes one that is truncated and written again.
    std::filesystem::remove(path());
    test::write_file(path(), bytes);
  }
  std::string bytes() const { return test::read_file(path()); }
  Outcome<std::unique_ptr<Index>> open_index() const {
    return Index::open(AT_FDCWD, path().c_str());
  }
  std::filesystem::path path() const { return dir_ / "index"; }

 private:
  test::TempDir dir_;
};

std::unique_ptr<Index> open_or_die(const IndexFile& file) {
  auto index = file.open_index();
  EXPECT_TRUE(index) << index.error().sentence;
  return index ? std::move(*index) : nullptr;
}

// A tree with one of everything.
IndexBuilder sample() {
  IndexBuilder builder({}, attr(S_IFDIR | 0755, 2), 0);
  const auto dir = builder.add_inode(kDir, index_flag::kRedirect, "/else/where").value();
  const auto file = builder.add_inode(kFile, index_flag::kProgram | index_flag::kUser).value();
  const auto link = builder.add_inode(attr(S_IFLNK | 0777), 0, "target").value();
  auto device_attr = attr(S_IFCHR | 0600);
  device_attr.st_rdev = makedev(1, 3);
  const auto device = builder.add_inode(device_attr, 0).value();
  EXPECT_TRUE(builder.add_entry(0, "dir", dir));
  EXPECT_TRUE(builder.add_entry(0, "file", file));
  EXPECT_TRUE(builder.add_entry(dir, "again", file));
  EXPECT_TRUE(builder.add_entry(dir, "link", link));
  EXPECT_TRUE(builder.add_entry(dir, "device", device));
  EXPECT_TRUE(builder.add_whiteout(dir, "gone"));
  return builder;
}

// Reads all there is, through every function; only whether it comes back matters.
void exercise(const Index& index) {
  (void)index.verify();
  for (IndexSlot slot = 0; slot < 64; ++slot) {
    (void)index.inode(slot);
    (void)index.size(slot);
    (void)index.find(slot, "file");
    (void)index.find(slot, "gone");
    (void)index.for_each(slot, 0, [&](const IndexedEntry& entry) -> Result<void> {
      EXPECT_EQ(entry.name.data()[entry.name.size()], '\0');
      EXPECT_EQ(entry.name.find('/'), std::string_view::npos);
      EXPECT_FALSE(entry.name.empty() || entry.name == "." || entry.name == "..");
      EXPECT_TRUE(entry.type != DT_DIR || entry.slot > slot);
      return {};
    });
  }
}

TEST(Index, FindsWhatIsThereAndMissesTheRest) {
  IndexFile file;
  file.write(sample());
  const auto index = open_or_die(file);
  const auto dir = index->find(kIndexRoot, "dir").value();
  ASSERT_TRUE(dir);
  EXPECT_EQ(dir->type, DT_DIR);
  EXPECT_EQ(dir->name, "dir");
  EXPECT_EQ(dir->hash, name_hash("dir"));
  EXPECT_TRUE(index->find(dir->slot, "link").value());
  EXPECT_FALSE(index->find(dir->slot, "lin").value());
  EXPECT_FALSE(index->find(dir->slot, "").value());
  EXPECT_FALSE(index->find(kIndexRoot, "link").value());
  EXPECT_EQ(index->inode_count(), 5u);
  EXPECT_TRUE(index->verify());
}

// KiB of files that are mapped and resident.
long mapped_kib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssFile:")) return std::stol(line.substr(8));
  }
  return -1;
}

TEST(Index, HoldsNoMemoryAtRestAndIsReadAfterIt) {
  IndexFile file;
  IndexBuilder builder({}, attr(S_IFDIR | 0755, 2), 0);
  for (int i = 0; i < 20000; ++i) {
    const auto inode = builder.add_inode(kFile, 0).value();
    ASSERT_TRUE(builder.add_entry(0, std::to_string(i), inode));
  }
  file.write(builder);
  const auto index = open_or_die(file);
  const long before = mapped_kib();
  ASSERT_TRUE(index->verify());
  // How much of a page around it the kernel maps with each depends on how the file was written.
  const auto read =
      index->for_each(kIndexRoot, 0, [](const IndexedEntry&) { return Result<void>(); });
  ASSERT_TRUE(read);
  EXPECT_GT(mapped_kib(), before + 400);
  index->rest();
  EXPECT_LT(mapped_kib(), before + 200);
  EXPECT_TRUE(index->find(kIndexRoot, "7").value());
}

TEST(Index, AFileIsNoDirectory) {
  IndexFile file;
  file.write(sample());
  const auto index = open_or_die(file);
  const IndexSlot slot = index->find(kIndexRoot, "file").value()->slot;
  EXPECT_EQ(index->find(slot, "x").error().code(), ENOTDIR);
  EXPECT_EQ(index->size(slot).error().code(), ENOTDIR);
  EXPECT_EQ(index->inode(kNoSlot).error().code(), ENOENT);
  EXPECT_EQ(index->inode(5).error().code(), EIO);
}

TEST(Index, HardLinksAreOneInode) {
  IndexFile file;
  file.write(sample());
  const auto index = open_or_die(file);
  const IndexSlot dir = index->find(kIndexRoot, "dir").value()->slot;
  EXPECT_EQ(index->find(kIndexRoot, "file").value()->slot, index->find(dir, "again").value()->slot);
}

TEST(Index, KeepsTextsDevicesAndFlags) {
  IndexFile file;
  file.write(sample());
  const auto index = open_or_die(file);
  const IndexSlot dir = index->find(kIndexRoot, "dir").value()->slot;
  const auto inode_of = [&](const char* name) {
    return index->inode(index->find(dir, name).value()->slot).value();
  };
  EXPECT_EQ(index->inode(dir).value().text, "/else/where");
  EXPECT_EQ(index->inode(dir).value().flags, index_flag::kRedirect);
  EXPECT_EQ(inode_of("link").text, "target");
  EXPECT_STREQ(inode_of("link").text.data(), "target");
  EXPECT_EQ(inode_of("device").attr.st_rdev, makedev(1, 3));
  EXPECT_EQ(inode_of("again").flags, index_flag::kProgram | index_flag::kUser);
  EXPECT_EQ(index->xattr_kinds(), index_flag::kUser);
}

TEST(Index, KeepsEveryAttribute) {
  struct stat st = attr(S_IFREG | 06755, 1ULL << 40);
  st.st_nlink = 3;
  st.st_uid = 4000000000;
  st.st_gid = 65534;
  st.st_size = off_t{8} << 40;
  st.st_blocks = 123456789012;
  st.st_atim = {-5, 1};
  st.st_mtim = {off_t{1} << 35, 999999999};
  st.st_ctim = {0, 500};
  IndexBuilder builder({}, kDir, 0);
  ASSERT_TRUE(builder.add_entry(0, "f", builder.add_inode(st, 0).value()));
  IndexFile file;
  file.write(builder);
  const auto index = open_or_die(file);
  const struct stat got = index->inode(index->find(kIndexRoot, "f").value()->slot).value().attr;
  EXPECT_EQ(std::memcmp(&got, &st, sizeof st), 0);
}

TEST(Index, ListsInTheOrderOfHashesFromAnyOn) {
  IndexBuilder builder({}, kDir, 0);
  std::vector<std::uint64_t> hashes;
  for (int i = 0; i < 1000; ++i) {
    const std::string name = "name" + std::to_string(i);
    ASSERT_TRUE(builder.add_entry(0, name, builder.add_inode(kFile, 0).value()));
    hashes.push_back(name_hash(name));
  }
  std::sort(hashes.begin(), hashes.end());
  IndexFile file;
  file.write(builder);
  const auto index = open_or_die(file);
  for (const std::size_t from : {0u, 1u, 500u, 999u}) {
    std::vector<std::uint64_t> listed;
    ASSERT_TRUE(index->for_each(kIndexRoot, hashes[from], [&](const IndexedEntry& entry) {
      listed.push_back(entry.hash);
      return Result<void>();
    }));
    EXPECT_EQ(listed, std::vector(hashes.begin() + static_cast<long>(from), hashes.end()));
  }
  EXPECT_EQ(index->size(kIndexRoot).value(), 1000u);
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(index->find(kIndexRoot, "name" + std::to_string(i)).value()->name,
              "name" + std::to_string(i));
    EXPECT_FALSE(index->find(kIndexRoot, "miss" + std::to_string(i)).value());
  }
}

TEST(Index, PassesOnTheErrorOfWhoListens) {
  IndexFile file;
  file.write(sample());
  const auto index = open_or_die(file);
  int calls = 0;
  const auto listed = index->for_each(kIndexRoot, 0, [&](const IndexedEntry&) -> Result<void> {
    ++calls;
    return fail(ENOBUFS);
  });
  EXPECT_EQ(listed.error().code(), ENOBUFS);
  EXPECT_EQ(calls, 1);
}

TEST(Index, AnEmptyLayerHasAnEmptyRoot) {
  IndexFile file;
  file.write(IndexBuilder({}, kDir, 0));
  const auto index = open_or_die(file);
  EXPECT_EQ(index->size(kIndexRoot).value(), 0u);
  EXPECT_FALSE(index->find(kIndexRoot, "a").value());
  EXPECT_TRUE(index->verify());
}

TEST(Index, DescribesTheDirectoryItWasMadeForOnly) {
  const test::TempDir dir;
  const sys::UniqueFd root(open(dir.make("a").c_str(), O_RDONLY | O_DIRECTORY));
  const sys::UniqueFd other(open(dir.make("b").c_str(), O_PATH | O_DIRECTORY));
  struct stat st = {};
  ASSERT_EQ(fstat(root.get(), &st), 0);
  IndexFile file;
  file.write(IndexBuilder({.user_xattr = true}, st, 0));
  const auto index = open_or_die(file);
  EXPECT_TRUE(index->describes(root.get(), true).value());
  EXPECT_FALSE(index->describes(root.get(), false).value());
  EXPECT_FALSE(index->describes(other.get(), true).value());
  test::write_file(dir / "a/new", "");
  EXPECT_FALSE(index->describes(root.get(), true).value());
}

TEST(IndexBuilder, RefusesWhatNoDirectoryHolds) {
  IndexBuilder builder({}, kDir, 0);
  const auto file = builder.add_inode(kFile, 0).value();
  for (const std::string& name :
       {std::string(""), std::string("."), std::string(".."), std::string("a/b"),
        std::string("a\0b", 3), std::string(256, 'x')}) {
    EXPECT_EQ(builder.add_entry(0, name, file).error().code(), EINVAL) << name;
    EXPECT_EQ(builder.add_whiteout(0, name).error().code(), EINVAL) << name;
  }
  EXPECT_EQ(builder.add_entry(file, "x", file).error().code(), EINVAL);
  ASSERT_TRUE(builder.add_entry(0, "x", file));
  EXPECT_EQ(builder.add_entry(0, "x", file).error().code(), EEXIST);
  const auto dir = builder.add_inode(kDir, 0).value();
  ASSERT_TRUE(builder.add_entry(0, "dir", dir));
  EXPECT_EQ(builder.add_entry(0, "second", dir).error().code(), EINVAL);
  EXPECT_EQ(builder.add_entry(dir, "root", 0).error().code(), EINVAL);
  EXPECT_EQ(builder.add_inode(kDir, index_flag::kRedirect, "../x").error().code(), EINVAL);
}

TEST(IndexBuilder, AWhiteoutBesideADirectoryMakesItOpaque) {
  for (const bool whiteout_first : {true, false}) {
    IndexBuilder builder({}, kDir, 0);
    const auto dir = builder.add_inode(kDir, 0).value();
    if (whiteout_first) {
      ASSERT_TRUE(builder.add_whiteout(0, "d"));
    }
    ASSERT_TRUE(builder.add_entry(0, "d", dir));
    if (!whiteout_first) {
      ASSERT_TRUE(builder.add_whiteout(0, "d"));
    }
    IndexFile file;
    file.write(builder);
    const auto index = open_or_die(file);
    const auto found = index->find(kIndexRoot, "d").value();
    ASSERT_TRUE(found && !found->whiteout());
    EXPECT_EQ(index->inode(found->slot).value().flags, index_flag::kOpaque);
  }
}

TEST(IndexBuilder, TakesCorrections) {
  IndexBuilder builder({}, kDir, 0);
  const auto file = builder.add_inode(kFile, 0).value();
  ASSERT_TRUE(builder.add_entry(0, "f", file));
  builder.set_attributes(file, attr(S_IFREG | 0600, 99));
  builder.add_flags(file, index_flag::kAcl);
  IndexFile output;
  output.write(builder);
  const auto index = open_or_die(output);
  const auto inode = index->inode(index->find(kIndexRoot, "f").value()->slot).value();
  EXPECT_EQ(inode.attr.st_ino, 99u);
  EXPECT_EQ(inode.flags, index_flag::kAcl);
}

TEST(DamagedIndex, IsRefusedWhenItIsNoIndex) {
  const test::TempDir dir;
  EXPECT_EQ(Index::open(AT_FDCWD, (dir / "none").c_str()).error().code, ENOENT);
  EXPECT_EQ(Index::open(AT_FDCWD, dir.path().c_str()).error().code, 0);
  IndexFile file;
  for (const std::string& bytes : {std::string(), std::string(100, 'x'), std::string(5000, '\0')}) {
    file.write(bytes);
    EXPECT_FALSE(file.open_index());
  }
}

TEST(DamagedIndex, IsRefusedAtEveryLengthButItsOwn) {
  IndexFile file;
  file.write(sample());
  const std::string good = file.bytes();
  for (std::size_t length = 0; length < good.size(); ++length) {
    file.write(good.substr(0, length));
    EXPECT_FALSE(file.open_index()) << length;
  }
  file.write(good + std::string(8, '\0'));
  EXPECT_FALSE(file.open_index());
}

TEST(DamagedIndex, IsRefusedWhenAnyBitOfTheHeaderIsWrong) {
  IndexFile file;
  file.write(sample());
  const std::string good = file.bytes();
  for (std::size_t at = 0; at < sizeof(index_format::Header); ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 1);
    file.write(bad);
    EXPECT_FALSE(file.open_index()) << at;
  }
}

TEST(DamagedIndex, IsFoundByVerifyWhereverItIs) {
  IndexFile file;
  file.write(sample());
  const std::string good = file.bytes();
  for (std::size_t at = sizeof(index_format::Header); at < good.size(); ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x10);
    file.write(bad);
    const auto index = file.open_index();
    if (index) {
      EXPECT_FALSE((*index)->verify()) << at;
      exercise(**index);
    }
  }
}

// With checksums that are right: what an attacker would write.
TEST(DamagedIndex, OfAnyContentIsReadWithoutHarm) {
  IndexFile file;
  file.write(sample());
  const std::string good = file.bytes();
  std::mt19937 engine(1);
  const auto random = [&] { return static_cast<std::uint32_t>(engine()); };
  int opened = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string bad = good;
    for (int changes = 1 + static_cast<int>(random() % 4); changes > 0; --changes) {
      // Interesting values, at the places of whole fields.
      const std::uint32_t values[] = {0,
                                      1,
                                      0x7fffffff,
                                      0x80000000,
                                      0xffffffff,
                                      random(),
                                      static_cast<std::uint32_t>(good.size()),
                                      random() % 16};
      const std::uint32_t value = values[random() % std::size(values)];
      const std::size_t start = random() % 8 == 0 ? 40 : sizeof(index_format::Header);
      const std::size_t at = (start + random() % (good.size() - start - 4)) & ~std::size_t{3};
      std::memcpy(bad.data() + at, &value, sizeof value);
    }
    index_format::Header header;
    std::memcpy(&header, bad.data(), sizeof header);
    header.body_checksum =
        index_format::checksum(bad.data() + sizeof header, bad.size() - sizeof header);
    header.header_checksum = index_format::header_checksum(header);
    std::memcpy(bad.data(), &header, sizeof header);
    file.write(bad);
    const auto index = file.open_index();
    if (!index) continue;
    ++opened;
    exercise(**index);
  }
  EXPECT_GT(opened, 1000);
}

TEST(DamagedIndex, ThatShrinksWhileItIsReadIsAnError) {
  IndexFile file;
  file.write(sample());
  const auto index = open_or_die(file);
  std::filesystem::resize_file(file.path(), 0);
  EXPECT_EQ(index->find(kIndexRoot, "dir").error().code(), ENOTDIR);
  exercise(*index);
}

TEST(DamagedIndex, CannotMakeATreeEndless) {
  IndexFile file;
  IndexBuilder builder({}, kDir, 0);
  const auto dir = builder.add_inode(kDir, 0).value();
  ASSERT_TRUE(builder.add_entry(0, "d", dir));
  file.write(builder);
  std::string bad = file.bytes();
  // The only entry now leads back to the root.
  const std::uint32_t root = 0;
  const std::size_t entry = sizeof(index_format::Header) + 2 * sizeof(index_format::Inode);
  std::memcpy(bad.data() + entry + offsetof(index_format::Entry, inode), &root, sizeof root);
  file.write(bad);
  const auto index = open_or_die(file);
  EXPECT_EQ(index->find(kIndexRoot, "d").error().code(), EIO);
}

TEST(Index, NamesMayCollide) {
  constexpr int kMany = 200'000;
  const auto name_of = [](int i) {
    const std::string digits = std::to_string(10'000'000 + i);
    return "\xb8\xfe\x6c\x39\x23\xa4\x4b\xbe" + digits + "0123456789abcdef";
  };
  ASSERT_EQ(name_hash(name_of(0)), name_hash(name_of(1)));
  IndexBuilder builder({}, kDir, 0);
  const auto file_id = builder.add_inode(kFile, 0, "");
  ASSERT_TRUE(file_id);
  for (int i = 0; i < kMany; ++i) ASSERT_TRUE(builder.add_entry(0, name_of(i), *file_id));
  IndexFile file;
  file.write(builder);
  const auto index = open_or_die(file);
  ASSERT_TRUE(index->verify());
  for (int i = 0; i < kMany; ++i) {
    const auto found = index->find(kIndexRoot, name_of(i));
    ASSERT_TRUE(found && *found) << i;
    ASSERT_EQ((*found)->name, name_of(i));
  }
  EXPECT_FALSE(*index->find(kIndexRoot, name_of(kMany)));
}

TEST(NameHash, IsOfTheFormat) {
  // The values are part of the format: XXH3-64, halved.
  EXPECT_EQ(name_hash(""), 0x2d06800538d394c2ULL >> 1);
  EXPECT_EQ(name_hash("a"), 0xe6c632b61e964e1fULL >> 1);
  for (int i = 0; i < 100000; ++i) {
    const std::uint64_t hash = name_hash(std::to_string(i));
    ASSERT_GE(hash, kFirstNameHash);
    ASSERT_EQ(hash >> 63, 0u);
  }
}

}  // namespace
}  // namespace layerfs::layer
