// How a box becomes a member: the joiner proves that it was invited, the cluster proves that it is the one
// meant.
//
//   joiner                                             any member
//   TLS, ALPN homeostat-join/1  ------------------->
//   checks: the server's chain holds the CA whose fingerprint is in the token, and the CA signed the server
//   request: token id and secret, node id, name, public key, tunables' fingerprint, former cluster  ------->
//                                                      checks the token, writes the node's document, signs
//                                                      its key
//   <-------  admission: certificate, CA with key, gossip secret, peers; or a refusal in words
//
// The secret crosses only an encrypted channel to a proven member, and the keys only after it was checked.
// Each side sends one message: length 4 | content.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/types.h"
#include "runtime/crypto/identity.h"
#include "runtime/crypto/token.h"
#include "runtime/net/http_handover.h"

namespace boost::asio {
class io_context;
}

namespace hs {

struct JoinRequest {
  std::string token_id;
  std::string secret;
  NodeId node;
  std::string name;
  std::string public_key_pem;
  std::uint64_t tunables_fingerprint = 0;
  ClusterId former_cluster;  // zero for a fresh box
  friend bool operator==(const JoinRequest&, const JoinRequest&) = default;
};

struct JoinAnswer {
  std::string refusal;  // empty: admitted
  bool final = true;    // a refusal that may pass (busy, disk full) is worth another try
  Admission admission;
  std::vector<std::pair<NodeId, Endpoint>> peers;
};

std::string EncodeJoinRequest(const JoinRequest& request);
Result<JoinRequest> DecodeJoinRequest(std::string_view bytes);
std::string EncodeJoinAnswer(const JoinAnswer& answer);
Result<JoinAnswer> DecodeJoinAnswer(std::string_view bytes);

// What the serving side needs to know and do.
struct JoinService {
  std::function<std::optional<TokenDoc>(const std::string& token_id)>
      find_token;  // nullopt: unknown or revoked
  std::function<std::optional<NodeDoc>(NodeId)> find_node;
  std::function<WallMs()> wall_now;
  std::uint64_t tunables_fingerprint = 0;
  std::function<std::vector<std::pair<NodeId, Endpoint>>()> peers;  // members to start from, itself included
  // Writes the document; `done` when it is durable, or cannot be.
  std::function<void(NodeDoc, std::function<void(Result<void>)> done)> admit;
};

class JoinServer {
 public:
  JoinServer(Identity identity, JoinService service);
  ~JoinServer();
  // For LinkHostHandlers::join. Bounded: so many joins at a time, in all and of one address, each with a
  // deadline; what is above is closed at once.
  void Serve(TlsStream&& stream);

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

struct JoinOutcome {
  Admission admission;
  std::vector<std::pair<NodeId, Endpoint>> peers;
};

// Tries the token's addresses and then the hints, round after round with growing pauses, until one answers.
// `progress` hears of every failed try in words; `done` is called once, with the admission or the refusal.
// Dropping the object gives up without a call.
class JoinClient {
 public:
  JoinClient(boost::asio::io_context& loop, const JoinToken& token, std::vector<Endpoint> hints, NewNode self,
             std::string name, std::uint64_t tunables_fingerprint, ClusterId former_cluster,
             std::function<void(const std::string&)> progress, std::function<void(Result<JoinOutcome>)> done);
  // Asks the local network as well, through which `listen` is reached: a member that answers is tried next.
  // Errors: as of LanSocket.
  Result<void> SearchLan(const Endpoint& listen);
  ~JoinClient();

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace hs
