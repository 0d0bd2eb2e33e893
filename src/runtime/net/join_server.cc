#include "runtime/net/connection_shares.h"
#include "runtime/net/join.h"
#include "runtime/net/join_exchange.h"
#include "runtime/net/sockets.h"

namespace hs {
namespace {

using namespace std::chrono_literals;
using ErrorCode = boost::system::error_code;

constexpr auto kDeadline = 10s;
constexpr std::size_t kRequestMax = 64 * 1024;
constexpr std::size_t kAtOnceMax = 128;
constexpr std::size_t kOfOneAddressMax = 64;  // many boxes of one owner may come from one, and all at once

}  // namespace

class JoinServer::Impl : public std::enable_shared_from_this<JoinServer::Impl> {
 public:
  Impl(Identity identity, JoinService service)
      : identity_(std::move(identity)), service_(std::move(service)) {}

  void Close() { closed_ = true; }

  void Serve(TlsStream&& stream) {
    ErrorCode gone;
    const auto remote = stream.lowest_layer().remote_endpoint(gone);
    if (closed_ || gone) return;
    const IpAddress from = ToEndpoint(remote.data()).ip;
    if (!shares_.Take(from)) return;  // dropping it closes it; who means it tries again
    // Given back with the last handler of this exchange, however it ended: who is answered and does not close
    // counts until the deadline.
    const std::shared_ptr<JoinExchange> exchange(new JoinExchange(std::move(stream)),
                                                 [self = shared_from_this(), from](JoinExchange* ended) {
                                                   delete ended;
                                                   self->shares_.Give(from);
                                                 });
    exchange->Deadline(kDeadline);
    exchange->Receive(kRequestMax,
                      [self = shared_from_this(), exchange](ErrorCode failure, std::string_view bytes) {
                        if (failure || self->closed_) return exchange->Close();
                        const auto request = DecodeJoinRequest(bytes);
                        if (!request) return self->Answer(exchange, Refusal(request.error().message, true));
                        self->Judge(exchange, *request);
                      });
  }

 private:
  static JoinAnswer Refusal(std::string why, bool final) {
    JoinAnswer answer;
    answer.refusal = std::move(why);
    answer.final = final;
    return answer;
  }

  Result<NodeDoc> Check(const JoinRequest& request) const {
    // The token first: nothing is told to one that was not invited.
    const auto token = service_.find_token(request.token_id);
    if (auto good = CheckToken(token, request.secret, service_.wall_now()); !good)
      return std::unexpected(good.error());
    if (token->admin) return Fail(Reaction::kRefuse, "this is a token for the API, not for joining");
    if (request.former_cluster && request.former_cluster != identity_.cluster) {
      return Fail(Reaction::kRefuse, "the box belongs to another cluster (" + request.former_cluster.Hex() +
                                         "); remove its data directory, or name another with --data");
    }
    if (request.tunables_fingerprint != service_.tunables_fingerprint) {
      return Fail(Reaction::kRefuse,
                  "the box runs with other cluster tunables than this cluster; start it with the same ones");
    }
    const auto digest = PublicKeyDigest(request.public_key_pem);
    if (!digest) return std::unexpected(digest.error());
    const auto known = service_.find_node(request.node);
    if (request.node == identity_.node || (known && known->public_key != *digest)) {
      return Fail(Reaction::kRefuse, "node id " + request.node.Hex() + " belongs to another node already");
    }
    return NodeDoc{request.node, request.name, *digest};
  }

  void Judge(const std::shared_ptr<JoinExchange>& exchange, const JoinRequest& request) {
    const auto document = Check(request);
    if (!document) return Answer(exchange, Refusal(document.error().message, true));
    auto certificate =
        IssueNodeCertificate(identity_.authority, identity_.cluster, request.node, request.public_key_pem);
    if (!certificate) return Answer(exchange, Refusal(certificate.error().message, true));
    service_.admit(*document, [weak = weak_from_this(), exchange, pem = *certificate](Result<void> written) {
      const auto self = weak.lock();
      if (!self || self->closed_) return exchange->Close();
      if (!written) {
        const Error& error = written.error();
        return self->Answer(exchange, Refusal("the cluster cannot take it down: " + error.message,
                                              error.reaction == Reaction::kFixInput));
      }
      JoinAnswer answer;
      answer.admission = {self->identity_.cluster, pem, self->identity_.authority,
                          self->identity_.gossip_secret};
      answer.peers = self->service_.peers();
      self->Answer(exchange, answer);
    });
  }

  void Answer(const std::shared_ptr<JoinExchange>& exchange, const JoinAnswer& answer) {
    exchange->Send(EncodeJoinAnswer(answer), [exchange](ErrorCode failure) {
      if (failure) return exchange->Close();
      // The joiner closes: closing first could reset the connection under an answer that is still on its way.
      exchange->Receive(0, [exchange](ErrorCode, std::string_view) { exchange->Close(); });
    });
  }

  Identity identity_;
  JoinService service_;
  ConnectionShares shares_{kAtOnceMax, kOfOneAddressMax};
  bool closed_ = false;
};

JoinServer::JoinServer(Identity identity, JoinService service)
    : impl_(std::make_shared<Impl>(std::move(identity), std::move(service))) {}
JoinServer::~JoinServer() { impl_->Close(); }
void JoinServer::Serve(TlsStream&& stream) { impl_->Serve(std::move(stream)); }

}  // namespace hs
