// Asks a node's API: for the CLI (one call at a time, waits) and for nodes that answer for one another (on a
// loop).
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/ssl/context.hpp>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

#include "base/endpoint.h"
#include "base/result.h"
#include "base/time.h"
#include "runtime/http/backend.h"
#include "runtime/net/http_handover.h"

namespace hs {

// Where and as whom to ask.
struct UnixTarget {
  std::filesystem::path socket;
};
struct TlsTarget {
  Endpoint address;
  std::string token;      // API token: proves the caller, and pins the cluster's CA
  bool insecure = false;  // do not check who answers
};
using HttpTarget = std::variant<UnixTarget, TlsTarget>;

struct HttpCall {
  std::string method = "GET";
  std::string target;  // path and query
  std::string body;
  std::filesystem::path body_file;  // sent instead of `body` when not empty
  Duration connect_wait = 5s;
  Duration silence_max = 60s;  // between two pieces of the answer
  // Optional, for who waits: no answer came within `slow_after`.
  std::function<void()> on_slow;
  Duration slow_after = 3s;
};

struct HttpReply {
  int status = 0;
  std::string body;
};

// Blocks. Errors are about reaching the node; an HTTP status of any kind is a reply.
Result<HttpReply> CallHttp(const HttpTarget& target, const HttpCall& call);

// Blocks; hands the pieces of a 200's body out as they come until the end or until `on_bytes` returns false.
// Any other status comes back whole in the reply.
Result<HttpReply> StreamHttp(const HttpTarget& target, const HttpCall& call,
                             const std::function<bool(std::string_view)>& on_bytes);

// GET on another node over mutual TLS, on a loop. Anything but a 200 ends the sink without bytes. `context`
// holds this node's certificate (net/tls.h); `is_wanted` looks at a finished handshake: is this the node that
// is meant?
void FetchFromNode(boost::asio::any_io_executor executor, std::shared_ptr<boost::asio::ssl::context> context,
                   std::function<bool(TlsStream&)> is_wanted, Endpoint address, std::string target,
                   std::shared_ptr<ByteSink> sink);

}  // namespace hs
