// The capabilities of this thread (capabilities(7)), as a set of bits: bit N is capability N.
#pragma once

#include <cstdint>
#include <initializer_list>

#include "fs/sys/result.h"

namespace layerfs::sys {

using CapabilitySet = std::uint64_t;

constexpr CapabilitySet capability_set(std::initializer_list<unsigned> capabilities) {
  CapabilitySet set = 0;
  for (const unsigned capability : capabilities) set |= CapabilitySet{1} << capability;
  return set;
}

// The effective set. Empty if the kernel does not say.
CapabilitySet effective_capabilities();

inline bool has_effective_capability(unsigned capability) {
  return (effective_capabilities() & capability_set({capability})) != 0;
}

// Makes the permitted and the effective set what the thread has of `wanted`, and empties the
// ambient and the inheritable set. Threads and programs started later have no more. Call before
// there are other threads, which would keep what they have.
Result<void> keep_capabilities(CapabilitySet wanted);

// Takes all but `kept` from the bounding set, so that no program started later can have them. Needs
// CAP_SETPCAP; without it nothing changes.
void limit_capabilities(CapabilitySet kept);

}  // namespace layerfs::sys
