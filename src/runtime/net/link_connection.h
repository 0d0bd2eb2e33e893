// One TLS connection between two nodes, from dial or accept to its end; part of the link host.
//
// After the handshake both sides say hello (protocol version, boot id); then the connection is ready and
// carries frames:
//   length 4 (of what follows) | type 1 | content
// Types: hello, message, hold ("I want this kept open": one byte, yes or no), bye, deny ("you are not let
// in"). Who wants to close says bye after all it had to send, and goes on reading until the other's bye: so
// nothing sent is lost, and an end without a bye is news about the peer's process.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "core/node/contract.h"
#include "runtime/crypto/byte_io.h"
#include "runtime/net/tls.h"

namespace hs {

class LinkConnection;

// What the connection tells its host. OnEnd comes exactly once, last; `why` is for people.
class LinkOwner {
 public:
  virtual ~LinkOwner() = default;
  // Proven by its certificate; false refuses it.
  virtual bool OnProven(LinkConnection& connection, const NodeCertificate& peer) = 0;
  // The message that explains it to one who is refused; may be empty.
  virtual std::string WhyDenied(NodeId peer) = 0;
  virtual void OnReady(LinkConnection& connection) = 0;
  virtual void OnMessage(LinkConnection& connection, std::string_view message) = 0;
  virtual void OnEnd(LinkConnection& connection, LinkEnd end) = 0;
};

class LinkConnection : public std::enable_shared_from_this<LinkConnection> {
 public:
  using Clock = std::chrono::steady_clock;
  struct Limits {
    std::size_t frame_bytes_max = 64u << 20;
    std::size_t queue_bytes_max = 96u << 20;  // unsent; more means that the peer does not read
    Duration connect_timeout = 2s;
    Duration handshake_timeout = 5s;  // from connected to ready
    Duration bye_timeout = 2s;
  };

  // To dial: a stream not yet connected. Accepted: one whose handshake is done.
  LinkConnection(LinkOwner& owner, TlsStream stream, const Limits& limits, ClusterId cluster, BootId boot);

  // Names whom it is for before the dial starts. `expected`: zero takes whoever answers.
  void Expect(NodeId expected, const Endpoint& address);
  // `at`: where to connect; another address than expected leads there by a tunnel.
  void Dial(const Endpoint& source, const Endpoint& at);
  void StartAccepted();

  // Queued until the connection is ready.
  void Send(std::string_view message);
  void SendHold(bool hold);
  void SendBye();
  // Drops what is queued, tells the peer that it is not let in and why, and ends as kDenied.
  void Deny();
  // Ends it now. The owner hears of it like of any other end, unless it is silent.
  void End(LinkEnd end, bool silent = false);

  bool dialed() const { return dialed_; }
  bool by_tunnel() const { return by_tunnel_; }  // of ours
  bool proven() const { return proven_; }        // we know who it is; it may not have said hello yet
  bool ready() const { return ready_; }
  bool usable() const { return ready_ && !denying_ && !bye_sent_ && !bye_received_ && !ended_; }
  bool ended() const { return ended_; }
  bool held_by_peer() const { return held_by_peer_; }
  NodeId expected() const { return expected_; }
  NodeId peer() const { return peer_; }
  BootId peer_boot() const { return peer_boot_; }
  Digest peer_key() const { return peer_key_; }
  const Endpoint& address() const { return address_; }
  Clock::time_point last_used() const { return last_used_; }
  // Messages that were never handed to the stream, for another connection to carry.
  std::deque<std::string> TakeUnsent();

 private:
  enum class FrameType : std::uint8_t { kHello = 1, kMessage = 2, kHold = 3, kBye = 4, kDeny = 5 };
  struct Frame {
    FrameType type;
    std::string content;
  };

  void OnConnected();
  void OnHandshakeDone();
  void Arm(Duration timeout, LinkEnd end);
  void Enqueue(FrameType type, std::string content);
  void Write();
  void Read();
  void Consume();
  bool TakeFrame(FrameType type, std::string_view content);
  void OnReadFailed(const boost::system::error_code& failure);

  LinkOwner* owner_;
  TlsStream stream_;
  boost::asio::steady_timer timer_;
  Limits limits_;
  ClusterId cluster_;
  BootId boot_;
  bool dialed_ = false;
  bool by_tunnel_ = false;
  bool proven_ = false;
  bool ready_ = false;
  bool ended_ = false;
  bool writing_ = false;
  bool bye_sent_ = false;
  bool denying_ = false;
  bool bye_received_ = false;
  bool held_by_peer_ = false;
  NodeId expected_;
  NodeId peer_;
  BootId peer_boot_;
  Digest peer_key_;
  Endpoint address_;
  Clock::time_point last_used_ = Clock::now();
  std::deque<Frame> queue_;
  std::size_t queue_bytes_ = 0;
  std::string out_;
  std::string in_;
  std::array<char, 4096> chunk_;
};

// What an error of the system says about the peer.
LinkEnd LinkEndOf(const boost::system::error_code& failure, bool ready);

boost::asio::ip::tcp::endpoint ToAsio(const Endpoint& endpoint);

// Options every connection between nodes gets: no delay, and dead peers noticed by the kernel as well.
void TuneSocket(int fd);

}  // namespace hs
