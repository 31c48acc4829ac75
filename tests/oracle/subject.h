// The union file systems that the oracle mounts.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "fs/sys/failure.h"

namespace layerfs::oracle {

enum class SubjectKind { kOverlay, kFuseOverlayfs, kLayerfs };

struct Subject {
  SubjectKind kind = SubjectKind::kOverlay;
  std::string program;   // of a FUSE file system
  std::string extra;     // options that only it gets
  bool indexed = false;  // the lowers get an index each before they are mounted (layerfs only)
  bool aufs = false;     // the lowers are to be read in the AUFS dialect (layerfs has to be told)
};

// "overlay", "fuse-overlayfs", or "layerfs" and "layerfs-indexed" with the program's path.
Outcome<Subject> parse_subject(const std::string& name, const std::string& layerfs_program);

struct MountPlan {
  std::vector<std::string> lowers;  // topmost first
  std::string upper;
  std::string work;
  std::string target;   // an existing directory
  std::string options;  // beside the directories
  std::string log;      // where a daemon's messages go
};

// One mount and, for FUSE, the daemon behind it. What is still mounted at the end of its life is
// aborted and detached.
class LiveMount {
 public:
  static Outcome<std::unique_ptr<LiveMount>> mount(const Subject& subject, const MountPlan& plan);

  LiveMount(const LiveMount&) = delete;
  LiveMount& operator=(const LiveMount&) = delete;
  ~LiveMount();

  // Unmounts and waits for the daemon's end. Refuses when the mount stays busy, or the daemon does
  // not end or ends badly.
  Outcome<void> unmount();

  // Wakes every process that waits for the daemon, with an error.
  void abort();

  // How the daemon ended, if it did before its unmount: "signal 11", else empty.
  std::string daemon_death();

 private:
  LiveMount(std::string target, pid_t daemon) : target_(std::move(target)), daemon_(daemon) {}
  Outcome<void> wait_until_live(const std::string& log);
  Outcome<void> answers();
  Outcome<void> wait_for_daemon();

  const std::string target_;
  pid_t daemon_;        // 0: none, or waited for
  int status_ = 0;      // of the daemon, once waited for
  std::string device_;  // the FUSE connection's number
  bool mounted_ = false;
};

}  // namespace layerfs::oracle
