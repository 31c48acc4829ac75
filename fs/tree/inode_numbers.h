// st_ino: one number for each inode of the union, whatever the numbers below look like.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <optional>
#include <shared_mutex>
#include <string>
#include <utility>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include "fs/tree/inode_id.h"

namespace layerfs::tree {

// How st_ino is made where the layers lie on more than one file system (option xino).
enum class Xino {
  // The file system's place in the stack goes into the number: where it fits into 32 bits, there,
  // so
  // that programs which know no larger numbers can read it; else above the lower 48.
  kAuto,
  // It always goes above the lower 48 bits.
  kOn,
  // Only the upper's file system keeps its numbers. Other inodes get the next free one of 32 bits,
  // which is theirs until the mount ends.
  kOff,
};

// Gives the numbers (doc/tree.md, "Identity"). Two inodes never get the same one; an inode gets the
// same one each time it is asked for, and, unless its own number is too large or its file system
// was not known at the mount, after a remount, too. Thread-safe.
class InodeNumbers {
 public:
  // `devices` are those known at the mount, the upper's first, without repetition.
  InodeNumbers(Xino xino, const std::vector<dev_t>& devices);

  ino_t shown(const InodeId& inode);

  // The same on a file system that may show one device and number for two inodes. Their other
  // `attributes` then tell them apart.
  ino_t shown(const InodeId& inode, const std::string& attributes);

  // The number of an inode that shall not have the one that shown() gives, since another holds it.
  ino_t own(const InodeId& inode);

  // What was copied up keeps the number of its origin. `upper` is the number, in its own file
  // system, of the upper inode that wants to show `number`; false if another one does.
  bool claim(ino_t number, ino_t upper);
  bool is_claimed(ino_t number) const;

  // Remembers for the life of the mount which number an upper inode shows, when its name moves away
  // from that of its origin.
  void keep(ino_t upper, ino_t number);
  std::optional<ino_t> kept(ino_t upper) const;

  // The upper inode that showed `number` is gone, and its own number free to be used again.
  void release(ino_t number) noexcept;
  // A new upper inode has the number `upper`, whatever was remembered of an earlier one.
  void renew(ino_t upper) noexcept;

 private:
  std::size_t position(dev_t device);
  std::optional<ino_t> composed(std::size_t position, ino_t number) const;

  const Xino xino_;
  const bool one_file_system_;
  const absl::flat_hash_map<dev_t, std::size_t> known_;  // at the mount
  mutable std::shared_mutex mutex_;                      // guards all below
  absl::flat_hash_map<dev_t, std::size_t> found_later_;
  absl::flat_hash_map<InodeId, ino_t> own_;
  // Of the inodes with one device and number: the attributes of the first, and the numbers of the
  // others.
  struct Alike {
    std::string first;
    std::vector<std::pair<std::string, ino_t>> others;
  };
  absl::flat_hash_map<InodeId, Alike> alike_;
  ino_t next_own_;
  absl::flat_hash_map<ino_t, ino_t> claims_;  // the upper inode that shows the number
  absl::flat_hash_map<ino_t, ino_t> kept_;    // by upper inode
  std::atomic<bool> any_claims_{false};
  std::atomic<bool> any_kept_{false};
};

}  // namespace layerfs::tree
