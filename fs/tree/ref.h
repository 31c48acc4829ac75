// Shared ownership that costs one pointer.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

namespace layerfs::tree {

// Base of what a Ref owns: the count of its owners. A copy starts without any.
class Counted {
 public:
  Counted() = default;
  Counted(const Counted&) {}
  Counted& operator=(const Counted&) = delete;

 private:
  template <typename T>
  friend class Ref;
  mutable std::atomic<std::uint32_t> owners_{0};
};

// One of the owners of a T, a Counted; the last deletes it. As std::shared_ptr, of which nodes and
// lower directories have too many: different Refs may be used by different threads, one by one.
template <typename T>
class Ref {
 public:
  Ref() = default;
  explicit Ref(std::unique_ptr<T> object) : object_(object.release()) { hold(); }
  Ref(const Ref& other) : object_(other.object_) { hold(); }
  Ref(Ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  Ref& operator=(Ref other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~Ref() {
    if (object_ != nullptr && object_->owners_.fetch_sub(1, std::memory_order_acq_rel) == 1)
      delete object_;
  }

  T* get() const { return object_; }
  T* operator->() const { return object_; }
  T& operator*() const { return *object_; }
  explicit operator bool() const { return object_ != nullptr; }
  // A snapshot, of use only to who knows that nobody makes further owners meanwhile.
  bool is_only_owner() const { return object_->owners_.load(std::memory_order_acquire) == 1; }
  friend bool operator==(const Ref& ref, std::nullptr_t) { return ref.object_ == nullptr; }

 private:
  void hold() const {
    if (object_ != nullptr) object_->owners_.fetch_add(1, std::memory_order_relaxed);
  }
  T* object_ = nullptr;
};

}  // namespace layerfs::tree
