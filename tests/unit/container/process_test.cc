#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tools/container/spec.h"

namespace layerfs::tools {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

using Strings = std::vector<std::string>;

store::ImageConfig image() {
  store::ImageConfig config;
  config.entrypoint = {"/entry", "-e"};
  config.cmd = {"serve"};
  return config;
}

Process made(const store::ImageConfig& config, const ContainerOptions& options = {},
             bool terminal = false, const ContainerUser& user = {}) {
  const auto process = process_of(config, options, user, terminal);
  EXPECT_TRUE(process) << process.error().sentence;
  return process.value_or(Process{});
}

TEST(ProcessOf, TheEntryPointGetsTheImagesArguments) {
  EXPECT_THAT(made(image()).args, ElementsAre("/entry", "-e", "serve"));
}

TEST(ProcessOf, ACommandTakesThePlaceOfTheImagesArguments) {
  ContainerOptions options;
  options.command = {"list", "all"};
  EXPECT_THAT(made(image(), options).args, ElementsAre("/entry", "-e", "list", "all"));
}

TEST(ProcessOf, AnotherEntryPointDropsTheImagesArguments) {
  ContainerOptions options;
  options.entrypoint = "/bin/sh";
  EXPECT_THAT(made(image(), options).args, ElementsAre("/bin/sh"));
  options.command = {"-c", "true"};
  EXPECT_THAT(made(image(), options).args, ElementsAre("/bin/sh", "-c", "true"));
  options.entrypoint = "";
  EXPECT_THAT(made(image(), options).args, ElementsAre("-c", "true"));
}

TEST(ProcessOf, NothingToRunIsRefused) {
  const auto process = process_of({}, {}, {}, false);
  ASSERT_FALSE(process);
  EXPECT_THAT(process.error().sentence, HasSubstr("give a command"));
  ContainerOptions options;
  options.entrypoint = "";
  EXPECT_FALSE(process_of(image(), options, {}, false));
}

TEST(ProcessOf, VariablesOfTheCommandLineWin) {
  store::ImageConfig config = image();
  config.env = {"A=1", "B=2", "A=3", "NOT-A-VARIABLE", "=x"};
  ContainerOptions options;
  options.env = {"B=20", "C=", "C=30"};
  const Process process = made(config, options);
  EXPECT_THAT(Strings(process.env.begin(), process.env.begin() + 3),
              ElementsAre("A=3", "B=20", "C=30"));
  EXPECT_THAT(process.env, Not(Contains("NOT-A-VARIABLE")));
  EXPECT_THAT(process.env, Not(Contains("=x")));
}

TEST(ProcessOf, WhatProgramsRelyOnIsSetUnlessTheImageHasIt) {
  ContainerUser user;
  user.home = "/home/app";
  EXPECT_THAT(made(image(), {}, false, user).env,
              ElementsAre(StartsWith("PATH=/usr/local/sbin:"), "HOME=/home/app"));
  EXPECT_THAT(made(image(), {}, true).env, Contains("TERM=xterm"));
  store::ImageConfig config = image();
  config.env = {"PATH=/only", "HOME=/there", "TERM=dumb"};
  EXPECT_THAT(made(config, {}, true).env, ElementsAre("PATH=/only", "HOME=/there", "TERM=dumb"));
}

TEST(ProcessOf, TheWorkingDirectoryIsAbsolute) {
  store::ImageConfig config = image();
  EXPECT_EQ(made(config).cwd, "/");
  config.working_dir = "srv/./app";
  EXPECT_EQ(made(config).cwd, "/srv/app");
  ContainerOptions options;
  options.workdir = "/tmp";
  EXPECT_EQ(made(config, options).cwd, "/tmp");
  options.workdir = "tmp";
  const auto process = process_of(config, options, {}, false);
  ASSERT_FALSE(process);
  EXPECT_THAT(process.error().sentence, HasSubstr("not absolute"));
}

}  // namespace
}  // namespace layerfs::tools
