// TLS between nodes: one context for both directions, TLS 1.3 and quick groups only, and what a finished
// handshake proves.
//
// Certificate dates are ignored (crypto/certificates.h). As a server it asks for a certificate but does not
// insist: people's API clients have none. Who needs a proven peer asks PeerOf() after the handshake.
#pragma once

#include <boost/asio/ssl/context.hpp>
#include <optional>
#include <string_view>

#include "runtime/crypto/identity.h"
#include "runtime/net/http_handover.h"

namespace hs {

inline constexpr std::string_view kAlpnLink = "homeostat/1";
inline constexpr std::string_view kAlpnJoin = "homeostat-join/1";
inline constexpr std::string_view kAlpnRelay = "homeostat-relay/1";
inline constexpr std::string_view kAlpnLine = "homeostat-line/1";
inline constexpr std::string_view kAlpnHttp = "http/1.1";

using TlsContext = boost::asio::ssl::context;

// For a member: its own certificate, and the CA's as the only one trusted. The context is also what a client
// inside the cluster uses (API calls from node to node).
Result<std::shared_ptr<TlsContext>> MakeTlsContext(const Identity& identity);
// For one that knows nobody yet: verifies nothing during the handshake; ServerMatches() does afterwards.
std::shared_ptr<TlsContext> MakeJoinerContext();

// Before a client's handshake: what it wants to speak.
void OfferAlpn(TlsStream& stream, std::string_view protocol);
// After the handshake: what was agreed; empty when the client offered nothing.
std::string_view AgreedAlpn(TlsStream& stream);

// The node at the other end, if it showed a certificate of this cluster.
std::optional<NodeCertificate> PeerOf(TlsStream& stream, ClusterId cluster);
// Does the server's chain hold the CA with this fingerprint, and is the server's own certificate signed by
// it?
bool ServerMatches(TlsStream& stream, const BytesId<struct CaFingerprintTag, 16>& fingerprint);

}  // namespace hs
