// Idmapped mounts, which mount(8) of some distributions cannot make.
#pragma once

#include <string>

namespace layerfs::test {

// Binds the directory `from` to `to` with owners mapped as `map`, a line of a uid_map
// (user_namespaces(7)), says: users and groups alike. False, with errno, if that fails.
bool idmapped_bind(const std::string& from, const std::string& to, const std::string& map);

}  // namespace layerfs::test
