#include <ctime>
#include <string>
#include <vector>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "tools/command_line.h"
#include "tools/mount_commands.h"
#include "tools/runtime_state.h"

namespace layerfs::tools {

namespace {

std::string utc(std::int64_t nanoseconds) {
  const auto time = static_cast<std::time_t>(nanoseconds / 1'000'000'000);
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(time));
}

nlohmann::json to_json(const LiveMount& mount) {
  const MountRecord& record = mount.record;
  nlohmann::json object = {
      {"mountpoint", record.mountpoint}, {"source", mount.source}, {"alive", mount.alive}};
  if (!mount.alive) return object;
  object["image"] = record.image;
  object["snapshot"] = record.snapshot;
  object["lowerdirs"] = record.lowerdirs;
  object["upperdir"] = record.upperdir;
  object["transport"] = record.transport;
  object["pid"] = record.pid;
  object["since"] = utc(record.since);
  return object;
}

using Row = std::vector<std::string>;

// What lies below, in few words: the image, or the topmost directory and how many more.
std::string below(const LiveMount& mount) {
  const MountRecord& record = mount.record;
  if (!mount.alive) return mount.source;
  if (!record.image.empty()) return record.image;
  if (record.lowerdirs.empty()) return "-";
  const std::size_t more = record.lowerdirs.size() - 1;
  return record.lowerdirs.front() + (more > 0 ? fmt::format(" and {} more", more) : "");
}

Row row_of(const LiveMount& mount) {
  const MountRecord& record = mount.record;
  if (!mount.alive) return {record.mountpoint, below(mount), "?", "-", "no daemon known"};
  const std::string upper = !record.snapshot.empty()   ? "snapshot " + record.snapshot
                            : !record.upperdir.empty() ? record.upperdir
                                                       : "read-only";
  return {record.mountpoint, below(mount), upper, std::to_string(record.pid), utc(record.since)};
}

}  // namespace

int run_ps(const Args& args, Io& io) {
  CommandLine line("List the mounts of layerfs", "layerfs ps");
  CommonOptions common;
  add_json_option(line, common);
  if (const auto status = line.parse(args, io)) return *status;
  const auto mounts = live_mounts();
  if (!mounts) return report(io, mounts.error());
  if (common.json) {
    nlohmann::json list = nlohmann::json::array();
    for (const LiveMount& mount : *mounts) list.push_back(to_json(mount));
    // Names need not be UTF-8.
    io.out.document(list.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
    return kDone;
  }
  std::vector<Row> rows = {{"MOUNT POINT", "LAYERS", "WRITES GO TO", "PID", "SINCE"}};
  for (const LiveMount& mount : *mounts) rows.push_back(row_of(mount));
  io.out.table(rows);
  return kDone;
}

}  // namespace layerfs::tools
