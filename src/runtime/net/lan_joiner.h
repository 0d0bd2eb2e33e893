// A box with a token and no keys asks the local network for the cluster that the token is of.
//
// It takes the word only of who knows the token's secret, in answer to one of its last questions. Where that
// is then joined, TLS and the CA's fingerprint prove the rest (join.h).
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "core/membership/lan_search.h"
#include "runtime/crypto/token.h"
#include "runtime/net/lan_socket.h"

namespace hs {

class LanJoiner {
 public:
  // Asks, ever more rarely, until it is dropped. `found` hears where members are, the same one again and
  // again. Errors: as of LanSocket.
  static Result<std::unique_ptr<LanJoiner>> Open(boost::asio::io_context& loop, const Endpoint& listen,
                                                 const JoinToken& token,
                                                 std::function<void(const Endpoint&)> found);
  ~LanJoiner();

 private:
  class Impl;
  explicit LanJoiner(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<Impl> impl_;
};

}  // namespace hs
