#include "layerstore/check.h"

#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <thread>
#include <utility>

#include "layerstore/blob.h"
#include "layerstore/check_parts.h"
#include "layerstore/file_util.h"
#include "layerstore/index_file.h"
#include "layerstore/layer_dir.h"
#include "layerstore/manifest.h"
#include "layerstore/pins.h"

namespace layerfs::store {

namespace {

constexpr const char* kSnapshots = "snapshots";

class Check {
 public:
  Check(const Store& store, bool repair) : store_(store), dir_(store.dir()), repair_(repair) {}

  Outcome<CheckResult> run() {
    // Without it (a store that cannot be written) a removal under way may look like damage.
    const auto lock = dir_.lock_for_adding();
    check_frame();
    LAYERFS_TRY(check_blobs(dir_, result_));
    LAYERFS_TRY(check_layers(dir_, repair_, result_));
    check_images();
    LAYERFS_TRY(check_snapshots());
    LAYERFS_TRY(check_pins());
    check_leftovers();
    return std::move(result_);
  }

 private:
  void add(Part part, const std::string& name, std::string sentence, bool repaired = false) {
    add_problem(result_, part, name, std::move(sentence), repaired);
  }

  void check_frame() {
    for (const char* name : {"layers", "snapshots", "tmp"}) {
      const Result<struct stat> status = stat_entry(dir_.fd(), name);
      if (!status || !S_ISDIR(status->st_mode)) {
        add(Part::kStore, name,
            "'" + dir_.path(name) +
                "' is no directory; any `layerfs import` "
                "makes it again");
      } else if ((status->st_mode & 077) != 0) {
        add(Part::kStore, name,
            "'" + dir_.path(name) +
                "' is open to other users, who reach old setuid programs in "
                "it: `chmod 700 " +
                dir_.path(name) + "`");
      }
    }
  }

  void check_images() {
    std::vector<std::string> problems;
    const Outcome<std::vector<Image>> images = store_.images(problems);
    if (!images) return add(Part::kStore, "index.json", images.error().sentence);
    result_.images = images->size() + problems.size();
    for (const std::string& problem : problems) add(Part::kImage, "", problem);
    for (const Image& image : *images) check_image(image);
  }

  void check_image(const Image& image) {
    const std::string name = image.name.empty() ? image.manifest.text() : image.name;
    if (!image.false_name.empty()) add(Part::kImage, name, about_false_name(image));
    const auto unpacked =
        image.layers.size() - static_cast<std::size_t>(std::ranges::count(image.layers, ""));
    if (unpacked != image.layers.size()) {
      add(Part::kImage, name,
          "the image '" + name + "' lacks " + std::to_string(image.layers.size() - unpacked) +
              " of its " + std::to_string(image.layers.size()) + " layers: `layerfs import " +
              dir_.path() + " --select " + name + "` unpacks them again");
    }
    const Outcome<std::string> text = read_document(dir_, image.manifest);
    const Outcome<Manifest> manifest =
        text ? parse_manifest(*text) : tl::make_unexpected(text.error());
    if (!manifest) return add(Part::kImage, name, manifest.error().sentence);
    check_blob_of(name, manifest->config);
    for (const Descriptor& layer : manifest->layers) check_blob_of(name, layer);
  }

  void check_blob_of(const std::string& image, const Descriptor& blob) {
    const Result<struct stat> status = stat_entry(dir_.fd(), blob_path(blob.digest));
    if (!status) {
      add(Part::kImage, image,
          "the image '" + image + "' lacks the blob " + blob.digest.text() +
              ": it can be mounted if its layers are unpacked, but not exported; import it again");
    } else if (static_cast<std::uint64_t>(status->st_size) != blob.size) {
      add(Part::kImage, image,
          "the image '" + image + "' says that the blob " + blob.digest.text() + " has " +
              std::to_string(blob.size) + " bytes, but it has " + std::to_string(status->st_size));
    }
  }

  bool has_layer(const std::string& key) const {
    return has_dir(dir_.fd(), std::string(kLayers) + "/" + key);
  }

  Outcome<void> check_snapshots() {
    const Result<std::vector<std::string>> names = list_dir(dir_.fd(), kSnapshots);
    if (!names) return refuse("cannot list '" + dir_.path(kSnapshots) + "'", names.error());
    LAYERFS_TRY_ASSIGN(const std::vector<SnapshotInfo> infos, store_.snapshots());
    result_.snapshots = names->size();
    for (const std::string& name : *names) {
      const auto info = std::ranges::find(infos, name, &SnapshotInfo::name);
      const std::string path = std::string(kSnapshots) + "/" + name;
      if (info != infos.end()) {
        check_snapshot(*info, path);
      } else if (has_dir(dir_.fd(), path)) {
        add(Part::kSnapshot, name,
            "the snapshot '" + name +
                "' has no record that can be read, so its layers are "
                "unknown; what was written is in '" +
                dir_.path(path) + "/fs'");
      }
    }
    return {};
  }

  void check_snapshot(const SnapshotInfo& snapshot, const std::string& path) {
    for (const char* part : {"fs", "work"}) {
      if (has_dir(dir_.fd(), path + "/" + part)) continue;
      add(Part::kSnapshot, snapshot.name,
          "the snapshot '" + snapshot.name + "' has no directory '" + dir_.path(path) + "/" + part +
              "'" + (part == std::string("work") ? ": make an empty one" : ""));
    }
    for (const std::string& key : snapshot.layers) {
      if (has_layer(key)) continue;
      add(Part::kSnapshot, snapshot.name,
          "the snapshot '" + snapshot.name + "' lacks its layer " + key + ": import " +
              (snapshot.image.empty() ? "its image" : "the image '" + snapshot.image + "'") +
              " again");
    }
  }

  Outcome<void> check_pins() {
    LAYERFS_TRY_ASSIGN(const std::set<std::string> keys, pinned_layers(dir_));
    for (const std::string& key : keys) {
      if (has_layer(key)) continue;
      add(Part::kLayer, key,
          "the layer " + key + " is not there, but pins/ says that another program needs it");
    }
    return {};
  }

  void check_leftovers() {
    std::vector<std::string> left = orphans(dir_);
    // One that is being made has no owner for a moment.
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    const std::vector<std::string> again = orphans(dir_);
    std::erase_if(left, [&](const std::string& name) {
      return std::ranges::find(again, name) == again.end();
    });
    if (repair_ && !left.empty()) remove_orphans(dir_);
    const std::vector<std::string> still = repair_ ? orphans(dir_) : left;
    for (const std::string& name : left) {
      add(Part::kLeftover, name,
          "'" + dir_.path(name) +
              "' was left by a process that was killed: the next import or "
              "--repair removes it",
          repair_ && std::ranges::find(still, name) == still.end());
    }
  }

  const Store& store_;
  const StoreDir& dir_;
  const bool repair_;
  CheckResult result_;
};

}  // namespace

void add_problem(CheckResult& result, Part part, std::string name, std::string sentence,
                 bool repaired) {
  result.problems.push_back({part, std::move(name), std::move(sentence), repaired});
}

Outcome<CheckResult> check_store(const Store& store, bool repair) {
  return Check(store, repair).run();
}

}  // namespace layerfs::store
