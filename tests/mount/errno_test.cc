// The errnos that callers see, beside those of the kernel's overlayfs over equal layers. What the
// protocol of FUSE makes different is listed, with the reason in doc/tree.md.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "fs/sys/unique_fd.h"
#include "tests/mount/live_mount.h"
#include "tests/support/command.h"
#include "tests/support/loop_fs.h"
#include "tests/support/temp_dir.h"

namespace layerfs::test {
namespace {

// Not in the headers of every C library.
constexpr int kRenameUnknown = 8;
constexpr unsigned long kFiemap = 0xC020660B, kGetUuid = 0x80111500, kGetVersion = 0x80087601,
                        kGetLabel = 0x81009431, kMeasureVerity = 0xc0046686;

// "0" or more, or the errno's name.
std::string result_of(long status) {
  return status >= 0 ? std::to_string(status) : strerrorname_np(errno);
}
std::string done_of(long status) { return result_of(status > 0 ? 0 : status); }

struct Call {
  std::string name;
  std::function<std::string(const std::string& root)> make;
};

class Calls {
 public:
  Calls() {
    for (const std::string file : {"file", "dir", "link", "pipe", "."}) add_xattrs(file);
    for (const std::string file : {"file", "dir", "pipe"}) add_ioctls(file);
    for (const std::string file : {"file", "dir", "link", "pipe", "none"}) add_opens(file);
    add_data();
    add_names();
  }
  const std::vector<Call>& all() const { return calls_; }

 private:
  void add(std::string name, std::function<std::string(const std::string&)> make) {
    calls_.push_back({std::move(name), std::move(make)});
  }
  // `make` gets a descriptor of `file`.
  void add_on(const std::string& name, const std::string& file, int flags,
              const std::function<std::string(int fd)>& make) {
    add(name + " of " + file, [=](const std::string& root) {
      const sys::UniqueFd fd(::open((root + "/" + file).c_str(), flags | O_NONBLOCK | O_CLOEXEC));
      return fd ? make(fd.get()) : "open: " + result_of(-1);
    });
  }

  void add_xattrs(const std::string& file) {
    add("listxattr of " + file, [=](const std::string& root) {
      char list[1000];
      return result_of(::llistxattr((root + "/" + file).c_str(), list, sizeof list));
    });
    for (const std::string name :
         {"user.none", "user.", "trusted.none", "security.none", "security.capability",
          "security.selinux", "system.posix_acl_access", "system.posix_acl_default", "system.none",
          "unknown.none", "none", "trusted.overlay.opaque", "user.overlay.opaque"}) {
      add(fmt::format("getxattr {} of {}", name, file), [=](const std::string& root) {
        return result_of(::lgetxattr((root + "/" + file).c_str(), name.c_str(), nullptr, 0));
      });
      add(fmt::format("removexattr {} of {}", name, file), [=](const std::string& root) {
        return result_of(::lremovexattr((root + "/" + file).c_str(), name.c_str()));
      });
      for (const int flags : {int{XATTR_REPLACE}, int{XATTR_CREATE}, 0}) {
        if (name.starts_with("security.capability") || name.find("acl") != std::string::npos)
          continue;  // the value would have to be one
        add(fmt::format("setxattr {} of {}, {}", name, file, flags), [=](const std::string& root) {
          return result_of(
              ::lsetxattr((root + "/" + file).c_str(), name.c_str(), "value", 5, flags));
        });
      }
    }
  }

