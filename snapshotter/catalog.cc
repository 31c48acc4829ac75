#include "snapshotter/catalog.h"

#include <chrono>
#include <utility>

namespace layerfs::snapshotter {

namespace {

constexpr int kVersion = 1;

constexpr const char* kSchema = R"(
  CREATE TABLE snapshots (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    parent INTEGER REFERENCES snapshots (id),
    kind INTEGER NOT NULL,
    dir TEXT,
    layer TEXT,
    chain TEXT,
    publishing TEXT,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    size INTEGER NOT NULL,
    inodes INTEGER NOT NULL
  );
  CREATE INDEX children ON snapshots (parent);
  CREATE INDEX layers ON snapshots (layer);
  CREATE TABLE labels (
    snapshot INTEGER NOT NULL REFERENCES snapshots (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (snapshot, name)
  ) WITHOUT ROWID;
  PRAGMA user_version = 1;
)";

constexpr const char* kSelect =
    "SELECT id, key, parent, kind, dir, layer, chain, publishing, created, updated, size, inodes "
    "FROM snapshots ";

Row read_row(const Statement& statement) {
  Row row;
  row.id = statement.integer(0);
  row.key = statement.text(1);
  row.parent = statement.optional_integer(2);
  row.kind = static_cast<Kind>(statement.integer(3));
  row.dir = statement.optional_text(4);
  row.layer = statement.optional_text(5);
  row.chain = statement.optional_text(6);
  row.publishing = statement.optional_text(7);
  row.created = statement.integer(8);
  row.updated = statement.integer(9);
  row.usage = {statement.integer(10), statement.integer(11)};
  return row;
}

std::int64_t now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// Keys may be long, and come from outside.
std::string shown(const std::string& key) {
  constexpr std::size_t kMax = 200;
  return key.size() <= kMax ? "'" + key + "'" : "'" + key.substr(0, kMax) + "...'";
}

tl::unexpected<Refusal> unknown(const std::string& key) {
  return deny(Code::kNotFound, "there is no snapshot " + shown(key));
}

Answer<void> apply_mask(const Info& wanted, const std::vector<std::string>& mask, Labels& labels) {
  constexpr std::string_view kLabel = "labels.";
  if (mask.empty()) labels = wanted.labels;
  for (const std::string& field : mask) {
    if (field == "labels") {
      labels = wanted.labels;
    } else if (field.starts_with(kLabel)) {
      const std::string name = field.substr(kLabel.size());
      const auto value = wanted.labels.find(name);
      labels[name] = value == wanted.labels.end() ? "" : value->second;
    } else {
      return deny(Code::kInvalidArgument, "the field " + shown(field) + " of the snapshot " +
                                              shown(wanted.name) + " cannot be updated");
    }
  }
  return {};
}

}  // namespace

Answer<Catalog> Catalog::open(const std::string& path) {
  LAYERFS_TRY_ASSIGN(Connection connection, Connection::open(path));
  std::int64_t version = 0;
  {
    LAYERFS_TRY_ASSIGN(Statement statement, connection.prepare("PRAGMA user_version"));
    LAYERFS_TRY(statement.step());
    version = statement.integer(0);
  }
  if (version == 0) {
    LAYERFS_TRY_ASSIGN(Transaction transaction, Transaction::begin(connection));
    LAYERFS_TRY(connection.execute(kSchema));
    LAYERFS_TRY(transaction.commit());
  } else if (version != kVersion) {
    return deny(Code::kInternal, "'" + path + "' was written by a newer layerfs-snapshotter");
  }
  return Catalog(std::move(connection));
}

Answer<std::vector<Row>> Catalog::select(const std::string& condition, std::int64_t value) const {
  LAYERFS_TRY_ASSIGN(Statement statement, connection_.prepare(kSelect + condition));
  statement.bind(value);
  std::vector<Row> rows;
  while (true) {
    LAYERFS_TRY_ASSIGN(const bool more, statement.step());
    if (!more) return rows;
    rows.push_back(read_row(statement));
  }
}

Answer<Row> Catalog::find_locked(const std::string& key) const {
  LAYERFS_TRY_ASSIGN(Statement statement,
                     connection_.prepare(std::string(kSelect) + "WHERE key = ?"));
  LAYERFS_TRY_ASSIGN(const bool found, statement.bind(std::string_view(key)).step());
  if (!found) return unknown(key);
  return read_row(statement);
}

Answer<Row> Catalog::find(const std::string& key) const {
  const std::lock_guard lock(*mutex_);
  return find_locked(key);
}

Answer<std::optional<Row>> Catalog::find_parent_locked(const std::string& parent) const {
  if (parent.empty()) return std::nullopt;
  LAYERFS_TRY_ASSIGN(Row row, find_locked(parent));
  if (row.kind != Kind::kCommitted) {
    return deny(Code::kInvalidArgument, "the parent " + shown(parent) + " is not committed");
  }
  return row;
}

Answer<std::optional<Row>> Catalog::find_parent(const std::string& parent) const {
  const std::lock_guard lock(*mutex_);
  return find_parent_locked(parent);
}

Answer<Labels> Catalog::labels_locked(std::int64_t id) const {
  LAYERFS_TRY_ASSIGN(Statement statement,
                     connection_.prepare("SELECT name, value FROM labels WHERE snapshot = ?"));
  statement.bind(id);
  Labels labels;
  while (true) {
    LAYERFS_TRY_ASSIGN(const bool more, statement.step());
    if (!more) return labels;
    labels.emplace(statement.text(0), statement.text(1));
  }
}

Answer<Labels> Catalog::labels_of(std::int64_t id) const {
  const std::lock_guard lock(*mutex_);
  return labels_locked(id);
}

Answer<Info> Catalog::info_locked(const Row& row) const {
  Info info{row.key, "", row.kind, row.created, row.updated, {}};
  if (row.parent) {
    LAYERFS_TRY_ASSIGN(const std::vector<Row> parent, select("WHERE id = ?", *row.parent));
    if (!parent.empty()) info.parent = parent[0].key;
  }
  LAYERFS_TRY_ASSIGN(info.labels, labels_locked(row.id));
  return info;
}

Answer<Info> Catalog::info(const std::string& key) const {
  const std::lock_guard lock(*mutex_);
  LAYERFS_TRY_ASSIGN(const Row row, find_locked(key));
  return info_locked(row);
}

Answer<std::vector<Row>> Catalog::ancestors(const Row& row) const {
  const std::lock_guard lock(*mutex_);
  std::vector<Row> rows;
  for (std::optional<std::int64_t> id = row.parent; id; id = rows.back().parent) {
    LAYERFS_TRY_ASSIGN(std::vector<Row> found, select("WHERE id = ?", *id));
    if (found.empty()) return unknown(row.key);
    rows.push_back(std::move(found[0]));
  }
  return rows;
}

Answer<std::vector<Row>> Catalog::rows() const {
  const std::lock_guard lock(*mutex_);
  return select("WHERE id > ? ORDER BY id", 0);
}

Answer<void> Catalog::put_labels(std::int64_t id, const Labels& labels) const {
  {
    LAYERFS_TRY_ASSIGN(Statement statement,
                       connection_.prepare("DELETE FROM labels WHERE snapshot = ?"));
    LAYERFS_TRY(statement.bind(id).run());
  }
  for (const auto& [name, value] : labels) {
    if (value.empty()) continue;
    LAYERFS_TRY_ASSIGN(Statement statement,
                       connection_.prepare("INSERT INTO labels VALUES (?, ?, ?)"));
    LAYERFS_TRY(
        statement.bind(id).bind(std::string_view(name)).bind(std::string_view(value)).run());
  }
  return {};
}

// Within a transaction of the caller's.
Answer<std::int64_t> Catalog::insert(const Row& row, const Labels& labels) const {
  if (find_locked(row.key)) {
    return deny(Code::kAlreadyExists, "there is a snapshot " + shown(row.key) + " already");
  }
  LAYERFS_TRY_ASSIGN(
      Statement statement,
      connection_.prepare("INSERT INTO snapshots (key, parent, kind, dir, layer, chain, created, "
                          "updated, size, inodes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"));
  statement.bind(std::string_view(row.key)).bind(row.parent);
  statement.bind(static_cast<std::int64_t>(row.kind)).bind(row.dir).bind(row.layer);
  statement.bind(row.chain).bind(row.created).bind(row.updated);
  LAYERFS_TRY(statement.bind(row.usage.size).bind(row.usage.inodes).run());
  const std::int64_t id = connection_.last_id();
  LAYERFS_TRY(put_labels(id, labels));
  return id;
}

Answer<Row> Catalog::add(Row row, const std::string& parent, const Labels& labels) const {
  const std::lock_guard lock(*mutex_);
  LAYERFS_TRY_ASSIGN(Transaction transaction, Transaction::begin(connection_));
  LAYERFS_TRY_ASSIGN(const std::optional<Row> over, find_parent_locked(parent));
  if (over) row.parent = over->id;
  row.created = row.updated = now();
  LAYERFS_TRY_ASSIGN(row.id, insert(row, labels));
  LAYERFS_TRY(transaction.commit());
  return row;
}

Answer<Row> Catalog::create(const std::string& key, const std::string& parent, Kind kind,
                            const std::optional<std::string>& dir, const Labels& labels) const {
  Row row;
  row.key = key;
  row.kind = kind;
  row.dir = dir;
  return add(std::move(row), parent, labels);
}

Answer<void> Catalog::adopt(const std::string& name, const std::string& parent,
                            const CommittedLayer& committed, const Labels& labels) const {
  Row row;
  row.key = name;
  row.kind = Kind::kCommitted;
  row.layer = committed.layer;
  row.chain = committed.chain;
  row.usage = committed.usage;
  LAYERFS_TRY(add(std::move(row), parent, labels));
  return {};
}

Answer<void> Catalog::set_publishing(std::int64_t id,
                                     const std::optional<std::string>& layer) const {
  const std::lock_guard lock(*mutex_);
  LAYERFS_TRY_ASSIGN(Statement statement,
                     connection_.prepare("UPDATE snapshots SET publishing = ? WHERE id = ?"));
  return statement.bind(layer).bind(id).run();
}

Answer<void> Catalog::commit(std::int64_t id, const std::string& name,
                             const CommittedLayer& committed, const Labels& labels) const {
  const std::lock_guard lock(*mutex_);
  LAYERFS_TRY_ASSIGN(Transaction transaction, Transaction::begin(connection_));
  if (find_locked(name)) {
    return deny(Code::kAlreadyExists, "there is a snapshot " + shown(name) + " already");
  }
  const std::int64_t at = now();
  {
    LAYERFS_TRY_ASSIGN(
        Statement statement,
        connection_.prepare("UPDATE snapshots SET key = ?, kind = ?, dir = NULL, layer = ?, "
                            "chain = ?, publishing = NULL, created = ?, updated = ?, size = ?, "
                            "inodes = ? WHERE id = ?"));
    statement.bind(std::string_view(name)).bind(static_cast<std::int64_t>(Kind::kCommitted));
    statement.bind(std::string_view(committed.layer)).bind(committed.chain).bind(at).bind(at);
    statement.bind(committed.usage.size).bind(committed.usage.inodes);
    LAYERFS_TRY(statement.bind(id).run());
  }
  LAYERFS_TRY(put_labels(id, labels));
  return transaction.commit();
}

Answer<void> Catalog::remove(const Row& row) const {
  const std::lock_guard lock(*mutex_);
  LAYERFS_TRY_ASSIGN(Transaction transaction, Transaction::begin(connection_));
  LAYERFS_TRY_ASSIGN(const std::vector<Row> children, select("WHERE parent = ? LIMIT 1", row.id));
  if (!children.empty()) {
    return deny(Code::kFailedPrecondition, "cannot remove the snapshot " + shown(row.key) + ": " +
                                               shown(children[0].key) + " is over it");
  }
  {
    LAYERFS_TRY_ASSIGN(Statement statement,
                       connection_.prepare("DELETE FROM snapshots WHERE id = ? AND key = ?"));
    LAYERFS_TRY(statement.bind(row.id).bind(std::string_view(row.key)).run());
  }
  if (connection_.changes() == 0) return unknown(row.key);
  return transaction.commit();
}

Answer<Info> Catalog::update(const Info& wanted, const std::vector<std::string>& mask) const {
  const std::lock_guard lock(*mutex_);
  LAYERFS_TRY_ASSIGN(Transaction transaction, Transaction::begin(connection_));
  LAYERFS_TRY_ASSIGN(Row row, find_locked(wanted.name));
  LAYERFS_TRY_ASSIGN(Labels labels, labels_locked(row.id));
  LAYERFS_TRY(apply_mask(wanted, mask, labels));
  LAYERFS_TRY(put_labels(row.id, labels));
  row.updated = now();
  {
    LAYERFS_TRY_ASSIGN(Statement statement,
                       connection_.prepare("UPDATE snapshots SET updated = ? WHERE id = ?"));
    LAYERFS_TRY(statement.bind(row.updated).bind(row.id).run());
  }
  LAYERFS_TRY_ASSIGN(Info info, info_locked(row));
  LAYERFS_TRY(transaction.commit());
  return info;
}

Answer<Catalog::Page> Catalog::page(std::int64_t after_id, int limit) const {
  const std::lock_guard lock(*mutex_);
  LAYERFS_TRY_ASSIGN(const std::vector<Row> rows,
                     select("WHERE id > ? ORDER BY id LIMIT " + std::to_string(limit), after_id));
  Page page;
  for (const Row& row : rows) {
    LAYERFS_TRY_ASSIGN(Info info, info_locked(row));
    page.infos.push_back(std::move(info));
    page.last_id = row.id;
  }
  return page;
}

Answer<bool> Catalog::has_reference(const std::string& parent, const std::string& reference) const {
  const std::lock_guard lock(*mutex_);
  LAYERFS_TRY_ASSIGN(const std::optional<Row> over, find_parent_locked(parent));
  LAYERFS_TRY_ASSIGN(
      Statement statement,
      connection_.prepare("SELECT 1 FROM snapshots JOIN labels ON snapshot = id WHERE kind = 3 AND "
                          "parent IS ? AND name = ? AND value = ?"));
  statement.bind(over ? std::optional(over->id) : std::nullopt);
  return statement.bind(std::string_view(kRefLabel)).bind(std::string_view(reference)).step();
}

Answer<std::set<std::string>> Catalog::layers() const {
  const std::lock_guard lock(*mutex_);
  LAYERFS_TRY_ASSIGN(const std::vector<Row> rows, select("WHERE id > ?", 0));
  std::set<std::string> keys;
  for (const Row& row : rows) {
    if (row.layer) keys.insert(*row.layer);
    if (row.publishing) keys.insert(*row.publishing);
  }
  return keys;
}

Answer<bool> Catalog::uses_layer(const std::string& layer) const {
  const std::lock_guard lock(*mutex_);
  LAYERFS_TRY_ASSIGN(
      Statement statement,
      connection_.prepare("SELECT 1 FROM snapshots WHERE layer = ? OR publishing = ?"));
  return statement.bind(std::string_view(layer)).bind(std::string_view(layer)).step();
}

}  // namespace layerfs::snapshotter
