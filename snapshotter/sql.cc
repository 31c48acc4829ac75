#include "snapshotter/sql.h"

#include <sqlite3.h>

namespace layerfs::snapshotter {

namespace {

constexpr int kBusyMilliseconds = 10'000;

tl::unexpected<Refusal> database_refusal(sqlite3* connection) {
  const int code = ::sqlite3_errcode(connection);
  return deny(code == SQLITE_FULL ? Code::kExhausted : Code::kInternal,
              std::string("the snapshot database refuses: ") + ::sqlite3_errmsg(connection));
}

}  // namespace

void Statement::Finalize::operator()(sqlite3_stmt* statement) const {
  ::sqlite3_finalize(statement);
}

void Connection::Close::operator()(sqlite3* connection) const { ::sqlite3_close_v2(connection); }

// A failed bind leaves NULL, which the columns' constraints refuse.
Statement& Statement::bind(std::int64_t value) {
  ::sqlite3_bind_int64(statement_.get(), next_++, value);
  return *this;
}

Statement& Statement::bind(std::string_view value) {
  ::sqlite3_bind_text64(statement_.get(), next_++, value.data(), value.size(), SQLITE_TRANSIENT,
                        SQLITE_UTF8);
  return *this;
}

Statement& Statement::bind(const std::optional<std::int64_t>& value) {
  if (value) return bind(*value);
  ::sqlite3_bind_null(statement_.get(), next_++);
  return *this;
}

Statement& Statement::bind(const std::optional<std::string>& value) {
  if (value) return bind(std::string_view(*value));
  ::sqlite3_bind_null(statement_.get(), next_++);
  return *this;
}

Answer<bool> Statement::step() {
  const int status = ::sqlite3_step(statement_.get());
  if (status == SQLITE_ROW) return true;
  if (status == SQLITE_DONE) return false;
  return database_refusal(::sqlite3_db_handle(statement_.get()));
}

Answer<void> Statement::run() {
  LAYERFS_TRY(step());
  return {};
}

std::int64_t Statement::integer(int column) const {
  return ::sqlite3_column_int64(statement_.get(), column);
}

std::string Statement::text(int column) const {
  const unsigned char* text = ::sqlite3_column_text(statement_.get(), column);
  const int size = ::sqlite3_column_bytes(statement_.get(), column);
  if (!text) return {};
  return {reinterpret_cast<const char*>(text), static_cast<std::size_t>(size)};
}

std::optional<std::int64_t> Statement::optional_integer(int column) const {
  if (::sqlite3_column_type(statement_.get(), column) == SQLITE_NULL) return std::nullopt;
  return integer(column);
}

std::optional<std::string> Statement::optional_text(int column) const {
  if (::sqlite3_column_type(statement_.get(), column) == SQLITE_NULL) return std::nullopt;
  return text(column);
}

Answer<Connection> Connection::open(const std::string& path) {
  sqlite3* raw = nullptr;
  const int status = ::sqlite3_open_v2(
      path.c_str(), &raw,
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX | SQLITE_OPEN_NOFOLLOW,
      nullptr);
  Connection connection(raw);
  if (status != SQLITE_OK) return database_refusal(raw);
  ::sqlite3_busy_timeout(raw, kBusyMilliseconds);
  LAYERFS_TRY(connection.execute("PRAGMA journal_mode=WAL"));
  LAYERFS_TRY(connection.execute("PRAGMA synchronous=FULL"));
  LAYERFS_TRY(connection.execute("PRAGMA foreign_keys=ON"));
  return connection;
}

Answer<Statement> Connection::prepare(std::string_view sql) const {
  sqlite3_stmt* raw = nullptr;
  if (::sqlite3_prepare_v2(connection_.get(), sql.data(), static_cast<int>(sql.size()), &raw,
                           nullptr) != SQLITE_OK) {
    return database_refusal(connection_.get());
  }
  return Statement(raw);
}

Answer<void> Connection::execute(const std::string& sql) const {
  if (::sqlite3_exec(connection_.get(), sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) {
    return database_refusal(connection_.get());
  }
  return {};
}

std::int64_t Connection::last_id() const { return ::sqlite3_last_insert_rowid(connection_.get()); }

int Connection::changes() const { return ::sqlite3_changes(connection_.get()); }

Answer<Transaction> Transaction::begin(const Connection& connection) {
  LAYERFS_TRY(connection.execute("BEGIN IMMEDIATE"));
  return Transaction(connection);
}

Transaction::~Transaction() {
  // A transaction that SQLite has rolled back by itself refuses: it is what was wanted.
  if (connection_) static_cast<void>(connection_->execute("ROLLBACK"));
}

Answer<void> Transaction::commit() {
  LAYERFS_TRY(connection_->execute("COMMIT"));
  connection_ = nullptr;
  return {};
}

}  // namespace layerfs::snapshotter