  void add_ioctls(const std::string& file) {
    const struct {
      const char* name;
      unsigned long request;
    } kRequests[] = {{"FS_IOC_GETFLAGS", FS_IOC_GETFLAGS},
                     {"FS_IOC_FSGETXATTR", FS_IOC_FSGETXATTR},
                     {"FS_IOC_GETVERSION", kGetVersion},
                     {"FS_IOC_GETFSLABEL", kGetLabel},
                     {"FS_IOC_MEASURE_VERITY", kMeasureVerity},
                     {"FS_IOC_FIEMAP", kFiemap},
                     {"FS_IOC_GETFSUUID", kGetUuid},
                     {"FIGETBSZ", FIGETBSZ},
                     {"TCGETS", 0x5401},
                     {"unknown", _IO('~', 7)}};
    for (const auto& each : kRequests) {
      add_on(each.name, file, O_RDONLY, [=](int fd) {
        alignas(8) char argument[4096] = {};
        return result_of(::ioctl(fd, each.request, argument));
      });
    }
  }

  void add_opens(const std::string& file) {
    const struct {
      const char* name;
      int flags;
    } kFlags[] = {{"O_RDONLY", O_RDONLY},
                  {"O_DIRECT", O_DIRECT},
                  {"O_TMPFILE", O_TMPFILE | O_RDWR},
                  {"O_TMPFILE for reading", O_TMPFILE},
                  {"O_NOATIME", O_NOATIME},
                  {"O_DIRECTORY", O_DIRECTORY},
                  {"O_PATH", O_PATH},
                  {"O_RDWR", O_RDWR},
                  {"O_RDWR and O_DIRECT", O_RDWR | O_DIRECT},
                  {"O_WRONLY, O_SYNC", O_WRONLY | O_SYNC}};
    for (const auto& each : kFlags) {
      add(fmt::format("open {} of {}", each.name, file), [=](const std::string& root) {
        const sys::UniqueFd fd(
            ::open((root + "/" + file).c_str(), each.flags | O_NOFOLLOW | O_NONBLOCK, 0600));
        return done_of(fd.get());
      });
    }
  }

  void add_data() {
    for (const int mode : {0, 1, 2, 3, 0x10, 0x11, 8, 0x20, 0x40, 0x80, 0x100}) {
      for (const int flags : {O_RDWR, O_RDONLY}) {
        add_on(fmt::format("fallocate {:x}, {}", mode, flags), "data", flags,
               [=](int fd) { return result_of(::fallocate(fd, mode, 0, 4096)); });
      }
    }
    for (const int whence : {SEEK_DATA, SEEK_HOLE, 9}) {
      for (const off_t offset : {0L, 1L << 40, -1L}) {
        for (const std::string file : {"untouched", "pipe", "dir"}) {
          add_on(fmt::format("lseek {} {}", whence, offset), file, O_RDONLY,
                 [=](int fd) { return result_of(::lseek(fd, offset, whence)); });
        }
      }
    }
    for (const int to : {O_RDWR, O_RDONLY, O_WRONLY | O_APPEND}) {
      add_on(fmt::format("FICLONE, {}", to), "data", to,
             [](int fd) { return result_of(::ioctl(fd, FICLONE, fd)); });
      add_on(fmt::format("copy_file_range, {}", to), "data", to, [](int fd) {
        off_t from = 0, at = 8192;
        return result_of(::copy_file_range(fd, &from, fd, &at, 4096, 0));
      });
      add_on(fmt::format("copy_file_range onto itself, {}", to), "data", to, [](int fd) {
        off_t from = 0, at = 0;
        return result_of(::copy_file_range(fd, &from, fd, &at, 4096, 0));
      });
      add_on(fmt::format("copy_file_range with flags, {}", to), "data", to, [](int fd) {
        return result_of(::copy_file_range(fd, nullptr, fd, nullptr, 4096, 1));
      });
    }
  }

  void add_rename(int flags, const std::string& from, const std::string& to) {
    add(fmt::format("renameat2 {} {} {}", flags, from, to), [=](const std::string& root) {
      return result_of(::renameat2(AT_FDCWD, (root + "/" + from).c_str(), AT_FDCWD,
                                   (root + "/" + to).c_str(), static_cast<unsigned>(flags)));
    });
  }

