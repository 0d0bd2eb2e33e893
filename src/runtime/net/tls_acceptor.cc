#include "runtime/net/tls_acceptor.h"

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <optional>
#include <utility>

#include "runtime/net/sockets.h"

namespace hs {
namespace {

using boost::asio::ip::tcp;
using ErrorCode = boost::system::error_code;
using Clock = std::chrono::steady_clock;

constexpr Duration kAcceptPause = 100ms;  // out of file descriptors: others must finish first

}  // namespace

// Counts against the limits until it ends.
struct TlsAcceptor::Handshake {
  Handshake(TlsAcceptor& acceptor, TlsStream tls, const IpAddress& from)
      : owner(acceptor.shared_from_this()),
        stream(std::move(tls)),
        deadline(acceptor.loop_),
        place(owner->handshakes_.emplace(from, this)) {}
  ~Handshake() { Uncount(); }
  void Uncount() {
    if (const auto held = std::exchange(place, std::nullopt)) owner->handshakes_.erase(*held);
  }
  void GiveUp() {
    Uncount();
    ErrorCode ignored;
    stream.next_layer().close(ignored);
  }

  bool Silent() { return SSL_get_state(stream.native_handle()) == TLS_ST_BEFORE; }

  std::shared_ptr<TlsAcceptor> owner;
  TlsStream stream;
  boost::asio::steady_timer deadline;
  const Clock::time_point since = Clock::now();
  std::optional<Handshakes::iterator> place;
};

TlsAcceptor::TlsAcceptor(boost::asio::io_context& loop, std::shared_ptr<TlsContext> tls,
                         HandshakeLimits limits)
    : loop_(loop), tls_(std::move(tls)), limits_(limits), acceptor_(loop), retry_(loop) {}

Result<void> TlsAcceptor::Start(int tcp_fd, const Endpoint& listen, Take take) {
  ErrorCode failure;
  acceptor_.assign(listen.ip.IsV4() ? tcp::v4() : tcp::v6(), tcp_fd, failure);
  if (failure)
    return BadInput("cannot accept connections on " + listen.ToString() + ": " + failure.message());
  take_ = std::move(take);
  Accept();
  return {};
}

void TlsAcceptor::Close() {
  closed_ = true;
  take_ = nullptr;
  ErrorCode ignored;
  acceptor_.close(ignored);
  retry_.cancel();
}

void TlsAcceptor::Accept() {
  acceptor_.async_accept([self = shared_from_this()](ErrorCode failure, tcp::socket socket) {
    if (self->closed_) return;
    if (!failure) {
      self->Greet(std::move(socket));
      return self->Accept();
    }
    self->retry_.expires_after(kAcceptPause);
    self->retry_.async_wait([self](ErrorCode stopped) {
      if (!stopped && !self->closed_) self->Accept();
    });
  });
}

void TlsAcceptor::Greet(tcp::socket socket) {
  ++counts_.accepted;
  ErrorCode failure;
  const auto remote = socket.remote_endpoint(failure);
  if (failure) return;
  const IpAddress ip = ToEndpoint(remote.data()).ip;
  if (!MakeRoom(ip)) {
    ++counts_.refused_busy;
    return;
  }
  socket.non_blocking(true, failure);
  auto handshake = std::make_shared<Handshake>(*this, TlsStream(std::move(socket), *tls_), ip);
  handshake->deadline.expires_after(limits_.timeout);
  handshake->deadline.async_wait([weak = std::weak_ptr(handshake)](ErrorCode stopped) {
    if (const auto slow = stopped ? nullptr : weak.lock()) slow->GiveUp();
  });
  handshake->stream.async_handshake(TlsStream::server, [handshake](ErrorCode failed) {
    handshake->deadline.cancel();
    TlsAcceptor& owner = *handshake->owner;
    if (owner.closed_) return;
    if (failed || !handshake->place) {
      ++owner.counts_.failed;
      return;
    }
    owner.take_(std::move(handshake->stream));
  });
}

bool TlsAcceptor::MakeRoom(const IpAddress& ip) {
  const auto [first, last] = handshakes_.equal_range(ip);
  const bool share_taken = std::cmp_greater_equal(std::distance(first, last), limits_.per_ip);
  if (!share_taken && handshakes_.size() < limits_.in_all) return true;
  Handshake* oldest = nullptr;
  for (auto it = share_taken ? first : handshakes_.begin(); it != (share_taken ? last : handshakes_.end());
       ++it) {
    if (it->second->Silent() && (oldest == nullptr || it->second->since < oldest->since)) oldest = it->second;
  }
  if (oldest == nullptr || Clock::now() - oldest->since < limits_.usual) return false;
  oldest->GiveUp();
  return true;
}

}  // namespace hs
