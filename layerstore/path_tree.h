// Values by path, where what paths have in common is kept once.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace layerfs::store {

// Paths are names with a slash between, "" the root; they have less than PATH_MAX bytes or so, for
// it goes down recursively. Not thread-safe.
template <typename Value>
class PathTree {
 public:
  Value* find(std::string_view path) {
    Branch* branch = &root_;
    while (!path.empty()) {
      const auto found = branch->below.find(first_of(path));
      if (found == branch->below.end()) return nullptr;
      branch = found->second.get();
      drop_first(path);
    }
    return branch->value ? &*branch->value : nullptr;
  }

  // Made if it is not there.
  Value& operator[](std::string_view path) {
    Branch* branch = &root_;
    for (; !path.empty(); drop_first(path)) {
      auto& below = branch->below[std::string(first_of(path))];
      if (below == nullptr) below = std::make_unique<Branch>();
      branch = below.get();
    }
    if (!branch->value) {
      branch->value.emplace();
      ++size_;
    }
    return *branch->value;
  }

  // Of this path alone. Whether it had a value.
  bool erase(std::string_view path) {
    Branch* branch = &root_;
    for (; !path.empty(); drop_first(path)) {
      const auto found = branch->below.find(first_of(path));
      if (found == branch->below.end()) return false;
      branch = found->second.get();
    }
    const bool had = branch->value.has_value();
    branch->value.reset();
    size_ -= had ? 1 : 0;
    return had;
  }

  // Of this path, not the root, and of all below it.
  void erase_below(std::string_view path) {
    Branch* branch = &root_;
    for (;;) {
      const auto found = branch->below.find(first_of(path));
      if (found == branch->below.end()) return;
      drop_first(path);
      if (path.empty()) {
        size_ -= count(*found->second);
        branch->below.erase(found);
        return;
      }
      branch = found->second.get();
    }
  }

  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  // Goes to every path and its parents, the last name first: visitor.down(name) leads from a
  // directory to what is in it, and visitor.up(value) back, after all below; `value` is null where
  // there is none. The root has an up() only. An error of up(), a Result or Outcome of void, ends
  // it.
  template <typename Visitor>
  auto walk(Visitor& visitor) const {
    return walk(root_, visitor);
  }

 private:
  struct Branch {
    std::map<std::string, std::unique_ptr<Branch>, std::less<>> below;
    std::optional<Value> value;
  };

  static std::string_view first_of(std::string_view path) { return path.substr(0, path.find('/')); }
  static void drop_first(std::string_view& path) {
    const std::size_t slash = path.find('/');
    path.remove_prefix(slash == path.npos ? path.size() : slash + 1);
  }

  static std::size_t count(const Branch& branch) {
    std::size_t values = branch.value ? 1 : 0;
    for (const auto& [name, below] : branch.below) values += count(*below);
    return values;
  }

  template <typename Visitor>
  static auto walk(const Branch& branch, Visitor& visitor)
      -> decltype(visitor.up(std::declval<const Value*>())) {
    for (auto at = branch.below.rbegin(); at != branch.below.rend(); ++at) {
      visitor.down(at->first);
      if (auto done = walk(*at->second, visitor); !done) return done;
    }
    return visitor.up(branch.value ? &*branch.value : nullptr);
  }

  Branch root_;
  std::size_t size_ = 0;
};

}  // namespace layerfs::store
