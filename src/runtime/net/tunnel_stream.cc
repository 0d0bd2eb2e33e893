#include "runtime/net/tunnel_stream.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <utility>

#include "runtime/net/line_host.h"
#include "runtime/net/link_connection.h"
#include "runtime/net/sockets.h"
#include "runtime/net/tls.h"

namespace hs {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using ErrorCode = boost::system::error_code;

// The answer tells whether the target was reached: not longer than a link waits for its own connection.
constexpr Duration kOpenTimeout = 3s;
// A piece fits one TLS record.
constexpr std::size_t kPieceBytes = 16 * 1024 - 2;

auto Use(ErrorCode& failure) { return asio::redirect_error(asio::use_awaitable, failure); }

void CloseSocket(tcp::socket& socket) {
  ErrorCode ignored;
  socket.close(ignored);
}

}  // namespace

TunnelDeadline::TunnelDeadline(tcp::socket& socket, Duration patience)
    : timer_(socket.get_executor(), patience) {
  timer_.async_wait([&socket, live = live_](ErrorCode stopped) {
    if (!stopped && *live) CloseSocket(socket);
  });
}

TunnelTask<std::unique_ptr<TlsStream>> DialMember(const TunnelOpener& opener, NodeId node, Endpoint address,
                                                  std::string_view protocol) {
  auto executor = co_await asio::this_coro::executor;
  auto stream = std::make_unique<TlsStream>(executor, *opener.context);
  auto& socket = stream->next_layer();
  ErrorCode failure;
  socket.open(address.ip.IsV4() ? tcp::v4() : tcp::v6(), failure);
  if (failure) co_return nullptr;
  TuneSocket(socket.native_handle());
  BindSource(socket.native_handle(), opener.source, address);
  const TunnelDeadline deadline(socket, kOpenTimeout);
  co_await socket.async_connect(ToAsio(address), Use(failure));
  if (failure) co_return nullptr;
  OfferAlpn(*stream, protocol);
  co_await stream->async_handshake(TlsStream::client, Use(failure));
  if (failure || !opener.is_member(*stream, node)) co_return nullptr;
  co_return stream;
}

TunnelTask<std::unique_ptr<TlsStream>> OpenTunnel(const TunnelOpener& opener, NodeId first, Endpoint address,
                                                  std::vector<NodeId> hops, TunnelService service,
                                                  TunnelAnswer& answer) {
  answer = TunnelAnswer::kNotReached;
  std::unique_ptr<TlsStream> stream;
  if (hops.size() == 1 && hops.front() == first) {
    if (opener.lines != nullptr) stream = co_await opener.lines->Take(first);
    // It may have been removed while the line was parked.
    if (stream != nullptr && !opener.is_member(*stream, first)) stream.reset();
  } else {
    stream = co_await DialMember(opener, first, address, kAlpnRelay);
  }
  if (stream == nullptr) co_return nullptr;
  const TunnelDeadline deadline(stream->next_layer(), kOpenTimeout);
  ErrorCode failure;
  std::string request{1, static_cast<char>(service), static_cast<char>(hops.size())};
  for (const NodeId& hop : hops) request.append(hop.bytes.begin(), hop.bytes.end());
  co_await asio::async_write(*stream, asio::buffer(request), Use(failure));
  if (failure) co_return nullptr;
  std::uint8_t said = 0;
  co_await asio::async_read(*stream, asio::buffer(&said, 1), Use(failure));
  if (failure) co_return nullptr;
  answer = static_cast<TunnelAnswer>(said);
  if (answer != TunnelAnswer::kConnected) co_return nullptr;
  co_return stream;
}

// ------------------------------------------------------------------------------------------------ session

void TunnelSession::Start(std::function<void()> ended) {
  ended_ = std::move(ended);
  const auto self = shared_from_this();
  asio::co_spawn(tls_.get_executor(), Outward(),
                 [self](std::exception_ptr thrown) { self->Finish(!thrown); });
  asio::co_spawn(tls_.get_executor(), Inward(), [self](std::exception_ptr thrown) { self->Finish(!thrown); });
}

void TunnelSession::Close() {
  CloseSocket(plain_);
  CloseSocket(tls_.next_layer());
}

void TunnelSession::Finish(bool whole) {
  if (!whole) Close();
  if (--directions_ > 0) return;
  Close();
  if (auto ended = std::exchange(ended_, nullptr)) ended();
}

TunnelTask<void> TunnelSession::Outward() {
  std::vector<std::uint8_t> piece(2 + kPieceBytes);
  while (true) {
    ErrorCode failure;
    const std::size_t size =
        co_await plain_.async_read_some(asio::buffer(piece.data() + 2, kPieceBytes), Use(failure));
    if (failure && failure != asio::error::eof) throw boost::system::system_error(failure);
    piece[0] = static_cast<std::uint8_t>(size >> 8);
    piece[1] = static_cast<std::uint8_t>(size);
    co_await asio::async_write(tls_, asio::buffer(piece.data(), 2 + size), asio::use_awaitable);
    bytes_ += size;
    if (size == 0) co_return;
  }
}

TunnelTask<void> TunnelSession::Inward() {
  std::vector<std::uint8_t> in(2 * (2 + kPieceBytes));
  std::size_t held = 0;  // unread bytes at the start of `in`
  while (true) {
    held +=
        co_await tls_.async_read_some(asio::buffer(in.data() + held, in.size() - held), asio::use_awaitable);
    std::size_t at = 0;
    while (held - at >= 2) {
      const std::size_t size = std::size_t{in[at]} << 8 | in[at + 1];
      if (size == 0) {
        ErrorCode ignored;
        plain_.shutdown(tcp::socket::shutdown_send, ignored);
        co_return;
      }
      if (size > kPieceBytes) throw std::runtime_error("a piece longer than any of ours");
      if (held - at < 2 + size) break;
      co_await asio::async_write(plain_, asio::buffer(in.data() + at + 2, size), asio::use_awaitable);
      bytes_ += size;
      at += 2 + size;
    }
    std::copy(in.begin() + static_cast<std::ptrdiff_t>(at), in.begin() + static_cast<std::ptrdiff_t>(held),
              in.begin());
    held -= at;
  }
}

// ------------------------------------------------------------------------------------------------ copy

void TunnelCopy::Start(std::function<void()> ended) {
  ended_ = std::move(ended);
  const auto self = shared_from_this();
  const auto finish = [self](std::exception_ptr) {
    self->Close();
    if (--self->directions_ > 0) return;
    if (auto done = std::exchange(self->ended_, nullptr)) done();
  };
  asio::co_spawn(near_.get_executor(), Copy(near_, far_), finish);
  asio::co_spawn(near_.get_executor(), Copy(far_, near_), finish);
}

void TunnelCopy::Close() {
  CloseSocket(near_.next_layer());
  CloseSocket(far_.next_layer());
}

TunnelTask<void> TunnelCopy::Copy(TlsStream& from, TlsStream& to) {
  std::vector<std::uint8_t> bytes(kPieceBytes + 2);
  while (true) {
    const std::size_t size = co_await from.async_read_some(asio::buffer(bytes), asio::use_awaitable);
    co_await asio::async_write(to, asio::buffer(bytes.data(), size), asio::use_awaitable);
  }
}

}  // namespace hs
