#include "fs/op/id_map.h"

#include <endian.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>

#include <algorithm>
#include <cstring>

namespace layerfs::op {
namespace {

constexpr auto kNoId = static_cast<std::uint32_t>(-1);

// Distances, so that nothing wraps at the end of the ids.
std::optional<std::uint32_t> translate(std::uint32_t id, std::uint32_t from, std::uint32_t to,
                                       std::uint32_t count) {
  if (id < from || id - from >= count) return std::nullopt;
  return to + (id - from);
}

// The id of a named entry in the other direction; nothing if there is none.
std::optional<std::uint32_t> map_named(const IdMap& map, IdDirection direction, std::uint32_t id) {
  if (direction == IdDirection::kToStored) return map.squashes() ? id : map.stored(id);
  if (!map.has_stored(id)) return std::nullopt;
  return map.shown(id);
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

bool IdMap::has_stored(std::uint32_t id) const {
  return ranges_.empty() || std::ranges::any_of(ranges_, [&](const IdRange& range) {
           return translate(id, range.stored, range.shown, range.count).has_value();
         });
}

std::optional<std::uint32_t> IdMap::nobody(const sys::IdSpans& available) const {
  std::vector<std::uint32_t> candidates = {kOverflow};
  for (const IdRange& range : ranges_) candidates.push_back(range.stored + range.count);
  const auto found = std::ranges::find_if(candidates, [&](std::uint32_t id) {
    return id != kNoId && !has_stored(id) && sys::contains(available, id);
  });
  return found == candidates.end() ? std::nullopt : std::optional(*found);
}

mode_t IdMaps::honoured(mode_t mode, const struct stat& stored) const {
  if (!S_ISREG(stored.st_mode)) return mode;
  if (!users.has_stored(stored.st_uid)) mode &= ~mode_t{S_ISUID};
  if (!groups.has_stored(stored.st_gid)) mode &= ~mode_t{S_ISGID};
  return mode;
}

struct stat IdMaps::shown(struct stat stored) const {
  stored.st_mode = honoured(stored.st_mode, stored);
  stored.st_uid = users.shown(stored.st_uid);
  stored.st_gid = groups.shown(stored.st_gid);
  return stored;
}

Result<std::string> map_acl(const IdMaps& maps, std::string_view acl, IdDirection direction) {
  posix_acl_xattr_entry entry;
  constexpr std::size_t kHeader = sizeof(posix_acl_xattr_header);
  if (acl.size() < kHeader || (acl.size() - kHeader) % sizeof(entry) != 0) return fail(EINVAL);
  std::string mapped(acl.substr(0, kHeader));
  for (std::size_t at = kHeader; at < acl.size(); at += sizeof(entry)) {
    std::memcpy(&entry, acl.data() + at, sizeof(entry));
    const std::uint16_t tag = le16toh(entry.e_tag);
    if (tag == ACL_USER || tag == ACL_GROUP) {
      const auto id =
          map_named(tag == ACL_USER ? maps.users : maps.groups, direction, le32toh(entry.e_id));
      if (!id && direction == IdDirection::kToStored) return fail(EINVAL);
      if (!id) continue;
      entry.e_id = htole32(*id);
    }
    mapped.append(reinterpret_cast<const char*>(&entry), sizeof(entry));
  }
  return mapped;
}

}  // namespace layerfs::op
