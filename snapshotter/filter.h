// containerd's filters for lists.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "snapshotter/info.h"
#include "snapshotter/refusal.h"

namespace re2 {
class RE2;
}

namespace layerfs::snapshotter {

// Any of several filters, each of which is selectors divided by commas that must all hold:
// FIELD==VALUE, FIELD!=VALUE, FIELD~=REGEX, or FIELD alone: it is there. Fields are name, parent,
// kind ("view", "active", "committed") and labels.NAME; parts of a field and values may be quoted
// ("...", |...|, /.../) with Go's escapes. The grammar is that of containerd's package filters.
// Immutable.
class Filters {
 public:
  // Nothing to parse matches everything. Refuses what is malformed with kInvalidArgument.
  static Answer<Filters> parse(const std::vector<std::string>& texts);

  bool match(const Info& info) const;

 private:
  enum class Operator { kPresent, kEqual, kNotEqual, kMatches };
  struct Selector {
    std::vector<std::string> field;
    Operator what = Operator::kPresent;
    std::string value{};
    std::shared_ptr<const re2::RE2> regex{};
  };
  class Parser;

  static std::optional<std::string> value_of(const Info& info,
                                             const std::vector<std::string>& field);
  static bool holds(const Selector& selector, const Info& info);

  std::vector<std::vector<Selector>> filters_;  // any of (all of)
};

}  // namespace layerfs::snapshotter
