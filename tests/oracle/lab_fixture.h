// The place where the tests of this directory run their cases.
#pragma once

#include "tests/oracle/case_run.h"
#include "tests/oracle/generate.h"

namespace layerfs::oracle {

// A lab on a scratch file system that all tests of the process share: a btrfs for subvolumes, else
// an ext4.
Lab make_lab(const Subject& subject, LowerKind lowers = LowerKind::kDirectory);

// Runs `count` generated cases and fails the current test, with the shrunk script, at the first
// difference.
void expect_no_difference(const Lab& lab, uint64_t first_seed, int count,
                          const GenerateOptions& options);

}  // namespace layerfs::oracle
