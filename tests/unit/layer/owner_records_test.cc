// The records of owners and modes as text.
#include "fs/layer/owner_records.h"

#include <sys/sysmacros.h>
#include <unistd.h>

#include <gtest/gtest.h>

namespace layerfs::layer {
namespace {

TEST(OwnerRecord, IsReadAsContainersStorageAndFuseOverlayfsWriteIt) {
  EXPECT_EQ(parse_record("33:44:4511"), (OwnerRecord{33, 44, 04511, std::nullopt, 0}));
  EXPECT_EQ(parse_record("0:0:0755:dir"), (OwnerRecord{0, 0, 0755, S_IFDIR, 0}));
  EXPECT_EQ(parse_record("1:2:0666:char-1-3"), (OwnerRecord{1, 2, 0666, S_IFCHR, makedev(1, 3)}));
  EXPECT_EQ(parse_record("1:2:0600:block-8-17"),
            (OwnerRecord{1, 2, 0600, S_IFBLK, makedev(8, 17)}));
  EXPECT_EQ(parse_record("1:2:0644:pipe"), (OwnerRecord{1, 2, 0644, S_IFIFO, 0}));
  // Some writers give the type in the mode.
  EXPECT_EQ(parse_record("1:2:100644"), (OwnerRecord{1, 2, 0644, std::nullopt, 0}));
}

TEST(OwnerRecord, IsWrittenAsItIsRead) {
  for (const char* text : {"33:44:04511", "0:0:0755:dir", "1:2:0666:char-1-3", "1:2:0644:socket",
                           "4294967294:0:00", "1:2:0600:block-259-1048575"}) {
    const auto record = parse_record(text);
    ASSERT_TRUE(record) << text;
    EXPECT_EQ(format_record(*record), text);
  }
}

TEST(OwnerRecord, ThatIsMalformedIsNone) {
  for (const char* text :
       {"", "1", "1:2", "1:2:", "1:2:9", "-1:2:0644", "1:2:0644:chair", "1:2:0644:char",
        "1:2:0644:char-1", "1:2:0644:char-1-x", "1:2:0644:file-1", "4294967296:0:0644", " 1:2:0644",
        "1:2:0644:dir:more"})
    EXPECT_FALSE(parse_record(text)) << text;
}

TEST(OwnerRecords, ShowWhatTheNamespaceLacksAsTheDaemons) {
  RecordedOwners owners{true, true, {{0, 1}}, {{0, 1}, {100, 10}}};
  const OwnerRecords records(RecordKind::kContainers, owners);
  struct stat st = {};
  st.st_uid = 33;
  st.st_gid = 104;
  EXPECT_EQ(records.shown(st).st_uid, ::geteuid());
  EXPECT_EQ(records.shown(st).st_gid, 104U);
  st.st_gid = 110;
  EXPECT_EQ(records.shown(st).st_gid, ::getegid());
}

TEST(OwnerRecords, LendNoRightsOfTheDaemonToProgramsOfOthers) {
  const RecordedOwners owners{true, true, {{0, 10}}, {{0, 1}, {5, 1}}};
  struct stat st = {};
  st.st_mode = S_IFREG | 06755;
  EXPECT_EQ(OwnerRecords(RecordKind::kContainers, owners).shown(st).st_mode, S_IFREG | 06755U);
  st.st_uid = st.st_gid = 33;
  EXPECT_EQ(OwnerRecords(RecordKind::kContainers, owners).shown(st).st_mode, S_IFREG | 0755U);
  // Whoever executes it where there is one id has that already.
  const RecordedOwners alone{true, true, {{0, 1}}, {{0, 1}}};
  EXPECT_EQ(OwnerRecords(RecordKind::kContainers, alone).shown(st).st_mode, S_IFREG | 06755U);
}

TEST(OwnerRecords, LeaveTheDaemonUseOfItsFiles) {
  EXPECT_EQ(OwnerRecords::mode_on_disk(S_IFREG | 04000), 0600U);
  EXPECT_EQ(OwnerRecords::mode_on_disk(S_IFDIR | 02055), 0755U);
}

}  // namespace
}  // namespace layerfs::layer
