#include "runtime/net/hint_check.h"

#include <algorithm>
#include <utility>

#include "runtime/net/join_exchange.h"
#include "runtime/net/link_connection.h"
#include "runtime/net/tls.h"

namespace hs {
namespace {

constexpr Duration kPatience = 4s;
constexpr Duration kPauseFirst = 500ms;
constexpr Duration kPauseMax = 30s;

}  // namespace

class HintCheck::Impl : public std::enable_shared_from_this<Impl> {
 public:
  using ErrorCode = boost::system::error_code;

  Impl(boost::asio::io_context& loop, const Endpoint& address, const CaFingerprint& ca,
       std::function<bool()> is_needed, std::function<void(const std::string&)> say)
      : loop_(loop),
        timer_(loop),
        tls_(MakeJoinerContext()),
        address_(address),
        ca_(ca),
        is_needed_(std::move(is_needed)),
        say_(std::move(say)) {}

  void Ask() {
    if (!is_needed_()) return End();
    const auto exchange = std::make_shared<JoinExchange>(TlsStream(loop_, *tls_));
    current_ = exchange;
    exchange->Deadline(kPatience);
    exchange->stream().next_layer().async_connect(
        ToAsio(address_), [self = shared_from_this(), exchange](ErrorCode failure) {
          if (failure) return self->Found(IsLate(failure) ? kNoAnswer : failure.message());
          OfferAlpn(exchange->stream(), kAlpnJoin);
          exchange->stream().async_handshake(TlsStream::client, [self, exchange](ErrorCode tls_failure) {
            if (tls_failure) {
              return self->Found(IsLate(tls_failure) ? kNoAnswer : "what answers there is no node");
            }
            if (ServerMatches(exchange->stream(), self->ca_)) return self->End();
            self->Found("the box there belongs to another cluster");
          });
        });
  }

  void End() {
    say_ = nullptr;
    tls_.reset();
    timer_.cancel();
    if (current_) std::exchange(current_, nullptr)->Close();
  }

 private:
  static constexpr const char* kNoAnswer = "no answer";

  // The deadline closed the socket.
  static bool IsLate(const ErrorCode& failure) {
    return failure == boost::asio::error::operation_aborted || failure == boost::asio::error::bad_descriptor;
  }

  void Found(const std::string& what) {
    if (!say_) return;
    std::exchange(current_, nullptr)->Close();
    if (std::exchange(said_, what) != what) say_(address_.ToString() + ": " + what);
    timer_.expires_after(pause_);
    pause_ = std::min<Duration>(2 * pause_, kPauseMax);
    timer_.async_wait([self = shared_from_this()](ErrorCode stopped) {
      if (!stopped && self->say_) self->Ask();
    });
  }

  boost::asio::io_context& loop_;
  boost::asio::steady_timer timer_;
  std::shared_ptr<TlsContext> tls_;
  const Endpoint address_;
  const CaFingerprint ca_;
  std::function<bool()> is_needed_;
  std::function<void(const std::string&)> say_;  // null: ended
  std::shared_ptr<JoinExchange> current_;
  std::string said_;
  Duration pause_ = kPauseFirst;
};

HintCheck::HintCheck(boost::asio::io_context& loop, const Endpoint& address, const CaFingerprint& ca,
                     std::function<bool()> is_needed, std::function<void(const std::string&)> say)
    : impl_(std::make_shared<Impl>(loop, address, ca, std::move(is_needed), std::move(say))) {
  impl_->Ask();
}
HintCheck::~HintCheck() {
  if (impl_) impl_->End();
}

}  // namespace hs
