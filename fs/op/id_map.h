// Owners as the layers store them, and as the mount shows them: the options uidmapping, gidmapping
// and squash_to_* of container runtimes, by which one unpacked layer serves user namespaces without
// a chown of its tree.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fs/sys/result.h"
#include "fs/sys/user_namespace.h"

namespace layerfs::op {

// `count` ids from `stored` on are shown as those from `shown` on.
struct IdRange {
  std::uint32_t stored;
  std::uint32_t shown;
  std::uint32_t count;
};

// One of the two mappings. Immutable but for assignment; a default one shows each id as it is.
class IdMap {
 public:
  // What a stored id outside all ranges is shown as (the kernel's overflowuid).
  static constexpr std::uint32_t kOverflow = 65534;

  IdMap() = default;
  explicit IdMap(std::vector<IdRange> ranges) : ranges_(std::move(ranges)) {}
  // Shows all ids as `id`; what is created belongs to the daemon, and owners do not change.
  static IdMap squash(std::uint32_t id);

  bool is_identity() const { return ranges_.empty() && !squashed_; }
  bool squashes() const { return squashed_.has_value(); }
  std::uint32_t shown(std::uint32_t stored) const;
  // Nothing if no stored id is shown as this one. Not for a map that squashes.
  std::optional<std::uint32_t> stored(std::uint32_t shown) const;
  // Whether a user or group of the mount has this stored id.
  bool has_stored(std::uint32_t id) const;
  // The stored id for what is created by somebody whom the map does not know: one of `available`
  // that nobody of the mount has, kOverflow where possible. Nothing if they have all of them.
  std::optional<std::uint32_t> nobody(const sys::IdSpans& available) const;

 private:
  std::vector<IdRange> ranges_;
  std::optional<std::uint32_t> squashed_;
};

struct IdMaps {
  IdMap users;
  IdMap groups;

  bool are_identity() const { return users.is_identity() && groups.is_identity(); }
  // The attributes with the owner mapped, and without the bits that honoured() takes away.
  struct stat shown(struct stat stored) const;
  // The mode without setuid if nobody of the mount has the owner of this regular file, and without
  // setgid if nobody has its group: who executes it would become whoever has kOverflow. The kernel
  // ignores the bits of such files on its idmapped mounts.
  mode_t honoured(mode_t mode, const struct stat& stored) const;
};

enum class IdDirection { kToShown, kToStored };

// The value of system.posix_acl_access or _default (linux/posix_acl_xattr.h, version 2) with the
// ids of its entries mapped. An entry for an id that nobody of the mount has is not shown: shown
// with another id it would speak of somebody else. EINVAL for an ACL that is malformed, or that
// names an id which cannot be stored.
Result<std::string> map_acl(const IdMaps& maps, std::string_view acl, IdDirection direction);

}  // namespace layerfs::op
