#include <string>

#include <gtest/gtest.h>

#include "tests/support/command.h"
#include "tests/support/temp_dir.h"

namespace layerfs::test {
namespace {

// What distribution_archive of tools/apt.sh finds for Debian in apt's configuration `dir`.
std::string archive_in(const TempDir& dir) {
  const Ran ran = run({"bash", "-euc", ". tools/apt.sh; distribution_archive debian"},
                      {.directory = LAYERFS_SOURCE_ROOT,
                       .environment = {"LAYERFS_APT_ETC=" + dir.path().string()}});
  EXPECT_EQ(ran.err, "");
  return ran.out;
}

constexpr char kDefaultKeyring[] = "/usr/share/keyrings/debian-archive-keyring.gpg";

TEST(AptArchive, IsReadFromDeb822Sources) {
  const TempDir dir;
  write_file(dir / "sources.list.d/debian.sources",
             "# a comment\nTypes: deb deb-src\nURIs: http://mirror.invalid/debian\n"
             "Suites: bookworm bookworm-updates\nComponents: main contrib\n"
             "Signed-By: /usr/share/keyrings/mine.gpg\n");
  EXPECT_EQ(archive_in(dir), "http://mirror.invalid/debian /usr/share/keyrings/mine.gpg\n");
}

TEST(AptArchive, IsReadFromOneLineSources) {
  const TempDir dir;
  write_file(dir / "sources.list",
             "# deb http://off.invalid/debian bookworm main\n"
             "deb [arch=amd64 signed-by=/k.gpg] http://mirror.invalid/debian bookworm main\n");
  EXPECT_EQ(archive_in(dir), "http://mirror.invalid/debian /k.gpg\n");
}

TEST(AptArchive, HasTheDistributionsKeyringIfNoneIsNamed) {
  const TempDir dir;
  write_file(dir / "sources.list", "deb http://mirror.invalid/debian/ bookworm main\n");
  EXPECT_EQ(archive_in(dir),
            std::string("http://mirror.invalid/debian/ ") + kDefaultKeyring + "\n");
}

TEST(AptArchive, IsNotTheSecurityOrAnotherVendorsOrADisabledOne) {
  const TempDir dir;
  write_file(dir / "sources.list.d/a.sources",
             "Types: deb\nURIs: http://mirror.invalid/debian-security\nSuites: s\n"
             "Components: main\n\n"
             "Types: deb\nURIs: http://off.invalid/debian\nSuites: s\nComponents: main\n"
             "Enabled: no\n\n"
             "Types: deb\nURIs: http://vendor.invalid/tool\nSuites: s\nComponents: main\n");
  EXPECT_EQ(archive_in(dir), "");
  write_file(dir / "sources.list.d/b.list", "deb http://mirror.invalid/debian bookworm main\n");
  EXPECT_EQ(archive_in(dir), std::string("http://mirror.invalid/debian ") + kDefaultKeyring + "\n");
}

}  // namespace
}  // namespace layerfs::test
