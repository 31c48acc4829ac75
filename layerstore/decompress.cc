#include "layerstore/decompress.h"

#include <zstd.h>

#include <algorithm>
#include <cstdint>
#include <new>
#include <utility>

#include <isa-l/igzip_lib.h>

namespace layerfs::store {

namespace {

bool all_zero(std::span<const std::byte> bytes) {
  return std::ranges::all_of(bytes, [](std::byte byte) { return byte == std::byte{0}; });
}

// Some writers pad the compressed stream with zeros.
Outcome<void> expect_zeros(std::span<const std::byte> bytes, const Refill& refill) {
  while (!bytes.empty()) {
    if (!all_zero(bytes)) return refuse("something other than gzip data follows the gzip data");
    LAYERFS_TRY_ASSIGN(bytes, refill());
  }
  return {};
}

class Gunzip final : public Decompressor {
 public:
  explicit Gunzip(Refill refill) : refill_(std::move(refill)) { start_member(); }

  Outcome<std::size_t> read(std::span<std::byte> buffer) override {
    state_.next_out = reinterpret_cast<std::uint8_t*>(buffer.data());
    state_.avail_out = static_cast<std::uint32_t>(buffer.size());
    while (state_.avail_out > 0 && !ended_) LAYERFS_TRY(step());
    return buffer.size() - state_.avail_out;
  }

 private:
  void start_member() {
    auto* next_in = state_.next_in;
    const auto avail_in = state_.avail_in;
    auto* next_out = state_.next_out;
    const auto avail_out = state_.avail_out;
    isal_inflate_init(&state_);
    state_.crc_flag = ISAL_GZIP;
    state_.next_in = next_in;
    state_.avail_in = avail_in;
    state_.next_out = next_out;
    state_.avail_out = avail_out;
  }

  Outcome<void> step() {
    if (state_.avail_in == 0) LAYERFS_TRY(fill());
    if (state_.block_state == ISAL_BLOCK_FINISH) return next_member();
    const bool starved = state_.avail_in == 0;
    const std::uint32_t room = state_.avail_out;
    const int status = isal_inflate(&state_);
    if (status < 0) {
      return refuse("its gzip data is broken");
    }
    if (starved && state_.avail_out == room && state_.block_state != ISAL_BLOCK_FINISH) {
      return refuse("its gzip data ends too early");
    }
    return {};
  }

  Outcome<void> next_member() {
    if (state_.avail_in == 0) {
      ended_ = true;
      return {};
    }
    if (*state_.next_in != 0) {
      start_member();
      return {};
    }
    ended_ = true;
    return expect_zeros(std::as_bytes(std::span(state_.next_in, state_.avail_in)), refill_);
  }

  Outcome<void> fill() {
    LAYERFS_TRY_ASSIGN(const std::span<const std::byte> piece, refill_());
    // The library reads through a pointer to non-const.
    state_.next_in = reinterpret_cast<std::uint8_t*>(const_cast<std::byte*>(piece.data()));
    state_.avail_in = static_cast<std::uint32_t>(piece.size());
    return {};
  }

  Refill refill_;
  inflate_state state_{};
  bool ended_ = false;
};

class Unzstd final : public Decompressor {
 public:
  explicit Unzstd(Refill refill) : refill_(std::move(refill)), context_(ZSTD_createDCtx()) {
    if (!context_) throw std::bad_alloc();
  }

  Outcome<std::size_t> read(std::span<std::byte> buffer) override {
    ZSTD_outBuffer out{buffer.data(), buffer.size(), 0};
    while (out.pos < out.size && !ended_) LAYERFS_TRY(step(out));
    return out.pos;
  }

 private:
  Outcome<void> step(ZSTD_outBuffer& out) {
    if (input_.empty()) {
      LAYERFS_TRY_ASSIGN(input_, refill_());
      if (input_.empty() && !within_frame_) {
        ended_ = true;
        return {};
      }
    }
    ZSTD_inBuffer in{input_.data(), input_.size(), 0};
    const std::size_t before = out.pos;
    const std::size_t status = ZSTD_decompressStream(context_.get(), &out, &in);
    if (ZSTD_isError(status)) {
      return refuse(std::string("its zstd data is broken: ") + ZSTD_getErrorName(status));
    }
    if (input_.empty() && out.pos == before) return refuse("its zstd data ends too early");
    input_ = input_.subspan(in.pos);
    within_frame_ = status != 0;
    return {};
  }

  struct Free {
    void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
  };

  Refill refill_;
  std::unique_ptr<ZSTD_DCtx, Free> context_;
  std::span<const std::byte> input_;
  bool within_frame_ = false;
  bool ended_ = false;
};

}  // namespace

std::unique_ptr<Decompressor> make_decompressor(Compression compression, Refill refill) {
  if (compression == Compression::kZstd) return std::make_unique<Unzstd>(std::move(refill));
  return std::make_unique<Gunzip>(std::move(refill));
}

}  // namespace layerfs::store
