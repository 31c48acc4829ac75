#include "layerstore/index_file.h"

#include <cerrno>
#include <unordered_map>

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
  if (changed.size() > kLimit) {
    return refuse("'" + store.path("index.json") + "' would have more than " +
                      std::to_string(kLimit >> 20) + " MiB: remove names with `layerfs rmi` first",
                  EFBIG);
  }
  if (Result<void> done = replace_file(store.fd(), "index.json", changed); !done) {
    return refuse("cannot write '" + store.path("index.json") + "'", done.error());
  }
  return {};
}

// What an entry is found by: its name, or its digest where it has none.
std::string key_of(const std::string& name, const std::string& digest) {
  return name.empty() ? "digest " + digest : "name " + name;
}

std::string key_of(const Json& entry) {
  std::string digest;
  if (entry.is_object()) {
    const auto found = entry.find("digest");
    if (found != entry.end() && found->is_string()) digest = found->get<std::string>();
  }
  return key_of(name_of(entry), digest);
}

void add(Json& manifests, const std::vector<Descriptor>& entries) {
  std::unordered_map<std::string, std::size_t> places;
  for (std::size_t i = 0; i < manifests.size(); ++i) places.try_emplace(key_of(manifests[i]), i);
  for (const Descriptor& entry : entries) {
    const auto [place, fresh] = places.try_emplace(
        key_of(entry.annotation(kRefName), entry.digest.text()), manifests.size());
    if (fresh) {
      manifests.push_back(to_json(entry));
    } else {
      manifests[place->second] = to_json(entry);
    }
  }
}

}  // namespace

Outcome<std::vector<Descriptor>> read_references(const StoreDir& store) {
  LAYERFS_TRY_ASSIGN(const std::string text, read_text(store));
  Outcome<std::vector<Descriptor>> entries = parse_index(text);
  if (!entries) return broken(store, entries.error().sentence);
  return entries;
}

Outcome<void> add_references(const StoreDir& store, const std::vector<Descriptor>& entries) {
  return change_index(store, [&](Json& manifests) { add(manifests, entries); });
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
