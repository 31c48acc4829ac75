// What a call is refused with.
#pragma once

#include <string>
#include <utility>

#include <tl/expected.hpp>

#include "fs/sys/failure.h"

namespace layerfs::snapshotter {

// containerd's kinds of errors, as far as a snapshotter has them (doc/snapshotter.md, "Refusals").
enum class Code {
  kNotFound,
  kAlreadyExists,
  kFailedPrecondition,
  kInvalidArgument,
  kExhausted,  // disk or quota full: nothing has changed
  kInternal,
};

struct [[nodiscard]] Refusal {
  Refusal(Code why, std::string text) : code(why), sentence(std::move(text)) {}
  // A failure of the machine: whatever its errno is, it says nothing about keys.
  Refusal(Failure failure);  // NOLINT(google-explicit-constructor): LAYERFS_TRY converts

  Code code;
  std::string sentence;  // for a person, as in Failure
};

// A value, or why there is none.
template <typename T>
using Answer = tl::expected<T, Refusal>;

// The error side of any Answer.
inline tl::unexpected<Refusal> deny(Code code, std::string sentence) {
  return tl::unexpected<Refusal>(Refusal(code, std::move(sentence)));
}

}  // namespace layerfs::snapshotter
