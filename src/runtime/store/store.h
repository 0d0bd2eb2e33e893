// What must survive: the documents of intent, and where peers were last seen. SQLite on a thread of its own.
//
// Invariants: when a Persist reports success its documents are on the disk, synced; writes that wait together
// share one transaction and one sync (group commit). Every row carries a checksum over all of its fields: a
// row whose checksum does not fit is reported and left out, never served. A file that SQLite cannot read is
// moved aside, what could still be read is kept, and anti-entropy brings back the rest.
//
// Callbacks run on the io_context, never on the store's thread. The codec is called on the store's thread and
// on that of Open.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "core/types.h"

namespace boost::asio {
class io_context;
}

namespace hs {

// wire/ turns documents into bytes and back; pure functions, safe from any thread.
struct StoreCodec {
  std::function<std::string(const Document&)> encode;
  std::function<Result<Document>(std::string_view)> decode;
};

struct StoreContent {
  std::vector<Document> documents;  // sorted by key
  std::vector<std::pair<NodeId, Endpoint>> peers;
  std::vector<std::string> warnings;  // what was damaged and what was done about it, for the log
};

class Store {
 public:
  // Opens or makes `path`. Errors: the directory cannot be written, the disk is full.
  static Result<std::unique_ptr<Store>> Open(boost::asio::io_context& loop, std::string path,
                                             StoreCodec codec, StoreContent& content);
  // Waits for what was handed over; callbacks not yet run are dropped.
  ~Store();

  // All of the documents or none. One without a stamp is deleted.
  void Persist(std::vector<Document> documents, std::function<void(Result<void>)> done);
  // The whole list, replacing the former one. Written when there is something else to write, or soon.
  void SavePeers(std::vector<std::pair<NodeId, Endpoint>> peers);

 private:
  class Impl;
  explicit Store(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace hs
