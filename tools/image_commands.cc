// images, inspect and rmi.
#include <algorithm>

#include <nlohmann/json.hpp>

#include "fs/sys/interruption.h"
#include "layerstore/collect.h"
#include "layerstore/index_file.h"
#include "layerstore/store.h"
#include "tools/command_line.h"
#include "tools/human.h"
#include "tools/store_commands.h"

namespace layerfs::tools {

namespace {

using Json = nlohmann::ordered_json;
using store::Image;

constexpr std::size_t kShortDigits = 12;

std::string dump(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace);
}

bool is_unpacked(const Image& image) {
  return std::ranges::find(image.layers, std::string()) == image.layers.end();
}

// "2024-03-01 12:00" of an RFC 3339 time.
std::string short_time(const std::string& time) {
  std::string text = time.substr(0, 16);
  if (text.size() > 10) text[10] = ' ';
  return text.empty() ? "-" : text;
}

Json to_json(const Image& image) {
  return {{"name", image.name},
          {"digest", image.manifest.text()},
          {"config", image.config_digest.text()},
          {"created", image.config.created},
          {"os", image.config.os},
          {"architecture", image.config.architecture},
          {"layers", image.layers.size()},
          {"size", image.blob_size},
          {"unpacked", is_unpacked(image)}};
}

Json layers_to_json(const store::Store& store, const Image& image) {
  Json layers = Json::array();
  const Outcome<std::vector<store::Layer>> leased = store.layers(image);
  if (!leased) return layers;
  // Bottom first, and complete.
  auto diff_id = image.config.diff_ids.rbegin();
  for (const store::Layer& layer : *leased) {
    layers.push_back(
        {{"diffID", (diff_id++)->text()},
         {"path", layer.path},
         {"size", layer.size},
         {"ownership", layer.ownership == store::Ownership::kReal ? "real" : "recorded"}});
  }
  return layers;
}

Json config_to_json(const store::ImageConfig& config) {
  return {{"user", config.user},
          {"workingDir", config.working_dir},
          {"env", config.env},
          {"entrypoint", config.entrypoint},
          {"cmd", config.cmd},
          {"volumes", config.volumes},
          {"exposedPorts", config.exposed_ports},
          {"stopSignal", config.stop_signal},
          {"labels", config.labels}};
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text.empty() ? "-" : text;
}

void print_image(Io& io, const store::Store& store, const Image& image) {
  const store::ImageConfig& config = image.config;
  const std::string variant = config.variant.empty() ? "" : "/" + config.variant;
  const std::vector<std::pair<const char*, std::string>> facts = {
      {"name", image.name.empty() ? "-" : image.name},
      {"digest", image.manifest.text()},
      {"created", short_time(config.created)},
      {"platform", config.os + "/" + config.architecture + variant},
      {"size", human_size(image.blob_size) + " as it came"},
      {"entrypoint", joined(config.entrypoint)},
      {"cmd", joined(config.cmd)},
      {"user", config.user.empty() ? "-" : config.user},
      {"working dir", config.working_dir.empty() ? "/" : config.working_dir}};
  for (const auto& [fact, value] : facts) io.out.print("{:<12} {}\n", fact, value);
  for (const std::string& variable : config.env) io.out.print("env          {}\n", variable);
  const Outcome<std::vector<store::Layer>> layers = store.layers(image);
  if (!layers) {
    warn(io, layers.error().sentence);
    return;
  }
  io.out.print("layers, top first:\n");
  for (const store::Layer& layer : *layers) {
    io.out.print("  {}  {}\n", layer.path, human_size(layer.size));
  }
}

// The layers that the image alone needs are gone after this, too.
Outcome<void> remove_image(const store::Store& store, const std::string& reference, Io& io) {
  LAYERFS_TRY_ASSIGN(const store::Store::Found found, store.look_up(reference));
  const Image& image = found.image;
  // An image that was asked for by its digest goes with all its names.
  const std::string name = found.by_digest ? "" : image.name;
  LAYERFS_TRY(store::remove_references(store.dir(), image.manifest, name));
  io.out.print("removed {}\n", name.empty() ? image.manifest.text() : name);
  return {};
}

}  // namespace

