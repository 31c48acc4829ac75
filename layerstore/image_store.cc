#include "layerstore/image_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <map>
#include <memory>
#include <optional>
#include <set>

#include <nlohmann/json.hpp>

#include "fs/sys/file.h"
#include "layerstore/blob.h"
#include "layerstore/file_util.h"
#include "layerstore/layer_dir.h"
#include "layerstore/manifest.h"
#include "layerstore/quote.h"
#include "layerstore/tar_split.h"

namespace layerfs::store {

namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kLayerRecords = "overlay-layers";
constexpr const char* kImageRecords = "overlay-images";
constexpr const char* kLayerDirs = "overlay";
constexpr const char* kLinks = "overlay/l";

// A layer below all of its image's layers, as containers-storage names it.
std::string layer_id(const std::string& parent, const Digest& diff_id) {
  return parent.empty() ? diff_id.hex() : Digest::of(parent + "+" + diff_id.hex()).hex();
}

// The short name by which layers above find it.
std::string link_of(const std::string& id) {
  std::string link = "L" + id.substr(0, 25);
  std::ranges::transform(link, link.begin(), [](unsigned char c) { return std::toupper(c); });
  return link;
}

// How containers-storage names the file of an item of an image ("big data").
std::string file_of(const std::string& item) {
  if (item == "manifest") return item;
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string name = "=";
  unsigned bits = 0;
  int count = 0;
  for (const unsigned char c : item) {
    bits = bits << 8 | c;
    for (count += 8; count >= 6; count -= 6) name += kDigits[bits >> (count - 6) & 63];
  }
  if (count > 0) name += kDigits[bits << (6 - count) & 63];
  while (name.size() % 4 != 1) name += '=';
  return name;
}

// Locked against its readers, who are told that it has changed.
class Guard {
 public:
  static Outcome<Guard> take(int dir, const std::string& file) {
    // Its readers are other users, too.
    Result<sys::UniqueFd> opened = open_file(dir, file, O_RDWR | O_CREAT, 0644);
    if (!opened) return refuse_entry("its lock cannot be opened", opened.error());
    sys::UniqueFd fd = std::move(*opened);
    struct flock whole = {};
    whole.l_type = F_WRLCK;
    whole.l_whence = SEEK_SET;
    while (::fcntl(fd.get(), F_SETLKW, &whole) != 0) {
      if (errno != EINTR) return refuse("its lock cannot be had", Errno::last());
    }
    return Guard(std::move(fd));
  }

  // 64 bytes that no other change has.
  Outcome<void> announce() const {
    timespec now = {};
    ::clock_gettime(CLOCK_REALTIME, &now);
    const std::string mark =
        Digest::of(std::to_string(now.tv_sec) + "." + std::to_string(now.tv_nsec) + " " +
                   std::to_string(::getpid()))
            .hex();
    if (const auto done = sys::write_at(fd_.get(), std::as_bytes(std::span(mark)), 0); !done) {
      return refuse("its lock cannot be written", done.error());
    }
    return {};
  }

 private:
  explicit Guard(sys::UniqueFd fd) : fd_(std::move(fd)) {}

  sys::UniqueFd fd_;
};

class Writer {
 public:
  Writer(const Store& store, sys::UniqueFd dir) : store_(store), dir_(std::move(dir)) {}

  Outcome<std::vector<std::string>> run() {
    for (const char* name : {kLayerDirs, kLinks, kLayerRecords, kImageRecords}) {
      if (const auto made = make_dir(dir_.get(), name, 0755); !made) {
        return refuse(std::string(name) + " cannot be made", made.error());
      }
    }
    describe_layers();
    // Nobody changes index.json, and so removes a layer of an image in it.
    LAYERFS_TRY_ASSIGN(const sys::UniqueFd index, store_.dir().lock_index());
    LAYERFS_TRY_ASSIGN(const std::vector<Image> images, store_.images(notes_));
    for (const Image& image : images) {
      if (is_unpacked(image)) LAYERFS_TRY(add(image));
    }
    LAYERFS_TRY(publish());
    remove_the_rest();
    return std::move(notes_);
  }

 private:
  struct LayerEntry {
    std::string below;  // links of the layers below, as its file "lower" has them
    Json record;
  };

