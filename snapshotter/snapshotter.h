// What the calls of containerd's snapshot service mean (doc/snapshotter.md). The semantics of each
// are those of containerd's interface Snapshotter.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "layerstore/store.h"
#include "snapshotter/catalog.h"
#include "snapshotter/id_locks.h"
#include "snapshotter/info.h"
#include "snapshotter/layers.h"
#include "snapshotter/live_mounts.h"
#include "snapshotter/refusal.h"
#include "snapshotter/reserve.h"
#include "snapshotter/workplaces.h"

namespace layerfs::snapshotter {

struct Options {
  // The mount helper that containerd calls: a name on its PATH, or an absolute path.
  std::string helper = "layerfs";
  // Mount here, by starting `helper`, and let containerd bind.
  bool mount_here = false;
  // Let containerd write the upper directory of a layer that it unpacks.
  bool direct_unpack = true;
  // Write a layer to the disk before it is committed.
  bool sync = true;
};

// Thread-safe. Whatever call fails has changed nothing.
class Snapshotter {
 public:
  // Makes the store if it is not there, and takes back what an earlier process left half done.
  // Refuses if another process serves the store.
  static Answer<std::unique_ptr<Snapshotter>> open(const std::string& root, const Options& options);

  Answer<std::vector<Mount>> prepare(const std::string& key, const std::string& parent,
                                     const Labels& labels);
  Answer<std::vector<Mount>> view(const std::string& key, const std::string& parent,
                                  const Labels& labels);
  Answer<std::vector<Mount>> mounts(const std::string& key);
  Answer<void> commit(const std::string& name, const std::string& key, const Labels& labels);
  Answer<void> remove(const std::string& key);
  Answer<Info> stat(const std::string& key) const;
  Answer<Info> update(const Info& wanted, const std::vector<std::string>& mask);
  Answer<Usage> usage(const std::string& key);
  Answer<void> cleanup();

  // Takes some at a time; false: it wants no more.
  using Sink = std::function<bool(const std::vector<Info>&)>;
  // No lock is held while the sink is called. A snapshot that is there throughout is listed once.
  Answer<void> list(const std::vector<std::string>& filters, const Sink& sink) const;

 private:
  class Commit;

  Snapshotter(store::Store store, const Options& options, sys::UniqueFd lock, Catalog catalog)
      : store_(std::move(store)),
        options_(options),
        lock_(std::move(lock)),
        catalog_(std::move(catalog)) {}

  Answer<void> start();
  Answer<void> take_back_publishing(const Row& row);
  Answer<void> take_back_all(const Layers::Locked& locked);
  Answer<void> sweep();

  Answer<std::vector<Mount>> create(Kind kind, const std::string& key, const std::string& parent,
                                    const Labels& labels);
  // What the labels of a new snapshot say of its layer.
  Answer<void> answer_reference(const std::string& parent, const std::string& reference);
  Answer<void> adopt_reference(const std::string& parent, const std::optional<Row>& over,
                               const store::Digest& chain);
  Answer<std::string> make_workplace(const std::vector<std::string>& layers);

  // The keys of the layers below, top first; none behind one that hides the rest.
  Answer<std::vector<std::string>> layers_below(const std::vector<Row>& ancestors);
  Answer<std::vector<Mount>> mounts_of(const Row& row);
  Answer<bool> may_unpack_directly(const Row& row, const std::vector<Row>& ancestors);
  Answer<MountPlan> plan_of(const Row& row, const std::vector<std::string>& layers);

  store::Store store_;
  const Options options_;
  const sys::UniqueFd lock_;
  const Catalog catalog_;
  std::unique_ptr<Layers> layers_;
  std::optional<Workplaces> workplaces_;
  std::optional<LiveMounts> live_mounts_;
  std::optional<Reserve> reserve_;
  IdLocks id_locks_;
};

}  // namespace layerfs::snapshotter
