#include "runtime/net/link_connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>

#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <cstring>

#include "runtime/net/sockets.h"

namespace hs {
namespace {

using boost::asio::ip::tcp;
using ErrorCode = boost::system::error_code;

constexpr std::uint8_t kProtocol = 1;
constexpr std::size_t kCoalesceBytes = 16 * 1024;
constexpr std::size_t kKeepBufferBytes = 64 * 1024;

}  // namespace

tcp::endpoint ToAsio(const Endpoint& endpoint) {
  const SocketAddress address = ToSocketAddress(endpoint, FamilyOf(endpoint));
  tcp::endpoint result;
  std::memcpy(result.data(), &address.storage, address.size);
  return result;
}

LinkEnd LinkEndOf(const ErrorCode& failure, bool ready) {
  namespace error = boost::asio::error;
  if (failure == error::connection_refused) return LinkEnd::kRefused;
  if (failure == error::connection_reset || failure == error::broken_pipe) return LinkEnd::kReset;
  if (failure == error::eof || failure == boost::asio::ssl::error::stream_truncated) {
    // Before it is ready an end of file may be a busy peer that turned us away: no evidence that it is gone.
    return ready ? LinkEnd::kReset : LinkEnd::kTimeout;
  }
  if (failure.category() == error::get_ssl_category()) return LinkEnd::kDenied;
  return LinkEnd::kTimeout;
}

void TuneSocket(int fd) {
  const auto set = [fd](int level, int option, int value) {
    ::setsockopt(fd, level, option, &value, sizeof value);
  };
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 15);
  set(IPPROTO_TCP, TCP_KEEPINTVL, 5);
  set(IPPROTO_TCP, TCP_KEEPCNT, 3);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, 20'000);  // ms that sent data may stay unacknowledged
}

LinkConnection::LinkConnection(LinkOwner& owner, TlsStream stream, const Limits& limits, ClusterId cluster,
                               BootId boot)
    : owner_(&owner),
      stream_(std::move(stream)),
      timer_(stream_.get_executor()),
      limits_(limits),
      cluster_(cluster),
      boot_(boot) {}

void LinkConnection::Arm(Duration timeout, LinkEnd end) {
  timer_.expires_after(timeout);
  timer_.async_wait([self = shared_from_this(), end](ErrorCode failure) {
    if (!failure) self->End(end);
  });
}

void LinkConnection::Expect(NodeId expected, const Endpoint& address) {
  dialed_ = true;
  expected_ = expected;
  address_ = address;
}

void LinkConnection::Dial(const Endpoint& source, const Endpoint& at) {
  auto& socket = stream_.next_layer();
  by_tunnel_ = at != address_;
  ErrorCode failure;
  socket.open(at.ip.IsV4() ? tcp::v4() : tcp::v6(), failure);
  if (!failure) {
    TuneSocket(socket.native_handle());
    BindSource(socket.native_handle(), source, at);
  }
  Arm(limits_.connect_timeout, LinkEnd::kTimeout);
  socket.async_connect(ToAsio(at), [self = shared_from_this()](ErrorCode connect_failure) {
    if (self->ended_) return;
    if (connect_failure) return self->End(LinkEndOf(connect_failure, false));
    self->OnConnected();
  });
}

void LinkConnection::OnConnected() {
  Arm(limits_.handshake_timeout, LinkEnd::kTimeout);
  OfferAlpn(stream_, kAlpnLink);
  stream_.async_handshake(TlsStream::client, [self = shared_from_this()](ErrorCode failure) {
    if (self->ended_) return;
    if (failure) return self->End(LinkEndOf(failure, false));
    self->OnHandshakeDone();
  });
}

void LinkConnection::StartAccepted() {
  TuneSocket(stream_.next_layer().native_handle());
  ErrorCode ignored;
  const auto remote = stream_.next_layer().remote_endpoint(ignored);
  if (!ignored) address_ = ToEndpoint(remote.data());
  Arm(limits_.handshake_timeout, LinkEnd::kTimeout);
  OnHandshakeDone();
}

void LinkConnection::OnHandshakeDone() {
  const auto peer = PeerOf(stream_, cluster_);
  if (!peer || AgreedAlpn(stream_) != kAlpnLink) return End(LinkEnd::kDenied);
  if (expected_ && expected_ != peer->node) return End(LinkEnd::kDenied);
  peer_ = peer->node;
  peer_key_ = peer->public_key;
  if (!owner_->OnProven(*this, *peer)) return Deny();
  proven_ = true;
  ByteWriter hello;
  hello.Number(kProtocol, 1);
  hello.Number(boot_.value, 8);
  // Before whatever was queued while dialing.
  queue_.push_front({FrameType::kHello, hello.Take()});
  queue_bytes_ += queue_.front().content.size();
  Write();
  Read();
}

void LinkConnection::Enqueue(FrameType type, std::string content) {
  if (ended_ || denying_ || bye_sent_) return;
  if (type == FrameType::kMessage) last_used_ = Clock::now();
  queue_bytes_ += content.size();
  queue_.push_back({type, std::move(content)});
  if (queue_bytes_ > limits_.queue_bytes_max) {
    // Not from here: the caller is in the middle of sending and does not expect the end of its link.
    boost::asio::post(stream_.get_executor(), [self = shared_from_this()] { self->End(LinkEnd::kTimeout); });
    queue_.pop_back();
    return;
  }
  if (proven_) Write();
}

