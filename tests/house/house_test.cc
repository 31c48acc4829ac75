#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/house/rules.h"
#include "tests/support/command.h"
#include "tests/support/temp_dir.h"

namespace layerfs::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr long kMaxLines = 500;

const std::filesystem::path kRoot = LAYERFS_SOURCE_ROOT;

TEST(IncludeRules, AnIncludeThatPointsUpIsFound) {
  EXPECT_THAT(include_violations("fs/layer/index.h", "#include \"fs/tree/node.h\"\n"),
              ElementsAre(HasSubstr("fs/layer may not include fs/tree")));
  EXPECT_THAT(include_violations("fs/op/lookup.cc", "#  include \"layerstore/digest.h\"\n"),
              ElementsAre(HasSubstr("fs/op may not include layerstore")));
  EXPECT_THAT(include_violations("layerstore/unpack.cc", "#include \"fs/tree/node.h\"\n"),
              ElementsAre(HasSubstr("layerstore may not include fs/tree")));
}

TEST(IncludeRules, AnIncludeThatPointsDownIsFine) {
  EXPECT_THAT(include_violations("fs/tree/node.cc", "#include \"fs/sys/statx.h\"\n"), IsEmpty());
  EXPECT_THAT(include_violations("tools/mount.cc", "#include \"layerstore/store.h\"\n"), IsEmpty());
}

TEST(IncludeRules, AHeaderNamedByLessThanItsPathIsFound) {
  EXPECT_THAT(include_violations("fs/tree/node.cc", "#include \"node.h\"\n"),
              ElementsAre(HasSubstr("path from the source root")));
}

TEST(IncludeRules, LibfuseOutsideFsFuseIsFound) {
  for (const std::string name : {"fuse_lowlevel.h", "fuse3/fuse.h", "linux/fuse.h"}) {
    const std::string line = "#include <" + name + ">\n";
    EXPECT_THAT(include_violations("fs/op/file.cc", line), ElementsAre(HasSubstr(name)));
    EXPECT_THAT(include_violations("fs/fuse/session.cc", line), IsEmpty());
  }
}

TEST(IncludeRules, AKeptLibraryInAHeaderIsFound) {
  for (const std::string name : {"archive.h", "openssl/evp.h", "nlohmann/json.hpp", "CLI/CLI.hpp",
                                 "zstd.h", "grpcpp/grpcpp.h"}) {
    const std::string line = "#include <" + name + ">\n";
    EXPECT_THAT(include_violations("layerstore/unpack.h", line), ElementsAre(HasSubstr(name)));
    EXPECT_THAT(include_violations("layerstore/unpack.cc", line), IsEmpty());
  }
}

TEST(House, IncludesPointDownTheTable) {
  const auto files = source_files(kRoot);
  ASSERT_GT(files.size(), 5u);
  for (const auto& file : files)
    EXPECT_THAT(include_violations(file.string(), read_file(kRoot / file)), IsEmpty());
}

TEST(OutputRules, PrintingPastTheOneWriterIsFound) {
  for (const std::string line :
       {"  std::cerr << name;", "  printf(\"%s\", name);", "  ::fprintf(stderr, \"x\");",
        "  std::puts(name);", "fmt::print(\"{}\", name);", "  ::perror(name);",
        "  ::write(STDERR_FILENO, text, size);", "if (::write(2, text, size) < 0) return;",
        "auto logger = spdlog::stderr_logger_mt(\"x\");", "  logger->set_pattern(\"%v\");",
        "  ::syslog(LOG_ERR, \"%s\", name);"}) {
    EXPECT_THAT(output_violations("tools/ps_command.cc", line + "\n"), testing::SizeIs(1)) << line;
    EXPECT_THAT(output_violations("layerstore/store.cc", line + "\n"), testing::SizeIs(1)) << line;
    EXPECT_THAT(output_violations("tests/house/rules.cc", line + "\n"), IsEmpty()) << line;
  }
}

