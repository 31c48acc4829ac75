// How often files are registered with the kernel and given back.
#include <fcntl.h>
#include <sys/stat.h>

#include <filesystem>
#include <map>
#include <set>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fs/layer/index.h"
#include "fs/layer/index_builder.h"
#include "fs/op/file.h"
#include "fs/op/file_system.h"
#include "fs/op/lookup.h"
#include "fs/op/namespace.h"
#include "fs/sys/unique_fd.h"
#include "tests/support/elf_file.h"
#include "tests/support/temp_dir.h"

namespace layerfs::op {
namespace {

// The kernel's registry, counted.
class Registry : public Backing {
 public:
  Result<int> open(int) override {
    live.insert(++opened);
    return opened;
  }
  void close(int backing) override { EXPECT_EQ(live.erase(backing), 1U); }

  int opened = 0;
  std::set<int> live;
};

class OpenFilesTest : public testing::Test {
 protected:
  OpenFilesTest() {
    for (int i = 0; i < 1000; ++i) test::write_file(dir_ / "upper" / std::to_string(i), "upper");
    add("program", 0755, test::elf_file(ET_EXEC));
    add("library", 0644, test::elf_file(ET_DYN));
    add("object", 0755, test::elf_file(ET_REL));
    add("script", 0755, "#!/bin/sh\n");
    add("data", 0777, std::string(5000, 'x'));
    mount("");
  }

  void add(const char* name, mode_t mode, const std::string& content) const {
    test::write_file(dir_ / "lower" / name, content);
    ASSERT_EQ(::chmod((dir_ / "lower" / name).c_str(), mode), 0);
  }
  // `index` describes the lower layer, if it is not empty.
  void mount(const std::string& index) {
    StackOptions options;
    options.lowerdirs = {dir_ / "lower"};
    options.layer_indexes = {index};
    options.upperdir = dir_ / "upper";
    options.workdir = dir_.make("work");
    fs_.reset();
    fs_ = *open_file_system(options);
    set_backing(*fs_, &registry_);
  }
  // An index of the lower layer that says nothing but `flags` of each file.
  std::string index_of(const std::map<std::string, std::uint32_t>& flags) const {
    struct stat attr = {};
    ::stat((dir_ / "lower").c_str(), &attr);
    layer::IndexBuilder builder({}, attr, 0);
    for (const auto& [name, of] : flags) {
      ::stat((dir_ / "lower" / name).c_str(), &attr);
      EXPECT_TRUE(builder.add_entry(0, name, builder.add_inode(attr, of).value()));
    }
    const sys::UniqueFd fd(::open((dir_ / "index").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644));
    EXPECT_TRUE(builder.write(fd.get()));
    return dir_ / "index";
  }

  NodeId node(const std::string& name) { return lookup(*fs_, kRootNode, name)->node; }
  Opened open_and_close(NodeId id, int flags) {
    const Opened opened = *open(*fs_, id, flags);
    release(*fs_, id, opened.handle);
    return opened;
  }

  const test::TempDir dir_;
  Registry registry_;  // outlives the file system
  FileSystemPtr fs_;
};

TEST_F(OpenFilesTest, OfALowerLayerProgramsAndLibrariesArePassedThrough) {
  for (const char* name : {"program", "library"})
    EXPECT_EQ(open_and_close(node(name), O_RDONLY).mode, IoMode::kPassthrough) << name;
  for (const char* name : {"object", "script", "data"})
    EXPECT_EQ(open_and_close(node(name), O_RDONLY).mode, IoMode::kCached) << name;
}

TEST_F(OpenFilesTest, WhatTheIndexSaysOfAFileCounts) {
  mount(index_of({{"program", 0}, {"data", layer::index_flag::kProgram}}));
  EXPECT_EQ(open_and_close(node("program"), O_RDONLY).mode, IoMode::kCached);
  EXPECT_EQ(open_and_close(node("data"), O_RDONLY).mode, IoMode::kPassthrough);
}

// As indexes of old say it of each file with an execute bit.
TEST_F(OpenFilesTest, OfWhatMayBeAProgramTheDataIsLookedAt) {
  mount(index_of({{"program", layer::index_flag::kMaybeProgram},
                  {"script", layer::index_flag::kMaybeProgram}}));
  EXPECT_EQ(open_and_close(node("program"), O_RDONLY).mode, IoMode::kPassthrough);
  EXPECT_EQ(open_and_close(node("script"), O_RDONLY).mode, IoMode::kCached);
}

TEST_F(OpenFilesTest, WhatWasReadStaysRegistered) {
  const NodeId id = node("1");
  const Opened first = open_and_close(id, O_RDONLY);
  const Opened second = open_and_close(id, O_RDONLY);
  EXPECT_EQ(first.backing, second.backing);
  EXPECT_EQ(registry_.opened, 1);
}

TEST_F(OpenFilesTest, AWriteGoesThroughWhatIsRegistered) {
  const NodeId id = node("1");
  const Opened first = open_and_close(id, O_RDONLY);
  EXPECT_EQ(open_and_close(id, O_WRONLY).backing, first.backing);
  EXPECT_EQ(open_and_close(id, O_RDONLY).backing, first.backing);
}

TEST_F(OpenFilesTest, NothingStaysOpenForWriting) {
  open_and_close(node("1"), O_RDWR);
  EXPECT_THAT(registry_.live, testing::IsEmpty());
}

TEST_F(OpenFilesTest, FewStayRegistered) {
  for (int i = 0; i < 1000; ++i) open_and_close(node(std::to_string(i)), O_RDONLY);
  EXPECT_LT(registry_.live.size(), 500U);
}

TEST_F(OpenFilesTest, AForgottenNodeIsGivenBack) {
  const NodeId id = node("1");
  open_and_close(id, O_RDONLY);
  ASSERT_TRUE(unlink(*fs_, kRootNode, "1"));
  forget(*fs_, id, 1);
  EXPECT_THAT(registry_.live, testing::IsEmpty());
}

TEST_F(OpenFilesTest, ACopyUpEndsWhatTheLowerFileHad) {
  const NodeId id = node("program");
  const Opened lower = open_and_close(id, O_RDONLY);
  ASSERT_EQ(lower.mode, IoMode::kPassthrough);
  const Opened upper = open_and_close(id, O_WRONLY);
  EXPECT_NE(lower.backing, upper.backing);
  EXPECT_THAT(registry_.live, testing::IsEmpty());
}

TEST_F(OpenFilesTest, TheEndGivesAllBack) {
  open_and_close(node("1"), O_RDONLY);
  ASSERT_EQ(registry_.live.size(), 1U);
  fs_.reset();
  EXPECT_THAT(registry_.live, testing::IsEmpty());
}

}  // namespace
}  // namespace layerfs::op
