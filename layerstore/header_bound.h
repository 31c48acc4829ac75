// How much a reader of archives takes in for one header.
#pragma once

#include <cstdint>

#include "layerstore/import_limits.h"

namespace layerfs::store {

// libarchive keeps what it reads of a header in memory, however long it is. What it asks for while
// it reads one, beyond what it has been given since the header began, is header as well: so the
// source of its bytes can tell, and give no more. Not thread-safe.
class HeaderBound {
 public:
  explicit HeaderBound(std::uint64_t limit) : limit_(limit) {}

  // A header begins at this position of the stream. All before it has been read.
  void begin(std::uint64_t position) {
    begin_ = position;
    within_ = true;
  }
  void end() { within_ = false; }

  // That many bytes go to the reader, or are skipped.
  void give(std::uint64_t bytes) { given_ += bytes; }

  // Before more is given: the header is larger than it may be.
  bool exceeded() const { return within_ && given_ - begin_ > limit_; }

  tl::unexpected<Failure> failure() const {
    return over_limit(
        "it has an entry with a header (name, extended attributes, places of data) of", limit_,
        "--max-header");
  }

 private:
  const std::uint64_t limit_;
  std::uint64_t given_ = 0;
  std::uint64_t begin_ = 0;
  bool within_ = false;
};

}  // namespace layerfs::store
