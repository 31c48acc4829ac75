// What `meson install` puts on a machine.
#include <filesystem>
#include <stdexcept>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/command.h"
#include "tests/support/temp_dir.h"

namespace layerfs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class Install : public ::testing::Test {
 protected:
  // Below LAYERFS_PREFIX in a directory of its own.
  static const fs::path& installed() {
    static const TempDir dir;
    static const fs::path prefix = [] {
      const Ran ran = run({"meson", "install", "-C", LAYERFS_BUILD_ROOT, "--no-rebuild", "--quiet",
                           "--destdir", dir.path()});
      if (!ran.ok()) throw std::runtime_error(ran.out + ran.err);
      return fs::path(dir.path().string() + LAYERFS_PREFIX);
    }();
    return prefix;
  }
};

// Runs `command` in the directory `prefix` of an installation. The library that tools/setup may
// have built is not where the programs will look for it.
Ran run_installed(const fs::path& prefix, const std::string& command) {
  return shell("cd '" + prefix.string() +
               "'; LD_LIBRARY_PATH=$(dirname $(find \"$PWD\" -name 'libfuse3.so*') | "
               "head -n 1) exec " +
               command);
}

TEST_F(Install, TheProgramRunsWhereItIsInstalled) {
  const Ran ran = run_installed(installed(), "bin/layerfs version");
  EXPECT_THAT(ran.out, HasSubstr("layerfs ")) << ran.err;
  EXPECT_TRUE(fs::is_symlink(installed() / "sbin/mount.fuse.layerfs"));
}

TEST_F(Install, CommandsOfTheStoreWorkWhereItIsInstalled) {
  const Ran ran = run_installed(installed(), "bin/layerfs images --root none");
  EXPECT_THAT(ran.err, HasSubstr("there is no store at 'none'"));
  EXPECT_EQ(ran.status, 1);
}

TEST_F(Install, ACommandOfTheStoreSaysThatItsProgramIsMissing) {
  const TempDir elsewhere;
  fs::copy(installed() / "bin", elsewhere / "bin", fs::copy_options::recursive);
  fs::copy(installed() / "lib", elsewhere / "lib",
           fs::copy_options::recursive | fs::copy_options::copy_symlinks);
  const Ran ran = run_installed(elsewhere.path(), "bin/layerfs images --root none");
  EXPECT_THAT(ran.err, HasSubstr("`layerfs images` cannot start '" +
                                 (elsewhere / "libexec/layerfs/layerfs-store").string() + "'"));
  EXPECT_THAT(ran.err, HasSubstr("install it again"));
  EXPECT_EQ(ran.status, 1);
}

TEST_F(Install, WithoutProcNoCommandIsTakenFromTheCurrentDirectory) {
  const TempDir here;
  write_file(here / "layerfs-store", "#!/bin/sh\necho taken\n");
  fs::permissions(here / "layerfs-store", fs::perms::owner_all);
  // The loader finds no library by $ORIGIN then.
  const Ran ran = run({"unshare", "--mount", "sh", "-c",
                       "lib=$(dirname \"$(find '" + installed().string() +
                           "' -name 'libfuse3.so*' | head -n 1)\"); umount -l /proc; "
                           "LD_LIBRARY_PATH=$lib exec '" +
                           (installed() / "bin/layerfs").string() + "' images --root none"},
                      {.directory = here.path()});
  EXPECT_THAT(ran.out, Not(HasSubstr("taken")));
  EXPECT_THAT(ran.err, StartsWith("layerfs: "));
  EXPECT_EQ(ran.status, 1);
}

TEST_F(Install, NoExampleKeepsAPlaceholder) {
  for (const char* file :
       {"share/doc/layerfs/examples/fstab", "share/doc/layerfs/examples/storage.conf",
        "lib/systemd/system/layerfs@.service"}) {
    const std::string text = read_file(installed() / file);
    EXPECT_THAT(text, HasSubstr(std::string(LAYERFS_PREFIX) + "/")) << file;
    EXPECT_THAT(text, Not(HasSubstr("bindir@"))) << file;
  }
}

TEST_F(Install, PodmanUnderstandsTheExample) {
  const Ran ran =
      run({"podman", "info", "--format", "{{.Store.GraphOptions}}"},
          {.environment = {"CONTAINERS_STORAGE_CONF=" +
                           (installed() / "share/doc/layerfs/examples/storage.conf").string()}});
  EXPECT_THAT(ran.out + ran.err, HasSubstr(std::string(LAYERFS_PREFIX) + "/bin/layerfs"));
}

TEST_F(Install, MountUnderstandsTheExampleOfFstab) {
  const Ran ran = run({"findmnt", "--tab-file", installed() / "share/doc/layerfs/examples/fstab",
                       "--noheadings", "--output", "TARGET,FSTYPE"});
  EXPECT_THAT(ran.out, HasSubstr("/srv/debian fuse.layerfs")) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("/srv/merged fuse.layerfs"));
}

}  // namespace
}  // namespace layerfs::test
