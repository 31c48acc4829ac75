#include "layerstore/import.h"

#include <stdio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <optional>
#include <set>
#include <thread>
#include <utility>

#include "fs/sys/interruption.h"
#include "layerstore/blob.h"
#include "layerstore/borrow.h"
#include "layerstore/file_set.h"
#include "layerstore/file_util.h"
#include "layerstore/image_source.h"
#include "layerstore/index_file.h"
#include "layerstore/layer_dir.h"
#include "layerstore/layer_index.h"
#include "layerstore/manifest.h"
#include "layerstore/media_type.h"
#include "layerstore/quote.h"
#include "layerstore/reference.h"
#include "layerstore/staging.h"

namespace layerfs::store {

namespace {

// "debian.oci.tar" without a name of its own is "debian".
std::string name_from_source(const std::string& source) {
  std::error_code error;
  std::string stem = std::filesystem::absolute(source, error).lexically_normal().filename();
  stem = stem.substr(0, stem.find('.'));
  return parse_reference(stem) ? stem : "";
}

// Everything that an import needs from step to step; the steps are in doc/store.md.
class Import {
 public:
  Import(const Store& store, const ImportOptions& options, TempDir temporary,
         ImportProgress& progress)
      : store_(store.dir()),
        options_(options),
        temporary_(std::move(temporary)),
        progress_(progress),
        format_(TreeFormat::for_this_process()) {}

  Outcome<ImportResult> run() {
    LAYERFS_TRY(read_source());
    plan();
    LAYERFS_TRY(stage_layers(staged_, temporary_, format_, options_.limits, threads(), progress_));
    for (SourceImage& image : images_) {
      if (sys::interruption_requested()) return sys::interrupted();
      LAYERFS_TRY(complete(image));
    }
    LAYERFS_TRY(publish());
    LAYERFS_TRY(add_references(store_, references_));
    collect_warnings();
    return std::move(result_);
  }

 private:
  unsigned threads() const {
    return options_.threads ? options_.threads : std::max(1U, std::thread::hardware_concurrency());
  }

  Outcome<void> read_source() {
    LAYERFS_TRY_ASSIGN(files_, open_file_set(options_.source, temporary_.fd(), options_.limits));
    LAYERFS_TRY_ASSIGN(images_, read_images(*files_, options_.select));
    if (!options_.name.empty()) {
      if (images_.size() > 1) return refuse(several());
      images_[0].names = {options_.name};
    }
    for (SourceImage& image : images_) {
      if (image.names.empty()) image.names.push_back(name_from_source(options_.source));
      if (image.names[0].empty()) return refuse("the image has no name: give it one with --name");
    }
    return {};
  }

  std::string several() const {
    std::string names;
    for (const SourceImage& image : images_) {
      for (const std::string& name : image.names) names += (names.empty() ? "" : ", ") + name;
    }
    return "it holds several images (" + names + "): choose one with --select";
  }

  // What has to be read: each blob and each layer that the store lacks, once.
  void plan() {
    std::set<Digest> trees;
    std::set<Digest> blobs;
    for (const SourceImage& image : images_) {
      const std::vector<Digest> chain = chain_ids(image.parsed_config.diff_ids);
      for (std::size_t i = 0; i < image.layers.size(); ++i) {
        const SourceLayer& layer = image.layers[i];
        StagedLayer staged = new_staged(layer, i);
        staged.want_tree =
            !find_layer(store_, layer.diff_id, chain[i]) && trees.insert(layer.diff_id).second;
        // An archive of `docker save` does not say the blob's digest: nearly always it is plain.
        const Digest& blob = layer.digest ? *layer.digest : layer.diff_id;
        const bool known = has_blob(store_, blob) && (layer.digest || is_plain(layer));
        staged.want_blob = !known && blobs.insert(blob).second;
        if (staged.want_tree || staged.want_blob) add_staged(std::move(staged));
      }
    }
  }

