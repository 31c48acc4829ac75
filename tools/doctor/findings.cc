#include "tools/doctor/findings.h"

#include <fmt/format.h>

namespace layerfs::tools {

namespace {

using Findings = std::vector<Finding>;

bool kernel_is(const Machine& machine, int major, int minor) {
  return machine.kernel_major > major ||
         (machine.kernel_major == major && machine.kernel_minor >= minor);
}

void good(Findings& all, const char* topic, std::string sentence) {
  all.push_back({Verdict::kGood, topic, std::move(sentence)});
}

void advise(Findings& all, const char* topic, std::string sentence) {
  all.push_back({Verdict::kAdvice, topic, std::move(sentence)});
}

void miss(Findings& all, const char* topic, std::string sentence) {
  all.push_back({Verdict::kMissing, topic, std::move(sentence)});
}

void judge_kernel(const Machine& machine, Findings& all) {
  const std::string linux = "Linux " + machine.kernel;
  if (!kernel_is(machine, 5, 12)) {
    miss(all, "kernel", linux + " is too old: layerfs needs 5.12 or newer (mount_setattr)");
  } else if (!kernel_is(machine, 6, 9)) {
    advise(all, "kernel",
           linux +
               " works, but all file data passes through the daemon; from 6.9 on the kernel "
               "reads and writes files by itself (passthrough)");
  } else if (!kernel_is(machine, 6, 14)) {
    advise(all, "kernel", linux + " works; 6.14 and newer also have FUSE over io_uring");
  } else {
    good(all, "kernel", linux + " has all that layerfs can use");
  }
}

void judge_device(const Machine& machine, Findings& all) {
  constexpr unsigned kForAll = 0666;
  const char* topic = "/dev/fuse";
  if (machine.device == DeviceState::kAbsent) {
    miss(all, topic,
         "there is no /dev/fuse: `modprobe fuse` as root loads it, and a container "
         "needs it among its devices");
  } else if (machine.device == DeviceState::kForbidden) {
    miss(all, topic,
         fmt::format("/dev/fuse has the mode {:04o}, which does not let you open it: `chmod 666 "
                     "/dev/fuse` as root does (udev's rule in the package fuse3 sets it at boot)",
                     machine.device_mode));
  } else if ((machine.device_mode & kForAll) != kForAll) {
    advise(all, topic,
           fmt::format("/dev/fuse opens, but its mode {:04o} keeps other users from mounting: "
                       "`chmod 666 /dev/fuse` as root changes that",
                       machine.device_mode));
  } else {
    good(all, topic, "everybody may open it");
  }
}

void judge_trial(const Machine& machine, Findings& all) {
  if (!machine.trial_problem.empty()) {
    miss(all, "mount", "a mount that was tried failed: " + machine.trial_problem);
  } else if (machine.trial.empty()) {
    advise(all, "mount",
           "a mount that was tried works, but its daemon has no directory where to say how, and "
           "`layerfs ps` will not know it: set XDG_RUNTIME_DIR to one of yours");
  } else {
    good(all, "mount", "a mount that was tried works: " + machine.trial);
  }
}

void judge_transport(const Machine& machine, Findings& all) {
  if (machine.transport.io_uring) {
    good(all, "transport", "mounts take requests through io_uring, the faster way");
  } else {
    advise(all, "transport",
           "mounts take requests through /dev/fuse, not io_uring: " + machine.transport.reason);
  }
}

void judge_passthrough(const Machine& machine, Findings& all) {
  const char* topic = "passthrough";
  if (machine.trial.find("passthrough") != std::string::npos) {
    good(all, topic,
         "the kernel reads and writes files of the upper, and runs programs, by itself");
  } else if (!machine.privileged) {
    advise(all, topic,
           "file data passes through the daemon and the page cache: the kernel hands files over "
           "to root of the machine only");
  } else if (kernel_is(machine, 6, 9)) {
    advise(all, topic,
           "file data passes through the daemon: this kernel was built without passthrough "
           "(CONFIG_FUSE_PASSTHROUGH)");
  } else {
    advise(all, topic, "file data passes through the daemon: it takes Linux 6.9 or newer");
  }
}

void judge_idmapped(const Machine& machine, Findings& all) {
  const char* topic = "idmapped mounts";
  if (!kernel_is(machine, 6, 12)) {
    advise(all, topic, "a mount cannot be idmapped for a user namespace: it takes Linux 6.12");
  } else if (!machine.libfuse_allows_idmapped) {
    advise(all, topic,
           "a mount cannot be idmapped for a user namespace, since this libfuse knows nothing of "
           "it: the one that tools/setup of the source builds does");
  } else {
    good(all, topic, "a mount can be idmapped for a user namespace (mount_setattr)");
  }
}

void judge_read_ahead(const Machine& machine, Findings& all) {
  if (machine.read_ahead) {
    good(all, "read-ahead", "can be raised for files that pass through the daemon");
  } else if (machine.privileged) {
    advise(all, "read-ahead",
           "stays at 128 KiB, because /sys is read-only here: large files that pass through the "
           "daemon are read more slowly; `mount -o remount,rw /sys` changes that");
  } else {
    advise(all, "read-ahead",
           "stays at 128 KiB, since only root can raise it: large files are read more slowly");
  }
}

void judge_fusermount(const Machine& machine, Findings& all) {
  const char* topic = "helpers";
  if (machine.namespace_ids > 0) {
    good(all, topic, "the root of a user namespace mounts without fusermount3");
  } else if (machine.fusermount.empty()) {
    const std::string sentence =
        "fusermount3 is not found, by which users without root mount: install the package fuse3";
    machine.privileged ? advise(all, topic, sentence) : miss(all, topic, sentence);
  } else if (!machine.fusermount_is_setuid) {
    const std::string sentence = machine.fusermount +
                                 " is not setuid root, so users without root cannot mount: `chmod "
                                 "u+s " +
                                 machine.fusermount + "` as root";
    machine.privileged ? advise(all, topic, sentence) : miss(all, topic, sentence);
  } else {
    good(all, topic, machine.fusermount + " lets users without root mount");
  }
}

void judge_helpers(const Machine& machine, Findings& all) {
  const char* topic = "helpers";
  judge_fusermount(machine, all);
  if (machine.mount_helper.empty()) {
    advise(all, topic,
           "mount.fuse.layerfs is not in /sbin or /usr/sbin, so `mount -t fuse.layerfs` and "
           "/etc/fstab do not work: `meson install -C build` puts it there if the prefix is /usr, "
           "or link it to layerfs");
  } else {
    good(all, topic, machine.mount_helper + " serves `mount -t fuse.layerfs` and /etc/fstab");
  }
  if (machine.containerd_helper.empty()) {
    advise(all, topic,
           "mount.fuse3, by which containerd mounts, is not found: install the package "
           "fuse3");
  } else {
    good(all, topic, machine.containerd_helper + " is there for containerd");
  }
}

void judge_users(const Machine& machine, Findings& all) {
  const char* topic = "users";
  if (machine.user_namespace_problem.empty()) {
    good(all, topic, "user namespaces can be made");
  } else {
    advise(all, topic,
           "user namespaces cannot be made, so there are no containers without root: " +
               machine.user_namespace_problem);
  }
  if (machine.namespace_ids == 1) {
    advise(all, topic,
           "this user namespace has one id: every file is shown as yours, and nothing can be "
           "given to another user; `podman unshare` makes one with those of /etc/subuid");
  } else if (machine.namespace_ids > 1) {
    good(all, topic, fmt::format("this user namespace has {} ids", machine.namespace_ids));
  }
  if (machine.privileged || machine.namespace_ids > 0) return;
  for (const std::string& file : machine.missing_subordinates) {
    advise(all, topic,
           fmt::format("{0} has no ids for {1}, so podman's containers have one user only: "
                       "`usermod --add-sub{2}ids 100000-165535 {1}` as root gives some",
                       file, machine.user, file.ends_with("gid") ? "g" : "u"));
  }
  if (machine.missing_subordinates.empty()) {
    good(all, topic, machine.user + " has subordinate ids");
  }
  if (machine.newuidmap.empty()) {
    advise(all, topic,
           "newuidmap, which gives a container its users, is not found: install the "
           "package uidmap");
  }
  if (!machine.users_allow_other) {
    advise(all, topic,
           "other users do not see your mounts, since /etc/fuse.conf has no line "
           "`user_allow_other`; containers with several users need it");
  }
}

void judge_store(const Machine& machine, Findings& all) {
  const char* topic = "store";
  for (const std::string& sentence : machine.broken_images) {
    advise(all, topic, sentence + "; `layerfs check` says more, `layerfs rmi` removes it");
  }
  switch (machine.store_state) {
    case StoreState::kGood:
      return good(all, topic, machine.store + " is a store, and can be written");
    case StoreState::kAbsent:
      return advise(all, topic,
                    "there is no store at " + machine.store + " yet: `layerfs import` makes one");
    case StoreState::kUnusable:
      return miss(all, topic, machine.store_problem);
    case StoreState::kForeign:
      return advise(all, topic,
                    machine.store +
                        " cannot be written by you: images can be mounted read-only, "
                        "or give a --root of your own");
    case StoreState::kOtherKind:
      return miss(all, topic,
                  machine.store + (machine.privileged
                                       ? " was filled without root: owners and devices are not in "
                                         "its files; import the images again into another --root"
                                       : " was filled by root: you cannot use its owners; import "
                                         "the images into a --root of your own"));
    case StoreState::kNoXattrs:
      return miss(all, topic,
                  machine.store +
                      " is on a file system where the marks of writable directories "
                      "cannot be kept (" +
                      machine.store_problem + "): put it on ext4, xfs or btrfs");
  }
}

void judge_runtimes(const Machine& machine, Findings& all) {
  const char* topic = "runtimes";
  if (machine.runc.empty() && machine.crun.empty()) {
    advise(all, topic,
           "neither runc nor crun is found, which `layerfs run` needs: install the "
           "package runc");
  } else if (machine.runc.empty() && machine.cgroups == Cgroups::kHybrid) {
    advise(all, topic,
           "crun does not run containers where cgroup v1 and v2 are mounted beside each other, as "
           "here: install the package runc");
  } else {
    good(all, topic, (machine.runc.empty() ? machine.crun : machine.runc) + " makes containers");
  }
}

void judge_overlay(const Machine& machine, Findings& all) {
  if (machine.overlay) {
    good(all, "overlayfs", "the kernel's own can be compared with");
  } else {
    advise(all, "overlayfs",
           "the kernel has none: layerfs does not need it, but its tests do (`modprobe overlay`)");
  }
}

}  // namespace

std::vector<Finding> judge(const Machine& machine) {
  Findings all;
  judge_kernel(machine, all);
  judge_device(machine, all);
  judge_trial(machine, all);
  judge_transport(machine, all);
  judge_passthrough(machine, all);
  judge_idmapped(machine, all);
  judge_read_ahead(machine, all);
  judge_helpers(machine, all);
  judge_users(machine, all);
  judge_store(machine, all);
  judge_runtimes(machine, all);
  judge_overlay(machine, all);
  return all;
}

}  // namespace layerfs::tools
