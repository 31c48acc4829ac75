// How often files are registered with the kernel and given back.
#include <fcntl.h>

#include <filesystem>
#include <set>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fs/op/file.h"
#include "fs/op/file_system.h"
#include "fs/op/lookup.h"
#include "fs/op/namespace.h"
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
    test::write_file(dir_ / "lower/program", "\177ELF");
    StackOptions options;
    options.lowerdirs = {dir_ / "lower"};
    options.upperdir = dir_ / "upper";
    options.workdir = dir_.make("work");
    fs_ = *open_file_system(options);
    set_backing(*fs_, &registry_);
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
