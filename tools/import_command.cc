#include <nlohmann/json.hpp>

#include "fs/sys/interruption.h"
#include "layerstore/blob.h"
#include "layerstore/import.h"
#include "layerstore/reference.h"
#include "layerstore/store.h"
#include "tools/command_line.h"
#include "tools/human.h"
#include "tools/progress.h"
#include "tools/store_commands.h"

namespace layerfs::tools {

namespace {

constexpr const char* kFooter =
    "Where images come from:\n"
    "  docker save debian:12 -o debian.tar && layerfs import debian.tar\n"
    "  podman save --format oci-archive -o py.tar py && layerfs import py.tar\n"
    "  skopeo copy docker://NAME oci:DIR:TAG && layerfs import DIR\n"
    "\n"
    "Everything is verified on the way; an image that is refused leaves nothing behind. Layers "
    "that\n"
    "the store has already are not read again.";

void print_json(Io& io, const store::ImportResult& result) {
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  for (const store::ImportedImage& image : result.images) {
    json.push_back({{"names", image.names},
                    {"digest", image.manifest.text()},
                    {"layers", image.layers},
                    {"newLayers", image.new_layers},
                    {"newSize", image.size}});
  }
  io.out.document(json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
}

void print_text(Io& io, const store::ImportResult& result) {
  for (const store::ImportedImage& image : result.images) {
    std::string names;
    for (const std::string& name : image.names) names += (names.empty() ? "" : ", ") + name;
    if (names.empty()) names = image.manifest.text();
    io.out.print("{}: {}", names, counted(image.layers, "layer"));
    if (image.new_layers > 0) {
      io.out.print(", {} new, {} unpacked\n", image.new_layers, human_size(image.size));
    } else {
      io.out.print(", all known\n");
    }
  }
}

void add_limits(CommandLine& line, store::ImportLimits& limits) {
  line.add_option("--max-entries", limits.entries,
                  "Entries of a layer, or files of the archive, beyond which it is refused "
                  "(default: 2000000)")
      .type_name("N");
  line.add_size_option("--max-header", limits.header,
                       "Bytes of one entry's name, extended attributes and places of data "
                       "(default: 1M)")
      .type_name("SIZE");
  line.add_size_option(
          "--max-document", limits.document,
          "Bytes of one manifest, configuration or index, at most 16M; of all together "
          "32 times (default: 4M)")
      .type_name("SIZE");
  line.add_size_option("--max-size", limits.size,
                       "Bytes of a layer's files, unpacked (default: no limit)")
      .type_name("SIZE");
}

Outcome<store::ImportResult> import(const CommonOptions& common,
                                    const store::ImportOptions& options, Io& io) {
  LAYERFS_TRY_ASSIGN(const store::Store store, store::Store::create(common.root));
  store::ImportProgress progress;
  const ProgressBars bars(io, progress);
  auto result = store::import_images(store, options, progress);
  if (result) refresh_image_store(store, io);
  return result;
}

}  // namespace

int run_import(const Args& args, Io& io) {
  CommandLine line("Take images into the store: verify, and unpack each layer once.",
                   "layerfs import");
  CommonOptions common;
  store::ImportOptions options;
  line.add_option("SOURCE", options.source,
                  "An OCI image layout (a directory), an OCI archive or a `docker save` archive; "
                  "- is standard input")
      .required();
  line.add_option("--name", options.name, "The image's name in the store, such as debian:12")
      .type_name("REF");
  line.add_option("--select", options.select, "One of several images in SOURCE, by its name there")
      .type_name("REF");
  line.add_option("--threads", options.threads, "Layers unpacked at a time (default: processors)");
  add_limits(line, options.limits);
  add_root_option(line, common);
  add_json_option(line, common);
  line.footer(kFooter);
  if (const std::optional<int> status = line.parse(args, io)) return *status;
  if (options.limits.document > store::kMaxDocument) {
    report(io, "--max-document may be 16M at most, which is what a store takes");
    return kUsage;
  }
  const sys::InterruptingSignals signals;
  if (!options.name.empty() && !store::parse_reference(options.name)) {
    report(io, "'" + options.name +
                   "' is no valid name for an image: [REGISTRY/]NAME[:TAG][@DIGEST], as in "
                   "localhost/t/base:1, and no digest alone");
    return kUsage;
  }
  const Outcome<store::ImportResult> result = import(common, options, io);
  if (!result) return report(io, result.error());
  for (const std::string& warning : result->warnings) warn(io, warning);
  common.json ? print_json(io, *result) : print_text(io, *result);
  return kDone;
}

}  // namespace layerfs::tools
