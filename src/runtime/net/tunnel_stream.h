// What a tunnel's two ends have in common: who asks a relay for what, and how bytes are carried.
//
// A tunnel is one TLS connection with ALPN `homeostat-relay/1` between two members, of whom one asks and the
// other connects on to the target:
//   request: version 1 (1) | service 1 | hops 1 (1 or 2) | node id 16 for each hop, the target last
//   answer:  1 byte, a TunnelAnswer; anything but kConnected ends it
// Then each side sends pieces: length 2 | bytes. A piece of length 0 says that nothing more comes in this
// direction (TCP's half-close). Where a second relay follows, the first only copies.
//
// A box behind NAT is asked the same over one of its lines (line_host.h): the only hop is then the box
// itself.
//
// What is inside is end-to-end TLS between source and target, as it would be without the relay: a relay can
// drop it, not read or change it.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "base/endpoint.h"
#include "base/ids.h"
#include "base/time.h"
#include "runtime/net/http_handover.h"

namespace hs {

// Ports of a member that may be asked for.
enum class TunnelService : std::uint8_t { kAgent = 0, kInboundHttp = 1, kInboundTcp = 2 };
inline constexpr std::size_t kTunnelServices = 3;

enum class TunnelAnswer : std::uint8_t { kConnected = 0, kRefused = 1, kBusy = 2, kNotReached = 3 };

inline constexpr std::size_t kTunnelHopsMax = 2;

// Where a member listens for a service; zero: not known, or it has none.
using TunnelAddress = std::function<Endpoint(NodeId, TunnelService)>;
// Is this finished handshake with that member, and is it still one?
using TunnelPeerCheck = std::function<bool(TlsStream&, NodeId)>;

// Closes a socket that takes too long, unless it is gone or called off before. One thread only.
class TunnelDeadline {
 public:
  TunnelDeadline(boost::asio::ip::tcp::socket& socket, Duration patience);
  ~TunnelDeadline() { *live_ = false; }
  TunnelDeadline(const TunnelDeadline&) = delete;
  TunnelDeadline& operator=(const TunnelDeadline&) = delete;

 private:
  boost::asio::steady_timer timer_;
  std::shared_ptr<bool> live_ = std::make_shared<bool>(true);
};

template <typename T>
using TunnelTask = boost::asio::awaitable<T>;

class LineHost;

// What it takes to reach another member over TCP.
struct TunnelOpener {
  std::shared_ptr<boost::asio::ssl::context> context;
  Endpoint source;  // outgoing connections come from it
  TunnelPeerCheck is_member;
  std::shared_ptr<LineHost> lines;  // of members that dial out; null: there are none
};

// Connects to a member and proves it; null when that failed. `opener` outlives it.
TunnelTask<std::unique_ptr<TlsStream>> DialMember(const TunnelOpener& opener, NodeId node, Endpoint address,
                                                  std::string_view protocol);

// Reaches the first of those who carry, asks for the way and reads the answer. Where `first` is the last hop
// itself, over one of its lines. Null when that failed, with what was said in `answer`. `opener` outlives it.
TunnelTask<std::unique_ptr<TlsStream>> OpenTunnel(const TunnelOpener& opener, NodeId first, Endpoint address,
                                                  std::vector<NodeId> hops, TunnelService service,
                                                  TunnelAnswer& answer);

// Both ends of one tunnel on this box; closes both when it is over. Counts itself in `open` while it lives.
class TunnelSession : public std::enable_shared_from_this<TunnelSession> {
 public:
  TunnelSession(TlsStream tls, boost::asio::ip::tcp::socket plain)
      : tls_(std::move(tls)), plain_(std::move(plain)) {}
  void Start(std::function<void()> ended);
  void Close();
  std::uint64_t bytes() const { return bytes_; }

 private:
  TunnelTask<void> Outward();  // plain -> pieces
  TunnelTask<void> Inward();   // pieces -> plain
  void Finish(bool whole);

  TlsStream tls_;
  boost::asio::ip::tcp::socket plain_;
  std::function<void()> ended_;
  int directions_ = 2;
  std::uint64_t bytes_ = 0;
};

// Copies bytes both ways until one side ends: a relay between two relays.
class TunnelCopy : public std::enable_shared_from_this<TunnelCopy> {
 public:
  TunnelCopy(TlsStream near, TlsStream far) : near_(std::move(near)), far_(std::move(far)) {}
  void Start(std::function<void()> ended);
  void Close();

 private:
  TunnelTask<void> Copy(TlsStream& from, TlsStream& to);

  TlsStream near_;
  TlsStream far_;
  std::function<void()> ended_;
  int directions_ = 2;
};

}  // namespace hs
