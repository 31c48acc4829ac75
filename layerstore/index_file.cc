#include "layerstore/index_file.h"

#include <nlohmann/json.hpp>

#include "layerstore/file_util.h"

namespace layerfs::store {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kLimit = 64 << 20;

tl::unexpected<Failure> broken(const StoreDir& store, const std::string& why) {
  return refuse("'" + store.path("index.json") + "' is broken: " + why);
}

std::string name_of(const Json& entry) {
  if (!entry.is_object()) return "";
  const auto annotations = entry.find("annotations");
  if (annotations == entry.end() || !annotations->is_object()) return "";
  const auto name = annotations->find(kRefName);
  return name != annotations->end() && name->is_string() ? name->get<std::string>() : "";
}

bool has_digest(const Json& entry, const std::string& digest) {
  if (!entry.is_object()) return false;
  const auto found = entry.find("digest");
  return found != entry.end() && found->is_string() && *found == digest;
}

Json to_json(const Descriptor& entry) {
  Json json = {
      {"mediaType", entry.media_type}, {"digest", entry.digest.text()}, {"size", entry.size}};
  if (!entry.annotations.empty()) json["annotations"] = entry.annotations;
  if (entry.platform) {
    json["platform"] = {{"architecture", entry.platform->architecture}, {"os", entry.platform->os}};
    if (!entry.platform->variant.empty()) json["platform"]["variant"] = entry.platform->variant;
  }
  return json;
}

Outcome<std::string> read_text(const StoreDir& store) {
  Result<std::string> text = read_file(store.fd(), "index.json", kLimit);
  if (!text) return refuse_entry("cannot read '" + store.path("index.json") + "'", text.error());
  return *text;
}

// Under the lock: read, change, replace.
template <typename Change>
Outcome<void> change_index(const StoreDir& store, Change change) {
  LAYERFS_TRY_ASSIGN(const sys::UniqueFd lock, store.lock_index());
  LAYERFS_TRY_ASSIGN(const std::string text, read_text(store));
  Json index = Json::parse(text, nullptr, false);
  if (index.is_discarded() || !index.is_object()) return broken(store, "it is not JSON");
  Json& manifests = index["manifests"];
  if (manifests.is_null()) manifests = Json::array();
  if (!manifests.is_array()) return broken(store, "it has no list of manifests");
  change(manifests);
  const std::string changed = index.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
  if (Result<void> done = replace_file(store.fd(), "index.json", changed); !done) {
    return refuse("cannot write '" + store.path("index.json") + "'", done.error());
  }
  return {};
}

void add(Json& manifests, const Descriptor& entry) {
  const std::string name = entry.annotation(kRefName);
  for (Json& existing : manifests) {
    const bool same = name.empty()
                          ? name_of(existing).empty() && has_digest(existing, entry.digest.text())
                          : name_of(existing) == name;
    if (same) {
      existing = to_json(entry);
      return;
    }
  }
  manifests.push_back(to_json(entry));
}

}  // namespace

Outcome<std::vector<Descriptor>> read_references(const StoreDir& store) {
  LAYERFS_TRY_ASSIGN(const std::string text, read_text(store));
  Outcome<std::vector<Descriptor>> entries = parse_index(text);
  if (!entries) return broken(store, entries.error().sentence);
  return entries;
}

Outcome<void> add_references(const StoreDir& store, const std::vector<Descriptor>& entries) {
  return change_index(store, [&](Json& manifests) {
    for (const Descriptor& entry : entries) add(manifests, entry);
  });
}

Outcome<void> remove_references(const StoreDir& store, const Digest& digest,
                                const std::string& name) {
  return change_index(store, [&](Json& manifests) {
    Json kept = Json::array();
    for (Json& entry : manifests) {
      const bool named = name.empty() || name_of(entry) == name;
      if (!named || !has_digest(entry, digest.text())) kept.push_back(std::move(entry));
    }
    manifests = std::move(kept);
  });
}

}  // namespace layerfs::store
