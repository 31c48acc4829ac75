#include "fs/layer/xattr_names.h"

#include <linux/limits.h>

#include <array>

namespace layerfs::layer {
namespace {

constexpr std::string_view kEscape = "overlay.";

// Records are called by one of these and kRecord.
constexpr std::array<std::string_view, 3> kRecordPrefixes = {
    "security.fuseoverlayfs.", "user.containers.", "user.fuseoverlayfs."};
constexpr std::string_view kRecord = "override_stat";

// Of the name of a record, escaped or not, the length of what stands before the escapes; else 0.
std::size_t record_prefix(std::string_view name) {
  for (const std::string_view prefix : kRecordPrefixes) {
    if (!name.starts_with(prefix)) continue;
    std::string_view rest = name.substr(prefix.size());
    while (rest.starts_with(kEscape)) rest.remove_prefix(kEscape.size());
    return rest == kRecord ? prefix.size() : 0;
  }
  return 0;
}

}  // namespace

std::size_t XattrNames::prefix_of(std::string_view name) const {
  return name.starts_with(prefix_) ? prefix_.size() : record_prefix(name);
}

bool XattrNames::is_private(std::string_view on_disk) const {
  const std::size_t prefix = prefix_of(on_disk);
  return prefix > 0 && !on_disk.substr(prefix).starts_with(kEscape);
}

Result<std::string> XattrNames::on_disk(std::string_view visible) const {
  std::string name(visible);
  const std::size_t prefix = prefix_of(visible);
  if (prefix == 0) return name;
  name.insert(prefix, kEscape);
  if (name.size() > XATTR_NAME_MAX) return fail(EOPNOTSUPP);
  return name;
}

std::string XattrNames::visible(std::string_view on_disk) const {
  std::string name(on_disk);
  const std::size_t prefix = prefix_of(on_disk);
  if (prefix > 0 && !is_private(on_disk)) name.erase(prefix, kEscape.size());
  return name;
}

}  // namespace layerfs::layer
