#include <algorithm>

#include "base/prng.h"
#include "runtime/crypto/primitives.h"
#include "runtime/net/join.h"
#include "runtime/net/join_exchange.h"
#include "runtime/net/lan_joiner.h"
#include "runtime/net/link_connection.h"
#include "runtime/net/tls.h"

namespace hs {
namespace {

using ErrorCode = boost::system::error_code;

constexpr auto kTryDeadline = 4s;
constexpr Duration kPauseFirst = 200ms;
constexpr Duration kPauseMax = 5s;
constexpr std::size_t kAnswerMax = 1 << 20;
// Where the local network is asked: so many rounds of addresses at which only another cluster answers. They
// take two seconds or more, in which it was asked several times.
constexpr int kStrangerRounds = 4;

}  // namespace

class JoinClient::Impl : public std::enable_shared_from_this<JoinClient::Impl> {
 public:
  Impl(boost::asio::io_context& loop, const JoinToken& token, std::vector<Endpoint> hints,
       JoinRequest request, std::function<void(const std::string&)> progress,
       std::function<void(Result<JoinOutcome>)> done)
      : loop_(loop),
        timer_(loop),
        tls_(MakeJoinerContext()),
        token_(token),
        addresses_(std::move(hints)),
        request_(EncodeJoinRequest(request)),
        progress_(std::move(progress)),
        done_(std::move(done)),
        jitter_(RandomU64()) {
    // What a person named by hand beats what the token remembers.
    addresses_.insert(addresses_.end(), token.addresses.begin(), token.addresses.end());
  }

  void Start() {
    if (addresses_.empty()) {
      boost::asio::post(loop_, [self = shared_from_this()] {
        if (self->lan_ || !self->addresses_.empty()) return;
        self->Finish(
            BadInput("the token names no address, no address was given to join at, and the local network is "
                     "not asked"));
      });
      return;
    }
    Try();
  }

  Result<void> SearchLan(const Endpoint& listen) {
    auto lan = LanJoiner::Open(loop_, listen, token_, [weak = weak_from_this()](const Endpoint& address) {
      if (const auto self = weak.lock()) self->Found(address);
    });
    if (!lan) return std::unexpected(lan.error());
    lan_ = std::move(*lan);
    return {};
  }

  void Close() {
    done_ = nullptr;
    lan_.reset();
    timer_.cancel();
    if (current_) current_->Close();
  }

 private:
  // Somebody there knows the token's secret: that goes before what only may be right.
  void Found(const Endpoint& address) {
    if (!done_) return;
    const auto known = std::ranges::find(addresses_, address);
    const auto index = static_cast<std::size_t>(known - addresses_.begin());
    if (current_ && index == next_) return;
    if (known == addresses_.end()) {
      addresses_.push_back(address);
      if (progress_) progress_("the local network answers: a member is at " + address.ToString());
    }
    found_ = index;
    if (connected_) return;
    if (current_) return current_->Close();
    TryAfter(0ms);
  }

  void TryAfter(Duration pause) {
    timer_.expires_after(pause);
    timer_.async_wait([self = shared_from_this()](ErrorCode stopped) {
      if (!stopped && self->done_) self->Try();
    });
  }

  void Try() {
    next_ = std::exchange(found_, std::nullopt).value_or(next_);
    const Endpoint address = addresses_[next_];
    connected_ = false;
    const auto exchange = std::make_shared<JoinExchange>(TlsStream(loop_, *tls_));
    current_ = exchange;
    exchange->Deadline(kTryDeadline);
    exchange->stream().next_layer().async_connect(ToAsio(address), [self = shared_from_this(), exchange,
                                                                    address](ErrorCode failure) {
      if (failure) return self->Failed(address, failure);
      self->connected_ = true;
      OfferAlpn(exchange->stream(), kAlpnJoin);
      exchange->stream().async_handshake(TlsStream::client, [self, exchange, address](ErrorCode tls_failure) {
        if (tls_failure) return self->Failed(address, tls_failure);
        self->Ask(exchange, address);
      });
    });
  }

