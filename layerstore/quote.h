// Names from archives in sentences for people.
#pragma once

#include <string>
#include <string_view>

namespace layerfs::store {

// 'name', with control characters and bytes that are not UTF-8 as \xHH, shortened in the middle
// beyond some hundred bytes: safe to print to a terminal.
std::string quote(std::string_view name);

}  // namespace layerfs::store
