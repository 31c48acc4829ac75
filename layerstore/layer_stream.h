// A layer's tar stream out of its blob: copied, hashed and decompressed on a thread of its own
// while the caller unpacks.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "fs/sys/failure.h"
#include "layerstore/digest.h"
#include "layerstore/media_type.h"
#include "layerstore/region.h"

namespace layerfs::store {

struct LayerInput {
  Region region;
  std::optional<Digest> digest{};                // of the blob; nothing: take what comes
  std::optional<Digest> diff_id{};               // of the tar stream; nothing: take what comes
  const std::atomic<bool>* cancelled = nullptr;  // if it becomes true, reading fails
};

// What has gone through, once the stream has ended.
struct LayerDigests {
  Digest digest;
  Digest diff_id;
  std::uint64_t size = 0;  // of the blob
  Compression compression = Compression::kNone;
};

// Used by one thread. The destructor stops the reading thread.
class LayerStream {
 public:
  // Copies the blob to `copy` (borrowed) unless that is -1. Adds the blob's bytes to `progress`,
  // if given, as they are read.
  LayerStream(LayerInput input, int copy, std::atomic<std::uint64_t>* progress);
  ~LayerStream();

  // The next piece of the tar stream, valid until the next call. Empty at the end, and then
  // everything has been verified: a digest that is not the expected one is refused here.
  Outcome<std::span<const std::byte>> next();

  // After the end.
  const LayerDigests& digests() const;

 private:
  class Reader;
  std::unique_ptr<Reader> reader_;
};

}  // namespace layerfs::store
