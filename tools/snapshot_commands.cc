// snapshots and gc.
#include <nlohmann/json.hpp>

#include "fs/sys/interruption.h"
#include "layerstore/collect.h"
#include "layerstore/store.h"
#include "tools/command_line.h"
#include "tools/human.h"
#include "tools/store_commands.h"

namespace layerfs::tools {

namespace {

int list_snapshots(const store::Store& store, bool json, Io& io) {
  const Outcome<std::vector<store::SnapshotInfo>> snapshots = store.snapshots();
  if (!snapshots) return report(io, snapshots.error());
  if (json) {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const store::SnapshotInfo& snapshot : *snapshots) {
      list.push_back({{"name", snapshot.name},
                      {"image", snapshot.image},
                      {"digest", snapshot.manifest},
                      {"created", snapshot.created},
                      {"inUse", snapshot.in_use}});
    }
    io.out.document(list.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
    return kDone;
  }
  std::vector<std::vector<std::string>> rows = {{"NAME", "IMAGE", "CREATED", "STATE"}};
  for (const store::SnapshotInfo& snapshot : *snapshots) {
    rows.push_back({snapshot.name, snapshot.image.empty() ? "-" : snapshot.image, snapshot.created,
                    snapshot.in_use ? "in use" : "kept"});
  }
  io.out.table(rows);
  return kDone;
}

}  // namespace

int run_snapshots(const Args& args, Io& io) {
  CommandLine line("List the writable directories of mounts, or remove some.", "layerfs snapshots");
  CommonOptions common;
  std::vector<std::string> removed;
  line.add_option("--rm", removed, "Remove these, with everything written in them")
      .type_name("NAME");
  add_root_option(line, common);
  add_json_option(line, common);
  if (const std::optional<int> status = line.parse(args, io)) return *status;
  const Outcome<store::Store> store = store::Store::open(common.root);
  if (!store) return report(io, store.error());
  if (removed.empty()) return list_snapshots(*store, common.json, io);
  int status = kDone;
  for (const std::string& name : removed) {
    const Outcome<void> done = store->remove_snapshot(name);
    if (!done) status = report(io, done.error());
  }
  return status;
}

int run_gc(const Args& args, Io& io) {
  CommandLine line("Remove layers and blobs that nothing needs.", "layerfs gc");
  CommonOptions common;
  add_root_option(line, common);
  line.footer("`layerfs rmi` does this by itself; it is needed after an import that was killed.");
  if (const std::optional<int> status = line.parse(args, io)) return *status;
  const sys::InterruptingSignals signals;
  const Outcome<store::Store> store = store::Store::open(common.root);
  if (!store) return report(io, store.error());
  const Outcome<store::Collected> collected = store::collect_garbage(*store, /*wait=*/true);
  if (!collected) return report(io, collected.error());
  io.out.print("removed {} and {}, {}\n", counted(collected->layers, "layer"),
               counted(collected->blobs, "blob"),
               human_size(collected->layer_bytes + collected->blob_bytes));
  return kDone;
}

}  // namespace layerfs::tools
