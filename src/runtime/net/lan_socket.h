// Speaking to everybody on the local network: IPv4 multicast on one fixed group and port.
//
// Any number of processes of a machine share the port. Questions leave from a second socket with a port of
// its own, to which answers come back. What arrives is handed on unread: the receiver proves it. A flood is
// read in bites with pauses, so that it costs little; the kernel drops the rest.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "base/endpoint.h"
#include "base/result.h"

namespace boost::asio {
class io_context;
}

namespace hs {

inline const Endpoint kLanGroup{IpAddress::V4(239, 255, 119, 107), 7701};

class LanSocket {
 public:
  using Receiver = std::function<void(const Endpoint& from, std::string_view datagram)>;

  // On the interfaces through which `listen` can be reached: all that know multicast where it is "any
  // address", else the one that has it. Errors: IPv6 alone, no such interface, no right to.
  static Result<std::unique_ptr<LanSocket>> Open(boost::asio::io_context& loop, const Endpoint& listen,
                                                 Receiver receiver);
  ~LanSocket();

  void Ask(std::string_view datagram);  // to all on each interface; one that came up meanwhile is used too
  void Answer(const Endpoint& to, std::string_view datagram);
  void Refresh();  // hears on interfaces that came up meanwhile

 private:
  class Impl;
  explicit LanSocket(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<Impl> impl_;
};

}  // namespace hs
