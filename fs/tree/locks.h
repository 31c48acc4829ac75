// The locks of the merged tree and their order.
//
// Outermost first; a thread takes them in this order only, and none twice:
//
//   0. op::OpenFiles    the I/O state of one node; not held while data is copied.
//   1. CopyUpLock       one node's copy-up. Held while data is copied; nothing else is held then.
//   2. ShapeLock        shared by whatever relies on a node's parent and name, exclusive in rename.
//   3. Directory::mutex the entries of one directory; of two directories the ancestor first. Taken
//                       with a shared ShapeLock only: who has the exclusive one is alone with all
//                       directories, and two of them may be related in no order.
//   4. HardLinks::mutex
//   5. NodeTable's shards, DirFds' shards, Successors, Forgotten.
//
// The copy-up lock comes first because publishing a copied file needs the shape and the directory:
// whoever needs a node copied up does that before it takes those, and checks again after. An
// ancestor's copy-up is finished and unlocked before the descendant's starts.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <shared_mutex>

namespace layerfs::tree {

// A reader-writer lock whose readers on different processors share no cache line: each operation is
// a reader, a rename the only writer.
class ShapeLock {
 public:
  // Proof that no rename happens meanwhile.
  class Shared {
   public:
    explicit Shared(ShapeLock& lock) : mutex_(&lock.mine()) { mutex_->lock_shared(); }
    Shared(Shared&& other) noexcept : mutex_(other.mutex_) { other.mutex_ = nullptr; }
    Shared(const Shared&) = delete;
    Shared& operator=(const Shared&) = delete;
    ~Shared() {
      if (mutex_ != nullptr) mutex_->unlock_shared();
    }

   private:
    std::shared_mutex* mutex_;
  };

  // Proof that no other operation relies on parents and names meanwhile.
  class Exclusive {
   public:
    explicit Exclusive(ShapeLock& lock) : lock_(lock) {
      for (Slot& slot : lock_.slots_) slot.mutex.lock();
    }
    Exclusive(const Exclusive&) = delete;
    Exclusive& operator=(const Exclusive&) = delete;
    ~Exclusive() {
      for (Slot& slot : lock_.slots_) slot.mutex.unlock();
    }

   private:
    ShapeLock& lock_;
  };

 private:
  struct alignas(64) Slot {
    std::shared_mutex mutex;
  };
  std::shared_mutex& mine() {
    static std::atomic<unsigned> next{0};
    thread_local unsigned slot = next.fetch_add(1, std::memory_order_relaxed);
    return slots_[slot % slots_.size()].mutex;
  }
  std::array<Slot, 8> slots_;
};

// Either kind of proof, for functions that only need the shape to stay as it is.
class ShapeToken {
 public:
  ShapeToken(const ShapeLock::Shared&) {}
  ShapeToken(const ShapeLock::Exclusive&) {}
};

// A mutex of four bytes, for there is one in every node. Waiters sleep.
class CopyUpLock {
 public:
  void lock() {
    std::uint32_t expected = kFree;
    if (state_.compare_exchange_strong(expected, kHeld, std::memory_order_acquire)) return;
    while (state_.exchange(kContended, std::memory_order_acquire) != kFree)
      state_.wait(kContended, std::memory_order_relaxed);
  }
  void unlock() {
    if (state_.exchange(kFree, std::memory_order_release) == kContended) state_.notify_one();
  }

 private:
  static constexpr std::uint32_t kFree = 0, kHeld = 1, kContended = 2;
  std::atomic<std::uint32_t> state_{kFree};
};

}  // namespace layerfs::tree
