#include "tests/oracle/shrink.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "tests/oracle/generate.h"

namespace layerfs::oracle {
namespace {

bool has_op(const Case& test, OpKind kind) {
  return std::any_of(test.ops.begin(), test.ops.end(),
                     [kind](const Op& op) { return op.kind == kind; });
}

// A defect that needs two operations and one entry of a lower layer.
bool fails(const Case& test) {
  const bool has_entry = std::any_of(test.layers.begin(), test.layers.end(), [](const auto& layer) {
    return std::any_of(layer.begin(), layer.end(),
                       [](const Entry& entry) { return entry.kind == EntryKind::kFile; });
  });
  return has_entry && has_op(test, OpKind::kRename) && has_op(test, OpKind::kMkdir);
}

TEST(OracleShrink, LeavesOnlyWhatTheFailureNeeds) {
  int shrunk = 0;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    const Case test = generate_case(seed, {});
    if (!fails(test)) continue;
    ++shrunk;
    const Case small = shrink(test, fails, {10000, std::chrono::seconds(20)});
    EXPECT_TRUE(fails(small));
    EXPECT_EQ(small.ops.size(), 2u);
    ASSERT_EQ(small.layers.size(), 1u);
    EXPECT_EQ(small.layers[0].size(), 1u);
  }
  EXPECT_GT(shrunk, 0);
}

TEST(OracleShrink, StopsWhenItsTriesAreSpent) {
  int tries = 0;
  shrink(generate_case(1, {}), [&](const Case&) { return ++tries > 0; },
         {5, std::chrono::seconds(20)});
  EXPECT_EQ(tries, 5);
}

}  // namespace
}  // namespace layerfs::oracle
