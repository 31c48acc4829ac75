#include "layerstore/entry_path.h"

#include <algorithm>
#include <cerrno>
#include <climits>

#include "layerstore/quote.h"

namespace layerfs::store {

namespace {

Outcome<EntryPath> parse(std::string_view raw) {
  EntryPath path;
  for (std::size_t at = 0; at < raw.size();) {
    const std::size_t end = std::min(raw.find('/', at), raw.size());
    const std::string_view component = raw.substr(at, end - at);
    at = end + 1;
    if (component.empty() || component == ".") continue;
    if (component == "..") return refuse("its name " + quote(raw) + " leads out of the image");
    if (component.size() > NAME_MAX) {
      return refuse("its name " + quote(component) + " is longer than 255 bytes", ENAMETOOLONG);
    }
    if (component.find('\0') != component.npos) {
      return refuse("its name " + quote(raw) + " holds a zero byte");
    }
    if (!path.name.empty()) path.parent += (path.parent.empty() ? "" : "/") + path.name;
    path.name = component;
  }
  // One byte for the zero that ends it.
  if (path.parent.size() >= PATH_MAX) {
    return refuse("its name " + quote(raw) + " is longer than 4095 bytes", ENAMETOOLONG);
  }
  return path;
}

}  // namespace

Outcome<EntryPath> parse_entry_path(std::string_view raw) {
  if (raw.starts_with('/') && raw.find_first_not_of("/.") != raw.npos) {
    return refuse("its name " + quote(raw) + " is absolute");
  }
  return parse(raw);
}

Outcome<EntryPath> parse_link_target(std::string_view raw) { return parse(raw); }

}  // namespace layerfs::store
