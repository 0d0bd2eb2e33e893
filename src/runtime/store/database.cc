#include "runtime/store/database.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include "base/hash.h"

namespace hs {
namespace {

struct Finalize {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using Statement = std::unique_ptr<sqlite3_stmt, Finalize>;

// WAL with full synchronisation: one sync per transaction, and a torn tail is noticed by SQLite's own
// checksums. Exclusive locking keeps the WAL's index in memory instead of a shared file. The cache is small:
// all rows are read once at the start, and written seldom.
constexpr const char* kSetUp =
    "PRAGMA locking_mode = EXCLUSIVE;"
    "PRAGMA journal_mode = WAL;"
    "PRAGMA synchronous = FULL;"
    "PRAGMA cache_size = -256;"
    "PRAGMA mmap_size = 0;"
    "PRAGMA temp_store = MEMORY;"
    "PRAGMA wal_autocheckpoint = 256;"
    "PRAGMA journal_size_limit = 1048576;"
    "CREATE TABLE IF NOT EXISTS documents("
    "  key TEXT PRIMARY KEY NOT NULL, body BLOB NOT NULL, checksum INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS peers(node TEXT PRIMARY KEY NOT NULL, address TEXT NOT NULL) WITHOUT ROWID;";

std::int64_t ChecksumOf(std::string_view key, std::string_view body) {
  return static_cast<std::int64_t>(CombineHash(Hash64(key), Hash64(body)));
}

Statement Prepare(sqlite3* database, const char* sql) {
  sqlite3_stmt* statement = nullptr;
  sqlite3_prepare_v2(database, sql, -1, &statement, nullptr);
  return Statement(statement);
}

std::string_view Column(sqlite3_stmt* statement, int column) {
  const void* data = sqlite3_column_blob(statement, column);
  return {static_cast<const char*>(data), static_cast<std::size_t>(sqlite3_column_bytes(statement, column))};
}

void BindText(sqlite3_stmt* statement, int index, std::string_view text) {
  sqlite3_bind_text(statement, index, text.data(), static_cast<int>(text.size()), SQLITE_STATIC);
}

}  // namespace

void Database::CloseDatabase::operator()(sqlite3* database) const { sqlite3_close(database); }

std::unexpected<Error> Database::Failure(const std::string& what) const {
  const int code = sqlite3_errcode(database_.get());
  std::string message = what + ": " + sqlite3_errmsg(database_.get());
  if (const int system = sqlite3_system_errno(database_.get());
      code == SQLITE_IOERR || code == SQLITE_CANTOPEN) {
    if (system != 0) message += std::string(" (") + std::strerror(system) + ")";
  }
  return Fail(Reaction::kRetryLater, std::move(message));
}

Result<void> Database::Run(const char* sql) {
  if (sqlite3_exec(database_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK)
    return Failure("the local store");
  return {};
}

Result<Database> Database::Open(const std::string& path, bool& damaged) {
  // Made here, since SQLite would make it readable to all; its other files get the mode of this one. A file
  // that cannot be made or changed is SQLite's to complain about.
  if (const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600); fd >= 0) {
    (void)::fchmod(fd, 0600);
    ::close(fd);
  }
  sqlite3* raw = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &raw,
                                   SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  Database database(raw);
  if (code != SQLITE_OK) return database.Failure("cannot open " + path);
  if (sqlite3_exec(raw, kSetUp, nullptr, nullptr, nullptr) != SQLITE_OK) {
    const int why = sqlite3_errcode(raw);
    damaged = why == SQLITE_CORRUPT || why == SQLITE_NOTADB;
    return database.Failure("cannot use " + path);
  }
  return database;
}

bool Database::ReadRows(std::vector<StoredRow>& rows, std::vector<std::string>& warnings) {
  const Statement statement =
      Prepare(database_.get(), "SELECT key, body, checksum FROM documents ORDER BY key");
  if (!statement) return false;
  int code = SQLITE_ROW;
  while ((code = sqlite3_step(statement.get())) == SQLITE_ROW) {
    StoredRow row{std::string(Column(statement.get(), 0)), std::string(Column(statement.get(), 1))};
    if (ChecksumOf(row.key, row.body) == sqlite3_column_int64(statement.get(), 2)) {
      rows.push_back(std::move(row));
    } else {
      warnings.push_back("the stored document '" + row.key +
                         "' is damaged and was left out; a copy from another node "
                         "will replace it");
    }
  }
  return code == SQLITE_DONE;
}

bool Database::ReadPeers(std::vector<std::pair<NodeId, Endpoint>>& peers) {
  const Statement statement = Prepare(database_.get(), "SELECT node, address FROM peers ORDER BY node");
  if (!statement) return false;
  int code = SQLITE_ROW;
  while ((code = sqlite3_step(statement.get())) == SQLITE_ROW) {
    const auto node = NodeId::FromHex(Column(statement.get(), 0));
    const auto address = Endpoint::Parse(Column(statement.get(), 1));
    if (node && address) peers.emplace_back(*node, *address);  // only hints: a bad one is not worth a word
  }
  return code == SQLITE_DONE;
}

Result<void> Database::Begin() { return Run("BEGIN IMMEDIATE"); }
Result<void> Database::Commit() { return Run("COMMIT"); }
void Database::Rollback() {
  if (sqlite3_get_autocommit(database_.get()) == 0) (void)Run("ROLLBACK");
}

Result<void> Database::PutRow(const StoredRow& row) {
  const Statement statement =
      Prepare(database_.get(), "INSERT OR REPLACE INTO documents(key, body, checksum) VALUES(?1, ?2, ?3)");
  if (!statement) return Failure("cannot write to the local store");
  BindText(statement.get(), 1, row.key);
  sqlite3_bind_blob(statement.get(), 2, row.body.data(), static_cast<int>(row.body.size()), SQLITE_STATIC);
  sqlite3_bind_int64(statement.get(), 3, ChecksumOf(row.key, row.body));
  if (sqlite3_step(statement.get()) != SQLITE_DONE) return Failure("cannot write to the local store");
  return {};
}

Result<void> Database::DropRow(const std::string& key) {
  const Statement statement = Prepare(database_.get(), "DELETE FROM documents WHERE key = ?1");
  if (!statement) return Failure("cannot write to the local store");
  BindText(statement.get(), 1, key);
  if (sqlite3_step(statement.get()) != SQLITE_DONE) return Failure("cannot write to the local store");
  return {};
}

Result<void> Database::ReplacePeers(const std::vector<std::pair<NodeId, Endpoint>>& peers) {
  if (auto cleared = Run("DELETE FROM peers"); !cleared) return cleared;
  const Statement statement =
      Prepare(database_.get(), "INSERT OR REPLACE INTO peers(node, address) VALUES(?1, ?2)");
  if (!statement) return Failure("cannot write to the local store");
  for (const auto& [node, endpoint] : peers) {
    const std::string id = node.Hex(), address = endpoint.ToString();
    BindText(statement.get(), 1, id);
    BindText(statement.get(), 2, address);
    if (sqlite3_step(statement.get()) != SQLITE_DONE) return Failure("cannot write to the local store");
    sqlite3_reset(statement.get());
  }
  return {};
}

}  // namespace hs
