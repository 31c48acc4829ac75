// Text from outside (names, values of xattrs) in sentences for people.
#pragma once

#include <string>
#include <string_view>

namespace layerfs::sys {

// `text` with all that a terminal would not show as it is as \xHH, byte by byte: control characters
// (C0 with newline and tab, DEL, C1), the Unicode characters that turn the direction of what
// follows or end a line, and bytes that are not UTF-8. Safe to print to a terminal and to write to
// a log. What is escaped already stays as it is.
std::string escaped(std::string_view text);

// The same in single quotes, shortened in the middle beyond some hundred bytes.
std::string quote(std::string_view name);

// A JSON document (UTF-8) that says the same: such characters are left outside of strings (newlines
// of the layout) and written as \uHHHH within.
std::string json_escaped(std::string_view document);

}  // namespace layerfs::sys