  static bool is_unpacked(const Image& image) {
    return std::ranges::count(image.layers, std::string()) == 0;
  }

  // Layers are described while nobody has to wait for it, since their blobs are read for that. What
  // fails now is tried again under the lock, and an error then.
  void describe_layers() {
    std::vector<std::string> problems;
    for (const Image& image : store_.images(problems).value_or(std::vector<Image>())) {
      if (is_unpacked(image)) static_cast<void>(describe(image));
    }
  }

  Outcome<void> describe(const Image& image) {
    LAYERFS_TRY_ASSIGN(const std::string text, read_document(store_.dir(), image.manifest));
    LAYERFS_TRY_ASSIGN(const Manifest manifest, parse_manifest(text));
    std::string id;
    for (std::size_t i = 0; i < manifest.layers.size(); ++i) {
      const Digest& diff_id = image.config.diff_ids[i];
      id = layer_id(id, diff_id);
      LAYERFS_TRY_ASSIGN(const Layer layer, lease(image, i));
      LAYERFS_TRY(write_rest(id, layer, manifest.layers[i], diff_id));
    }
    return {};
  }

  // The image's layer at that place, the lowest first.
  Outcome<Layer> lease(const Image& image, std::size_t place) const {
    return lease_layer(store_.dir(), image.layers[image.layers.size() - 1 - place]);
  }

  Outcome<void> add(const Image& image) {
    LAYERFS_TRY_ASSIGN(const std::string manifest_text,
                       read_document(store_.dir(), image.manifest));
    LAYERFS_TRY_ASSIGN(const Manifest manifest, parse_manifest(manifest_text));
    std::string top;
    for (std::size_t i = 0; i < manifest.layers.size(); ++i) {
      LAYERFS_TRY_ASSIGN(top, add_layer(top, image, manifest.layers[i], i));
    }
    return add_image(image, manifest_text, top);
  }

  // The id of the layer.
  Outcome<std::string> add_layer(const std::string& parent, const Image& image,
                                 const Descriptor& blob, std::size_t place) {
    const Digest& diff_id = image.config.diff_ids[place];
    std::string id = layer_id(parent, diff_id);
    if (layers_.contains(id)) return id;
    LAYERFS_TRY_ASSIGN(const Layer layer, lease(image, place));
    LayerEntry entry;
    // Of an opaque layer all below is hidden.
    if (!parent.empty() && !layer.opaque_root) {
      const std::string& more = layers_.at(parent).below;
      entry.below = "l/" + link_of(parent) + (more.empty() ? "" : ":" + more);
    }
    LAYERFS_TRY(write_directory(id, layer.key, entry.below));
    LAYERFS_TRY(write_rest(id, layer, blob, diff_id));
    entry.record = {{"id", id}};
    if (!parent.empty()) entry.record["parent"] = parent;
    entry.record["created"] = utc_time(image.config.created);
    entry.record["compressed-diff-digest"] = blob.digest.text();
    entry.record["compressed-size"] = blob.size;
    entry.record["diff-digest"] = diff_id.text();
    entry.record["diff-size"] = layer.size;
    layers_.emplace(id, std::move(entry));
    order_.push_back(id);
    return id;
  }

  // overlay/ID: what the overlay driver looks for there.
  Outcome<void> write_directory(const std::string& id, const std::string& key,
                                const std::string& below) {
    const std::string name = std::string(kLayerDirs) + "/" + id;
    // containers-storage takes absolute links only.
    const std::string tree = store_.dir().path(std::string(kLayers) + "/" + key + "/" + kLayerTree);
    if (const auto made = make_dir(dir_.get(), name.c_str(), 0755); !made) {
      return refuse(name + " cannot be made", made.error());
    }
    LAYERFS_TRY(write_link(name + "/diff", tree));
    LAYERFS_TRY(write_file(name, "link", link_of(id)));
    if (!below.empty()) LAYERFS_TRY(write_file(name, "lower", below));
    return write_link(std::string(kLinks) + "/" + link_of(id), "../" + id + "/diff");
  }