void LinkConnection::Send(std::string_view message) { Enqueue(FrameType::kMessage, std::string(message)); }
void LinkConnection::SendHold(bool hold) { Enqueue(FrameType::kHold, std::string(1, hold ? '\1' : '\0')); }

void LinkConnection::SendBye() {
  if (ended_ || denying_ || bye_sent_) return;
  Enqueue(FrameType::kBye, {});
  bye_sent_ = true;
  Arm(limits_.bye_timeout, LinkEnd::kClosed);
}

void LinkConnection::Deny() {
  if (ended_ || denying_) return;
  denying_ = true;
  queue_.clear();
  queue_.push_back({FrameType::kDeny, owner_->WhyDenied(peer_)});
  Arm(limits_.bye_timeout, LinkEnd::kDenied);
  Write();
}

std::deque<std::string> LinkConnection::TakeUnsent() {
  std::deque<std::string> unsent;
  for (Frame& frame : queue_) {
    if (frame.type == FrameType::kMessage) unsent.push_back(std::move(frame.content));
  }
  queue_.clear();
  return unsent;
}

void LinkConnection::Write() {
  if (writing_ || ended_) return;
  if (queue_.empty()) {
    if (denying_) End(LinkEnd::kDenied);
    if (bye_sent_ && bye_received_) End(LinkEnd::kClosed);
    return;
  }
  ByteWriter frames;
  std::size_t size = 0;
  while (!queue_.empty() && (size == 0 || size + queue_.front().content.size() <= kCoalesceBytes)) {
    const Frame& frame = queue_.front();
    frames.Number(frame.content.size() + 1, 4);
    frames.Number(static_cast<std::uint8_t>(frame.type), 1);
    frames.Raw(frame.content);
    size += frame.content.size() + 5;
    queue_bytes_ -= frame.content.size();
    queue_.pop_front();
  }
  out_ = frames.Take();
  writing_ = true;
  boost::asio::async_write(stream_, boost::asio::buffer(out_),
                           [self = shared_from_this()](ErrorCode failure, std::size_t) {
                             self->writing_ = false;
                             if (self->ended_) return;
                             // Reading meets the same end, after what the peer still had to say. It always
                             // comes, since a failed socket fails its reads too.
                             if (failure) return;
                             if (self->out_.capacity() > kKeepBufferBytes) self->out_ = std::string();
                             self->Write();
                           });
}

void LinkConnection::Read() {
  stream_.async_read_some(boost::asio::buffer(chunk_),
                          [self = shared_from_this()](ErrorCode failure, std::size_t size) {
                            if (self->ended_) return;
                            if (failure) return self->OnReadFailed(failure);
                            self->in_.append(self->chunk_.data(), size);
                            self->Consume();
                            if (!self->ended_) self->Read();
                          });
}

void LinkConnection::OnReadFailed(const ErrorCode& failure) {
  if (denying_) return End(LinkEnd::kDenied);
  if (bye_received_ || bye_sent_) return End(LinkEnd::kClosed);
  End(LinkEndOf(failure, ready_));
}

void LinkConnection::Consume() {
  std::string_view rest = in_;
  while (!ended_ && rest.size() >= 4) {
    const std::uint64_t size = ByteReader(rest).Number(4);
    // Nothing is reserved for what is only announced: memory grows with bytes that came.
    if (size == 0 || size > limits_.frame_bytes_max) return End(LinkEnd::kDenied);
    if (rest.size() - 4 < size) break;
    const std::string_view frame = rest.substr(4, size);
    rest.remove_prefix(4 + size);
    if (!TakeFrame(static_cast<FrameType>(frame[0]), frame.substr(1)) && !ended_)
      return End(LinkEnd::kDenied);
  }
  if (ended_) return;
  in_.erase(0, in_.size() - rest.size());
  if (in_.empty() && in_.capacity() > kKeepBufferBytes) in_ = std::string();
}

bool LinkConnection::TakeFrame(FrameType type, std::string_view content) {
  if (denying_) return type != FrameType::kDeny;  // nothing it says counts any more
  if (type == FrameType::kDeny) {
    if (proven_ && !content.empty()) owner_->OnMessage(*this, content);
    return false;
  }
  if (!ready_) {
    if (type != FrameType::kHello) return false;
    ByteReader reader(content);
    const auto protocol = reader.Number(1);
    peer_boot_ = BootId{reader.Number(8)};
    if (!reader.ok() || protocol != kProtocol) return false;
    ready_ = true;
    if (!bye_sent_) timer_.cancel();
    last_used_ = Clock::now();
    owner_->OnReady(*this);
    return true;
  }
  switch (type) {
    case FrameType::kMessage:
      last_used_ = Clock::now();
      owner_->OnMessage(*this, content);
      return true;
    case FrameType::kHold:
      held_by_peer_ = !content.empty() && content[0] != 0;
      return true;
    case FrameType::kBye:
      bye_received_ = true;
      SendBye();
      Write();
      return true;
    case FrameType::kHello:
    case FrameType::kDeny:
      break;
  }
  return false;
}

void LinkConnection::End(LinkEnd end, bool silent) {
  if (ended_) return;
  ended_ = true;
  const auto self = shared_from_this();
  timer_.cancel();
  ErrorCode ignored;
  stream_.next_layer().close(ignored);
  if (!silent) owner_->OnEnd(*this, end);
}

}  // namespace hs
