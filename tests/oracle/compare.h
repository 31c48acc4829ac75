// What counts as a difference between the yardstick and the subject.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tests/oracle/case.h"
#include "tests/oracle/snapshot.h"

namespace layerfs::oracle {

// One field of one name, or one word of one result, that is not as expected. `expected` or `got`
// may be empty: there on one side only.
struct Difference {
  std::string where;
  std::string field;
  std::string expected;
  std::string got;
};

std::string to_text(const Difference& difference);

// Every difference of two trees.
std::vector<Difference> compare_exactly(const Snapshot& expected, const Snapshot& got);

// How two mounts of a case differ beyond what is tolerated (the list with its reasons is in
// compare.cc).
std::vector<Difference> compare_trees(const Case& test, const Snapshot& expected,
                                      const Snapshot& got);

// The same for what one operation returned.
std::vector<Difference> compare_results(const Case& test, const Op& op, const std::string& expected,
                                        const std::string& got);

// Whether kernel overlayfs declined an operation for a reason of its own that the subject need not
// share. The subject is not asked to perform it, since the trees would differ from there on.
bool yardstick_declines(const Case& test, const Op& op, const std::string& result);

}  // namespace layerfs::oracle
