// Replays the scripts in cases/, each named for the behaviour it once found wrong.
#include <algorithm>
#include <filesystem>

#include <gtest/gtest.h>

#include "tests/oracle/lab_fixture.h"
#include "tests/oracle/process.h"
#include "tests/support/command.h"

namespace layerfs::oracle {
namespace {

std::vector<std::string> scripts() {
  std::vector<std::string> found;
  for (const auto& entry : std::filesystem::directory_iterator(LAYERFS_ORACLE_CASES))
    found.push_back(entry.path().stem());
  std::sort(found.begin(), found.end());
  return found;
}

std::string title(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

class OracleCases : public testing::TestWithParam<std::string> {};

TEST_P(OracleCases, LayerfsDoesAsTheKernel) {
  const std::string file = std::string(LAYERFS_ORACLE_CASES) + "/" + GetParam() + ".case";
  const Outcome<Case> test = parse_case(read_text(file));
  ASSERT_TRUE(test) << test.error().sentence;
  const Lab lab = make_lab({SubjectKind::kLayerfs, test::layerfs_program(), ""});
  const auto findings = run_case(*test, lab);
  ASSERT_TRUE(findings) << findings.error().sentence;
  for (const Finding& finding : *findings)
    ADD_FAILURE() << finding.signature << "\n" << finding.text;
}

INSTANTIATE_TEST_SUITE_P(Scripts, OracleCases, testing::ValuesIn(scripts()), title);

}  // namespace
}  // namespace layerfs::oracle
