// What there is on this machine of all that layerfs can use.
#pragma once

#include <string>
#include <vector>

#include "fs/fuse/choice.h"

namespace layerfs::tools {

enum class DeviceState { kOpens, kForbidden, kAbsent };
enum class Cgroups { kUnified, kHybrid, kSeparate, kNone };

// The store as this process finds it.
enum class StoreState {
  kGood,
  kAbsent,
  kUnusable,   // it cannot be opened, or is none
  kForeign,    // somebody else's: nothing can be written
  kOtherKind,  // its layers have their owners where this process does not look for them
  kNoXattrs,   // its file system cannot hold the marks of an upper directory
};

struct Machine {
  bool privileged = false;  // root of the machine, not of a user namespace
  // Ids of the user namespace that this process is the root of; 0 if it is in the machine's own.
  unsigned long namespace_ids = 0;

  std::string kernel;  // release
  int kernel_major = 0;
  int kernel_minor = 0;
  DeviceState device = DeviceState::kAbsent;
  unsigned device_mode = 0;
  fuse::TransportChoice transport;
  std::string trial;          // how a mount that was tried is served; empty: it is not known
  std::string trial_problem;  // why it failed; empty: it did not
  bool read_ahead = false;    // can be raised
  bool libfuse_allows_idmapped = false;

  std::string fusermount;  // paths; empty: not found
  bool fusermount_is_setuid = false;
  bool users_allow_other = false;  // user_allow_other in fuse.conf
  std::string mount_helper;        // mount.fuse.layerfs
  std::string containerd_helper;   // mount.fuse3

  std::string user;                               // name
  std::string user_namespace_problem;             // empty: they can be made
  std::vector<std::string> missing_subordinates;  // of /etc/subuid and /etc/subgid
  std::string newuidmap;

  std::string store;  // its root
  StoreState store_state = StoreState::kAbsent;
  std::string store_problem;               // a sentence, where the state has a cause
  std::vector<std::string> broken_images;  // a sentence each

  std::string runc;
  std::string crun;
  Cgroups cgroups = Cgroups::kNone;
  bool overlay = false;  // the kernel has, or can load, overlayfs
};

// Looks, and makes and ends one mount of its own. Nothing is changed.
// Must be called before the process starts threads.
Machine look_at_machine(const std::string& store);

}  // namespace layerfs::tools
