#include "fs/tree/inode_numbers.h"

#include <set>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace layerfs::tree {
namespace {

constexpr ino_t kHigh = ino_t{1} << 56;

// Numbers as they come: small, at every edge, and with the bits in use that a union below has set.
const std::vector<ino_t> kNumbers = {1,
                                     13,
                                     (1 << 28) - 1,
                                     1 << 28,
                                     (ino_t{1} << 31) - 1,
                                     ino_t{1} << 31,
                                     (ino_t{1} << 32) - 1,
                                     ino_t{1} << 32,
                                     (ino_t{1} << 48) - 1,
                                     ino_t{1} << 48,
                                     (ino_t{1} << 48) | 13,
                                     kHigh | 13,
                                     (ino_t{1} << 63) | 13,
                                     ~ino_t{0}};

class Numbers : public testing::TestWithParam<Xino> {};

TEST_P(Numbers, AreUniqueWhateverTheLayersNumbersLookLike) {
  for (const std::size_t known : {1U, 2U, 20U}) {
    std::vector<dev_t> devices;
    for (dev_t device = 0; device < known; ++device) devices.push_back(device + 100);
    InodeNumbers numbers(GetParam(), devices);
    std::set<ino_t> shown;
    std::size_t asked = 0;
    // More devices than were known at the mount.
    for (dev_t device = 0; device < known + 20; ++device) {
      for (const ino_t number : kNumbers) {
        shown.insert(numbers.shown({device + 100, number}));
        ++asked;
      }
    }
    EXPECT_EQ(shown.size(), asked) << known;
    EXPECT_FALSE(shown.contains(0));
    // Each is the same when it is asked for again.
    for (const ino_t number : kNumbers) shown.insert(numbers.shown({100, number}));
    EXPECT_EQ(shown.size(), asked) << known;
  }
}

TEST_P(Numbers, AreUniqueWithMoreFileSystemsThanFit) {
  InodeNumbers numbers(GetParam(), {1});
  std::set<ino_t> shown;
  for (dev_t device = 1; device <= 20000; ++device) shown.insert(numbers.shown({device, 13}));
  EXPECT_EQ(shown.size(), 20000U);
}

INSTANTIATE_TEST_SUITE_P(Xino, Numbers, testing::Values(Xino::kAuto, Xino::kOn, Xino::kOff));

TEST(InodeNumbers, OneFileSystemKeepsItsOwn) {
  for (const Xino xino : {Xino::kAuto, Xino::kOn}) {
    InodeNumbers numbers(xino, {5});
    for (const ino_t number : {ino_t{1}, ino_t{1} << 31, ino_t{1} << 40})
      EXPECT_EQ(numbers.shown({5, number}), number);
  }
}

TEST(InodeNumbers, SeveralFileSystemsFitInto32BitsUnlessAskedOtherwise) {
  InodeNumbers compact(Xino::kAuto, {5, 6, 7});
  InodeNumbers short_own(Xino::kOff, {5, 6, 7});
  InodeNumbers wide(Xino::kOn, {5, 6, 7});
  for (const dev_t device : {5U, 6U, 7U}) {
    EXPECT_LT(compact.shown({device, 1'000'000}), ino_t{1} << 32);
    EXPECT_LT(short_own.shown({device, ino_t{1} << 40}), ino_t{1} << 32);
  }
  EXPECT_GE(wide.shown({6, 13}), ino_t{1} << 32);
}

TEST(InodeNumbers, AreTheSameAfterARemount) {
  for (const Xino xino : {Xino::kAuto, Xino::kOn}) {
    InodeNumbers first(xino, {5, 6}), second(xino, {5, 6});
    first.shown({6, 1});
    for (const ino_t number : {ino_t{13}, ino_t{1} << 30, ino_t{1} << 40})
      EXPECT_EQ(first.shown({6, number}), second.shown({6, number}));
  }
}

TEST(InodeNumbers, OneUpperInodeShowsANumber) {
  InodeNumbers numbers(Xino::kAuto, {5, 6});
  const ino_t number = numbers.shown({6, 13});
  EXPECT_FALSE(numbers.is_claimed(number));
  EXPECT_TRUE(numbers.claim(number, 40));
  EXPECT_TRUE(numbers.claim(number, 40));
  EXPECT_FALSE(numbers.claim(number, 41));
  EXPECT_TRUE(numbers.is_claimed(number));
  EXPECT_NE(numbers.own({6, 13}), number);
  numbers.release(number);
  EXPECT_TRUE(numbers.claim(number, 41));
}

TEST(InodeNumbers, AreKeptForAnUpperInodeUntilAnotherHasItsNumber) {
  InodeNumbers numbers(Xino::kAuto, {5, 6});
  EXPECT_FALSE(numbers.kept(40));
  numbers.keep(40, 1300);
  EXPECT_EQ(numbers.kept(40), 1300U);
  EXPECT_FALSE(numbers.claim(1300, 41));
  numbers.renew(40);
  EXPECT_FALSE(numbers.kept(40));
}

TEST(InodeNumbers, AreUniqueAmongThreads) {
  InodeNumbers numbers(Xino::kOff, {5});
  std::vector<std::vector<ino_t>> shown(4);
  {
    std::vector<std::jthread> threads;
    for (auto& mine : shown)
      threads.emplace_back([&] {
        for (ino_t number = 1; number <= 2000; ++number) mine.push_back(numbers.shown({6, number}));
      });
  }
  for (const auto& mine : shown) EXPECT_EQ(mine, shown.front());
  EXPECT_EQ(std::set<ino_t>(shown[0].begin(), shown[0].end()).size(), 2000U);
}

}  // namespace
}  // namespace layerfs::tree
