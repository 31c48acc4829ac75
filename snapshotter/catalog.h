// The snapshots as containerd knows them: rows in a database (doc/snapshotter.md). Rules between
// rows are kept here; what lies on the disk behind a row is not known here.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "snapshotter/info.h"
#include "snapshotter/sql.h"

namespace layerfs::snapshotter {

struct Row {
  std::int64_t id = 0;
  std::string key;
  std::optional<std::int64_t> parent;
  Kind kind = Kind::kActive;
  std::optional<std::string> dir;         // below snapshots/
  std::optional<std::string> layer;       // its key in the store, if committed
  std::optional<std::string> chain;       // hexadecimal, if committed and known
  std::optional<std::string> publishing;  // the layer's key to be
  std::int64_t created = 0;
  std::int64_t updated = 0;
  Usage usage;
};

// What becomes of a snapshot that is committed.
struct CommittedLayer {
  std::string layer;
  std::optional<std::string> chain;
  Usage usage;
};

// Every change is one transaction, on the disk when the call returns. Thread-safe.
class Catalog {
 public:
  static Answer<Catalog> open(const std::string& path);

  Answer<Row> find(const std::string& key) const;
  Answer<Info> info(const std::string& key) const;
  // Refuses a parent that does not exist (kNotFound) or is not committed (kInvalidArgument).
  Answer<std::optional<Row>> find_parent(const std::string& parent) const;
  // The row's parent, that one's parent, and so on.
  Answer<std::vector<Row>> ancestors(const Row& row) const;
  Answer<std::vector<Row>> rows() const;

  // A new active snapshot or view. Refuses a key that is taken.
  Answer<Row> create(const std::string& key, const std::string& parent, Kind kind,
                     const std::optional<std::string>& dir, const Labels& labels) const;
  // A new snapshot that is committed from the start.
  Answer<void> adopt(const std::string& name, const std::string& parent,
                     const CommittedLayer& committed, const Labels& labels) const;
  Answer<void> set_publishing(std::int64_t id, const std::optional<std::string>& layer) const;
  // The active snapshot `id` gets a new name and new labels, and is committed.
  Answer<void> commit(std::int64_t id, const std::string& name, const CommittedLayer& committed,
                      const Labels& labels) const;
  // Refuses one that is a parent.
  Answer<void> remove(const Row& row) const;
  // `mask`: "labels", "labels.NAME"; empty: all that can be changed. Returns the new state.
  Answer<Info> update(const Info& wanted, const std::vector<std::string>& mask) const;

  struct Page {
    std::vector<Info> infos;
    std::int64_t last_id = 0;
  };
  // At most `limit` snapshots behind the id, oldest first; none at the end.
  Answer<Page> page(std::int64_t after_id, int limit) const;

  // Whether there is a committed snapshot over `parent` (empty: none) with this kRefLabel.
  Answer<bool> has_reference(const std::string& parent, const std::string& reference) const;
  // The keys of all layers that rows name, committed or being published.
  Answer<std::set<std::string>> layers() const;
  Answer<bool> uses_layer(const std::string& layer) const;
  Answer<Labels> labels_of(std::int64_t id) const;

 private:
  explicit Catalog(Connection connection)
      : connection_(std::move(connection)), mutex_(std::make_unique<std::mutex>()) {}

  Answer<Row> find_locked(const std::string& key) const;
  Answer<std::optional<Row>> find_parent_locked(const std::string& parent) const;
  Answer<Info> info_locked(const Row& row) const;
  Answer<Labels> labels_locked(std::int64_t id) const;
  Answer<std::vector<Row>> select(const std::string& condition, std::int64_t value) const;
  Answer<void> put_labels(std::int64_t id, const Labels& labels) const;
  // Over the committed snapshot `parent`, if that is not empty; `row` lacks what follows from that.
  Answer<Row> add(Row row, const std::string& parent, const Labels& labels) const;
  Answer<std::int64_t> insert(const Row& row, const Labels& labels) const;

  Connection connection_;
  std::unique_ptr<std::mutex> mutex_;  // guards connection_
};

}  // namespace layerfs::snapshotter
