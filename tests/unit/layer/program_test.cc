#include "fs/layer/program.h"

#include <fcntl.h>

#include <string>

#include <gtest/gtest.h>

#include "fs/sys/unique_fd.h"
#include "tests/support/elf_file.h"
#include "tests/support/temp_dir.h"

namespace layerfs::layer {
namespace {

using test::elf_file;

bool is_program(const std::string& content) {
  return begins_program(std::as_bytes(std::span(content)));
}

TEST(IsProgram, ProgramsAndLibrariesAre) {
  EXPECT_TRUE(is_program(elf_file(ET_EXEC)));
  EXPECT_TRUE(is_program(elf_file(ET_DYN)));
  EXPECT_TRUE(is_program(elf_file(ET_DYN, 100'000)));
}

TEST(IsProgram, ThoseOfOtherMachinesAre) {
  std::string foreign = elf_file(ET_EXEC, kSmallestProgram);
  foreign[EI_CLASS] = ELFCLASS32;
  foreign[EI_DATA] = ELFDATA2MSB;
  foreign[16] = 0;
  foreign[17] = ET_DYN;
  EXPECT_TRUE(is_program(foreign));
  foreign[16] = ET_DYN;
  foreign[17] = 0;
  EXPECT_FALSE(is_program(foreign));
}

// Programs rewrite them in place: ld -r, strip, sign-file of kernel modules.
TEST(IsProgram, ObjectFilesAndCoreDumpsAreNot) {
  EXPECT_FALSE(is_program(elf_file(ET_REL)));
  EXPECT_FALSE(is_program(elf_file(ET_CORE)));
  EXPECT_FALSE(is_program(elf_file(ET_NONE)));
  EXPECT_FALSE(is_program(elf_file(ET_LOPROC)));
}

TEST(IsProgram, ScriptsAndDataAreNot) {
  EXPECT_FALSE(is_program("#!/bin/sh\n" + std::string(1000, 'x')));
  EXPECT_FALSE(is_program(std::string(1000, '\0')));
  EXPECT_FALSE(is_program(""));
}

TEST(IsProgram, WhatIsTooShortForAHeaderIsNot) {
  EXPECT_FALSE(is_program(elf_file(ET_DYN, kSmallestProgram - 1)));
  EXPECT_FALSE(is_program(elf_file(ET_DYN, 4)));
}

TEST(IsProgram, ReadsTheBeginningOfAFile) {
  const test::TempDir dir;
  test::write_file(dir / "program", elf_file(ET_EXEC, 5000));
  test::write_file(dir / "empty", "");
  const auto open_file = [&](const char* name) {
    return sys::UniqueFd(::open((dir / name).c_str(), O_RDONLY | O_CLOEXEC));
  };
  EXPECT_TRUE(layer::is_program(open_file("program").get()).value());
  EXPECT_FALSE(layer::is_program(open_file("empty").get()).value());
  const sys::UniqueFd directory(::open(dir.path().c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(layer::is_program(directory.get()).error().code(), EISDIR);
}

}  // namespace
}  // namespace layerfs::layer