int run_images(const Args& args, Io& io) {
  CommandLine line("List the images in the store.", "layerfs images");
  CommonOptions common;
  add_root_option(line, common);
  add_json_option(line, common);
  if (const std::optional<int> status = line.parse(args, io)) return *status;
  const Outcome<store::Store> store = store::Store::open(common.root);
  if (!store) return report(io, store.error());
  std::vector<std::string> problems;
  const Outcome<std::vector<Image>> images = store->images(problems);
  if (!images) return report(io, images.error());
  for (const std::string& problem : problems) warn(io, problem);
  for (const Image& image : *images) {
    if (!image.false_name.empty()) warn(io, store::about_false_name(image));
  }
  if (common.json) {
    Json json = Json::array();
    for (const Image& image : *images) json.push_back(to_json(image));
    io.out.document(dump(json));
    return kDone;
  }
  std::vector<std::vector<std::string>> rows = {{"NAME", "DIGEST", "CREATED", "LAYERS", "SIZE"}};
  for (const Image& image : *images) {
    rows.push_back({image.name.empty() ? "-" : image.name,
                    image.manifest.hex().substr(0, kShortDigits), short_time(image.config.created),
                    std::to_string(image.layers.size()) + (is_unpacked(image) ? "" : " (packed)"),
                    human_size(image.blob_size)});
  }
  io.out.table(rows);
  return kDone;
}

int run_inspect(const Args& args, Io& io) {
  CommandLine line("Show an image's configuration and where its layers are.", "layerfs inspect");
  CommonOptions common;
  std::string reference;
  line.add_option("IMAGE", reference, "Its name, the end of its name, or the start of its digest")
      .required();
  add_root_option(line, common);
  add_json_option(line, common);
  if (const std::optional<int> status = line.parse(args, io)) return *status;
  const Outcome<store::Store> store = store::Store::open(common.root);
  if (!store) return report(io, store.error());
  const Outcome<Image> image = store->find(reference);
  if (!image) return report(io, image.error());
  if (!common.json) {
    print_image(io, *store, *image);
    return kDone;
  }
  Json json = to_json(*image);
  json["layers"] = layers_to_json(*store, *image);
  json["run"] = config_to_json(image->config);
  io.out.document(dump(json));
  return kDone;
}

int run_rmi(const Args& args, Io& io) {
  CommandLine line("Remove images, and the layers that only they needed.", "layerfs rmi");
  CommonOptions common;
  std::vector<std::string> references;
  line.add_option("IMAGE", references, "Their names, or the starts of their digests").required();
  add_root_option(line, common);
  line.footer(
      "A name removes that name; a digest removes the image with all its names. Layers that "
      "another\n"
      "image, a snapshot or a mount needs stay.");
  if (const std::optional<int> status = line.parse(args, io)) return *status;
  const sys::InterruptingSignals signals;
  const Outcome<store::Store> store = store::Store::open(common.root);
  if (!store) return report(io, store.error());
  int status = kDone;
  for (const std::string& reference : references) {
    const Outcome<void> removed = remove_image(*store, reference, io);
    if (!removed) status = report(io, removed.error());
  }
  refresh_image_store(*store, io);
  const Outcome<store::Collected> collected = store::collect_garbage(*store, /*wait=*/false);
  if (!collected) return report(io, collected.error());
  if (collected->busy) {
    warn(io, "an import is under way: `layerfs gc` removes the layers when it has ended");
  } else if (collected->layers > 0) {
    io.out.print("removed {}, {}\n", counted(collected->layers, "layer"),
                 human_size(collected->layer_bytes + collected->blob_bytes));
  }
  return status;
}

}  // namespace layerfs::tools
