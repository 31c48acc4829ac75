// Looking with each system call of the daemon failed in turn: what is shown is right or an error,
// and the error is not remembered. A mark that cannot be read must not count as absent: that would
// show zeroes for data, names that were removed, files without their capabilities.
#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <set>
#include <sstream>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include "fs/sys/unique_fd.h"
#include "tests/crash/control.h"
#include "tests/oracle/forked.h"
#include "tests/oracle/process.h"
#include "tests/oracle/scratch_fs.h"
#include "tests/oracle/subject.h"
#include "tests/support/command.h"
#include "tests/support/temp_dir.h"

namespace layerfs::test {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::seconds kLimit{60};

// What the layers hold: each kind of mark, in each dialect.
constexpr const char* kLayers = R"(
mkdir -p top/xattr top/aufs top/opaque bottom/dir/sub bottom/xattr bottom/aufs bottom/opaque bottom/gone
head -c 9000 /dev/zero | tr '\0' p > bottom/dir/plain
cp bottom/dir/plain bottom/dir/moved
cp /bin/true bottom/dir/capable; setcap cap_net_raw=ep bottom/dir/capable
echo first > bottom/dir/first; ln bottom/dir/first bottom/dir/second
echo deep > bottom/dir/sub/deep; ln -s plain bottom/dir/link
echo lower > bottom/xattr/hidden; echo shown > bottom/xattr/shown; touch top/xattr/hidden
setfattr -n trusted.overlay.whiteout -v y top/xattr/hidden
setfattr -n trusted.overlay.opaque -v x top/xattr top
echo lower > bottom/aufs/hidden; echo shown > bottom/aufs/shown; touch top/aufs/.wh.hidden
echo lower > bottom/opaque/hidden; touch top/opaque/.wh..wh..opq
echo lower > bottom/gone/hidden
mkdir work upper mnt
)";

// Made through the mount: metacopies with a capability and with a redirect, a copied-up hard link,
// a directory that moved, and one that is opaque.
constexpr const char* kChanges = R"(
chmod 600 dir/plain dir/first; chmod 711 dir/capable
chmod 640 dir/moved; mv dir/moved dir/elsewhere
mv dir/sub dir/away; rm -r gone; mkdir gone; echo new > gone/new
setfacl -d -m u:7:r gone; setfacl -m u:7:r gone/new; setfattr -n user.a -v b dir/plain
)";

// What a look at one thing gave: its value, or the name of an errno.
struct Fact {
  std::string value;
  int error = 0;
  friend bool operator==(const Fact&, const Fact&) = default;
};
using Facts = std::map<std::string, Fact>;  // by "PATH: what"

Fact failed() { return {"", errno}; }

Fact attributes(const std::string& path) {
  struct stat st;
  if (::lstat(path.c_str(), &st) != 0) return failed();
  return {fmt::format("{:o} {} {} {}", st.st_mode, st.st_uid, st.st_nlink,
                      S_ISDIR(st.st_mode) ? 0 : st.st_size)};
}

Fact xattr(const std::string& path, const char* name) {
  char value[256];
  const ssize_t size = ::lgetxattr(path.c_str(), name, value, sizeof value);
  if (size < 0) return errno == ENODATA ? Fact{"none"} : failed();
  return {fmt::format("{:02x}", fmt::join(value, value + size, ""))};
}

Fact xattr_names(const std::string& path) {
  char list[1024];
  const ssize_t size = ::llistxattr(path.c_str(), list, sizeof list);
  if (size < 0) return failed();
  std::set<std::string> names;
  for (const char* at = list; at < list + size; at += std::strlen(at) + 1) names.insert(at);
  return {fmt::format("{}", fmt::join(names, " "))};
}

Fact content(const std::string& path) {
  const sys::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return failed();
  std::string all(100'000, '\0');
  const ssize_t size = ::pread(fd.get(), all.data(), all.size(), 0);
  if (size < 0) return failed();
  all.resize(static_cast<std::size_t>(size));
  return {fmt::format("{} bytes, hash {}", size, std::hash<std::string>()(all))};
}

Fact listing(const std::string& path) {
  DIR* dir = ::opendir(path.c_str());
  if (dir == nullptr) return failed();
  std::set<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(dir)) names.insert(entry->d_name);
  const int error = errno;
  ::closedir(dir);
  return error == 0 ? Fact{fmt::format("{}", fmt::join(names, " "))} : Fact{"", error};
}

// The paths that are there and those that must not be.
std::vector<std::string> paths() {
  return {".",           "dir",           "dir/plain",  "dir/elsewhere", "dir/moved",
          "dir/capable", "dir/first",     "dir/second", "dir/link",      "dir/sub",
          "dir/away",    "dir/away/deep", "xattr",      "xattr/hidden",  "xattr/shown",
          "aufs",        "aufs/hidden",   "aufs/shown", "opaque",        "opaque/hidden",
          "gone",        "gone/hidden",   "gone/new"};
}

