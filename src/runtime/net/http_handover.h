// How a TLS connection that speaks HTTP leaves the link host.
//
// One port serves node links, joins and the API; ALPN tells them apart. A connection that asked for
// `http/1.1`, or for nothing, is handed over here with its TLS handshake done; from then on the receiver owns
// it, with its timeouts.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <functional>
#include <optional>

#include "base/ids.h"

namespace hs {

using TlsStream = boost::asio::ssl::stream<boost::asio::ip::tcp::socket>;

// `peer`: the caller is this node of our own cluster, proven by its certificate. Without it the caller showed
// none and has to bring a bearer token.
using HttpHandler = std::function<void(TlsStream&& stream, std::optional<NodeId> peer)>;

}  // namespace hs
