#include "snapshotter/commit.h"

#include <stdio.h>
#include <unistd.h>

#include <cerrno>

#include <spdlog/spdlog.h>

#include "fs/sys/interruption.h"
#include "layerstore/file_util.h"
#include "layerstore/layer_index.h"
#include "snapshotter/check.h"
#include "snapshotter/disk_usage.h"
#include "snapshotter/unpack_key.h"

namespace layerfs::snapshotter {

namespace {

// Of a chain, a layer's chain ID follows from its diffID (OCI image-spec, config.md).
bool leads_to(const std::optional<store::Digest>& parent, const store::Digest& diff_id,
              const store::Digest& chain) {
  if (!parent) return diff_id == chain;
  return store::Digest::of(parent->text() + " " + diff_id.text()) == chain;
}

}  // namespace

Answer<void> Snapshotter::commit(const std::string& name, const std::string& key,
                                 const Labels& labels) {
  LAYERFS_TRY(check_key(name, "name"));
  LAYERFS_TRY(check_key(key, "key"));
  LAYERFS_TRY(check_labels(labels));
  if (catalog_.find(name)) {
    return deny(Code::kAlreadyExists, "there is a snapshot '" + name + "' already");
  }
  LAYERFS_TRY_ASSIGN(const Row seen, catalog_.find(key));
  const IdLocks::Guard guard(id_locks_, seen.id);
  LAYERFS_TRY_ASSIGN(const Row row, catalog_.find(key));
  if (row.kind != Kind::kActive) {
    return deny(Code::kFailedPrecondition, "the snapshot '" + key + "' is not active");
  }
  if (options_.mount_here) LAYERFS_TRY(live_mounts_->drop(row.id));
  return Commit(*this, row, name, labels).run();
}

Answer<void> Snapshotter::Commit::run() {
  LAYERFS_TRY(find_chain());
  LAYERFS_TRY(measure());
  bool complete_now = !stored();
  while (true) {
    if (complete_now) LAYERFS_TRY(complete());
    LAYERFS_TRY_ASSIGN(const Layers::Locked locked, owner_.layers_->lock());
    if (const std::optional<std::string> key = stored()) {
      LAYERFS_TRY(adopt(locked, *key));
      break;
    }
    if (complete_now) return publish(locked);
    complete_now = true;  // what the store had has just been collected
  }
  owner_.workplaces_->remove(*row_.dir);
  return {};
}

Answer<void> Snapshotter::Commit::find_chain() {
  std::optional<store::Digest> chain = unpacked_chain(row_.key, name_);
  if (!chain) return {};
  if (row_.parent) {
    LAYERFS_TRY_ASSIGN(const std::vector<Row> ancestors, owner_.catalog_.ancestors(row_));
    if (!ancestors[0].chain) return {};
    parent_chain_ = store::Digest::parse_hex(*ancestors[0].chain);
  }
  if (const auto told = labels_.find(kDiffIdLabel); told != labels_.end()) {
    const std::optional<store::Digest> diff_id = store::Digest::parse(told->second);
    if (!diff_id || !leads_to(parent_chain_, *diff_id, *chain)) return {};
  }
  chain_ = chain;
  // By which Prepare finds it for another namespace.
  labels_[kRefLabel] = chain->text();
  return {};
}

Answer<void> Snapshotter::Commit::measure() {
  const Result<sys::UniqueFd> upper = store::open_dir(owner_.workplaces_->fd(), *row_.dir + "/fs");
  const Result<Usage> usage = upper ? disk_usage(upper->get()) : fail(upper.error());
  if (!usage && sys::interruption_requested()) return sys::interrupted();
  if (!usage) {
    return refuse("cannot measure '" + owner_.workplaces_->upper(*row_.dir) + "'", usage.error());
  }
  usage_ = *usage;
  return {};
}

std::optional<std::string> Snapshotter::Commit::stored() const {
  if (!chain_) return std::nullopt;
  const std::optional<store::KnownChain> known = owner_.layers_->find(*chain_);
  if (!known || known->parent_chain != parent_chain_) return std::nullopt;
  return known->key;
}

Answer<void> Snapshotter::Commit::write_record() const {
  store::LayerRecord record;
  if (chain_ && !parent_chain_) record.diff_id = chain_;
  record.size = static_cast<std::uint64_t>(usage_.size);
  record.entries = static_cast<std::uint64_t>(usage_.inodes);
  record.has_root = true;
  record.parent_chain = parent_chain_;
  const Result<sys::UniqueFd> dir = store::open_dir(owner_.workplaces_->fd(), *row_.dir);
  const Result<void> written =
      dir ? store::replace_file(dir->get(), store::kLayerRecord, store::write_layer_record(record))
          : fail(dir.error());
  if (!written) return refuse("cannot write the record of a layer", written.error());
  return {};
}

Answer<void> Snapshotter::Commit::complete() {
  LAYERFS_TRY(write_record());
  // Data before names, and before the index that speaks of it.
  if (owner_.options_.sync && ::syncfs(owner_.store_.dir().fd()) != 0) {
    return refuse("cannot write the layer to disk", Errno::last());
  }
  for (const std::string& problem :
       store::index_layers({{owner_.workplaces_->fd(), *row_.dir}}, 1)) {
    spdlog::warn("{}", problem);
  }
  return {};
}

Answer<void> Snapshotter::Commit::adopt(const Layers::Locked& locked, const std::string& key) {
  LAYERFS_TRY(owner_.layers_->pin(locked, key));
  Answer<void> done = owner_.catalog_.commit(row_.id, name_, {key, chain_->hex(), usage_}, labels_);
  if (!done) take_back(locked, key, false);
  return done;
}

Answer<void> Snapshotter::Commit::publish(const Layers::Locked& locked) {
  const std::string key = chain_ ? store::chain_key(*chain_) : "snap." + *row_.dir;
  LAYERFS_TRY(owner_.catalog_.set_publishing(row_.id, key));
  if (const Answer<void> pinned = owner_.layers_->pin(locked, key); !pinned) {
    take_back(locked, key, false);
    return pinned;
  }
  if (const Answer<void> moved = move_in(key); !moved) {
    take_back(locked, key, false);
    return moved;
  }
  const std::optional<std::string> chain = chain_ ? std::optional(chain_->hex()) : std::nullopt;
  Answer<void> done = owner_.catalog_.commit(row_.id, name_, {key, chain, usage_}, labels_);
  if (!done) {
    take_back(locked, key, true);
    return done;
  }
  static_cast<void>(store::remove_tree(owner_.store_.dir().fd(), Layers::directory(key) + "/work"));
  return {};
}

Answer<void> Snapshotter::Commit::move_in(const std::string& key) const {
  const int store = owner_.store_.dir().fd();
  const int workplaces = owner_.workplaces_->fd();
  const std::string to = Layers::directory(key);
  const Result<void> moved = store::move_entry(workplaces, *row_.dir, store, to, RENAME_NOREPLACE);
  if (!moved) {
    return refuse("cannot move a layer to '" + owner_.store_.dir().path(to) + "'", moved.error());
  }
  Result<void> synced = store::sync_dir(store, store::kLayers);
  if (synced) synced = store::sync_dir(workplaces, ".");
  if (synced) return {};
  static_cast<void>(store::move_entry(store, to, workplaces, *row_.dir));
  return refuse("cannot write '" + owner_.store_.dir().path(store::kLayers) + "' to disk",
                synced.error());
}

// As it was before; what cannot be taken back now, the next cleanup or start takes back.
void Snapshotter::Commit::take_back(const Layers::Locked& locked, const std::string& key,
                                    bool moved) {
  const Result<void> back =
      moved ? store::move_entry(owner_.store_.dir().fd(), Layers::directory(key),
                                owner_.workplaces_->fd(), *row_.dir)
            : Result<void>();
  if (!back) {
    spdlog::error("the layer '{}' cannot be moved back (errno {})", key, back.error().code());
    return;
  }
  const Answer<void> cleared = with_reserve(
      *owner_.reserve_, [&] { return owner_.catalog_.set_publishing(row_.id, std::nullopt); });
  if (!cleared) {
    spdlog::error("a commit cannot be taken back yet: {}", cleared.error().sentence);
    return;
  }
  const Answer<bool> used = owner_.catalog_.uses_layer(key);
  if (used && !*used) owner_.layers_->unpin(locked, key);
}

}  // namespace layerfs::snapshotter
