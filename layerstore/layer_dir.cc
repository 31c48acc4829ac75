#include "layerstore/layer_dir.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include <nlohmann/json.hpp>

#include "fs/sys/file.h"
#include "fs/sys/trusted_dir.h"
#include "layerstore/file_util.h"
#include "layerstore/json_view.h"

namespace layerfs::store {

namespace {

constexpr std::size_t kRecordLimit = 1 << 20;

std::string relative(const std::string& key) { return std::string(kLayers) + "/" + key; }

// Garbage collection may have moved the directory away before the lock was had.
Result<bool> was_collected(int fd, const StoreDir& store, const std::string& key) {
  LAYERFS_TRY_ASSIGN(const struct stat held, sys::stat_fd(fd));
  const Result<struct stat> named = stat_entry(store.fd(), relative(key));
  if (named) return held.st_ino != named->st_ino;
  if (named.error().code() != ENOENT) return fail(named.error());
  return true;
}

}  // namespace

std::vector<Digest> chain_ids(const std::vector<Digest>& diff_ids) {
  std::vector<Digest> chain;
  for (const Digest& diff_id : diff_ids) {
    chain.push_back(chain.empty() ? diff_id
                                  : Digest::of(chain.back().text() + " " + diff_id.text()));
  }
  return chain;
}

std::string layer_key(const Digest& diff_id) { return diff_id.hex(); }

std::string layer_key(const Digest& diff_id, const Digest& chain_id) {
  return diff_id.hex() + "." + chain_id.hex();
}

std::string chain_key(const Digest& chain_id) { return "chain." + chain_id.hex(); }

std::optional<std::string> find_layer(const StoreDir& store, const Digest& diff_id,
                                      const Digest& chain_id) {
  for (std::string key : {layer_key(diff_id), layer_key(diff_id, chain_id), chain_key(chain_id)}) {
    if (has_entry(store.fd(), relative(key))) return key;
  }
  return std::nullopt;
}

std::string write_layer_record(const LayerRecord& record) {
  nlohmann::ordered_json json = {
      {"version", 1},
      {"size", record.size},
      {"entries", record.entries},
      {"root", record.has_root},
      {"opaqueRoot", record.opaque_root},
      {"ownership", record.ownership == Ownership::kReal ? "real" : "recorded"}};
  if (record.diff_id) json["diffID"] = record.diff_id->text();
  if (record.parent_chain) json["parentChain"] = record.parent_chain->text();
  return json.dump() + "\n";
}

Outcome<LayerRecord> parse_layer_record(std::string_view text) {
  const std::optional<JsonView> json = JsonView::parse(text);
  if (!json || json->number("version") != 1) return refuse("its record is broken");
  LayerRecord record;
  for (const auto& [name, digest] :
       {std::pair{"diffID", &record.diff_id}, std::pair{"parentChain", &record.parent_chain}}) {
    if (!json->has(name)) continue;
    *digest = Digest::parse(json->text(name));
    if (!*digest) return refuse(std::string("its record's ") + name + " is no digest");
  }
  record.size = json->number("size").value_or(0);
  record.entries = json->number("entries").value_or(0);
  record.has_root = json->flag("root");
  record.opaque_root = json->flag("opaqueRoot");
  if (json->text("ownership") == "recorded") record.ownership = Ownership::kRecorded;
  return record;
}

namespace {

Outcome<LayerRecord> read_record(const Layer& layer) {
  const Result<std::string> text = read_file(layer.lease.get(), kLayerRecord, kRecordLimit);
  if (!text)
    return refuse_entry("cannot read the record of the layer '" + layer.key + "'", text.error());
  Outcome<LayerRecord> record = parse_layer_record(*text);
  if (!record) return refuse("the layer '" + layer.key + "' is broken: " + record.error().sentence);
  return record;
}

}  // namespace

Outcome<Layer> lease_layer(const StoreDir& store, const std::string& key) {
  const std::string path = store.path(relative(key));
  Result<sys::UniqueFd> opened = open_dir(store.fd(), relative(key));
  if (!opened) return refuse_entry("cannot open the layer '" + path + "'", opened.error());
  sys::UniqueFd fd = std::move(*opened);
  LAYERFS_TRY(sys::check_trusted(fd.get(), path));
  while (::flock(fd.get(), LOCK_SH) != 0) {
    if (errno != EINTR) return refuse("cannot lock the layer '" + path + "'", Errno::last());
  }
  const Result<bool> gone = was_collected(fd.get(), store, key);
  if (!gone) return refuse("cannot look at the layer '" + path + "'", gone.error());
  if (*gone) {
    return refuse("the layer '" + path + "' has just been removed", ENOENT);
  }
  // The mount opens it by its path: nobody but us and root can put another there from now on.
  const auto tree = sys::open_beneath(fd.get(), kLayerTree, O_PATH | O_DIRECTORY);
  if (!tree && tree.error().code() == ENOENT) {
    return refuse("the layer '" + path + "' is broken: its tree is gone", ENOENT);
  }
  if (!tree) return refuse_entry("cannot open '" + path + "/" + kLayerTree + "'", tree.error());
  Layer layer{std::nullopt,
              key,
              path + "/" + kLayerTree,
              path + "/" + kLayerIndex,
              0,
              false,
              false,
              Ownership::kReal,
              std::nullopt,
              std::move(fd)};
  LAYERFS_TRY_ASSIGN(const LayerRecord record, read_record(layer));
  layer.diff_id = record.diff_id;
  layer.size = record.size;
  layer.has_root = record.has_root;
  layer.opaque_root = record.opaque_root;
  layer.ownership = record.ownership;
  layer.parent_chain = record.parent_chain;
  return layer;
}

}  // namespace layerfs::store
