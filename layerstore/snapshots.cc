// Snapshots: creating, opening, listing and removing them. The class is in store.h.
#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <random>
#include <thread>

#include <fmt/chrono.h>
#include <nlohmann/json.hpp>

#include "fs/sys/file.h"
#include "fs/sys/trusted_dir.h"
#include "layerstore/file_util.h"
#include "layerstore/json_view.h"
#include "layerstore/layer_dir.h"
#include "layerstore/root_attributes.h"
#include "layerstore/store.h"

namespace layerfs::store {

namespace {

constexpr const char* kSnapshots = "snapshots";
constexpr const char* kRecord = "snapshot.json";
constexpr const char* kUpper = "fs";
constexpr const char* kWork = "work";
constexpr std::size_t kRecordLimit = 1 << 20;
constexpr std::size_t kMaxName = 128;

struct Record {
  std::string image;
  Digest manifest;
  std::vector<std::string> layers;  // keys, top first
  std::string created;
};

std::string now() {
  return fmt::format(
      "{:%Y-%m-%dT%H:%M:%SZ}",
      fmt::gmtime(std::chrono::system_clock::to_time_t(std::chrono::system_clock::now())));
}

std::string to_json(const Record& record) {
  const nlohmann::ordered_json json = {{"version", 1},
                                       {"image", record.image},
                                       {"manifest", record.manifest.text()},
                                       {"layers", record.layers},
                                       {"created", record.created}};
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

Outcome<Record> read_record(int dirfd, const std::string& name) {
  const std::string path = name + "/" + kRecord;
  const Result<std::string> text = read_file(dirfd, path, kRecordLimit);
  if (!text)
    return refuse_entry("cannot read the record of the snapshot '" + name + "'", text.error());
  const std::optional<JsonView> json = JsonView::parse(*text);
  const std::optional<Digest> manifest =
      json ? Digest::parse(json->text("manifest")) : std::nullopt;
  if (!manifest || json->number("version") != 1) {
    return refuse("the record of the snapshot '" + name + "' is broken");
  }
  return Record{json->text("image"), *manifest, json->texts("layers"), json->text("created")};
}

bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

Outcome<void> check_name(std::string_view name) {
  const bool good = !name.empty() && name.size() <= kMaxName && is_letter_or_digit(name[0]) &&
                    std::ranges::all_of(name, [](char c) {
                      return is_letter_or_digit(c) || c == '_' || c == '.' || c == '-';
                    });
  if (good) return {};
  return refuse("'" + std::string(name) +
                "' is no name for a snapshot: letters, digits, '_', '.' and '-', at most 128");
}

// "py-3f9a0c" for "localhost/t/py:1".
std::string fresh_name(const Image& image) {
  std::string base = image.name.substr(image.name.rfind('/') + 1);
  base = base.substr(0, base.find_first_of(":@"));
  if (!check_name(base) || base.size() > kMaxName / 2) base = "snapshot";
  std::random_device device;
  return base + fmt::format("-{:06x}", device() & 0xffffffU);
}

// Makes everything in the temporary; the rename to its name is the caller's.
Outcome<void> prepare(const TempDir& temporary, const Record& record,
                      const std::vector<Layer>& layers) {
  for (const char* name : {kUpper, kWork}) {
    if (Result<void> made = make_dir(temporary.fd(), name, 0755); !made) {
      return refuse("cannot make '" + temporary.path() + "/" + name + "'", made.error());
    }
  }
  const Result<sys::UniqueFd> upper = open_dir(temporary.fd(), kUpper);
  if (!upper) return refuse("cannot open '" + temporary.path() + "'", upper.error());
  LAYERFS_TRY(give_root_attributes(upper->get(), layers));
  if (Result<void> written = replace_file(temporary.fd(), kRecord, to_json(record)); !written) {
    return refuse("cannot write '" + temporary.path() + "/" + kRecord + "'", written.error());
  }
  return {};
}

Outcome<sys::UniqueFd> open_snapshots(const StoreDir& store) {
  Result<sys::UniqueFd> fd = open_dir(store.fd(), kSnapshots);
  if (!fd) return refuse_entry("cannot open '" + store.path(kSnapshots) + "'", fd.error());
  return std::move(*fd);
}

Outcome<std::vector<std::string>> names_in(const StoreDir& store, int snapshots) {
  Result<std::vector<std::string>> names = list_dir(snapshots, ".");
  if (!names) return refuse("cannot list '" + store.path(kSnapshots) + "'", names.error());
  return std::move(*names);
}

// The exclusive lock on a snapshot's directory; an empty descriptor if another has it.
Outcome<sys::UniqueFd> take(int snapshots, const std::string& name) {
  Result<sys::UniqueFd> fd = open_dir(snapshots, name);
  if (!fd && fd.error().code() == ENOENT) {
    return refuse("there is no snapshot '" + name + "': `layerfs snapshots` lists them", ENOENT);
  }
  if (!fd) return refuse_entry("cannot open the snapshot '" + name + "'", fd.error());
  LAYERFS_TRY(sys::check_trusted(fd->get(), std::string(kSnapshots) + "/" + name));
  if (::flock(fd->get(), LOCK_EX | LOCK_NB) == 0) return std::move(*fd);
  if (errno == EWOULDBLOCK) return sys::UniqueFd();
  return refuse("cannot lock the snapshot '" + name + "'", Errno::last());
}

Outcome<sys::UniqueFd> take_or_refuse(int snapshots, const std::string& name) {
  // Whoever lists the snapshots holds the lock for a moment.
  for (int attempt = 0; attempt < 20; ++attempt) {
    if (attempt > 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    LAYERFS_TRY_ASSIGN(sys::UniqueFd fd, take(snapshots, name));
    if (fd) return fd;
  }
  return refuse("the snapshot '" + name + "' is in use", EBUSY);
}

// The mount opens them by their paths: they are directories, and nobody but us and root can put
// others there.
Outcome<void> check_parts(int snapshot, const std::string& name) {
  for (const char* part : {kUpper, kWork}) {
    const auto dir = sys::open_beneath(snapshot, part, O_PATH | O_DIRECTORY);
    if (!dir) {
      return refuse_entry("cannot open '" + std::string(part) + "' of the snapshot '" + name + "'",
                          dir.error());
    }
  }
  return {};
}

Snapshot opened(const StoreDir& store, const std::string& name, const Record& record,
                std::vector<Layer> layers, sys::UniqueFd lease) {
  const std::string path = store.path(kSnapshots) + "/" + name;
  return {name,
          record.image,
          record.manifest,
          path + "/" + kUpper,
          path + "/" + kWork,
          std::move(layers),
          std::move(lease)};
}

}  // namespace

Outcome<Snapshot> Store::create_snapshot(const Image& image, std::string_view wanted) const {
  if (!wanted.empty()) LAYERFS_TRY(check_name(wanted));
  const std::string name = wanted.empty() ? fresh_name(image) : std::string(wanted);
  LAYERFS_TRY_ASSIGN(std::vector<Layer> leased, layers(image));
  Record record{image.name, image.manifest, {}, now()};
  for (const Layer& layer : leased) record.layers.push_back(layer.key);
  LAYERFS_TRY_ASSIGN(TempDir temporary, TempDir::make(dir_));
  LAYERFS_TRY(prepare(temporary, record, leased));
  // The temporary's lock goes with the directory, so that the snapshot is in use from the start.
  LAYERFS_TRY_ASSIGN(const sys::UniqueFd snapshots, open_snapshots(dir_));
  Result<sys::UniqueFd> lease = temporary.move_to(snapshots.get(), name);
  if (lease) return opened(dir_, name, record, std::move(leased), std::move(*lease));
  if (lease.error().code() == EEXIST) {
    return refuse("there is a snapshot '" + name + "' already", EEXIST);
  }
  return refuse("cannot make the snapshot '" + dir_.path(kSnapshots) + "/" + name + "'",
                lease.error());
}

Outcome<Snapshot> Store::open_snapshot(std::string_view wanted) const {
  LAYERFS_TRY(check_name(wanted));
  const std::string name(wanted);
  LAYERFS_TRY_ASSIGN(const sys::UniqueFd snapshots, open_snapshots(dir_));
  LAYERFS_TRY_ASSIGN(sys::UniqueFd lease, take_or_refuse(snapshots.get(), name));
  LAYERFS_TRY(check_parts(lease.get(), name));
  LAYERFS_TRY_ASSIGN(const Record record, read_record(snapshots.get(), name));
  std::vector<Layer> leased;
  for (const std::string& key : record.layers) {
    LAYERFS_TRY_ASSIGN(Layer layer, lease_layer(dir_, key));
    leased.push_back(std::move(layer));
  }
  return opened(dir_, name, record, std::move(leased), std::move(lease));
}

Outcome<std::vector<SnapshotInfo>> Store::snapshots() const {
  LAYERFS_TRY_ASSIGN(const sys::UniqueFd snapshots, open_snapshots(dir_));
  LAYERFS_TRY_ASSIGN(std::vector<std::string> names, names_in(dir_, snapshots.get()));
  std::ranges::sort(names);
  std::vector<SnapshotInfo> infos;
  for (const std::string& name : names) {
    if (!check_name(name)) continue;
    const Outcome<Record> record = read_record(snapshots.get(), name);
    if (!record) continue;  // being removed
    const Outcome<sys::UniqueFd> lease = take(snapshots.get(), name);
    infos.push_back({name, record->image, record->manifest.text(), record->created,
                     lease.has_value() && !*lease, record->layers});
  }
  return infos;
}

Outcome<std::vector<std::string>> Store::snapshot_layers() const {
  LAYERFS_TRY_ASSIGN(const sys::UniqueFd snapshots, open_snapshots(dir_));
  LAYERFS_TRY_ASSIGN(const std::vector<std::string> names, names_in(dir_, snapshots.get()));
  std::vector<std::string> keys;
  for (const std::string& name : names) {
    const Outcome<Record> record = read_record(snapshots.get(), name);
    // Removed in this moment.
    if (!record && record.error().code == ENOENT) continue;
    if (!record) return tl::make_unexpected(record.error());
    keys.insert(keys.end(), record->layers.begin(), record->layers.end());
  }
  return keys;
}

Outcome<void> Store::remove_snapshot(std::string_view wanted) const {
  LAYERFS_TRY(check_name(wanted));
  const std::string name(wanted);
  LAYERFS_TRY_ASSIGN(const sys::UniqueFd snapshots, open_snapshots(dir_));
  LAYERFS_TRY_ASSIGN(const sys::UniqueFd lease, take_or_refuse(snapshots.get(), name));
  // First out of sight, then away: a crash leaves an orphan in tmp, never half a snapshot.
  LAYERFS_TRY_ASSIGN(const TempDir temporary, TempDir::make(dir_));
  const Result<void> moved = move_entry(snapshots.get(), name, temporary.fd(), name);
  if (!moved) return refuse("cannot remove the snapshot '" + name + "'", moved.error());
  return {};
}

}  // namespace layerfs::store
