#include "layerstore/layer_stream.h"

#include <fcntl.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "fs/sys/interruption.h"
#include "layerstore/decompress.h"
#include "layerstore/file_util.h"

namespace layerfs::store {

namespace {

constexpr std::size_t kPiece = 1 << 20;
constexpr std::size_t kPiecesAhead = 6;
constexpr std::size_t kMagicBytes = 4;

tl::unexpected<Failure> mismatch(const char* what, const Digest& expected, const Digest& found) {
  return refuse(std::string(what) + " is " + found.text() + ", not " + expected.text() +
                " as the image says");
}

}  // namespace

// The producer and the queue between the two threads.
class LayerStream::Reader {
 public:
  Reader(LayerInput input, int copy, std::atomic<std::uint64_t>* progress)
      : input_(std::move(input)), copy_(copy), progress_(progress), raw_(kPiece) {
    thread_ = std::thread([this] { run(); });
  }

  ~Reader() {
    {
      const std::lock_guard lock(mutex_);
      stopped_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  Outcome<std::span<const std::byte>> next() {
    std::unique_lock lock(mutex_);
    if (!current_.empty()) spare_.push_back(std::move(current_));
    current_.clear();
    changed_.notify_all();
    changed_.wait(lock, [this] { return !full_.empty() || result_; });
    if (full_.empty()) {
      if (!result_->has_value()) return tl::make_unexpected(result_->error());
      return std::span<const std::byte>();
    }
    current_ = std::move(full_.front());
    full_.pop_front();
    return std::span<const std::byte>(current_);
  }

  const LayerDigests& digests() const { return **result_; }

 private:
  using Piece = std::vector<std::byte>;

  void run() {
    Outcome<LayerDigests> result = refuse("reading was given up");
    try {
      result = read_all();
    } catch (const std::exception& error) {
      result = refuse(std::string("reading failed: ") + error.what());
    }
    {
      const std::lock_guard lock(mutex_);
      result_ = std::move(result);
    }
    changed_.notify_all();
  }

  Outcome<LayerDigests> read_all() {
    LAYERFS_TRY_ASSIGN(std::span<const std::byte> first, read_raw());
    const std::string_view magic(reinterpret_cast<const char*>(first.data()),
                                 std::min(first.size(), kMagicBytes));
    const Compression compression = detect_compression(magic);
    std::optional<Digest> diff_id;
    if (compression == Compression::kNone) {
      LAYERFS_TRY(pass_on(first));
    } else {
      LAYERFS_TRY_ASSIGN(diff_id, decompress(compression, first));
    }
    return verify(compression, diff_id);
  }

  // The next piece of the blob: hashed and copied.
  Outcome<std::span<const std::byte>> read_raw() {
    if (input_.cancelled && *input_.cancelled) return refuse("reading was given up");
    if (sys::interruption_requested()) return sys::interrupted();
    const std::size_t want = std::min<std::uint64_t>(kPiece, input_.region.size - position_);
    const std::span<std::byte> buffer(raw_.data(), want);
    Result<std::size_t> got =
        read_at(input_.region.file->get(), buffer, input_.region.offset + position_);
    if (!got) return refuse("cannot read it", got.error());
    if (*got < want) return refuse("the archive is truncated");
    position_ += want;
    blob_hash_.update(buffer);
    if (copy_ >= 0) {
      if (Result<void> done = write_all(copy_, buffer); !done) {
        return refuse("cannot write to the store", done.error());
      }
    }
    if (progress_) progress_->fetch_add(want, std::memory_order_relaxed);
    return std::span<const std::byte>(buffer);
  }

  Outcome<void> pass_on(std::span<const std::byte> piece) {
    while (!piece.empty()) {
      Piece copy = take_spare();
      copy.assign(piece.begin(), piece.end());
      LAYERFS_TRY(push(std::move(copy)));
      LAYERFS_TRY_ASSIGN(piece, read_raw());
    }
    return {};
  }

  // The digest of what came out.
  Outcome<Digest> decompress(Compression compression, std::span<const std::byte> first) {
    const auto decompressor =
        make_decompressor(compression, [&]() -> Outcome<std::span<const std::byte>> {
          if (!first.empty()) return std::exchange(first, {});
          return read_raw();
        });
    Hasher hasher;
    while (true) {
      Piece piece = take_spare();
      piece.resize(kPiece);
      LAYERFS_TRY_ASSIGN(const std::size_t size, decompressor->read(piece));
      piece.resize(size);
      if (size == 0) break;
      hasher.update(piece);
      LAYERFS_TRY(push(std::move(piece)));
    }
    // What follows the compressed data belongs to the blob.
    for (bool more = true; more;) {
      LAYERFS_TRY_ASSIGN(const std::span<const std::byte> rest, read_raw());
      more = !rest.empty();
    }
    return hasher.finish();
  }

  Outcome<LayerDigests> verify(Compression compression, std::optional<Digest> diff_id) {
    const Digest digest = blob_hash_.finish();
    if (!diff_id) diff_id = digest;
    if (input_.digest && *input_.digest != digest) {
      return mismatch("its digest", *input_.digest, digest);
    }
    if (input_.diff_id && *input_.diff_id != *diff_id) {
      return mismatch("the digest of its uncompressed content", *input_.diff_id, *diff_id);
    }
    return LayerDigests{digest, *diff_id, position_, compression};
  }

  Piece take_spare() {
    const std::lock_guard lock(mutex_);
    if (spare_.empty()) return {};
    Piece piece = std::move(spare_.back());
    spare_.pop_back();
    return piece;
  }

  Outcome<void> push(Piece piece) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return full_.size() < kPiecesAhead || stopped_; });
    if (stopped_) return refuse("reading was given up");
    if (sys::interruption_requested()) return sys::interrupted();
    full_.push_back(std::move(piece));
    changed_.notify_all();
    return {};
  }

  // Of the reading thread.
  const LayerInput input_;
  const int copy_;
  std::atomic<std::uint64_t>* const progress_;
  std::vector<std::byte> raw_;
  std::uint64_t position_ = 0;
  Hasher blob_hash_;

  // Of the caller's thread.
  Piece current_;

  // Guarded by mutex_.
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Piece> full_;
  std::vector<Piece> spare_;
  std::optional<Outcome<LayerDigests>> result_;
  bool stopped_ = false;

  std::thread thread_;
};

LayerStream::LayerStream(LayerInput input, int copy, std::atomic<std::uint64_t>* progress)
    : reader_(std::make_unique<Reader>(std::move(input), copy, progress)) {}

LayerStream::~LayerStream() = default;

Outcome<std::span<const std::byte>> LayerStream::next() { return reader_->next(); }

const LayerDigests& LayerStream::digests() const { return reader_->digests(); }

}  // namespace layerfs::store
