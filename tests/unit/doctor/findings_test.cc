#include "tools/doctor/findings.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace layerfs::tools {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// A machine on which nothing is missing.
Machine best() {
  Machine machine;
  machine.privileged = true;
  machine.kernel = "6.18.1";
  machine.kernel_major = 6;
  machine.kernel_minor = 18;
  machine.device = DeviceState::kOpens;
  machine.device_mode = 0666;
  machine.transport = {true, {}};
  machine.trial = "io_uring, passthrough, read-only";
  machine.read_ahead = true;
  machine.libfuse_allows_idmapped = true;
  machine.fusermount = "/usr/bin/fusermount3";
  machine.fusermount_is_setuid = true;
  machine.users_allow_other = true;
  machine.mount_helper = "/usr/sbin/mount.fuse.layerfs";
  machine.containerd_helper = "/usr/sbin/mount.fuse3";
  machine.user = "somebody";
  machine.newuidmap = "/usr/bin/newuidmap";
  machine.store = "/var/lib/layerfs";
  machine.store_state = StoreState::kGood;
  machine.runc = "/usr/sbin/runc";
  machine.cgroups = Cgroups::kUnified;
  machine.overlay = true;
  return machine;
}

Machine best_without_root() {
  Machine machine = best();
  machine.privileged = false;
  machine.trial = "io_uring, writeback cache";
  return machine;
}

Verdict worst(const Machine& machine) {
  const std::vector<Finding> all = judge(machine);
  return std::ranges::max(all, {}, &Finding::verdict).verdict;
}

// The sentences that are not good news, each behind its verdict's number.
std::string complaints(const Machine& machine) {
  std::string text;
  for (const Finding& finding : judge(machine)) {
    if (finding.verdict == Verdict::kGood) continue;
    text += (finding.verdict == Verdict::kMissing ? "missing " : "advice ") + finding.topic + ": " +
            finding.sentence + "\n";
  }
  return text;
}

TEST(Doctor, HasNoComplaintAboutTheBestMachine) { EXPECT_EQ(complaints(best()), ""); }

TEST(Doctor, SaysWhatIdmappedMountsTake) {
  Machine machine = best();
  machine.libfuse_allows_idmapped = false;
  EXPECT_THAT(complaints(machine), AllOf(HasSubstr("advice idmapped"), HasSubstr("libfuse")));
  machine.kernel_minor = 11;
  EXPECT_THAT(complaints(machine), AllOf(HasSubstr("6.12"), Not(HasSubstr("libfuse"))));
}

TEST(Doctor, OldKernelsAreSlowerAndVeryOldOnesUseless) {
  Machine machine = best();
  machine.kernel_minor = 10;
  EXPECT_THAT(complaints(machine), HasSubstr("6.14"));
  machine.kernel_minor = 8;
  EXPECT_THAT(complaints(machine), HasSubstr("6.9"));
  EXPECT_EQ(worst(machine), Verdict::kAdvice);
  machine.kernel_major = 5;
  machine.kernel_minor = 10;
  EXPECT_THAT(complaints(machine), HasSubstr("missing kernel"));
}

TEST(Doctor, TheDeviceMustOpen) {
  Machine machine = best();
  machine.device_mode = 0600;
  EXPECT_THAT(complaints(machine), AllOf(HasSubstr("advice /dev/fuse"), HasSubstr("chmod 666")));
  machine.device = DeviceState::kForbidden;
  EXPECT_THAT(complaints(machine), AllOf(HasSubstr("missing /dev/fuse"), HasSubstr("0600")));
  machine.device = DeviceState::kAbsent;
  EXPECT_THAT(complaints(machine), HasSubstr("modprobe fuse"));
}

TEST(Doctor, AMountThatFailsIsMissing) {
  Machine machine = best();
  machine.trial = "";
  machine.trial_problem = "the cause";
  EXPECT_THAT(complaints(machine), HasSubstr("missing mount: a mount that was tried failed: the "
                                             "cause"));
}

TEST(Doctor, SaysWhyNotIoUring) {
  Machine machine = best();
  machine.transport = {false, "the reason"};
  EXPECT_EQ(complaints(machine),
            "advice transport: mounts take requests through /dev/fuse, not io_uring: the reason\n");
}

TEST(Doctor, SaysWhyThereIsNoPassthrough) {
  Machine machine = best();
  machine.trial = "io_uring, writeback cache";
  EXPECT_THAT(complaints(machine), HasSubstr("CONFIG_FUSE_PASSTHROUGH"));
  machine.privileged = false;
  EXPECT_THAT(complaints(machine), HasSubstr("root of the machine only"));
}