  Outcome<void> write_link(const std::string& name, const std::string& target) {
    const std::size_t slash = name.rfind('/');
    const std::string link = name.substr(slash + 1);
    const Result<sys::UniqueFd> in = open_dir(dir_.get(), name.substr(0, slash));
    if (!in) return refuse_entry(name + " cannot be made", in.error());
    const auto there = sys::readlink_at(in->get(), link.c_str());
    if (there && *there == target) return {};
    if (const auto gone = remove_tree(in->get(), link); !gone) {
      return refuse(name + " cannot be removed", gone.error());
    }
    if (const auto made = sys::make_symlink(target.c_str(), in->get(), link.c_str()); !made) {
      return refuse(name + " cannot be made", made.error());
    }
    return {};
  }

  Outcome<void> write_file(const std::string& directory, const std::string& name,
                           std::string_view content) {
    const auto there = read_file(dir_.get(), directory + "/" + name, kMaxDocument);
    if (there && *there == content) return {};
    const auto in = sys::open_beneath(dir_.get(), directory.c_str(), O_RDONLY | O_DIRECTORY);
    const auto done = in ? replace_file(in->get(), name, content) : Result<void>(fail(in.error()));
    if (!done) return refuse(directory + "/" + name + " cannot be written", done.error());
    return {};
  }

  // overlay-layers/ID.tar-split.gz: by it podman hands the layer on as it came.
  Outcome<void> write_rest(const std::string& id, const Layer& layer, const Descriptor& blob,
                           const Digest& diff_id) {
    const std::string name = std::string(kLayerRecords) + "/" + id + ".tar-split.gz";
    if (has_entry(dir_.get(), name)) return {};
    LAYERFS_TRY_ASSIGN(const TempDir temporary, TempDir::make(store_.dir()));
    auto out = sys::open_beneath(temporary.fd(), "rest", O_WRONLY | O_CREAT | O_EXCL, 0644);
    if (!out) return refuse("no file can be made in the store", out.error());
    LAYERFS_TRY(split(layer, blob, diff_id, out->get()));
    if (::fdatasync(out->get()) != 0) return refuse(name + " cannot be written", Errno::last());
    const auto done = move_entry(temporary.fd(), "rest", dir_.get(), name);
    if (!done) return refuse(name + " cannot be written", done.error());
    return {};
  }

  Outcome<void> split(const Layer& layer, const Descriptor& blob, const Digest& diff_id, int out) {
    auto file = open_file(store_.dir().fd(), blob_path(blob.digest), O_RDONLY);
    if (!file)
      return refuse_entry("the blob " + blob.digest.text() + " cannot be opened", file.error());
    auto tree = sys::open_beneath(layer.lease.get(), kLayerTree, O_PATH | O_DIRECTORY);
    if (!tree) return refuse_entry("the layer '" + layer.key + "' cannot be opened", tree.error());
    LayerInput input;
    input.region = {std::make_shared<const sys::UniqueFd>(std::move(*file)), 0, blob.size};
    input.diff_id = diff_id;
    LayerStream archive(std::move(input), -1, nullptr);
    if (const auto done = write_tar_split(archive, tree->get(), out); !done) {
      return refuse(
          "the layer " + diff_id.text() + " cannot be described: " + done.error().sentence,
          done.error().code);
    }
    return {};
  }

  // Images that differ by their compression only are one here, which has the names of all.
  Outcome<void> add_image(const Image& image, const std::string& manifest, const std::string& top) {
    const std::string id = image.config_digest.hex();
    Json& record = images_[id];
    if (record.is_null()) {
      record = {{"id", id},
                {"digest", image.manifest.text()},
                {"names", Json::array()},
                {"layer", top},
                {"metadata", "{}"},
                {"big-data-names", Json::array()},
                {"big-data-sizes", Json::object()},
                {"big-data-digests", Json::object()},
                {"created", utc_time(image.config.created)}};
      LAYERFS_TRY_ASSIGN(const std::string config,
                         read_document(store_.dir(), image.config_digest));
      LAYERFS_TRY(add_item(record, "manifest", manifest));
      LAYERFS_TRY(add_item(record, image.config_digest.text(), config));
    }
    LAYERFS_TRY(add_item(record, "manifest-" + image.manifest.text(), manifest));
    if (image.name.empty()) return {};
    const std::optional<std::string> name = registry_name(image.name);
    if (name && names_.insert(*name).second) {
      record["names"].push_back(*name);
    } else {
      notes_.push_back(
          "the image " + quote(image.name) + " is there by its id " + id.substr(0, 12) +
          " only: " + (name ? "another image is " + *name : "podman does not take such names"));
    }
    return {};
  }

