#include "layerstore/json_view.h"

#include <nlohmann/json.hpp>

namespace layerfs::store {

using Json = nlohmann::json;

namespace {

const Json kNull;

const Json& member(const Json& json, const char* key) {
  if (!json.is_object()) return kNull;
  const auto found = json.find(key);
  return found == json.end() ? kNull : *found;
}

}  // namespace

struct JsonView::Node {
  std::shared_ptr<const Json> document;
  const Json* json;
};

std::optional<JsonView> JsonView::parse(std::string_view text) {
  Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return std::nullopt;
  auto document = std::make_shared<const Json>(std::move(json));
  const Json* top = document.get();
  return JsonView(std::make_shared<const Node>(Node{std::move(document), top}));
}

bool JsonView::is_object() const { return node_->json->is_object(); }
bool JsonView::is_array() const { return node_->json->is_array(); }
bool JsonView::has(const char* key) const { return !member(*node_->json, key).is_null(); }

JsonView JsonView::at(const char* key) const {
  return JsonView(std::make_shared<const Node>(Node{node_->document, &member(*node_->json, key)}));
}

std::string JsonView::text(const char* key) const {
  const Json& json = member(*node_->json, key);
  return json.is_string() ? json.get<std::string>() : std::string();
}

std::optional<std::uint64_t> JsonView::number(const char* key) const {
  const Json& json = member(*node_->json, key);
  if (!json.is_number_unsigned()) return std::nullopt;
  return json.get<std::uint64_t>();
}

bool JsonView::flag(const char* key) const {
  const Json& json = member(*node_->json, key);
  return json.is_boolean() && json.get<bool>();
}

std::vector<std::string> JsonView::texts(const char* key) const {
  std::vector<std::string> texts;
  const Json& json = member(*node_->json, key);
  if (!json.is_array()) return texts;
  for (const Json& item : json) {
    if (item.is_string()) texts.push_back(item.get<std::string>());
  }
  return texts;
}

std::vector<std::string> JsonView::keys(const char* key) const {
  std::vector<std::string> keys;
  const Json& json = member(*node_->json, key);
  if (!json.is_object()) return keys;
  for (const auto& item : json.items()) keys.push_back(item.key());
  return keys;
}

std::map<std::string, std::string> JsonView::text_map(const char* key) const {
  std::map<std::string, std::string> map;
  const Json& json = member(*node_->json, key);
  if (!json.is_object()) return map;
  for (const auto& item : json.items()) {
    if (item.value().is_string()) map.emplace(item.key(), item.value().get<std::string>());
  }
  return map;
}

std::vector<JsonView> JsonView::items() const {
  std::vector<JsonView> items;
  if (!is_array()) return items;
  for (const Json& item : *node_->json) {
    items.push_back(JsonView(std::make_shared<const Node>(Node{node_->document, &item})));
  }
  return items;
}

}  // namespace layerfs::store
