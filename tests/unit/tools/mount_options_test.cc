#include "tools/mount_options.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace layerfs::tools {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

MountRequest parsed(std::string_view text) {
  MountRequest request;
  const auto result = parse_mount_options(text, request);
  EXPECT_TRUE(result) << text << ": " << result.error().sentence;
  return request;
}

std::string refused(std::string_view text) {
  MountRequest request;
  const auto result = parse_mount_options(text, request);
  EXPECT_FALSE(result) << text;
  return result ? "" : result.error().sentence;
}

TEST(MountOptions, OverlayfsOptionsNameTheLayers) {
  const auto stack = parsed("lowerdir=/a:b/c:../d,upperdir=up,workdir=/w").mount.stack;
  EXPECT_THAT(stack.lowerdirs, ElementsAre("/a", "b/c", "../d"));
  EXPECT_EQ(stack.upperdir, "up");
  EXPECT_EQ(stack.workdir, "/w");
}

TEST(MountOptions, ABackslashKeepsColonsAndCommas) {
  const auto stack =
      parsed(R"(lowerdir=/a\:b:/c\,d:/e\\f,upperdir=/u\,v,workdir=/w\:x)").mount.stack;
  EXPECT_THAT(stack.lowerdirs, ElementsAre("/a:b", "/c,d", "/e\\f"));
  EXPECT_EQ(stack.upperdir, "/u,v");
  EXPECT_EQ(stack.workdir, "/w:x");
}

TEST(MountOptions, ABackslashAtTheEndIsPartOfTheName) {
  EXPECT_THAT(parsed(R"(lowerdir=/a\)").mount.stack.lowerdirs, ElementsAre("/a\\"));
  EXPECT_THAT(parsed(R"(lowerdir=/a:/b\)").mount.stack.lowerdirs, ElementsAre("/a", "/b\\"));
}

TEST(MountOptions, LowerdirPlusAppendsOneDirectory) {
  EXPECT_THAT(parsed("lowerdir+=/a,lowerdir+=/b:c").mount.stack.lowerdirs,
              ElementsAre("/a", "/b:c"));
}

TEST(MountOptions, LayerindexFollowsTheOrderOfLowerdir) {
  const MountRequest request = parsed("lowerdir=/a:/b:/c,layerindex=/x::/z");
  EXPECT_THAT(request.mount.stack.layer_indexes, ElementsAre("/x", "", "/z"));
  EXPECT_TRUE(check_layers(request));
  EXPECT_FALSE(check_layers(parsed("lowerdir=/a,layerindex=/x:/y")));
  EXPECT_THAT(refused("layerindex="), HasSubstr("layerindex takes files"));
}

TEST(MountOptions, RootlayerIsOneOfTheLowerDirectories) {
  const MountRequest request = parsed("lowerdir=/a:/b,rootlayer=1,ro");
  EXPECT_EQ(request.mount.stack.root_lower, 1U);
  EXPECT_TRUE(check_layers(request));
  EXPECT_FALSE(check_layers(parsed("lowerdir=/a:/b,rootlayer=2")));
  EXPECT_THAT(refused("rootlayer=-1"), HasSubstr("rootlayer takes the number"));
}

TEST(MountOptions, EmptyOptionsAndATrailingCommaMeanNothing) {
  const MountRequest request = parsed(",lowerdir=l/A:l/B,,upperdir=d,workdir=w,,volatile,");
  EXPECT_THAT(request.mount.stack.lowerdirs, ElementsAre("l/A", "l/B"));
  EXPECT_TRUE(request.mount.stack.volatile_upper);
  EXPECT_THAT(request.warnings, IsEmpty());
}

TEST(MountOptions, SwitchesOfOverlayfs) {
  const auto off = parsed("redirect_dir=off,metacopy=off,index=off").mount.stack;
  EXPECT_FALSE(off.redirect_dir || off.metacopy || off.index);
  const auto on = parsed("redirect_dir=on,metacopy=on,index=on,userxattr").mount.stack;
  EXPECT_TRUE(on.redirect_dir && on.metacopy && on.index && on.user_xattr);
  EXPECT_FALSE(parsed("redirect_dir=follow").mount.stack.redirect_dir);
  EXPECT_FALSE(parsed("redirect_dir=nofollow").mount.stack.redirect_dir);
}