TEST(OutputRules, TheWriterAndWhatIsNoPrintingAreFine) {
  EXPECT_THAT(output_violations("tools/io.cc", "Io io{std::cout, std::cerr};\n"), IsEmpty());
  EXPECT_THAT(output_violations("tools/log.cc", "log_by(spdlog::stderr_logger_mt(name));\n"),
              IsEmpty());
  for (const std::string line :
       {"  io.out.print(\"{}\\n\", name);", "  spdlog::warn(\"{}\", name);",
        "  warn(io, sentence);", "  std::snprintf(line, size, format);", "// std::cerr is not used",
        "  log_to_syslog();", "  ::write(fd, text, size);"})
    EXPECT_THAT(output_violations("tools/ps_command.cc", line + "\n"), IsEmpty()) << line;
}

TEST(House, AllTextForPeopleGoesThroughOneWriter) {
  for (const auto& file : source_files(kRoot))
    EXPECT_THAT(output_violations(file.string(), read_file(kRoot / file)), IsEmpty());
}

TEST(OpeningRules, OpeningPastTheOnePlaceIsFound) {
  for (const std::string line :
       {"  UniqueFd fd(::open(path, O_RDONLY));", "  fd = ::openat(dirfd, name, flags);",
        "  ::syscall(SYS_openat2, dirfd, path, &how, sizeof how);", "  ::truncate(path, 0);",
        "  std::ifstream file(path);", "  ::fchmodat(dirfd, name, mode, 0);",
        "  FILE* file = std::fopen(path, \"r\");"}) {
    EXPECT_THAT(opening_violations("fs/tree/place.cc", line + "\n"), testing::SizeIs(1)) << line;
    EXPECT_THAT(opening_violations("fs/sys/copy.cc", line + "\n"), testing::SizeIs(1)) << line;
    EXPECT_THAT(opening_violations("fs/sys/file.cc", line + "\n"), IsEmpty()) << line;
    EXPECT_THAT(opening_violations("tools/io.cc", line + "\n"), IsEmpty()) << line;
  }
}

TEST(OpeningRules, TheOnePlaceAndWhatIsNoLayerAreFine) {
  for (const std::string line :
       {"  sys::open_beneath(dirfd, name, O_RDONLY);", "  place.open(O_WRONLY);",
        "  std::ifstream mounts(\"/proc/self/mountinfo\");", "  // ::open() would wait",
        "  Index::open(dirfd, name);"})
    EXPECT_THAT(opening_violations("fs/tree/place.cc", line + "\n"), IsEmpty()) << line;
}

TEST(House, LayersAreOpenedInOnePlace) {
  for (const auto& file : source_files(kRoot))
    EXPECT_THAT(opening_violations(file.string(), read_file(kRoot / file)), IsEmpty());
}

TEST(House, FilesStayShort) {
  for (const auto& file : source_files(kRoot)) {
    const std::string content = read_file(kRoot / file);
    EXPECT_LT(std::count(content.begin(), content.end(), '\n'), kMaxLines) << file;
  }
}

TEST(House, HeadersAreGuardedByPragmaOnce) {
  for (const auto& file : source_files(kRoot)) {
    if (file.extension() == ".h") {
      EXPECT_THAT(read_file(kRoot / file), HasSubstr("\n#pragma once\n")) << file;
    }
  }
}

TEST(House, ClangFormatIsClean) {
  std::vector<std::string> argv{"clang-format", "--dry-run", "--Werror"};
  for (const auto& file : source_files(kRoot)) argv.push_back(file.string());
  const Ran ran = run(argv, {.directory = kRoot});
  EXPECT_EQ(ran.status, 0) << ran.err.substr(0, 4000);
}

TEST(House, ScriptsParse) {
  for (const char* script :
       {"tools/setup", "tools/apt.sh", "tools/demo-image", "tests/run", "tests/lint", ".ci/run"})
    EXPECT_EQ(run({"bash", "-n", script}, {.directory = kRoot}).err, "") << script;
}

}  // namespace
}  // namespace layerfs::test
