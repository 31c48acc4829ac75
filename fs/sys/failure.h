// Errors that a person reads.
#pragma once

#include <string>
#include <utility>

#include <tl/expected.hpp>

#include "fs/sys/result.h"

namespace layerfs {

// Why something a person asked for could not be done. `sentence` names the thing, the cause and,
// where there is one, the way out; it has no trailing newline. `code` is the errno behind it, or 0.
struct [[nodiscard]] Failure {
  std::string sentence;
  int code = 0;
};

// A value, or the sentence that says why there is none.
template <typename T>
using Outcome = tl::expected<T, Failure>;

// The error side of any Outcome.
inline tl::unexpected<Failure> refuse(std::string sentence, int code = 0) {
  return tl::unexpected<Failure>(Failure{std::move(sentence), code});
}

// "sentence: strerror(error)", keeping the errno.
tl::unexpected<Failure> refuse(std::string sentence, Errno error);

}  // namespace layerfs
