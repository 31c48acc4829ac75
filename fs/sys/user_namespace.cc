#include "fs/sys/user_namespace.h"

#include <algorithm>
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

}  // namespace

bool contains(const IdSpans& spans, std::uint32_t id) {
  return std::any_of(spans.begin(), spans.end(), [&](const IdSpan& span) {
    return id >= span.first && id - span.first < span.count;
  });
}

IdSpans namespace_users() { return spans_of("/proc/self/uid_map"); }
IdSpans namespace_groups() { return spans_of("/proc/self/gid_map"); }

}  // namespace layerfs::sys