  void Ask(const std::shared_ptr<JoinExchange>& exchange, const Endpoint& address) {
    if (!ServerMatches(exchange->stream(), token_.ca)) {
      // Not final alone: the address may have passed to a box of another cluster, while others in the token
      // are right. When all of them answer and none is right, waiting cannot help.
      if (++strangers_ >= addresses_.size() && (!lan_ || rounds_ >= kStrangerRounds)) {
        return Finish(Fail(Reaction::kRefuse,
                           "the token is for another cluster than the one at " + address.ToString()));
      }
      return Retry(address, "belongs to another cluster than the token");
    }
    exchange->Send(request_, [self = shared_from_this(), exchange, address](ErrorCode failure) {
      if (failure) return self->Failed(address, failure);
      exchange->Receive(kAnswerMax,
                        [self, exchange, address](ErrorCode read_failure, std::string_view bytes) {
                          if (read_failure) return self->Failed(address, read_failure);
                          self->Take(address, DecodeJoinAnswer(bytes));
                        });
    });
  }

  void Take(const Endpoint& address, Result<JoinAnswer> answer) {
    if (!answer) return Retry(address, answer.error().message);
    if (answer->refusal.empty())
      return Finish(JoinOutcome{std::move(answer->admission), std::move(answer->peers)});
    if (!answer->final) return Retry(address, answer->refusal);
    Finish(Fail(Reaction::kRefuse, "refused by " + address.ToString() + ": " + answer->refusal));
  }

  void Failed(const Endpoint& address, const ErrorCode& failure) {
    const bool late =
        failure == boost::asio::error::operation_aborted || failure == boost::asio::error::bad_descriptor;
    Retry(address, late ? "no answer" : failure.message());
  }

  void Retry(const Endpoint& address, const std::string& why) {
    if (!done_) return;
    if (current_) std::exchange(current_, nullptr)->Close();
    connected_ = false;
    next_ = (next_ + 1) % addresses_.size();
    Duration pause = 0ms;
    if (next_ == 0 && !found_) {
      strangers_ = 0;
      ++rounds_;
      pause = jitter_.Between(pause_ / 2, pause_);
      pause_ = std::min<Duration>(kPauseMax, pause_ * 2);
    }
    if (progress_) progress_("cannot join at " + address.ToString() + ": " + why + "; still trying");
    TryAfter(pause);
  }

  void Finish(Result<JoinOutcome> outcome) {
    lan_.reset();
    if (current_) std::exchange(current_, nullptr)->Close();
    if (auto done = std::exchange(done_, nullptr)) done(std::move(outcome));
  }

  boost::asio::io_context& loop_;
  boost::asio::steady_timer timer_;
  std::shared_ptr<TlsContext> tls_;
  JoinToken token_;
  std::vector<Endpoint> addresses_;
  std::string request_;
  std::function<void(const std::string&)> progress_;
  std::function<void(Result<JoinOutcome>)> done_;
  Prng jitter_;
  std::shared_ptr<JoinExchange> current_;
  std::unique_ptr<LanJoiner> lan_;
  std::size_t next_ = 0;
  std::optional<std::size_t> found_;  // to be tried next, whatever the turn
  bool connected_ = false;            // in the current try
  int rounds_ = 0;
  std::size_t strangers_ = 0;  // addresses of this round at which another cluster answered
  Duration pause_ = kPauseFirst;
};

JoinClient::JoinClient(boost::asio::io_context& loop, const JoinToken& token, std::vector<Endpoint> hints,
                       NewNode self, std::string name, std::uint64_t tunables_fingerprint,
                       ClusterId former_cluster, std::function<void(const std::string&)> progress,
                       std::function<void(Result<JoinOutcome>)> done)
    : impl_(std::make_shared<Impl>(loop, token, std::move(hints),
                                   JoinRequest{token.id, token.secret, self.node, std::move(name),
                                               self.public_key_pem, tunables_fingerprint, former_cluster},
                                   std::move(progress), std::move(done))) {
  impl_->Start();
}
Result<void> JoinClient::SearchLan(const Endpoint& listen) { return impl_->SearchLan(listen); }
JoinClient::~JoinClient() { impl_->Close(); }

}  // namespace hs