Facts look(const std::string& root) {
  Facts facts;
  for (const std::string& each : paths()) {
    const std::string path = root + "/" + each;
    const Fact attr = facts[each + ": attributes"] = attributes(path);
    if (attr.error != 0) continue;
    for (const char* name : {"security.capability", "system.posix_acl_access", "user.a"})
      facts[each + ": " + name] = xattr(path, name);
    facts[each + ": xattrs"] = xattr_names(path);
    if (attr.value.starts_with("4")) facts[each + ": listing"] = listing(path);
    if (attr.value.starts_with("10")) facts[each + ": content"] = content(path);
  }
  return facts;
}

std::string to_text(const Facts& facts) {
  std::string text;
  for (const auto& [what, fact] : facts)
    text += fmt::format("{}\t{}\t{}\n", what, fact.error, fact.value);
  return text;
}
Facts parse_facts(const std::string& text) {
  Facts facts;
  std::istringstream lines(text);
  for (std::string what, error, value; std::getline(lines, what, '\t') &&
                                       std::getline(lines, error, '\t') &&
                                       std::getline(lines, value);)
    facts[what] = {value, std::atoi(error.c_str())};
  return facts;
}

class Looks : public testing::Test {
 protected:
  Looks() {
    fs::remove_all(dir_);
    fs::create_directory(dir_);
    must(kLayers, dir_);
    write_file(dir_ + "/faults", std::string(sizeof(FaultControl), '\0'));
    const sys::UniqueFd fd(::open((dir_ + "/faults").c_str(), O_RDWR | O_CLOEXEC));
    faults_ = static_cast<FaultControl*>(
        ::mmap(nullptr, sizeof(FaultControl), PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0));
    plan_ = {.lowers = {dir_ + "/top", dir_ + "/bottom"},
             .upper = dir_ + "/upper",
             .work = dir_ + "/work",
             .target = dir_ + "/mnt",
             .options = "metacopy=on,redirect_dir=on,index=on,whiteouts=aufs",
             .log = dir_ + "/log"};
  }
  ~Looks() override {
    live_.reset();
    ::munmap(faults_, sizeof(FaultControl));
  }

  static void must(const std::string& script, const std::string& where) {
    const Ran ran = shell(script, {.directory = where});
    ASSERT_TRUE(ran.ok()) << ran.err;
  }
  void mount() {
    ::setenv("LD_PRELOAD", LAYERFS_FAULTS_LIBRARY, 1);
    ::setenv(kControlVariable, (dir_ + "/faults").c_str(), 1);
    auto mounted = oracle::LiveMount::mount(
        {oracle::SubjectKind::kLayerfs, layerfs_program(), "transport=dev_fuse"}, plan_);
    ::unsetenv("LD_PRELOAD");
    ASSERT_TRUE(mounted) << mounted.error().sentence;
    live_ = *std::move(mounted);
  }
  void unmount() {
    const auto gone = live_->unmount();
    EXPECT_TRUE(gone) << gone.error().sentence;
    live_.reset();
  }
  // In a process that can be waited for if the daemon does not answer.
  Facts looked() {
    const oracle::ForkedResult ran =
        oracle::run_forked([&](int out) { oracle::write_all(out, to_text(look(plan_.target))); },
                           kLimit, [&] { live_->abort(); });
    EXPECT_EQ(ran.end, oracle::ForkedEnd::kDone) << ran.detail;
    return parse_facts(ran.output);
  }
  Facts looked_with_fault(int target) {
    faults_->seen = 0;
    faults_->fired = 0;
    faults_->target = target;
    faults_->action = EIO;
    faults_->armed = 1;
    Facts facts = looked();
    faults_->armed = 0;
    return facts;
  }

  const std::string dir_ = oracle::isolated_ext4() + "/looks";
  oracle::MountPlan plan_;
  FaultControl* faults_ = nullptr;
  std::unique_ptr<oracle::LiveMount> live_;
};

TEST_F(Looks, ShowWhatIsThereOrAnError) {
  mount();
  must(kChanges, plan_.target);
  unmount();
  mount();
  const Facts right = looked();
  unmount();
  ASSERT_EQ(right.at("dir/capable: security.capability").error, 0);
  ASSERT_NE(right.at("dir/capable: security.capability").value, "none");
  ASSERT_EQ(right.at("xattr/hidden: attributes").error, ENOENT);
  int calls = 0;
  for (bool fired = true; fired && !HasFailure(); calls += fired ? 1 : 0) {
    mount();
    const Facts found = looked_with_fault(calls + 1);
    fired = faults_->fired != 0;
    const std::string when = fmt::format("call {} ({})", calls + 1, faults_->call);
    for (const auto& [what, fact] : found) {
      const auto expected = right.find(what);
      ASSERT_NE(expected, right.end()) << when << ": " << what << " is shown";
      if (fact == expected->second) continue;
      EXPECT_EQ(fact.error, EIO) << when << ": " << what << " is " << fact.value;
    }
    EXPECT_EQ(to_text(looked()), to_text(right)) << "after " << when;
    unmount();
  }
  EXPECT_GT(calls, 50);
}

}  // namespace
}  // namespace layerfs::test
