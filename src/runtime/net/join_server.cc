#include "runtime/net/join.h"
#include "runtime/net/join_exchange.h"

namespace hs {
namespace {

using namespace std::chrono_literals;
using ErrorCode = boost::system::error_code;

constexpr auto kDeadline = 10s;
constexpr std::size_t kRequestMax = 64 * 1024;
constexpr int kAtOnceMax = 128;

}  // namespace

class JoinServer::Impl : public std::enable_shared_from_this<JoinServer::Impl> {
 public:
  Impl(Identity identity, JoinService service)
      : identity_(std::move(identity)), service_(std::move(service)) {}

  void Close() { closed_ = true; }

  void Serve(TlsStream&& stream) {
    if (closed_) return;
    const auto exchange = std::make_shared<JoinExchange>(std::move(stream));
    exchange->Deadline(kDeadline);
    if (serving_ >= kAtOnceMax) return Answer(exchange, Refusal("too many boxes are joining at once", false));
    // Counts down when the last handler of this exchange is gone, however it ended.
    const std::shared_ptr<void> slot(nullptr, [self = shared_from_this()](void*) { --self->serving_; });
    ++serving_;
    exchange->Receive(kRequestMax,
                      [self = shared_from_this(), exchange, slot](ErrorCode failure, std::string_view bytes) {
                        if (failure || self->closed_) return exchange->Close();
                        const auto request = DecodeJoinRequest(bytes);
                        if (!request) return self->Answer(exchange, Refusal(request.error().message, true));
                        self->Judge(exchange, slot, *request);
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

  void Judge(const std::shared_ptr<JoinExchange>& exchange, const std::shared_ptr<void>& slot,
             const JoinRequest& request) {
    const auto document = Check(request);
    if (!document) return Answer(exchange, Refusal(document.error().message, true));
    auto certificate =
        IssueNodeCertificate(identity_.authority, identity_.cluster, request.node, request.public_key_pem);
    if (!certificate) return Answer(exchange, Refusal(certificate.error().message, true));
    service_.admit(
        *document, [weak = weak_from_this(), exchange, slot, pem = *certificate](Result<void> written) {
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
  int serving_ = 0;
  bool closed_ = false;
};

JoinServer::JoinServer(Identity identity, JoinService service)
    : impl_(std::make_shared<Impl>(std::move(identity), std::move(service))) {}
JoinServer::~JoinServer() { impl_->Close(); }
void JoinServer::Serve(TlsStream&& stream) { impl_->Serve(std::move(stream)); }

}  // namespace hs
