// Runs one case on both sides and says what differs.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "fs/sys/failure.h"
#include "tests/oracle/case.h"
#include "tests/oracle/lower_kind.h"
#include "tests/oracle/subject.h"

namespace layerfs::oracle {

// Where and on what cases run.
struct Lab {
  std::string scratch;  // an existing directory on a file system with xattrs
  Subject subject;
  LowerKind lowers = LowerKind::kDirectory;
  std::chrono::milliseconds limit{20000};  // for each stretch between two mounts
  bool keep = false;                       // leave the last case's directories behind

  // Told of each operation's result on both sides; `got` is empty where the subject did not run.
  std::function<void(const Op& op, const std::string& expected, const std::string& got)> trace;

  // Test of the test: called after each operation of the subject, in the process that performs it;
  // may alter the result. Also called once, with no operation, after the last unmount, with the
  // subject's directory.
  std::function<void(const Op& op, std::string& result)> tamper_op;
  std::function<void(const std::string& side)> tamper_disk;
};

// One thing that is wrong.
struct Finding {
  // Names the kind of defect and stays the same while a case shrinks:
  // "result:rename:EXDEV:ok", "tree:mode", "subject-on-kernel-upper:name", "hang".
  std::string signature;
  std::string text;  // all about it, for a person
};

// Findings in the order of their discovery: the first is the cause of the others more often than
// not. Refuses when the yardstick itself cannot be run: there is nothing to compare with.
Outcome<std::vector<Finding>> run_case(const Case& test, const Lab& lab);

}  // namespace layerfs::oracle
