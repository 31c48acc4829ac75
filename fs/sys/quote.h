// Text from outside (names, values of xattrs) in sentences for people.
#pragma once

#include <string>
#include <string_view>

namespace layerfs::sys {

// `text` with control characters and bytes that are not UTF-8 as \xHH: safe to print to a terminal
// and to write to a log.
std::string escaped(std::string_view text);

// The same in single quotes, shortened in the middle beyond some hundred bytes.
std::string quote(std::string_view name);

}  // namespace layerfs::sys