TEST(Doctor, UsersWithoutRootNeedFusermount) {
  Machine machine = best();
  machine.fusermount = "";
  EXPECT_EQ(worst(machine), Verdict::kAdvice);
  machine = best_without_root();
  EXPECT_EQ(worst(machine), Verdict::kAdvice);
  machine.fusermount_is_setuid = false;
  EXPECT_THAT(complaints(machine),
              HasSubstr("missing helpers: /usr/bin/fusermount3 is not setuid"));
  machine.fusermount = "";
  EXPECT_THAT(complaints(machine), HasSubstr("install the package fuse3"));
  EXPECT_EQ(worst(machine), Verdict::kMissing);
}

TEST(Doctor, TheRootOfAUserNamespaceNeedsNeitherFusermountNorSubordinateIds) {
  Machine machine = best_without_root();
  machine.namespace_ids = 65536;
  machine.fusermount = "";
  machine.missing_subordinates = {"/etc/subuid", "/etc/subgid"};
  machine.newuidmap = "";
  machine.users_allow_other = false;
  EXPECT_THAT(complaints(machine), Not(HasSubstr("helpers")));
  EXPECT_THAT(complaints(machine), Not(HasSubstr("users")));
  machine.namespace_ids = 1;
  EXPECT_THAT(complaints(machine), HasSubstr("advice users: this user namespace has one id"));
}

TEST(Doctor, AMountWhoseDaemonCannotSayHowItIsServedWorks) {
  Machine machine = best_without_root();
  machine.trial = "";
  EXPECT_THAT(complaints(machine), HasSubstr("advice mount: a mount that was tried works, but"));
}

TEST(Doctor, BrokenImagesAreNamed) {
  Machine machine = best();
  machine.broken_images = {"the image 'x' is broken: its blob is gone"};
  EXPECT_THAT(complaints(machine), HasSubstr("advice store: the image 'x' is broken"));
}

TEST(Doctor, MissingMountHelpersAreNamedWithTheirUse) {
  Machine machine = best();
  machine.mount_helper = "";
  machine.containerd_helper = "";
  EXPECT_THAT(complaints(machine), AllOf(HasSubstr("/etc/fstab"), HasSubstr("containerd")));
  EXPECT_EQ(worst(machine), Verdict::kAdvice);
}

TEST(Doctor, SubordinateIdsAreForUsersWithoutRoot) {
  Machine machine = best();
  machine.missing_subordinates = {"/etc/subuid", "/etc/subgid"};
  machine.newuidmap = "";
  EXPECT_EQ(complaints(machine), "");
  machine.privileged = false;
  machine.users_allow_other = false;
  EXPECT_THAT(complaints(machine),
              AllOf(HasSubstr("usermod --add-subuids 100000-165535 somebody"),
                    HasSubstr("usermod --add-subgids 100000-165535 somebody"),
                    HasSubstr("package uidmap"), HasSubstr("user_allow_other")));
  EXPECT_EQ(worst(machine), Verdict::kAdvice);
}

TEST(Doctor, UserNamespacesThatCannotBeMadeAreExplained) {
  Machine machine = best();
  machine.user_namespace_problem = "the cause";
  EXPECT_THAT(complaints(machine), AllOf(HasSubstr("advice users"), HasSubstr("the cause")));
}

TEST(Doctor, AStoreThatCannotBeUsedIsMissing) {
  Machine machine = best();
  machine.store_state = StoreState::kAbsent;
  EXPECT_THAT(complaints(machine), HasSubstr("advice store: there is no store at"));
  machine.store_state = StoreState::kForeign;
  EXPECT_EQ(worst(machine), Verdict::kAdvice);
  for (const StoreState state :
       {StoreState::kUnusable, StoreState::kOtherKind, StoreState::kNoXattrs}) {
    machine.store_state = state;
    machine.store_problem = "the cause";
    EXPECT_THAT(complaints(machine), HasSubstr("missing store")) << static_cast<int>(state);
  }
}

TEST(Doctor, CrunIsNoRuntimeForHybridCgroups) {
  Machine machine = best();
  machine.runc = "";
  EXPECT_THAT(complaints(machine), HasSubstr("package runc"));
  machine.crun = "/usr/bin/crun";
  EXPECT_EQ(complaints(machine), "");
  machine.cgroups = Cgroups::kHybrid;
  EXPECT_THAT(complaints(machine), HasSubstr("v1 and v2"));
}

TEST(Doctor, WhatOnlyTestsNeedIsAdvice) {
  Machine machine = best();
  machine.overlay = false;
  machine.read_ahead = false;
  EXPECT_THAT(complaints(machine), AllOf(HasSubstr("overlayfs"), HasSubstr("read-ahead")));
  EXPECT_EQ(worst(machine), Verdict::kAdvice);
}

}  // namespace
}  // namespace layerfs::tools
