// The filters that a client of the snapshotter sends, and the keys and labels beside them.
#include "snapshotter/filter.h"
#include "snapshotter/id_mapping.h"
#include "snapshotter/unpack_key.h"
#include "tests/fuzz/fuzz.h"

namespace snapshotter = layerfs::snapshotter;
namespace fuzz = layerfs::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto parts = fuzz::parts_of(fuzz::text_of(data, size), 3);
  snapshotter::Info info;
  info.name = parts[1];
  info.parent = parts[2];
  info.labels = {{"a", parts[1]}, {snapshotter::kUidMapLabel, parts[0]}};
  if (const auto filters = snapshotter::Filters::parse({parts[0]})) (void)filters->match(info);
  if (const auto filters = snapshotter::Filters::parse({parts[0], parts[1]})) {
    (void)filters->match(info);
  }
  (void)snapshotter::id_mapping_options(info.labels);
  (void)snapshotter::is_unpack_key(parts[0]);
  (void)snapshotter::unpacked_chain(parts[0], parts[1]);
  return 0;
}
