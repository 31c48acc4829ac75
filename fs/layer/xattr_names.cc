#include "fs/layer/xattr_names.h"

#include <linux/limits.h>

#include <algorithm>

namespace layerfs::layer {
namespace {

constexpr std::string_view kEscape = "overlay.";

}  // namespace

bool XattrNames::is_private(std::string_view on_disk) const {
  if (is_own(on_disk)) return !on_disk.substr(prefix_.size()).starts_with(kEscape);
  return std::find(others_.begin(), others_.end(), on_disk) != others_.end();
}

Result<std::string> XattrNames::on_disk(std::string_view visible) const {
  std::string name(visible);
  if (!is_own(visible)) return name;
  name.insert(prefix_.size(), kEscape);
  if (name.size() > XATTR_NAME_MAX) return fail(EOPNOTSUPP);
  return name;
}

std::string XattrNames::visible(std::string_view on_disk) const {
  std::string name(on_disk);
  if (is_own(on_disk) && !is_private(on_disk)) name.erase(prefix_.size(), kEscape.size());
  return name;
}

}  // namespace layerfs::layer
