// File names that several owners share.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <string_view>
#include <utility>

namespace layerfs::tree {

// An immutable, reference-counted, NUL-terminated name of less than 64 KiB: the directory entry
// and the node it leads to hold one copy. The empty Name belongs to nodes without a name. Copies
// may be used and destroyed by different threads.
class Name {
 public:
  Name() = default;
  explicit Name(std::string_view text) : block_(make(text)) {}
  Name(const Name& other) : block_(other.block_) {
    if (block_ != nullptr) block_->owners.fetch_add(1, std::memory_order_relaxed);
  }
  Name(Name&& other) noexcept : block_(std::exchange(other.block_, nullptr)) {}
  Name& operator=(Name other) noexcept {
    std::swap(block_, other.block_);
    return *this;
  }
  ~Name() {
    if (block_ != nullptr && block_->owners.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      block_->~Block();
      ::operator delete(block_);
    }
  }

  const char* c_str() const { return block_ == nullptr ? "" : text(block_); }
  std::string_view view() const {
    return block_ == nullptr ? std::string_view() : std::string_view(text(block_), block_->length);
  }
  bool empty() const { return block_ == nullptr; }

 private:
  // The text follows the length without a gap, for there is a name per known inode.
  struct Block {
    std::atomic<std::uint32_t> owners{1};
    std::uint16_t length = 0;
  };
  static constexpr std::size_t kTextAt = offsetof(Block, length) + sizeof(std::uint16_t);

  static char* text(Block* block) { return reinterpret_cast<char*>(block) + kTextAt; }

  static Block* make(std::string_view from) {
    void* memory = ::operator new(std::max(sizeof(Block), kTextAt + from.size() + 1));
    Block* block = new (memory) Block;
    block->length = static_cast<std::uint16_t>(from.size());
    std::memcpy(text(block), from.data(), from.size());
    text(block)[from.size()] = '\0';
    return block;
  }

  Block* block_ = nullptr;
};

}  // namespace layerfs::tree
