#include "tests/oracle/lab_fixture.h"

#include <gtest/gtest.h>

#include "tests/oracle/scratch_fs.h"
#include "tests/oracle/shrink.h"

namespace layerfs::oracle {
namespace {

const std::string& scratch(LowerKind lowers) {
  const std::string& ext4 = isolated_ext4();
  if (lowers != LowerKind::kSubvolume) return ext4;
  static const ScratchFs btrfs("btrfs");
  return btrfs.path();
}

// The script of the smallest case that fails in the same way, and how it does.
std::string explain(const Case& test, const Finding& first, const Lab& lab) {
  std::string text = first.text;
  const Case small =
      shrink(test,
             [&](const Case& candidate) {
               const auto findings = run_case(candidate, lab);
               if (!findings || findings->empty() || findings->front().signature != first.signature)
                 return false;
               text = findings->front().text;
               return true;
             },
             {200, std::chrono::seconds(30)});
  return first.signature + "\n" + text + "script for --replay:\n" + to_text(small);
}

}  // namespace

Lab make_lab(const Subject& subject, LowerKind lowers) {
  Lab lab;
  lab.scratch = scratch(lowers);
  lab.subject = subject;
  lab.lowers = lowers;
  return lab;
}

void expect_no_difference(const Lab& lab, uint64_t first_seed, int count,
                          const GenerateOptions& options) {
  for (int i = 0; i < count; ++i) {
    const Case test = generate_case(first_seed + static_cast<uint64_t>(i), options);
    const Outcome<std::vector<Finding>> findings = run_case(test, lab);
    ASSERT_TRUE(findings) << "seed " << test.seed << ": " << findings.error().sentence;
    ASSERT_TRUE(findings->empty())
        << "seed " << test.seed << ": " << explain(test, findings->front(), lab);
  }
}

}  // namespace layerfs::oracle