  Outcome<void> add_item(Json& image, const std::string& item, const std::string& content) {
    Json& names = image["big-data-names"];
    if (std::find(names.begin(), names.end(), item) != names.end()) return {};
    const std::string directory = std::string(kImageRecords) + "/" + image["id"].get<std::string>();
    if (const auto made = make_dir(dir_.get(), directory.c_str(), 0755); !made) {
      return refuse(directory + " cannot be made", made.error());
    }
    LAYERFS_TRY(write_file(directory, file_of(item), content));
    names.push_back(item);
    image["big-data-sizes"][item] = content.size();
    image["big-data-digests"][item] = Digest::of(content).text();
    return {};
  }

  // All of it at once for those who read it under its locks.
  Outcome<void> publish() {
    Json layers = Json::array();
    for (const std::string& id : order_) layers.push_back(layers_.at(id).record);
    Json images = Json::array();
    for (const auto& [id, image] : images_) images.push_back(image);
    LAYERFS_TRY_ASSIGN(const Guard image_lock,
                       Guard::take(dir_.get(), std::string(kImageRecords) + "/images.lock"));
    LAYERFS_TRY_ASSIGN(const Guard layer_lock,
                       Guard::take(dir_.get(), std::string(kLayerRecords) + "/layers.lock"));
    LAYERFS_TRY(write_file(kLayerRecords, "layers.json", layers.dump()));
    LAYERFS_TRY(write_file(kImageRecords, "images.json", images.dump()));
    LAYERFS_TRY(layer_lock.announce());
    return image_lock.announce();
  }

  // What cannot be removed is tried again the next time.
  void remove_the_rest() {
    std::set<std::string> links;
    for (const auto& [id, layer] : layers_) links.insert(link_of(id));
    remove_from(kLinks, [&](const std::string& name) { return links.contains(name); });
    remove_from(kLayerDirs,
                [&](const std::string& name) { return name == "l" || layers_.contains(name); });
    remove_from(kLayerRecords, [&](const std::string& name) {
      return !name.ends_with(".gz") || layers_.contains(name.substr(0, name.find('.')));
    });
    remove_from(kImageRecords, [&](const std::string& name) {
      return name.starts_with("images.") || images_.contains(name);
    });
  }

  void remove_from(const char* directory, const auto& wanted) {
    for (const std::string& name :
         list_dir(dir_.get(), directory).value_or(std::vector<std::string>())) {
      if (wanted(name)) continue;
      static_cast<void>(remove_tree(dir_.get(), std::string(directory) + "/" + name));
    }
  }

  const Store& store_;
  const sys::UniqueFd dir_;
  std::map<std::string, LayerEntry> layers_;
  std::vector<std::string> order_;  // their ids, parents first
  std::map<std::string, Json> images_;
  std::set<std::string> names_;
  std::vector<std::string> notes_;
};

}  // namespace

bool has_image_store(const StoreDir& store) { return has_entry(store.fd(), kImageStore); }

Outcome<std::vector<std::string>> write_image_store(const Store& store) {
  const StoreDir& dir = store.dir();
  if (const auto made = make_dir(dir.fd(), kImageStore, 0755); !made) {
    return refuse_entry("'" + dir.path(kImageStore) + "' cannot be made", made.error());
  }
  auto fd = open_dir(dir.fd(), kImageStore);
  if (!fd) return refuse_entry("'" + dir.path(kImageStore) + "' cannot be opened", fd.error());
  auto written = Writer(store, std::move(*fd)).run();
  if (!written) {
    return refuse("'" + dir.path(kImageStore) + "' cannot be written: " + written.error().sentence,
                  written.error().code);
  }
  return written;
}

Outcome<void> remove_image_store(const Store& store) {
  if (const auto gone = remove_tree(store.dir().fd(), kImageStore); !gone) {
    return refuse("'" + store.dir().path(kImageStore) + "' cannot be removed", gone.error());
  }
  return {};
}

}  // namespace layerfs::store
