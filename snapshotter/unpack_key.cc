#include "snapshotter/unpack_key.h"

#include <string_view>

namespace layerfs::snapshotter {

namespace {

// Without the namespace and number that containerd puts before keys and names.
std::string_view bare(std::string_view key) { return key.substr(key.rfind('/') + 1); }

}  // namespace

bool is_unpack_key(const std::string& key) { return bare(key).starts_with("extract-"); }

std::optional<store::Digest> unpacked_chain(const std::string& key, const std::string& name) {
  if (!is_unpack_key(key)) return std::nullopt;
  const std::string_view words = bare(key);
  const std::size_t space = words.rfind(' ');
  if (space == words.npos || words.substr(space + 1) != bare(name)) return std::nullopt;
  return store::Digest::parse(bare(name));
}

}  // namespace layerfs::snapshotter
