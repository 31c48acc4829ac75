#include <string>

#include <gtest/gtest.h>

#include "tests/support/command.h"
#include "tests/support/temp_dir.h"

namespace layerfs::test {
namespace {

// What tests/count.py makes of a log of `meson test`.
Ran count(const std::string& log, const std::string& ci) {
  const TempDir dir;
  write_file(dir / "log", log);
  return run({"python3", LAYERFS_SOURCE_ROOT "/tests/count.py", dir / "log"},
             {.environment = {"CI=" + ci}});
}

TEST(Count, SumsTheCasesOfAProgram) {
  const Ran ran = count(R"({"name": "unit", "result": "OK", "stdout": )"
                        R"("[       OK ] A.B (0 ms)\ntext[       OK ] A.C (12 ms)\n"})"
                        "\n"
                        R"({"name": "script", "result": "OK", "stdout": "fine"})",
                        "true");
  EXPECT_EQ(ran.out, "3 passed, 0 failed\n");
  EXPECT_EQ(ran.status, 0);
}

TEST(Count, AFailedCaseIsNamed) {
  const Ran ran = count(R"({"name": "unit", "result": "FAIL", "stdout": )"
                        R"("[       OK ] A.B (0 ms)\n[  FAILED  ] A.C (12 ms)\n)"
                        R"([  FAILED  ] 1 test, listed below:\n[  FAILED  ] A.C\n"})",
                        "");
  EXPECT_EQ(ran.out, "failed: unit: A.C\n1 passed, 1 failed\n");
  EXPECT_EQ(ran.status, 1);
}

TEST(Count, ACrashAfterGoodCasesIsAFailure) {
  const Ran ran =
      count(R"({"name": "unit", "result": "TIMEOUT", "stdout": "[       OK ] A.B (0 ms)\n"})", "");
  EXPECT_EQ(ran.out, "failed: unit (timeout)\n1 passed, 1 failed\n");
  EXPECT_EQ(ran.status, 1);
}

TEST(Count, ASkippedCaseFailsInContinuousIntegrationOnly) {
  const std::string log = R"({"name": "unit", "result": "OK", "stdout": )"
                          R"("[       OK ] A.B (0 ms)\n[  SKIPPED ] A.C (0 ms)\n"})";
  EXPECT_EQ(count(log, "").out, "skipped: unit: A.C\n1 passed, 0 failed, 1 skipped\n");
  EXPECT_EQ(count(log, "").status, 0);
  EXPECT_EQ(count(log, "true").out, "skipped: unit: A.C\n1 passed, 1 failed\n");
  EXPECT_EQ(count(log, "true").status, 1);
}

TEST(Count, NoTestAtAllIsAFailure) { EXPECT_EQ(count("", "").status, 1); }

}  // namespace
}  // namespace layerfs::test
