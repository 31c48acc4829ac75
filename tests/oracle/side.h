// One of the two sides of a case: its layers on disk, its mount, its results.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "fs/sys/failure.h"
#include "tests/oracle/case.h"
#include "tests/oracle/case_run.h"
#include "tests/oracle/runner.h"
#include "tests/oracle/snapshot.h"
#include "tests/oracle/subject.h"

namespace layerfs::oracle {

class Side {
 public:
  // `dir` is made, and removed at the end unless the lab keeps it.
  Side(std::string dir, const Case& test, Subject subject, Encoding encoding, const Lab& lab);
  ~Side();

  Outcome<void> build();
  Outcome<void> mount() { return mount_as(subject_); }

  // Performs the case's operations, all but those marked in `skip` (empty: none), remounting where
  // they say so. Fewer results than operations mean a Failure in stop().
  std::vector<std::string> run(const std::vector<bool>& skip);

  // Why run() or snapshot() stopped early: signature and text; empty if they did not.
  const Finding& stop() const { return stop_; }

  // What a user of the mount sees. Empty and with stop() set when that cannot be had.
  Snapshot snapshot();

  Outcome<void> unmount();

  // Mounts the layers as they are now with another file system, which must see the same.
  Outcome<void> mount_as(const Subject& other);

  // Makes layers in an encoding that only the subject reads readable for the kernel.
  Outcome<void> reencode();

  // What changed in the layers that were below the upper, from their building on; one line each.
  std::vector<std::string> changed_lowers();

  // What lies in the work directories and is not to be there when nothing is mounted.
  std::vector<std::string> leftovers() const;

  const std::string& dir() const { return dir_; }
  std::string daemon_messages() const;

 private:
  struct Layer {
    std::string path;
    Snapshot before;
    LowerKind kind = LowerKind::kDirectory;
  };

  MountPlan plan() const;
  std::string upper() const;
  std::string work() const;
  Outcome<void> make_upper();
  Outcome<Snapshot> raw_snapshot(const std::string& dir);
  Outcome<void> perform_remount(const Op& op);
  // Appends the results of operations [from, to).
  bool run_stretch(size_t from, size_t to, const std::vector<bool>& skip,
                   std::vector<std::string>& results);
  void perform(size_t from, size_t to, const std::vector<bool>& skip, int out) const;
  void stop(std::string signature, std::string text);

  const std::string dir_;
  const Case& test_;
  const Subject subject_;
  const Encoding encoding_;
  const Lab& lab_;
  std::vector<Layer> lowers_;  // topmost first; grows at the front when an upper is stacked
  int uppers_ = 0;             // how many there have been
  std::unique_ptr<LiveMount> live_;
  InodeAliases aliases_;
  Finding stop_;
};

}  // namespace layerfs::oracle