TEST(MountOptions, PassthroughTransportAndThreads) {
  const auto mount = parsed("passthrough=upper,transport=dev_fuse,threads=7,debug").mount;
  EXPECT_EQ(mount.stack.passthrough, op::PassthroughPolicy::kUpper);
  EXPECT_EQ(mount.transport, fuse::Transport::kDevFuse);
  EXPECT_EQ(mount.threads, 7U);
  EXPECT_TRUE(mount.debug);
  EXPECT_TRUE(mount.spin);
  EXPECT_FALSE(parsed("spin=off").mount.spin);
  EXPECT_FALSE(mount.writeback);
  EXPECT_TRUE(parsed("writeback=on").mount.writeback);
  EXPECT_TRUE(parsed("writeback=1").mount.writeback);
  EXPECT_TRUE(parsed("writeback").mount.writeback);
  EXPECT_FALSE(parsed("writeback=on,writeback=0").mount.writeback);
  EXPECT_EQ(parsed("passthrough=none").mount.stack.passthrough, op::PassthroughPolicy::kNone);
  EXPECT_EQ(parsed("passthrough=all").mount.stack.passthrough, op::PassthroughPolicy::kAll);
  EXPECT_EQ(parsed("passthrough=auto").mount.stack.passthrough, op::PassthroughPolicy::kAuto);
  EXPECT_EQ(parsed("transport=io_uring").mount.transport, fuse::Transport::kIoUring);
  EXPECT_EQ(parsed("transport=auto").mount.transport, fuse::Transport::kAuto);
}

TEST(MountOptions, LaterOptionsWin) {
  EXPECT_FALSE(parsed("ro,rw").mount.read_only);
  EXPECT_TRUE(parsed("rw,ro").mount.read_only);
  EXPECT_THAT(parsed("lowerdir=/a,lowerdir=/b").mount.stack.lowerdirs, ElementsAre("/b"));
}

TEST(MountOptions, FlagsOfTheKernelAreHandedOn) {
  EXPECT_THAT(parsed("nodev,nosuid,noexec,noatime").mount.kernel_options,
              ElementsAre("nodev", "nosuid", "noexec", "noatime"));
}

TEST(MountOptions, StoreAndSnapshotAndSource) {
  const MountRequest request = parsed("snapshot=s1,root=/store,fsname=image");
  EXPECT_EQ(request.snapshot, "s1");
  EXPECT_EQ(request.root, "/store");
  EXPECT_EQ(request.mount.source, "image");
  EXPECT_FALSE(names_layers(request));
}

TEST(MountOptions, OptionsWithoutMeaningHereAreAccepted) {
  EXPECT_THAT(parsed("defaults,_netdev,nofail,x-systemd.automount,xino=on,nfs_export=off,"
                     "default_permissions,static_nlink,timeout=1,verity=off,allow_other")
                  .warnings,
              IsEmpty());
}

TEST(MountOptions, QuotesKeepTheCommasOfALabel) {
  EXPECT_THAT(parsed(R"(context="system_u:object_r:container_file_t:s0:c1,c2",nodev)").warnings,
              IsEmpty());
  EXPECT_THAT(parsed(R"(context="a:b,c",nodev)").mount.kernel_options, testing::Contains("nodev"));
}

TEST(MountOptions, UnknownOptionsAreWarnedOf) {
  EXPECT_THAT(parsed("sqash_to_uid=1,lowerdir=/a").warnings,
              ElementsAre(HasSubstr("'sqash_to_uid=1'")));
}

TEST(MountOptions, IdMappingsOfPodman) {
  const auto ids =
      parsed("uidmapping=:0:1:1004:1004:0:1,gidmapping=0:100000:65536").mount.stack.ids;
  EXPECT_EQ(ids.users.shown(3), 4U);
  EXPECT_EQ(ids.users.shown(1004), 0U);
  EXPECT_EQ(ids.groups.shown(65535), 165535U);
  EXPECT_EQ(ids.groups.shown(65536), op::IdMap::kOverflow);
  EXPECT_EQ(parsed("squash_to_uid=7").mount.stack.ids.users.shown(0), 7U);
  EXPECT_TRUE(parsed("squash_to_uid=7").mount.stack.ids.groups.is_identity());
  EXPECT_EQ(parsed("squash_to_root").mount.stack.ids.groups.shown(9), 0U);
}

