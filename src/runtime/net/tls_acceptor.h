// Takes connections on a port and hands them over once their TLS handshake is done.
//
// Like a doorman with a small hall: who shows no paper in good time has to leave, and when the hall is full,
// whoever has stood there longest without a word makes place for the next.
//
// Bounded against strangers: handshakes in progress, in all and per IP address, have a limit and a deadline.
// Where there are too many, the oldest from which nothing has come gives way, if it was given time to speak;
// else the new one is refused. So who connects and says nothing shuts others out for `usual` at most, unless
// he connects anew as fast as that. Whoever has begun is let finish.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <map>
#include <memory>

#include "base/endpoint.h"
#include "base/result.h"
#include "base/time.h"
#include "runtime/net/tls.h"

namespace hs {

struct HandshakeLimits {
  Duration timeout = 5s;
  Duration usual = 1s;  // until the first word of whoever means it, even where all share few cores
  std::size_t in_all = 512;
  std::size_t per_ip = 128;
};

class TlsAcceptor : public std::enable_shared_from_this<TlsAcceptor> {
 public:
  struct Counts {
    std::uint64_t accepted = 0;
    std::uint64_t refused_busy = 0;
    std::uint64_t failed = 0;  // not TLS, too slow, or gave way
  };
  using Take = std::function<void(TlsStream&&)>;

  TlsAcceptor(boost::asio::io_context& loop, std::shared_ptr<TlsContext> tls, HandshakeLimits limits);

  // `tcp_fd`: listening at `listen`; taken over.
  Result<void> Start(int tcp_fd, const Endpoint& listen, Take take);
  // No new ones from now on; handshakes in progress end in nothing.
  void Close();
  const Counts& counts() const { return counts_; }

 private:
  struct Handshake;
  using Handshakes = std::multimap<IpAddress, Handshake*>;  // of one address the oldest first

  void Accept();
  void Greet(boost::asio::ip::tcp::socket socket);
  bool MakeRoom(const IpAddress& ip);

  boost::asio::io_context& loop_;
  std::shared_ptr<TlsContext> tls_;
  HandshakeLimits limits_;
  boost::asio::ip::tcp::acceptor acceptor_;
  boost::asio::steady_timer retry_;
  Take take_;
  Handshakes handshakes_;
  Counts counts_;
  bool closed_ = false;
};

}  // namespace hs
