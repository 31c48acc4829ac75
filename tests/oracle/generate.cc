#include "tests/oracle/generate.h"

#include "tests/oracle/generate_layers.h"
#include "tests/oracle/generate_ops.h"
#include "tests/oracle/model.h"
#include "tests/oracle/rng.h"

namespace layerfs::oracle {
namespace {

std::string any_options(Rng& rng) {
  const int64_t draw = rng.below(100);
  if (draw < 60) return kFullOptions;
  if (draw < 80) return kWholeCopyOptions;
  return draw < 90 ? kPlainOptions : kUserOptions;
}

Encoding any_encoding(Rng& rng) {
  const int64_t draw = rng.below(100);
  if (draw < 70) return Encoding::kDevice;
  return draw < 85 ? Encoding::kXattr : Encoding::kAufs;
}

}  // namespace

Case generate_case(uint64_t seed, const GenerateOptions& options) {
  Rng rng(seed * 0x9e3779b97f4a7c15ULL + 1);
  Case test;
  test.seed = seed;
  // Drawn always, so that an override changes nothing else of the case.
  const std::string drawn_options = any_options(rng);
  const Encoding drawn_encoding = any_encoding(rng);
  test.options = options.options.value_or(drawn_options);
  test.encoding = options.encoding.value_or(drawn_encoding);
  test.upper_mode = rng.pick({0755, 0777, 01777, 0755, 02775});

  LayerRules rules;
  // Without its index the kernel breaks the links of a lower file at its copy-up.
  rules.hard_links = test.options.find("index=on") != std::string::npos;
  if (test.encoding == Encoding::kAufs) rules.longest_whiteout = 251;
  // The kernel takes xattr whiteouts for files in a directory that it has no reason to merge.
  rules.idle_whiteouts = test.encoding != Encoding::kXattr;
  Model merged;
  test.layers = generate_layers(rng, rules, merged);
  test.ops = generate_ops(rng, merged, options.ops);
  for (Op& op : test.ops) {
    // Nor may an upper, which has links, become a lower layer.
    if (op.kind == OpKind::kStackUpper && !rules.hard_links) op.kind = OpKind::kRemount;
    // The kernel does not remove a directory in which there are xattr whiteouts.
    if (op.kind == OpKind::kRmTree && test.encoding == Encoding::kXattr) op.kind = OpKind::kLs;
  }
  return test;
}

}  // namespace layerfs::oracle
