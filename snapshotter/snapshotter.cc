#include "snapshotter/snapshotter.h"

#include <algorithm>
#include <utility>

#include "layerstore/file_util.h"
#include "layerstore/layer_dir.h"
#include "snapshotter/check.h"
#include "snapshotter/disk_usage.h"
#include "snapshotter/filter.h"
#include "snapshotter/id_mapping.h"
#include "snapshotter/unpack_key.h"

namespace layerfs::snapshotter {

namespace {

constexpr int kPage = 100;

Outcome<Usage> usage_of(int dirfd, const std::string& path) {
  const Result<sys::UniqueFd> dir = store::open_dir(dirfd, path);
  const Result<Usage> usage = dir ? disk_usage(dir->get()) : fail(dir.error());
  if (!usage) return refuse("cannot measure '" + path + "'", usage.error());
  return *usage;
}

}  // namespace

Answer<std::vector<Mount>> Snapshotter::prepare(const std::string& key, const std::string& parent,
                                                const Labels& labels) {
  return create(Kind::kActive, key, parent, labels);
}

Answer<std::vector<Mount>> Snapshotter::view(const std::string& key, const std::string& parent,
                                             const Labels& labels) {
  return create(Kind::kView, key, parent, labels);
}

Answer<std::vector<Mount>> Snapshotter::create(Kind kind, const std::string& key,
                                               const std::string& parent, const Labels& labels) {
  LAYERFS_TRY(check_key(key, "key"));
  LAYERFS_TRY(check_labels(labels));
  LAYERFS_TRY(id_mapping_options(labels));
  if (parent.empty() && has_id_mapping(labels)) {
    return deny(Code::kInvalidArgument, "ids are mapped over layers only: name a parent");
  }
  const auto reference = labels.find(kRefLabel);
  if (kind == Kind::kActive && reference != labels.end()) {
    LAYERFS_TRY(answer_reference(parent, reference->second));
  }
  if (catalog_.find(key)) {
    return deny(Code::kAlreadyExists, "there is a snapshot '" + key + "' already");
  }
  LAYERFS_TRY_ASSIGN(const std::optional<Row> over, catalog_.find_parent(parent));
  std::optional<std::string> workplace;
  if (kind == Kind::kActive || !over) {
    std::vector<std::string> below;
    if (over) {
      LAYERFS_TRY_ASSIGN(std::vector<Row> ancestors, catalog_.ancestors(*over));
      ancestors.insert(ancestors.begin(), *over);
      LAYERFS_TRY_ASSIGN(below, layers_below(ancestors));
    }
    LAYERFS_TRY_ASSIGN(workplace, make_workplace(below));
  }
  const Answer<Row> row = catalog_.create(key, parent, kind, workplace, labels);
  if (!row) {
    if (workplace) workplaces_->remove(*workplace);
    return tl::make_unexpected(row.error());
  }
  Answer<std::vector<Mount>> mounts = mounts_of(*row);
  // Nobody has been told of it.
  if (!mounts) static_cast<void>(remove(key));
  return mounts;
}

Answer<std::string> Snapshotter::make_workplace(const std::vector<std::string>& layers) {
  std::vector<store::Layer> with_root;
  for (const std::string& key : layers) {
    LAYERFS_TRY_ASSIGN(const LayerFacts facts, layers_->facts(key));
    if (!facts.has_root) continue;
    LAYERFS_TRY_ASSIGN(store::Layer layer, store::lease_layer(store_.dir(), key));
    with_root.push_back(std::move(layer));
    break;
  }
  return workplaces_->make(with_root);
}

// Refuses with kAlreadyExists if there is a committed snapshot of this layer now, by which
// containerd need not unpack it.
Answer<void> Snapshotter::answer_reference(const std::string& parent,
                                           const std::string& reference) {
  const std::optional<store::Digest> chain = store::Digest::parse(reference);
  if (!chain) return {};
  LAYERFS_TRY_ASSIGN(const bool known, catalog_.has_reference(parent, reference));
  if (!known) {
    LAYERFS_TRY_ASSIGN(const std::optional<Row> over, catalog_.find_parent(parent));
    const std::optional<store::KnownChain> found = layers_->find(*chain);
    if (!found) return {};
    const std::optional<std::string> below =
        found->parent_chain ? std::optional(found->parent_chain->hex()) : std::nullopt;
    if (over.has_value() != below.has_value() || (over && over->chain != below)) return {};
    LAYERFS_TRY(adopt_reference(parent, over, *chain));
  }
  return deny(Code::kAlreadyExists, "the layer " + reference + " is in the store");
}

Answer<void> Snapshotter::adopt_reference(const std::string& parent, const std::optional<Row>& over,
                                          const store::Digest& chain) {
  LAYERFS_TRY_ASSIGN(const Layers::Locked locked, layers_->lock());
  // Again, now that it cannot be collected.
  const std::optional<store::KnownChain> found = layers_->find(chain);
  if (!found) return deny(Code::kInternal, "the layer " + chain.text() + " has just been removed");
  LAYERFS_TRY_ASSIGN(const Usage usage, usage_of(store_.dir().fd(), Layers::directory(found->key) +
                                                                        "/" + store::kLayerTree));
  LAYERFS_TRY(layers_->pin(locked, found->key));
  const CommittedLayer committed{found->key, chain.hex(), usage};
  const Labels labels{{kRefLabel, chain.text()}};
  std::string name = chain.text();
  Answer<void> adopted = catalog_.adopt(name, parent, committed, labels);
  if (!adopted && adopted.error().code == Code::kAlreadyExists) {
    // Over another snapshot of the same layers.
    name += over ? "@" + std::to_string(over->id) : "@";
    adopted = catalog_.adopt(name, parent, committed, labels);
  }
  if (adopted) return {};
  const Answer<bool> used = catalog_.uses_layer(found->key);
  if (used && !*used) layers_->unpin(locked, found->key);
  return adopted;
}

Answer<std::vector<Mount>> Snapshotter::mounts(const std::string& key) {
  LAYERFS_TRY(check_key(key, "key"));
  LAYERFS_TRY_ASSIGN(const Row row, catalog_.find(key));
  if (row.kind == Kind::kCommitted) {
    return deny(Code::kFailedPrecondition, "the snapshot '" + key + "' is committed");
  }
  return mounts_of(row);
}

Answer<std::vector<std::string>> Snapshotter::layers_below(const std::vector<Row>& ancestors) {
  std::vector<std::string> keys;
  for (const Row& row : ancestors) {
    if (!row.layer) return deny(Code::kInternal, "'" + row.key + "' is a parent without a layer");
    // A layer hides all that the same layer further down would show.
    if (std::ranges::find(keys, *row.layer) != keys.end()) continue;
    keys.push_back(*row.layer);
    LAYERFS_TRY_ASSIGN(const LayerFacts facts, layers_->facts(*row.layer));
    if (facts.opaque_root) break;
  }
  return keys;
}

Answer<bool> Snapshotter::may_unpack_directly(const Row& row, const std::vector<Row>& ancestors) {
  if (!options_.direct_unpack || row.kind != Kind::kActive || !is_unpack_key(row.key)) return false;
  for (const Row& ancestor : ancestors) {
    if (!ancestor.chain) return false;
    LAYERFS_TRY_ASSIGN(const LayerFacts facts, layers_->facts(*ancestor.layer));
    if (!facts.real) return false;
  }
  return true;
}

Answer<MountPlan> Snapshotter::plan_of(const Row& row, const std::vector<std::string>& layers) {
  MountPlan plan;
  LAYERFS_TRY_ASSIGN(const Labels labels, catalog_.labels_of(row.id));
  LAYERFS_TRY_ASSIGN(plan.more, id_mapping_options(labels));
  bool has_root = false;
  for (const std::string& key : layers) {
    plan.lowers.push_back(layers_->tree(key));
    plan.indexes.push_back(layers_->index(key));
    LAYERFS_TRY_ASSIGN(const LayerFacts facts, layers_->facts(key));
    if (facts.has_root && !has_root) plan.root = plan.lowers.size() - 1;
    has_root = has_root || facts.has_root;
  }
  if (row.kind == Kind::kActive) {
    plan.upper = workplaces_->upper(*row.dir);
    plan.work = workplaces_->work(*row.dir);
  }
  return plan;
}

Answer<std::vector<Mount>> Snapshotter::mounts_of(const Row& row) {
  if (!row.parent) {
    return std::vector{bind_mount(workplaces_->upper(*row.dir), row.kind == Kind::kView)};
  }
  LAYERFS_TRY_ASSIGN(const std::vector<Row> ancestors, catalog_.ancestors(row));
  LAYERFS_TRY_ASSIGN(const std::vector<std::string> layers, layers_below(ancestors));
  LAYERFS_TRY_ASSIGN(const MountPlan plan, plan_of(row, layers));
  LAYERFS_TRY_ASSIGN(const bool direct, may_unpack_directly(row, ancestors));
  if (direct) return std::vector{overlay_mount(plan)};
  if (!options_.mount_here) return std::vector{layerfs_mount(plan, options_.helper)};
  const IdLocks::Guard guard(id_locks_, row.id);
  LAYERFS_TRY_ASSIGN(const Row still, catalog_.find(row.key));
  if (still.id != row.id || still.kind == Kind::kCommitted) {
    return deny(Code::kNotFound, "the snapshot '" + row.key + "' has just been removed");
  }
  LAYERFS_TRY_ASSIGN(const std::string point, live_mounts_->ensure(row.id, plan));
  return std::vector{bind_mount(point, row.kind == Kind::kView)};
}

Answer<void> Snapshotter::remove(const std::string& key) {
  LAYERFS_TRY(check_key(key, "key"));
  LAYERFS_TRY_ASSIGN(const Row seen, catalog_.find(key));
  const IdLocks::Guard guard(id_locks_, seen.id);
  LAYERFS_TRY_ASSIGN(const Row row, catalog_.find(key));
  if (row.id != seen.id) return deny(Code::kNotFound, "the snapshot '" + key + "' was removed");
  {
    LAYERFS_TRY_ASSIGN(const Layers::Locked locked, layers_->lock());
    LAYERFS_TRY(with_reserve(*reserve_, [&] { return catalog_.remove(row); }));
    if (row.layer) {
      LAYERFS_TRY_ASSIGN(const bool used, catalog_.uses_layer(*row.layer));
      if (!used) layers_->unpin(locked, *row.layer);
    }
  }
  // The row is gone: from here on everything can be left to the next start.
  if (options_.mount_here) static_cast<void>(live_mounts_->drop(row.id));
  if (row.dir) workplaces_->remove(*row.dir);
  reserve_->refill();
  return {};
}

Answer<Info> Snapshotter::stat(const std::string& key) const {
  LAYERFS_TRY(check_key(key, "key"));
  return catalog_.info(key);
}

Answer<Info> Snapshotter::update(const Info& wanted, const std::vector<std::string>& mask) {
  LAYERFS_TRY(check_key(wanted.name, "name"));
  LAYERFS_TRY(check_labels(wanted.labels));
  LAYERFS_TRY(id_mapping_options(wanted.labels));
  return catalog_.update(wanted, mask);
}

Answer<Usage> Snapshotter::usage(const std::string& key) {
  LAYERFS_TRY(check_key(key, "key"));
  LAYERFS_TRY_ASSIGN(const Row row, catalog_.find(key));
  if (row.kind != Kind::kActive) return row.usage;
  LAYERFS_TRY_ASSIGN(const Usage usage, usage_of(workplaces_->fd(), *row.dir + "/fs"));
  return usage;
}

Answer<void> Snapshotter::list(const std::vector<std::string>& filters, const Sink& sink) const {
  LAYERFS_TRY_ASSIGN(const Filters wanted, Filters::parse(filters));
  std::int64_t last = 0;
  while (true) {
    LAYERFS_TRY_ASSIGN(const Catalog::Page page, catalog_.page(last, kPage));
    if (page.infos.empty()) return {};
    last = page.last_id;
    std::vector<Info> matching;
    for (const Info& info : page.infos) {
      if (wanted.match(info)) matching.push_back(info);
    }
    if (!matching.empty() && !sink(matching)) return {};
  }
}

Answer<void> Snapshotter::cleanup() {
  {
    LAYERFS_TRY_ASSIGN(const Layers::Locked locked, layers_->lock());
    LAYERFS_TRY(take_back_all(locked));
  }
  Answer<void> collected = layers_->collect();
  reserve_->refill();
  return collected;
}

}  // namespace layerfs::snapshotter
