#include "fs/op/id_map.h"

#include <endian.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>

#include <cstring>

namespace layerfs::op {
namespace {

// Distances, so that nothing wraps at the end of the ids.
std::optional<std::uint32_t> translate(std::uint32_t id, std::uint32_t from, std::uint32_t to,
                                       std::uint32_t count) {
  if (id < from || id - from >= count) return std::nullopt;
  return to + (id - from);
}

Result<void> map_entry(const IdMaps& maps, IdDirection direction, posix_acl_xattr_entry& entry) {
  const std::uint16_t tag = le16toh(entry.e_tag);
  if (tag != ACL_USER && tag != ACL_GROUP) return {};
  const IdMap& map = tag == ACL_USER ? maps.users : maps.groups;
  const std::uint32_t id = le32toh(entry.e_id);
  if (direction == IdDirection::kToShown) {
    entry.e_id = htole32(map.shown(id));
    return {};
  }
  if (map.squashes()) return {};
  const auto stored = map.stored(id);
  if (!stored) return fail(EINVAL);
  entry.e_id = htole32(*stored);
  return {};
}

}  // namespace

IdMap IdMap::squash(std::uint32_t id) {
  IdMap map;
  map.squashed_ = id;
  return map;
}

std::uint32_t IdMap::shown(std::uint32_t stored) const {
  if (squashed_) return *squashed_;
  if (ranges_.empty()) return stored;
  for (const IdRange& range : ranges_) {
    if (const auto id = translate(stored, range.stored, range.shown, range.count)) return *id;
  }
  return kOverflow;
}

std::optional<std::uint32_t> IdMap::stored(std::uint32_t shown) const {
  if (ranges_.empty()) return shown;
  for (const IdRange& range : ranges_) {
    if (const auto id = translate(shown, range.shown, range.stored, range.count)) return id;
  }
  return std::nullopt;
}

struct stat IdMaps::shown(struct stat stored) const {
  stored.st_uid = users.shown(stored.st_uid);
  stored.st_gid = groups.shown(stored.st_gid);
  return stored;
}

Result<std::string> map_acl(const IdMaps& maps, std::string_view acl, IdDirection direction) {
  posix_acl_xattr_entry entry;
  constexpr std::size_t kHeader = sizeof(posix_acl_xattr_header);
  if (acl.size() < kHeader || (acl.size() - kHeader) % sizeof(entry) != 0) return fail(EINVAL);
  std::string mapped(acl);
  for (std::size_t at = kHeader; at < mapped.size(); at += sizeof(entry)) {
    std::memcpy(&entry, mapped.data() + at, sizeof(entry));
    LAYERFS_TRY(map_entry(maps, direction, entry));
    std::memcpy(mapped.data() + at, &entry, sizeof(entry));
  }
  return mapped;
}

}  // namespace layerfs::op
