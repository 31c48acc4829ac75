#include "fs/sys/user_namespace.h"

#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>

namespace layerfs::sys {
namespace {

IdSpans spans_of(const char* map) {
  IdSpans spans;
  std::ifstream in(map);
  std::uint32_t inside = 0, outside = 0, count = 0;
  while (in >> inside >> outside >> count) spans.push_back({inside, count});
  return spans;
}

// Whether root of the machine is a user of this namespace, as it is only where root made it so.
// uid_map does not say: in a namespace within another it speaks of that one's ids.
bool has_the_machines_root() {
  constexpr uid_t kNobody = 65534;  // shown for those who are no users here
  struct stat st;
  return ::stat("/proc/sys", &st) != 0 || st.st_uid != kNobody;  // root's, in every namespace
}

bool has_capabilities() {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> sets = {};
  if (::syscall(SYS_capget, &header, sets.data()) != 0) return true;
  return std::ranges::any_of(sets, [](const auto& set) { return set.effective != 0; });
}

}  // namespace

bool contains(const IdSpans& spans, std::uint32_t id) {
  return std::any_of(spans.begin(), spans.end(), [&](const IdSpan& span) {
    return id >= span.first && id - span.first < span.count;
  });
}

IdSpans namespace_users() { return spans_of("/proc/self/uid_map"); }
IdSpans namespace_groups() { return spans_of("/proc/self/gid_map"); }

bool is_privileged() { return (::geteuid() == 0 || has_capabilities()) && has_the_machines_root(); }

}  // namespace layerfs::sys
