// Undoing a layer's compression.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>

#include "fs/sys/failure.h"
#include "layerstore/media_type.h"

namespace layerfs::store {

// The next piece of compressed bytes, valid until the next call; empty at the end.
using Refill = std::function<Outcome<std::span<const std::byte>>()>;

// Not thread-safe.
class Decompressor {
 public:
  virtual ~Decompressor() = default;
  // Fills the buffer unless the stream ends before: the number of bytes. Refuses broken and
  // truncated streams; whatever follows the last gzip member or zstd frame must be another, or
  // zero.
  virtual Outcome<std::size_t> read(std::span<std::byte> buffer) = 0;
};

// `refill` is called by read(). kNone is not a compression: callers pass such bytes on themselves.
std::unique_ptr<Decompressor> make_decompressor(Compression compression, Refill refill);

}  // namespace layerfs::store
