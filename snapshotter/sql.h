// SQLite with results as values.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "snapshotter/refusal.h"

struct sqlite3;
struct sqlite3_stmt;

namespace layerfs::snapshotter {

// One statement on its way. Belongs to its connection, which outlives it.
class Statement {
 public:
  // Binds the next parameter.
  Statement& bind(std::int64_t value);
  Statement& bind(std::string_view value);
  Statement& bind(const std::optional<std::int64_t>& value);
  Statement& bind(const std::optional<std::string>& value);

  // To the next row: false at the end.
  Answer<bool> step();
  // For a statement without rows.
  Answer<void> run();

  // Columns of the row, from 0.
  std::int64_t integer(int column) const;
  std::string text(int column) const;
  std::optional<std::int64_t> optional_integer(int column) const;
  std::optional<std::string> optional_text(int column) const;

 private:
  friend class Connection;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  explicit Statement(sqlite3_stmt* statement) : statement_(statement) {}

  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  int next_ = 1;
};

// Not thread-safe: one thread at a time. Errors that mean a full disk are Code::kExhausted.
class Connection {
 public:
  // Opens or makes the file, to which no symlink leads. What is committed is on the disk.
  static Answer<Connection> open(const std::string& path);

  Answer<Statement> prepare(std::string_view sql) const;
  Answer<void> execute(const std::string& sql) const;
  std::int64_t last_id() const;
  // Of the last statement.
  int changes() const;

 private:
  struct Close {
    void operator()(sqlite3* connection) const;
  };
  explicit Connection(sqlite3* connection) : connection_(connection) {}

  std::unique_ptr<sqlite3, Close> connection_;
};

// Rolls back when it dies, unless it was committed.
class Transaction {
 public:
  static Answer<Transaction> begin(const Connection& connection);
  Transaction(Transaction&& other) noexcept
      : connection_(std::exchange(other.connection_, nullptr)) {}
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();

  Answer<void> commit();

 private:
  explicit Transaction(const Connection& connection) : connection_(&connection) {}

  const Connection* connection_;
};

}  // namespace layerfs::snapshotter
