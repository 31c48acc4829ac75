#include "tests/oracle/generate.h"

#include <algorithm>

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

// How often the upper may become a lower layer. Without its index the kernel breaks links there.
// With it the kernel takes only the name that was used to the upper, and layerfs, which is not told
// the name, all that it knows of (doc/tree.md): as a lower layer such an upper shows other links.
int stackings_allowed(const Case& test) {
  if (test.options.find("index=on") == std::string::npos) return 0;
  for (const auto& layer : test.layers)
    for (const auto& entry : layer)
      if (entry.kind == EntryKind::kHardLink) return 0;
  const bool links = std::any_of(test.ops.begin(), test.ops.end(), [](const Op& op) {
    return op.kind == OpKind::kLink || op.kind == OpKind::kLinkFd;
  });
  // The first makes them links of a lower layer.
  return links ? 1 : static_cast<int>(test.ops.size());
}

bool is_chown(OpKind kind) {
  return kind == OpKind::kChown || kind == OpKind::kLchown || kind == OpKind::kFchown;
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
  int stackings = stackings_allowed(test);
  for (Op& op : test.ops) {
    if (op.kind == OpKind::kStackUpper && stackings-- <= 0) op.kind = OpKind::kRemount;
    // A chown to nobody by root arrives like a write by root to a file with capabilities, which
    // keeps setuid: the protocol does not tell them apart.
    if (is_chown(op.kind) && op.uid == -1 && op.gid == -1) op.gid = 0;
    // The kernel does not remove a directory in which there are xattr whiteouts.
    if (op.kind == OpKind::kRmTree && test.encoding == Encoding::kXattr) op.kind = OpKind::kLs;
  }
  return test;
}

}  // namespace layerfs::oracle
