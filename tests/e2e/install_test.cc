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
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class Install : public ::testing::Test {
 protected:
  // A directory of its own, as the root of a machine.
  static const fs::path& root() {
    static const TempDir dir;
    static const fs::path filled = [] {
      const Ran ran = run({"meson", "install", "-C", LAYERFS_BUILD_ROOT, "--no-rebuild", "--quiet",
                           "--destdir", dir.path()});
      if (!ran.ok()) throw std::runtime_error(ran.out + ran.err);
      return dir.path();
    }();
    return filled;
  }
  // LAYERFS_PREFIX in it.
  static const fs::path& installed() {
    static const fs::path prefix = root().string() + LAYERFS_PREFIX;
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

// They read what others write.
TEST_F(Install, ProgramsAreHardened) {
  for (const char* program :
       {"bin/layerfs", "bin/layerfs-snapshotter", "libexec/layerfs/layerfs-store"}) {
    const std::string headers = run({"readelf", "-W", "-h", "-l", "-d", installed() / program}).out;
    for (const char* sign : {"DYN (Position-Independent Executable file)", "GNU_RELRO", "BIND_NOW"})
      EXPECT_THAT(headers, HasSubstr(sign)) << program;
    EXPECT_THAT(headers, ContainsRegex("GNU_STACK.* RW  ")) << program;
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    const std::string symbols = run({"readelf", "-W", "--dyn-syms", installed() / program}).out;
    EXPECT_THAT(symbols, HasSubstr("__stack_chk_fail")) << program;
    EXPECT_THAT(symbols, ContainsRegex("__[a-z]+_chk")) << program;
#endif
  }
}

class Unit : public Install, public ::testing::WithParamInterface<std::string> {
 protected:
  static fs::path unit() {
    const fs::path local = installed() / "lib/systemd/system" / GetParam();
    // Units of the machine's own are below the root, whatever the prefix.
    return fs::exists(local) ? local : root() / "lib/systemd/system" / GetParam();
  }
};

TEST_P(Unit, IsUnderstoodBySystemd) {
  const TempDir dir;
  const Ran ran = shell("sed 's#" LAYERFS_PREFIX "/bin/[a-z-]*#/bin/true#' '" + unit().string() +
                            "' >'" + GetParam() +
                            "'; cp " LAYERFS_SOURCE_ROOT
                            "/tools/snapshotter/*.socket .;"
                            "systemd-analyze verify --man=no './" +
                            GetParam() + "'",
                        {.directory = dir.path()});
  EXPECT_EQ(ran.out + ran.err, "");
  EXPECT_EQ(ran.status, 0);
}

// Each of these gives a service a mount namespace, or takes /dev/fuse or setuid programs from it.
TEST_P(Unit, LeavesItsMountsWhereOthersSeeThem) {
  const std::string text = "\n" + read_file(unit());
  for (const std::string name : {"PrivateMounts",        "PrivateTmp",
                                 "PrivateDevices",       "PrivateUsers",
                                 "PrivateIPC",           "ProtectHome",
                                 "ProtectSystem",        "ProtectKernelTunables",
                                 "ProtectKernelModules", "ProtectKernelLogs",
                                 "ProtectControlGroups", "ProtectProc",
                                 "ProcSubset",           "ReadOnlyPaths",
                                 "ReadWritePaths",       "InaccessiblePaths",
                                 "TemporaryFileSystem",  "BindPaths",
                                 "RootDirectory",        "MountFlags",
                                 "DynamicUser",          "ProtectClock",
                                 "DeviceAllow",          "DevicePolicy",
                                 "RestrictSUIDSGID"})
    EXPECT_THAT(text, Not(HasSubstr("\n" + name + "="))) << name;
  EXPECT_THAT(text, HasSubstr("\nNoNewPrivileges=yes\n"));
  EXPECT_THAT(text, HasSubstr("\nKillMode=process\n"));
}

TEST_P(Unit, LeavesADaemonWhatItNeeds) {
  const TempDir dir;
  const Ran ran = run(
      {LAYERFS_E2E_SOURCE "/as-unit", unit(), "/bin/sh", "-ec",
       "mkdir lower upper work mnt; echo text >lower/file; cp /bin/true lower/program\n"
       "$0 mount -o lowerdir=lower,upperdir=upper,workdir=work mnt; cd mnt; cat file\n"
       "echo more >>file; chown 5:6 file; chmod 4711 program; mknod null c 1 3; rm program\n"
       "setfattr -n trusted.a -v b file; chattr +i file; chattr -i file; mkfifo fifo\n"
       "setpriv --reuid 7 --regid 8 --clear-groups cat file; mkdir dir; chmod 2777 dir\n"
       "setpriv --reuid 7 --regid 8 --clear-groups sh -c ': >dir/theirs'; cd ..\n"
       "stat -c '%a %u:%g' mnt/dir mnt/dir/theirs; grep -h CapBnd /proc/self/status | tr -d '\t'\n"
       "$0 umount mnt",
       layerfs_program()},
      {.directory = dir.path(), .environment = {"LAYERFS_SECCOMP=kill"}});
  EXPECT_EQ(ran.out, "text\ntext\nmore\n2777 0:0\n644 7:0\nCapBnd:00000000882003df\n") << ran.err;
  EXPECT_EQ(ran.status, 0);
}

INSTANTIATE_TEST_SUITE_P(Each, Unit,
                         ::testing::Values("layerfs@.service", "layerfs-snapshotter.service"),
                         [](const auto& unit) {
                           return unit.param.starts_with("layerfs@") ? "Mount" : "Snapshotter";
                         });

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
