// A member on the local network: it asks where the others are, hears who asks, and tells those with a good
// join token where it is.
//
// Invariants:
//  1. Only what is sealed with the cluster's secret, or has the MAC of a token in force, has any effect.
//  2. A question counts once: members' by the seal's replay window, joiners' by the nonces of late.
//  3. An answer is no longer than its question, and goes out at a bounded rate (AnswerGate).
// It does not decide when to ask and whom to greet: LanSearch does.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/membership/lan_search.h"
#include "core/types.h"
#include "runtime/crypto/identity.h"
#include "runtime/net/gossip_seal.h"
#include "runtime/net/lan_socket.h"

namespace hs {

struct LanService {
  std::function<std::optional<TokenDoc>(const std::string& token_id)>
      find_token;  // nullopt: unknown, revoked
  std::function<Now()> now;
  std::function<std::size_t()> members;                             // how many there are
  std::function<void(NodeId from, const Endpoint& address)> heard;  // a member's question
};

class LanMember {
 public:
  // `advertised`: where others find this node. Errors: as of LanSocket.
  static Result<std::unique_ptr<LanMember>> Open(boost::asio::io_context& loop, const Endpoint& listen,
                                                 const Endpoint& advertised, const Identity& identity,
                                                 LanService service);

  void Ask();
  void Refresh() { socket_->Refresh(); }

 private:
  LanMember(const Endpoint& advertised, const Identity& identity, LanService service);
  void Hear(const Endpoint& from, std::string_view datagram);
  void OnMemberQuestion(std::string_view sealed);
  void OnJoinerQuestion(const Endpoint& from, std::string_view datagram);
  bool IsRepeated(const std::string& nonce);

  Endpoint advertised_;
  GossipSeal seal_;
  LanService service_;
  AnswerGate gate_;
  std::set<std::string> nonces_;             // of questions that had a good MAC
  std::vector<std::string> nonces_in_turn_;  // the same, as a ring
  std::size_t oldest_ = 0;
  std::string content_;
  std::unique_ptr<LanSocket> socket_;
};

}  // namespace hs
