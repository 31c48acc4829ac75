#include "tests/oracle/shrink.h"

#include <algorithm>
#include <vector>

namespace layerfs::oracle {
namespace {

class Shrinker {
 public:
  Shrinker(Case failing, const std::function<bool(const Case&)>& fails, ShrinkLimits limits)
      : best_(std::move(failing)),
        fails_(fails),
        tries_left_(limits.tries),
        deadline_(std::chrono::steady_clock::now() + limits.time) {}

  Case run() {
    bool smaller = true;
    while (smaller && !spent()) {
      smaller = drop_chunks(best_.ops.size(), drop_ops);
      smaller = drop_layers() || smaller;
      for (size_t layer = 0; layer < best_.layers.size(); ++layer)
        smaller = drop_chunks(best_.layers[layer].size(),
                              [layer](Case& test, size_t from, size_t to) {
                                drop_entries(test, layer, from, to);
                              }) ||
                  smaller;
      smaller = simplify_entries() || smaller;
      smaller = simplify_ops() || smaller;
    }
    return best_;
  }

 private:
  static void drop_ops(Case& test, size_t from, size_t to) {
    test.ops.erase(test.ops.begin() + static_cast<ptrdiff_t>(from),
                   test.ops.begin() + static_cast<ptrdiff_t>(to));
  }
  static void drop_entries(Case& test, size_t layer, size_t from, size_t to) {
    LayerTree& tree = test.layers[layer];
    tree.erase(tree.begin() + static_cast<ptrdiff_t>(from),
               tree.begin() + static_cast<ptrdiff_t>(to));
  }

  bool spent() const { return tries_left_ <= 0 || std::chrono::steady_clock::now() > deadline_; }

  bool keep_if_failing(const Case& candidate) {
    if (spent()) return false;
    --tries_left_;
    if (!fails_(candidate)) return false;
    best_ = candidate;
    return true;
  }

  // Removes ranges of a list of `size` elements, in halves, quarters, ... single elements, from
  // the end: what stands behind the failure goes at once.
  template <typename Drop>
  bool drop_chunks(size_t size, Drop drop) {
    bool any = false;
    for (size_t chunk = std::max<size_t>(size / 2, 1); size > 0; chunk /= 2) {
      for (size_t to = size; to > 0 && !spent();) {
        const size_t from = to > chunk ? to - chunk : 0;
        Case candidate = best_;
        drop(candidate, from, to);
        if (keep_if_failing(candidate)) {
          size -= to - from;
          any = true;
        }
        to = from;
      }
      if (chunk <= 1) break;
    }
    return any;
  }

  bool drop_layers() {
    bool any = false;
    for (size_t i = best_.layers.size(); i-- > 0 && best_.layers.size() > 1;) {
      Case candidate = best_;
      candidate.layers.erase(candidate.layers.begin() + static_cast<ptrdiff_t>(i));
      any = keep_if_failing(candidate) || any;
    }
    return any;
  }

  bool simplify_entries() {
    bool any = false;
    for (size_t layer = 0; layer < best_.layers.size(); ++layer)
      for (size_t i = 0; i < best_.layers[layer].size(); ++i) any = simplify_entry(layer, i) || any;
    return any;
  }

  bool simplify_entry(size_t layer, size_t index) {
    const Entry plain;
    auto attempt = [&](auto change) {
      Case candidate = best_;
      Entry& entry = candidate.layers[layer][index];
      const std::string before = to_text(entry);
      change(entry);
      return to_text(entry) != before && keep_if_failing(candidate);
    };
    bool any = attempt([](Entry& entry) { entry.xattrs.clear(); });
    any = attempt([](Entry& entry) { entry.opaque = false; }) || any;
    any =
        attempt([](Entry& entry) { entry.size = 0, entry.fill = 0, entry.sparse = false; }) || any;
    any = attempt([&](Entry& entry) { entry.mtime = plain.mtime; }) || any;
    any = attempt([](Entry& entry) { entry.uid = entry.gid = 0; }) || any;
    return attempt([](Entry& entry) {
             if (entry.kind == EntryKind::kDir) entry.mode = 0755;
             if (entry.kind == EntryKind::kFile) entry.mode = 0644;
           }) ||
           any;
  }

  bool simplify_ops() {
    const Op plain;
    bool any = false;
    for (size_t i = 0; i < best_.ops.size(); ++i) {
      auto attempt = [&](auto change) {
        Case candidate = best_;
        change(candidate.ops[i]);
        return !(candidate.ops[i] == best_.ops[i]) && keep_if_failing(candidate);
      };
      any = attempt([](Op& op) { op.as = 0; }) || any;
      any = attempt([&](Op& op) { op.umask = plain.umask; }) || any;
      any = attempt([](Op& op) { op.off = op.off2 = 0; }) || any;
      any = attempt([](Op& op) { op.len = std::min<int64_t>(op.len, 10); }) || any;
      any = attempt([](Op& op) { op.fill = 0; }) || any;
    }
    return any;
  }

  Case best_;
  const std::function<bool(const Case&)>& fails_;
  int tries_left_;
  const std::chrono::steady_clock::time_point deadline_;
};

}  // namespace

Case shrink(Case failing, const std::function<bool(const Case&)>& fails, ShrinkLimits limits) {
  return Shrinker(std::move(failing), fails, limits).run();
}

}  // namespace layerfs::oracle
