// Serves the API over the box's own Unix socket and over TLS connections handed in.
//
// A waiter: takes the order (bounded in size and time), lets api/ decide, carries the plates. Over the Unix
// socket the caller is the box's own user. Over TLS it is a node of the cluster, proven by its certificate,
// or has a bearer token.
//
// Invariants: nothing thrown leaves it; every refusal is JSON with a status; a slow or silent client holds
// one connection for a bounded time; a reader of a stream that does not read makes the writer pause, not the
// memory grow. One thread: that of the executor.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <filesystem>
#include <memory>
#include <optional>

#include "base/result.h"
#include "runtime/http/backend.h"
#include "runtime/net/http_handover.h"

namespace hs {

struct HttpLimits {
  std::uint32_t header_bytes = 16 << 10;
  std::uint64_t body_bytes = 8 << 20;
  std::uint64_t bundle_bytes = 2ull << 30;
  std::size_t connections = 512;  // of the box's own user, of nodes, and of others: each
  std::size_t connections_per_source = 128;
  Duration header_wait = 30s;    // from the last answer to the end of the next request's header
  Duration progress_wait = 30s;  // for any progress in sending or receiving a body
  Duration write_wait = 15s;     // for the cluster to acknowledge a write
  Duration log_wait = 5s;        // for other nodes' part of a log that is not followed
  Duration ask_wait = 1s;        // for another node that knows better
  Duration heartbeat = 15s;      // on a silent stream
  Duration event_poll = 200ms;
};

class HttpServer {
 public:
  // `backend` must outlive the executor's last turn after Stop().
  HttpServer(boost::asio::any_io_executor executor, ApiBackend& backend, HttpLimits limits = {});
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // Mode 0600. A socket file that a dead process left is replaced; one that answers is an error.
  Result<void> ListenUnix(const std::filesystem::path& path);
  // Listens afresh where somebody removed the socket's file: nobody could connect any more. True: it was.
  Result<bool> KeepUnix();
  // An established TLS connection; `peer` is the node its certificate names.
  void ServeTls(TlsStream&& stream, std::optional<NodeId> peer);

  std::size_t connections() const;
  // Closes everything and removes the socket file. Also done by the destructor.
  void Stop();

  class Impl;

 private:
  std::shared_ptr<Impl> impl_;
};

}  // namespace hs
