// Reading JSON that others wrote: every access is checked, nothing throws.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace layerfs::store {

// A value inside a parsed document, which it keeps alive. A member that is absent or of another
// type reads as nothing: "", empty, null. Cheap to copy; safe to read from several threads.
class JsonView {
 public:
  // Nothing if the text is not one JSON document.
  static std::optional<JsonView> parse(std::string_view text);

  bool is_object() const;
  bool is_array() const;

  bool has(const char* key) const;
  JsonView at(const char* key) const;       // null unless an object with this member
  std::string text(const char* key) const;  // "" unless a string
  std::optional<std::uint64_t> number(const char* key) const;  // a whole number >= 0
  bool flag(const char* key) const;                            // true and nothing else is true
  std::vector<std::string> texts(const char* key) const;       // the strings of an array
  std::vector<std::string> keys(const char* key) const;        // the member names of an object
  std::map<std::string, std::string> text_map(const char* key) const;
  std::vector<JsonView> items() const;  // of an array

 private:
  struct Node;
  explicit JsonView(std::shared_ptr<const Node> node) : node_(std::move(node)) {}

  std::shared_ptr<const Node> node_;
};

}  // namespace layerfs::store
