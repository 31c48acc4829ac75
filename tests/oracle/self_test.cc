// The test of the test: the kernel against itself shows no difference, and every kind of
// alteration is found and shrunk.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "tests/oracle/lab_fixture.h"
#include "tests/oracle/shrink.h"

namespace layerfs::oracle {
namespace {

constexpr int kCases = 100;

// The first finding of the first case that has one, after shrinking.
struct Caught {
  std::string signature;
  Case small;
};

Caught catch_alteration(const Lab& lab, int tries = 150) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    const Case test = generate_case(seed, {});
    const auto findings = run_case(test, lab);
    if (!findings || findings->empty()) continue;
    const std::string signature = findings->front().signature;
    auto fails = [&](const Case& candidate) {
      const auto found = run_case(candidate, lab);
      return found && !found->empty() && found->front().signature == signature;
    };
    return {signature, shrink(test, fails, {tries, std::chrono::seconds(20)})};
  }
  return {};
}

// What the operation that alters is called with: the working directory is the mount's root.
Caught catch_after(OpKind kind, const std::function<void(const Op&, std::string&)>& alter) {
  Lab lab = make_lab({});
  lab.tamper_op = [&](const Op& op, std::string& result) {
    if (op.kind == kind && result.starts_with("ok")) alter(op, result);
  };
  return catch_alteration(lab);
}

TEST(OracleSelf, TheKernelAgreesWithItself) { expect_no_difference(make_lab({}), 1, kCases, {}); }

TEST(OracleSelf, FindsAWrongErrno) {
  const Caught caught =
      catch_after(OpKind::kRename, [](const Op&, std::string& result) { result = "EIO"; });
  EXPECT_EQ(caught.signature, "result:rename:result:ok:EIO");
  EXPECT_LE(caught.small.ops.size(), 2u);
}

TEST(OracleSelf, FindsAWrongMode) {
  const Caught caught = catch_after(OpKind::kChmod, [](const Op& op, std::string&) {
    ::chmod(op.path.c_str(), static_cast<mode_t>(op.mode ^ 1));
  });
  EXPECT_NE(caught.signature.find("mode"), std::string::npos) << caught.signature;
  EXPECT_LE(caught.small.ops.size(), 2u);
}

TEST(OracleSelf, FindsAWrongByte) {
  const Caught caught = catch_after(OpKind::kPoke, [](const Op& op, std::string&) {
    const int fd = ::open(op.path.c_str(), O_WRONLY | O_CLOEXEC);
    if (::pwrite(fd, "?", 1, 0) != 1) return;
    ::close(fd);
  });
  EXPECT_NE(caught.signature.find("data"), std::string::npos) << caught.signature;
  EXPECT_LE(caught.small.ops.size(), 3u);
}

TEST(OracleSelf, FindsALostName) {
  const Caught caught =
      catch_after(OpKind::kMkdir, [](const Op& op, std::string&) { ::rmdir(op.path.c_str()); });
  EXPECT_FALSE(caught.signature.empty());
  EXPECT_LE(caught.small.ops.size(), 2u);
}

TEST(OracleSelf, FindsACopyUpThatTouchesTheTime) {
  const Caught caught = catch_after(OpKind::kChmod, [](const Op& op, std::string&) {
    ::utimensat(AT_FDCWD, op.path.c_str(), nullptr, 0);
  });
  EXPECT_NE(caught.signature.find("time"), std::string::npos) << caught.signature;
}

TEST(OracleSelf, FindsAHang) {
  Lab lab = make_lab({});
  lab.limit = std::chrono::seconds(2);
  lab.tamper_op = [](const Op& op, std::string&) {
    if (op.kind == OpKind::kSymlink) ::pause();
  };
  EXPECT_EQ(catch_alteration(lab, 2).signature, "hang:symlink");
}

TEST(OracleSelf, FindsACrash) {
  const Caught caught = catch_after(OpKind::kLink, [](const Op&, std::string&) { ::abort(); });
  EXPECT_EQ(caught.signature, "crash:link");
}

TEST(OracleSelf, FindsAWriteToALowerLayer) {
  Lab lab = make_lab({});
  lab.tamper_disk = [](const std::string& side) { ::chmod((side + "/l0").c_str(), 0711); };
  const Caught caught = catch_alteration(lab);
  EXPECT_EQ(caught.signature, "lower-changed");
  EXPECT_TRUE(caught.small.ops.empty());
}

TEST(OracleSelf, FindsALeftover) {
  Lab lab = make_lab({});
  lab.tamper_disk = [](const std::string& side) {
    std::ofstream(side + "/w1/work/temporary") << 1;
  };
  EXPECT_EQ(catch_alteration(lab).signature, "leftovers");
}

TEST(OracleSelf, FindsAnUpperThatTheKernelReadsDifferently) {
  Lab lab = make_lab({});
  lab.tamper_disk = [](const std::string& side) {
    int newest = 1;
    while (std::filesystem::exists(side + "/u" + std::to_string(newest + 1))) ++newest;
    std::ofstream(side + "/u" + std::to_string(newest) + "/late") << 1;
  };
  const std::string signature = catch_alteration(lab).signature;
  EXPECT_TRUE(signature.starts_with("kernel-on-subject-upper:")) << signature;
}

}  // namespace
}  // namespace layerfs::oracle