TEST(MountOptions, BrokenIdMappingsAreRefusedByName) {
  for (const std::string text :
       {"uidmapping=", "uidmapping=1:2", "uidmapping=0:0:0", "gidmapping=a:b:c",
        "gidmapping=0:4294967290:10", "uidmapping=0:1:2:", "uidmapping=0:1:-2", "squash_to_uid=x",
        "squash_to_gid=4294967295"}) {
    EXPECT_THAT(refused(text), HasSubstr("'" + text + "'"));
  }
}

TEST(MountOptions, BadValuesAreRefusedByName) {
  for (const std::string text :
       {"metacopy=maybe", "index", "redirect_dir=1", "transport=tcp", "passthrough=", "threads=x",
        "threads=65", "threads=-1", "spin=x", "writeback=2", "upperdir=", "workdir",
        "lowerdir=", "lowerdir+=", "snapshot="}) {
    EXPECT_THAT(refused(text), HasSubstr("'" + text + "'"));
  }
}

TEST(MountOptions, DataOnlyLayersFollowTwoColons) {
  const auto stack = parsed(R"(lowerdir=/a:b\:\:c::/d::/e\:)").mount.stack;
  EXPECT_THAT(stack.lowerdirs, ElementsAre("/a", "b::c"));
  EXPECT_THAT(stack.datadirs, ElementsAre("/d", "/e:"));
  const auto added = parsed("lowerdir+=/a,lowerdir+=/b,datadir+=/c:d,datadir+=/e").mount.stack;
  EXPECT_THAT(added.lowerdirs, ElementsAre("/a", "/b"));
  EXPECT_THAT(added.datadirs, ElementsAre("/c:d", "/e"));
  EXPECT_THAT(parsed("lowerdir=/a::/b,lowerdir=/c").mount.stack.datadirs, IsEmpty());
}

// Each of them is refused by the kernel's overlayfs of Linux 6.18.
TEST(MountOptions, WhatTheKernelRefusesOfDataOnlyLayersIsRefused) {
  EXPECT_THAT(refused("lowerdir=/a::/b:/c"), HasSubstr("behind the data-only ones"));
  for (const std::string text : {"lowerdir=::/a", "lowerdir=:/a"})
    EXPECT_THAT(refused(text), HasSubstr("begins with a colon"));
  for (const std::string text : {"lowerdir=/a:", "lowerdir=/a::", "lowerdir=/a::/b::"})
    EXPECT_THAT(refused(text), HasSubstr("ends with a colon"));
  EXPECT_THAT(refused("lowerdir=/a:::/b"), HasSubstr("more than two colons"));
  EXPECT_THAT(refused("datadir+=/b,lowerdir+=/a"), HasSubstr("cannot follow datadir+"));
  EXPECT_THAT(refused("lowerdir=/a,datadir+=/b"), HasSubstr("cannot follow lowerdir"));
  EXPECT_THAT(refused("lowerdir=/a,lowerdir+=/b"), HasSubstr("cannot follow lowerdir"));
  EXPECT_FALSE(check_layers(parsed("datadir+=/a")));
}

TEST(MountOptions, VerityIsRefused) {
  for (const std::string text : {"verity=on", "verity=require"})
    EXPECT_THAT(refused(text), HasSubstr("not supported"));
  EXPECT_THAT(parsed("verity=off,lowerdir=/a").warnings, IsEmpty());
}

TEST(MountOptions, AnUpperNeedsAWorkDirectoryAndALower) {
  EXPECT_TRUE(check_layers(parsed("lowerdir=/a")));
  EXPECT_TRUE(check_layers(parsed("lowerdir=/a,upperdir=/u,workdir=/w")));
  EXPECT_THAT(check_layers(parsed("lowerdir=/a,upperdir=/u")).error().sentence,
              HasSubstr("workdir"));
  EXPECT_THAT(check_layers(parsed("upperdir=/u,workdir=/w")).error().sentence,
              HasSubstr("lowerdir"));
}

}  // namespace
}  // namespace layerfs::tools