  void add_staged(StagedLayer staged) {
    places_[staged.diff_id].push_back(staged_.size());
    staged_.push_back(std::move(staged));
  }

  static bool is_plain(const SourceLayer& layer) {
    std::byte magic[4] = {};
    const Result<std::size_t> got = read_at(layer.region.file->get(), magic, layer.region.offset);
    return got &&
           detect_compression({reinterpret_cast<const char*>(magic), *got}) == Compression::kNone;
  }

  static StagedLayer new_staged(const SourceLayer& layer, std::size_t index) {
    StagedLayer staged{
        {layer.region, layer.digest, layer.diff_id}, layer.diff_id, false, false, ""};
    staged.label = "layer " + std::to_string(index + 1) + " (" +
                   (layer.digest ? *layer.digest : layer.diff_id).text() + ")";
    return staged;
  }

  // Gives each staged layer of the image its key, from the bottom up, with what it takes from the
  // layers below; and the image its manifest.
  Outcome<void> complete(SourceImage& image) {
    const std::vector<Digest> chain = chain_ids(image.parsed_config.diff_ids);
    ImportedImage imported{{}, Digest(Digest::Bytes{})};
    std::vector<sys::UniqueFd> below;  // trees, top first
    for (std::size_t i = 0; i < image.layers.size(); ++i) {
      const Digest& diff_id = image.layers[i].diff_id;
      const std::optional<std::string> stored = find_layer(store_, diff_id, chain[i]);
      LayerPlace tree{store_.fd(), std::string(kLayers) + "/" + stored.value_or("")};
      if (!stored) {
        LAYERFS_TRY_ASSIGN(StagedLayer* const layer, staged_for(image.layers[i], i, chain[i]));
        if (layer->key.empty()) {
          LAYERFS_TRY(complete_layer(*layer, chain[i], below));
          ++imported.new_layers;
          imported.size += layer->notes->size;
        }
        tree = {layer->place, layer->layer_name};
      }
      LAYERFS_TRY_ASSIGN(sys::UniqueFd fd, open_tree(tree));
      below.insert(below.begin(), std::move(fd));
    }
    imported.layers = image.layers.size();
    LAYERFS_TRY_ASSIGN(imported.manifest, add_documents(image));
    imported.names = image.names;
    result_.images.push_back(std::move(imported));
    return {};
  }

  // The staged tree for this place in an image. A layer that borrows is unpacked again for each
  // chain of layers below it.
  Outcome<StagedLayer*> staged_for(const SourceLayer& wanted, std::size_t index,
                                   const Digest& chain_id) {
    const std::string chain_key = layer_key(wanted.diff_id, chain_id);
    for (const std::size_t place : places_[wanted.diff_id]) {
      StagedLayer& layer = staged_[place];
      if (!layer.notes) continue;
      if (layer.key.empty() || layer.key == chain_key || !needs_layers_below(*layer.notes)) {
        return &layer;
      }
    }
    std::vector<StagedLayer> again;
    again.push_back(new_staged(wanted, index));
    again[0].want_tree = true;
    LAYERFS_TRY_ASSIGN(TempDir temporary, TempDir::make(store_));
    again_.push_back(std::move(temporary));
    LAYERFS_TRY(stage_layers(again, again_.back(), format_, options_.limits, 1, progress_));
    add_staged(std::move(again[0]));
    return &staged_.back();
  }

  static Outcome<sys::UniqueFd> open_tree(const LayerPlace& layer) {
    const std::string tree = layer.path + "/" + kLayerTree;
    Result<sys::UniqueFd> fd = open_dir(layer.dirfd, tree);
    if (!fd) return refuse_entry("cannot open '" + tree + "'", fd.error());
    return std::move(*fd);
  }

