// What the generator believes the tree to be. It is a guess, made as if every operation succeeded:
// good enough to aim operations at names that exist.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tests/oracle/case.h"
#include "tests/oracle/rng.h"

namespace layerfs::oracle {

class Model {
 public:
  // Puts `kind` at `path` in place of what was there; a directory keeps its content.
  void set(const std::string& path, EntryKind kind);
  void erase(const std::string& path);
  void erase_content(const std::string& path);
  void rename(const std::string& from, const std::string& to, bool exchange);

  bool has(const std::string& path) const { return nodes_.count(path) != 0; }
  bool is_dir(const std::string& path) const;

  // A directory; "" is the root.
  std::string any_dir(Rng& rng) const;
  // A name of that kind, or any name where there is none.
  std::string any_of(Rng& rng, EntryKind kind) const;
  std::string any(Rng& rng) const;

  const std::map<std::string, EntryKind>& nodes() const { return nodes_; }

 private:
  std::map<std::string, EntryKind> take(const std::string& path);
  std::map<std::string, EntryKind> nodes_;
};

std::string join_path(const std::string& dir, const std::string& name);
std::string parent_path(const std::string& path);

// One name, mostly from a handful so that names collide, now and then an awkward one.
std::string any_name(Rng& rng);

// Valid values of the xattrs that the kernel gives a meaning.
std::string acl_value(Rng& rng);
std::string capability_value(Rng& rng);

}  // namespace layerfs::oracle
