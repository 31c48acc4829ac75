// Random choices that are the same on every machine.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <random>
#include <string>
#include <vector>

namespace layerfs::oracle {

class Rng {
 public:
  explicit Rng(uint64_t seed) : engine_(seed) {}

  // 0 <= result < bound; bound > 0.
  int64_t below(int64_t bound) {
    return static_cast<int64_t>(engine_() % static_cast<uint64_t>(bound));
  }
  bool percent(int64_t chance) { return below(100) < chance; }

  template <typename T>
  T pick(std::initializer_list<T> choices) {
    return choices.begin()[below(static_cast<int64_t>(choices.size()))];
  }
  template <typename T>
  const T& pick(const std::vector<T>& choices) {
    return choices[static_cast<size_t>(below(static_cast<int64_t>(choices.size())))];
  }

 private:
  std::mt19937_64 engine_;
};

}  // namespace layerfs::oracle