  Outcome<void> complete_layer(StagedLayer& layer, const Digest& chain_id,
                               const std::vector<sys::UniqueFd>& below) {
    const TreeNotes& notes = *layer.notes;
    layer.key = layer_key(layer.diff_id);
    if (needs_layers_below(notes)) {
      layer.key = layer_key(layer.diff_id, chain_id);
      LAYERFS_TRY_ASSIGN(const sys::UniqueFd tree, open_tree({layer.place, layer.layer_name}));
      std::vector<int> trees;
      for (const sys::UniqueFd& fd : below) trees.push_back(fd.get());
      if (Outcome<void> done = borrow_from_below(tree.get(), notes, trees, format_); !done) {
        return refuse(layer.label + ": " + done.error().sentence, done.error().code);
      }
    }
    const LayerRecord record{layer.diff_id,  notes.size,        notes.entries,
                             notes.has_root, notes.opaque_root, format_.ownership};
    return write_file(layer.place, layer.layer_name + "/" + kLayerRecord,
                      write_layer_record(record));
  }

  // Small files: written plainly, synced with everything else.
  static Outcome<void> write_file(int place, const std::string& path, std::string_view content) {
    const Result<void> done = make_file(place, path, content);
    if (!done) return refuse("cannot write '" + path + "' in the store", done.error());
    return {};
  }

  // The configuration and the manifest, made if the source has none. The manifest's digest.
  Outcome<Digest> add_documents(SourceImage& image) {
    const Digest config = Digest::of(image.config);
    if (image.manifest.empty()) {
      image.manifest = make_manifest(image, config);
      image.manifest_type = kOciManifest;
    }
    const Digest manifest = Digest::of(image.manifest);
    LAYERFS_TRY(add_document(config, image.config));
    LAYERFS_TRY(add_document(manifest, image.manifest));
    LAYERFS_TRY(settle_names(image, manifest));
    for (const std::string& name : image.names) {
      references_.push_back(
          {image.manifest_type, manifest, image.manifest.size(), std::nullopt, {{kRefName, name}}});
    }
    if (image.names.empty()) {
      references_.push_back({image.manifest_type, manifest, image.manifest.size(), {}, {}});
    }
    return manifest;
  }

  // Leaves out what is no name of an image with that manifest.
  Outcome<void> settle_names(SourceImage& image, const Digest& manifest) {
    for (const std::string& name : image.names) {
      if (is_name_of(name, manifest)) continue;
      const std::string why =
          parse_reference(name)
              ? quote(name) + " is no name of this image, whose digest is " + manifest.text()
              : quote(name) + " is no valid name for an image";
      if (!options_.name.empty()) return refuse(why);
      result_.warnings.push_back(why + ": it is left out, and the image " + manifest.text() +
                                 " kept; --name gives it a name");
    }
    std::erase_if(image.names,
                  [&](const std::string& name) { return !is_name_of(name, manifest); });
    return {};
  }

  std::string make_manifest(const SourceImage& image, const Digest& config) {
    Manifest manifest{{std::string(kOciConfig), config, image.config.size()}, {}};
    for (const SourceLayer& layer : image.layers) {
      const std::vector<std::size_t>& places = places_[layer.diff_id];
      const auto staged = std::ranges::find_if(
          places, [&](std::size_t place) { return staged_[place].digests.has_value(); });
      if (staged != places.end()) {
        const LayerDigests& digests = *staged_[*staged].digests;
        manifest.layers.push_back(
            {std::string(layer_media_type(digests.compression)), digests.digest, digests.size});
      } else {
        manifest.layers.push_back({std::string(kOciLayer), layer.diff_id, layer.region.size});
      }
    }
    return write_manifest(manifest);
  }

  Outcome<void> add_document(const Digest& digest, const std::string& content) {
    if (has_blob(store_, digest)) return {};
    if (!documents_.insert(digest).second) return {};
    return write_file(temporary_.fd(), digest.hex(), content);
  }

