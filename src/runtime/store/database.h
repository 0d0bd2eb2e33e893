// The SQLite file itself, used by one thread at a time; part of the store.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "core/types.h"

struct sqlite3;
struct sqlite3_stmt;

namespace hs {

struct StoredRow {
  std::string key;
  std::string body;  // the encoded document
};

class Database {
 public:
  // `damaged` is set when the error is the file's content, not its surroundings.
  static Result<Database> Open(const std::string& path, bool& damaged);

  // Rows whose checksums fit; `warnings` hears of the others. False when the file broke off in the middle.
  bool ReadRows(std::vector<StoredRow>& rows, std::vector<std::string>& warnings);
  bool ReadPeers(std::vector<std::pair<NodeId, Endpoint>>& peers);

  Result<void> Begin();
  Result<void> Commit();
  void Rollback();
  Result<void> PutRow(const StoredRow& row);
  Result<void> DropRow(const std::string& key);
  Result<void> ReplacePeers(const std::vector<std::pair<NodeId, Endpoint>>& peers);

 private:
  struct CloseDatabase {
    void operator()(sqlite3* database) const;
  };
  explicit Database(sqlite3* database) : database_(database) {}
  Result<void> Run(const char* sql);
  std::unexpected<Error> Failure(const std::string& what) const;

  std::unique_ptr<sqlite3, CloseDatabase> database_;
};

}  // namespace hs
