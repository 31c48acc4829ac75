// The work directory: where every change is prepared before one system call puts it in place.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "fs/sys/failure.h"
#include "fs/sys/result.h"
#include "fs/sys/unique_fd.h"
#include "fs/tree/cleaner.h"

namespace layerfs::tree {

// In the work directory; what kernel overlayfs calls it.
inline constexpr const char* kWorkName = "work";

// workdir/work and workdir/index of kernel overlayfs. Holds a lock on workdir as long as it lives,
// so that one daemon at a time uses it. Thread-safe.
class WorkDir {
 public:
  // Takes the lock, after a daemon that is just ending (fs/tree/work_lock.h), and removes what a
  // crash left in work/. Refuses a directory that a volatile mount used before the system was
  // started: what it holds may be incomplete.
  static Outcome<std::unique_ptr<WorkDir>> open(sys::UniqueFd root, const std::string& path,
                                                bool is_volatile, bool with_index);
  ~WorkDir();

  // Nothing is served any more: whoever wants the directory may wait for the end of this object.
  void announce_end() noexcept;

  int fd() const { return work_.get(); }  // of work/
  // Of index/; -1 without.
  int index() const { return index_.get(); }
  // Whether index/ may hold anything.
  bool index_in_use() const { return index_in_use_.load(std::memory_order_relaxed); }
  void set_index_in_use() { index_in_use_.store(true, std::memory_order_relaxed); }
  // As if there were none from now on. Before the object is shared.
  void leave_index() {
    index_.reset();
    index_in_use_ = false;
  }

  // The names in index/.
  Result<std::vector<std::string>> index_entries() const;

  // A name that nothing in work/ has.
  std::string new_name();

  // Makes `name` in `dirfd`, which must not exist, a whiteout: one more link of one inode.
  Result<void> make_whiteout(int dirfd, const char* name);

  // Removes `name` of work/ whatever it is, with all below. What cannot be removed stays for the
  // next mount to remove.
  void discard(const std::string& name) noexcept;

  // The same by and by, and at the latest when the object goes.
  void discard_later(const std::string& name) noexcept;

 private:
  WorkDir() = default;
  Outcome<void> prepare(const std::string& path, bool is_volatile, bool with_index);
  Outcome<void> check_whiteouts(const std::string& path);
  Result<void> link_whiteout(int dirfd, const char* name);
  void drop_whiteout() noexcept;
  void clean(const Cleaner::Names& names) noexcept;

  sys::UniqueFd root_;
  sys::UniqueFd work_;
  sys::UniqueFd index_;
  std::atomic<bool> index_in_use_{false};
  std::atomic<std::uint64_t> next_{0};
  std::mutex whiteout_mutex_;
  std::string whiteout_;  // name in work/ of the whiteout to link; empty: none yet
  Cleaner cleaner_{[this](const Cleaner::Names& names) { clean(names); }};
};

// A name in work/ that goes away with this object unless it was published or given up.
class WorkName {
 public:
  explicit WorkName(WorkDir& work) : work_(&work), name_(work.new_name()) {}
  WorkName(const WorkName&) = delete;
  WorkName& operator=(const WorkName&) = delete;
  ~WorkName() {
    if (!made_) return;
    if (holds_much_) {
      work_->discard_later(name_);
    } else {
      work_->discard(name_);
    }
  }

  int dirfd() const { return work_->fd(); }
  const char* c_str() const { return name_.c_str(); }

  // From now on the name exists; it is discarded at the end unless published before.
  void made() { made_ = true; }
  void published() { made_ = false; }
  // It is a directory, and to remove what is in it may take long: that is done by and by.
  void holds_much() { holds_much_ = true; }

 private:
  WorkDir* work_;
  std::string name_;
  bool made_ = false;
  bool holds_much_ = false;
};

}  // namespace layerfs::tree
