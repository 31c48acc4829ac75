// Layers with something broken in them: what callers see, and what an operator is told.
#include <sys/stat.h>

#include <cerrno>
#include <memory>
#include <string>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/mount/union_fixture.h"
#include "tests/support/problems.h"

namespace layerfs::test {
namespace {

using testing::ElementsAre;

class Broken : public Union {
 protected:
  Broken() { stack_.observer = problems_; }

  int error_of(const std::string& path) const {
    struct stat attr = {};
    return ::lstat((root_ / path).c_str(), &attr) == 0 ? 0 : errno;
  }
  std::string told(const std::string& layer, const std::string& rest) const {
    return (dir_ / layer).string() + "|" + rest;
  }

  const std::shared_ptr<Problems> problems_ = std::make_shared<Problems>();
};

TEST_F(Broken, RedirectOfALowerDirectoryIsToldWithItsLayerAndPath) {
  mount("mkdir -p lower/a/d below/a/d; setfattr -n trusted.overlay.redirect -v ../x lower/a/d");
  EXPECT_EQ(error_of("a/d"), EINVAL);
  EXPECT_THAT(
      problems_->told(),
      ElementsAre(told("lower", "a/d|its trusted.overlay.redirect is not valid: '../x'|22")));
}

TEST_F(Broken, MetacopyWithoutDataIsToldAndHidesNoOtherName) {
  mount(
      "touch upper/lost upper/sound; truncate -s 100 upper/lost;"
      "setfattr -n trusted.overlay.metacopy upper/lost;"
      "setfattr -n trusted.overlay.impure -v y upper");
  EXPECT_EQ(error_of("lost"), EIO);
  EXPECT_EQ(error_of("sound"), 0);
  EXPECT_EQ(out("mnt", "ls -U | sort"), "lost\nsound\n");
  EXPECT_THAT(
      problems_->told(),
      ElementsAre(told("upper",
                       "lost|it is a metacopy, and its data cannot be reached in the layers "
                       "below|5")));
}

TEST_F(Broken, MetacopyOfALowerLayerIsToldWhenItIsRead) {
  mount(
      "mkdir lower/d; truncate -s 100 lower/d/lost;"
      "setfattr -n trusted.overlay.metacopy lower/d/lost");
  EXPECT_FALSE(in("mnt", "cat d/lost").ok());
  EXPECT_THAT(problems_->told(),
              ElementsAre(told("lower",
                               "d/lost|it is a metacopy, and its data cannot be reached in the "
                               "layers below|5")));
}

TEST_F(Broken, RecordOfAnOwnerIsTold) {
  stack_.record_owners = layer::RecordKind::kContainers;
  mount(
      "setfattr -n user.containers.override_stat -v 0:0:0755 lower; mkdir lower/d;"
      "touch lower/d/file; setfattr -n user.containers.override_stat -v who:knows lower/d/file");
  EXPECT_EQ(error_of("d/file"), EIO);
  EXPECT_THAT(
      problems_->told(),
      ElementsAre(told("lower", "d/file|the record of its owner is not valid: 'who:knows'|5")));
}

TEST_F(Broken, MarksWithoutEffectAreTold) {
  mount(
      "mkdir upper/d lower/d; touch lower/d/shown;"
      "setfattr -n trusted.overlay.opaque -v perhaps upper/d;"
      "touch upper/f; setfattr -n trusted.overlay.protattr -v zz upper/f");
  EXPECT_EQ(out("mnt", "ls d; stat -c %F f"), "shown\nregular empty file\n");
  EXPECT_THAT(problems_->told(),
              testing::UnorderedElementsAre(
                  told("upper", "d|the value of its overlay.opaque is not understood|0"),
                  told("upper", "f|its overlay.protattr holds unknown letters|0")));
}

}  // namespace
}  // namespace layerfs::test
