// Tells a person who started a member with --join whether anybody of its cluster is at that address.
//
// Membership finds out by sealed datagrams, to which whoever has not the key says nothing: a typing error, a
// box that is off and a box of another cluster look alike there. The TLS of the same port does say who it is.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>

#include "base/endpoint.h"
#include "runtime/crypto/token.h"

namespace hs {

class HintCheck {
 public:
  // Asks with growing pauses until a box whose certificate is of `ca` answers, or as long as it is needed.
  // `say` hears what was found instead, once each time it is another thing than before. Dropping the object
  // ends it without a call.
  HintCheck(boost::asio::io_context& loop, const Endpoint& address, const CaFingerprint& ca,
            std::function<bool()> is_needed, std::function<void(const std::string&)> say);
  ~HintCheck();
  HintCheck(HintCheck&&) = default;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace hs