  Outcome<void> publish() {
    // Data before names: one sync for everything that has been written.
    if (::syncfs(store_.fd()) != 0) return refuse("cannot write the store to disk", Errno::last());
    index_new_layers();
    for (const Digest& digest : documents_) {
      LAYERFS_TRY(move(temporary_.fd(), digest.hex(), blob_path(digest)));
    }
    for (const StagedLayer& layer : staged_) {
      if (!layer.blob_name.empty()) {
        LAYERFS_TRY(move(layer.place, layer.blob_name, blob_path(layer.digests->digest)));
      }
    }
    for (const StagedLayer& layer : staged_) {
      if (!layer.key.empty()) {
        LAYERFS_TRY(move(layer.place, layer.layer_name, std::string(kLayers) + "/" + layer.key));
      }
    }
    for (const char* name : {"blobs/sha256", kLayers}) {
      const Result<void> done = sync_dir(store_.fd(), name);
      if (!done) return refuse("cannot write '" + store_.path(name) + "' to disk", done.error());
    }
    return {};
  }

  void index_new_layers() {
    std::vector<LayerPlace> layers;
    for (const StagedLayer& layer : staged_) {
      if (!layer.key.empty()) layers.push_back({layer.place, layer.layer_name});
    }
    const std::vector<std::string> sentences = index_layers(layers, threads());
    result_.warnings.insert(result_.warnings.end(), sentences.begin(), sentences.end());
  }

  // What is there already is the same: another importer was faster.
  Outcome<void> move(int place, const std::string& from, const std::string& to) const {
    const Result<void> moved = move_entry(place, from, store_.fd(), to, RENAME_NOREPLACE);
    if (moved || moved.error().code() == EEXIST) return {};
    return refuse_entry("cannot move a blob or layer to '" + store_.path(to) + "'", moved.error());
  }

  void collect_warnings() {
    std::uint64_t devices = 0, xattrs = 0;
    for (const StagedLayer& layer : staged_) {
      if (!layer.notes) continue;
      devices += layer.notes->skipped_devices;
      xattrs += layer.notes->skipped_xattrs;
    }
    if (devices > 0) {
      result_.warnings.push_back("left out " + std::to_string(devices) +
                                 " device nodes, which only root can make");
    }
    if (xattrs > 0) {
      result_.warnings.push_back("left out " + std::to_string(xattrs) +
                                 " extended attributes that cannot be set here");
    }
  }

  const StoreDir& store_;
  const ImportOptions& options_;
  const TempDir temporary_;
  std::vector<TempDir> again_;  // of layers that are unpacked more than once
  ImportProgress& progress_;
  const TreeFormat format_;
  std::unique_ptr<FileSet> files_;
  std::vector<SourceImage> images_;
  std::vector<StagedLayer> staged_;
  std::map<Digest, std::vector<std::size_t>> places_;  // in staged_, by diffID
  std::set<Digest> documents_;                         // staged, by their digits
  std::vector<Descriptor> references_;
  ImportResult result_;
};

}  // namespace

LayerProgress& ImportProgress::add(const Digest& diff_id, std::uint64_t total) {
  const std::lock_guard lock(mutex_);
  return layers_.emplace_back(diff_id, total);
}

std::vector<const LayerProgress*> ImportProgress::layers() const {
  const std::lock_guard lock(mutex_);
  std::vector<const LayerProgress*> layers;
  for (const LayerProgress& layer : layers_) layers.push_back(&layer);
  return layers;
}

Outcome<ImportResult> import_images(const Store& store, const ImportOptions& options,
                                    ImportProgress& progress) {
  const auto about_source = [&](Failure failure) {
    return refuse("cannot import " + quote(options.source) + ": " + failure.sentence, failure.code);
  };
  LAYERFS_TRY_ASSIGN(const sys::UniqueFd lock, store.dir().lock_for_adding());
  remove_orphans(store.dir());
  LAYERFS_TRY_ASSIGN(TempDir temporary, TempDir::make(store.dir()));
  Outcome<ImportResult> result = Import(store, options, std::move(temporary), progress).run();
  if (!result) return about_source(std::move(result.error()));
  return result;
}

}  // namespace layerfs::store