  void add_names() {
    for (const int flags : {1, 2, 3, 4, 5, 6, kRenameUnknown}) {
      add_rename(flags, "untouched", "file");
      add_rename(flags, "file", "untouched");
      add_rename(flags, "none", "file");
      add_rename(flags, "file", "fresh");
      add_rename(flags, "fresh", "file");
      add_rename(flags, "dir", "dir/inner");
    }
    for (const mode_t type : {S_IFREG, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK, S_IFDIR, S_IFLNK}) {
      for (const dev_t device : {makedev(0, 0), makedev(1, 3)}) {
        add(fmt::format("mknod {:o} {:x}", type, device), [=](const std::string& root) {
          const std::string path = root + "/made";
          const std::string result = result_of(::mknod(path.c_str(), type | 0600, device));
          ::unlink(path.c_str());
          return result;
        });
      }
    }
    add("link of a symlink", [](const std::string& root) {
      return result_of(::link((root + "/link").c_str(), (root + "/linked").c_str()));
    });
    add("name of 256 bytes", [](const std::string& root) {
      return result_of(::access((root + "/" + std::string(256, 'n')).c_str(), F_OK));
    });
  }

  std::vector<Call> calls_;
};

// What no FUSE server can answer: the kernel refuses it, or answers by itself, before the daemon
// hears of it (doc/tree.md, "What FUSE has no place for").
bool is_of_the_protocol(const std::string& call) {
  for (const char* name :
       {"FS_IOC_FIEMAP", "FS_IOC_GETFSUUID", "FIGETBSZ", "fallocate 8,", "fallocate 20,"})
    if (call.starts_with(name)) return true;
  return call.starts_with("lseek") && call.ends_with("of dir");
}

class Errnos : public testing::Test {
 protected:
  // `type`: the file system of the lower layer.
  void make_layers(const std::string& type) {
    space_ = mount_new_fs(dir_, "ext4");
    must("mkdir lower below upper-k work-k upper work kernel mnt");
    if (type != "ext4") must("mount -t " + type + " none lower");
    must(
        "cd lower; mkdir dir; mkdir dir/inner; head -c 20000 /dev/urandom > data;"
        "cp data file; cp data untouched; ln -s file link; mkfifo pipe");
  }
  void must(const std::string& script) const {
    const Ran ran = shell(script, {.directory = space_});
    ASSERT_TRUE(ran.ok()) << ran.err;
  }
  void mount(bool writable) {
    must(std::string("mount -t overlay none kernel -o lowerdir=lower:below") +
         (writable ? ",upperdir=upper-k,workdir=work-k,metacopy=on,redirect_dir=on,index=on" : ""));
    fuse::MountOptions options;
    options.stack.lowerdirs = {space_ / "lower", space_ / "below"};
    if (writable) {
      options.stack.upperdir = space_ / "upper";
      options.stack.workdir = space_ / "work";
    }
    options.mountpoint = space_ / "mnt";
    mount_.emplace(options);
  }
  void compare(bool writable) {
    mount(writable);
    const Calls calls;
    for (const Call& call : calls.all()) {
      const std::string expected = call.make(space_ / "kernel");
      const std::string got = call.make(space_ / "mnt");
      if (is_of_the_protocol(call.name)) continue;
      EXPECT_EQ(got, expected) << call.name;
    }
    mount_.reset();
    must("umount kernel");
  }

  const TempDir dir_;
  std::filesystem::path space_;
  std::optional<LiveMount> mount_;
};

TEST_F(Errnos, OfAWritableMountAreThoseOfTheKernel) {
  make_layers("ext4");
  compare(true);
}

TEST_F(Errnos, OfAReadOnlyMountAreThoseOfTheKernel) {
  make_layers("ext4");
  compare(false);
}

// It has no xattrs, no ACLs and no O_DIRECT.
TEST_F(Errnos, OverAFileSystemThatHasLittleAreThoseOfTheKernel) {
  make_layers("ramfs");
  compare(true);
  compare(false);
}

}  // namespace
}  // namespace layerfs::test
