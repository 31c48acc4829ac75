// The ids that exist in this process's user namespace.
#pragma once

#include <cstdint>
#include <vector>

namespace layerfs::sys {

// `count` ids from `first` on.
struct IdSpan {
  std::uint32_t first;
  std::uint32_t count;
};
using IdSpans = std::vector<IdSpan>;

bool contains(const IdSpans& spans, std::uint32_t id);

// The users and the groups that the namespace has, by the numbers that they have in it. Empty where
// /proc is not mounted.
IdSpans namespace_users();
IdSpans namespace_groups();

// Whether this process has a privilege that other users of the machine lack: it is root's, or has
// capabilities, in a user namespace where the machine's root is root. True where /proc is not
// mounted: nobody can tell.
bool is_privileged();

}  // namespace layerfs::sys
