#include "runtime/net/lan_joiner.h"

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>

#include "runtime/crypto/primitives.h"
#include "runtime/net/lan_words.h"

namespace hs {
namespace {

// Answers come within milliseconds; the last questions are more than enough.
constexpr std::size_t kNoncesKept = 4;

Time MonoNow() { return Time(std::chrono::steady_clock::now().time_since_epoch()); }

}  // namespace

class LanJoiner::Impl : public std::enable_shared_from_this<LanJoiner::Impl> {
 public:
  Impl(boost::asio::io_context& loop, const JoinToken& token, std::function<void(const Endpoint&)> found)
      : timer_(loop),
        token_id_(token.id),
        secret_digest_(Sha256(token.secret)),
        found_(std::move(found)),
        search_(Prng(RandomU64())) {}

  void Start(std::unique_ptr<LanSocket> socket) {
    socket_ = std::move(socket);
    // Of a cluster it knows that it exists.
    Step(LanSearch::Company{1, 2});
  }

  void Close() {
    found_ = nullptr;
    timer_.cancel();
    socket_.reset();
  }

  void Hear(std::string_view datagram) {
    const auto answer = OpenLanAnswer(datagram, secret_digest_);
    if (!answer || !answer->address || std::ranges::find(nonces_, answer->nonce) == nonces_.end()) return;
    if (found_) found_(answer->address);
  }

 private:
  void Step(const LanSearch::Input& input) {
    for (const LanSearch::Output& output : search_.Step(MonoNow(), input)) {
      if (std::holds_alternative<LanSearch::Ask>(output)) Ask();
    }
    timer_.expires_at(std::chrono::steady_clock::time_point(search_.NextDeadline().time_since_epoch()));
    timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& stopped) {
      const auto self = stopped ? nullptr : weak.lock();
      if (self && self->found_) self->Step(Tick{});
    });
  }

  void Ask() {
    nonces_.push_front(RandomBytes(kLanNonceBytes));
    if (nonces_.size() > kNoncesKept) nonces_.pop_back();
    socket_->Ask(EncodeLanQuestion({token_id_, nonces_.front()}, secret_digest_));
  }

  boost::asio::steady_timer timer_;
  std::string token_id_;
  Digest secret_digest_;
  std::function<void(const Endpoint&)> found_;
  LanSearch search_;
  std::deque<std::string> nonces_;  // newest first
  std::unique_ptr<LanSocket> socket_;
};

Result<std::unique_ptr<LanJoiner>> LanJoiner::Open(boost::asio::io_context& loop, const Endpoint& listen,
                                                   const JoinToken& token,
                                                   std::function<void(const Endpoint&)> found) {
  auto impl = std::make_shared<Impl>(loop, token, std::move(found));
  auto socket =
      LanSocket::Open(loop, listen, [weak = std::weak_ptr(impl)](const Endpoint&, std::string_view datagram) {
        if (const auto joiner = weak.lock()) joiner->Hear(datagram);
      });
  if (!socket) return std::unexpected(socket.error());
  impl->Start(std::move(*socket));
  return std::unique_ptr<LanJoiner>(new LanJoiner(std::move(impl)));
}
LanJoiner::~LanJoiner() { impl_->Close(); }

}  // namespace hs
