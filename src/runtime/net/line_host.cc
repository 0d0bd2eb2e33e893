#include "runtime/net/line_host.h"

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <list>
#include <map>
#include <utility>
#include <vector>

#include "runtime/net/link_connection.h"

namespace hs {
namespace {

namespace asio = boost::asio;
using ErrorCode = boost::system::error_code;
using Clock = std::chrono::steady_clock;
using Line = std::unique_ptr<TlsStream>;

}  // namespace

class LineHost::Impl : public std::enable_shared_from_this<LineHost::Impl> {
 public:
  Impl(asio::io_context& loop, LineHostConfig config) : loop_(loop), config_(config) {}

  void Park(TlsStream&& stream, NodeId from) {
    Box& box = boxes_[from];
    box.heard_at = Clock::now();
    auto line = std::make_unique<TlsStream>(std::move(stream));
    TuneSocket(line->next_layer().native_handle());
    if (!box.waiting.empty()) {
      const std::shared_ptr<Waiter> first = box.waiting.front();
      box.waiting.pop_front();
      first->line = std::move(line);
      first->timer.cancel();
      return;
    }
    if (box.parked.size() >= config_.parked_max || parked_ >= config_.parked_in_all_max) {
      ++surplus_;
      return;
    }
    ++parked_;
    box.parked.push_back(std::move(line));
    Watch(from, *box.parked.back());
  }

  bool Serves(NodeId node) const {
    const auto found = boxes_.find(node);
    if (found == boxes_.end()) return false;
    return !found->second.parked.empty() || Clock::now() < found->second.heard_at + config_.memory;
  }

  // `self` keeps all this while it waits.
  TunnelTask<Line> Take([[maybe_unused]] std::shared_ptr<Impl> self, NodeId node) {
    const auto found = boxes_.find(node);
    if (closed_ || found == boxes_.end()) co_return nullptr;
    Box& box = found->second;
    if (!box.parked.empty()) {
      // The newest: the most likely to be good.
      Line line = std::move(box.parked.back());
      box.parked.pop_back();
      --parked_;
      ++taken_;
      line->next_layer().cancel();
      co_return line;
    }
    if (box.waiting.size() >= config_.waiting_max) co_return nullptr;
    const auto waiter = std::make_shared<Waiter>(loop_);
    box.waiting.push_back(waiter);
    waiter->timer.expires_after(config_.patience);
    ErrorCode ignored;
    co_await waiter->timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    if (closed_) co_return nullptr;
    boxes_[node].waiting.remove(waiter);
    if (waiter->line != nullptr) ++taken_;
    co_return std::move(waiter->line);
  }

  void Close() {
    closed_ = true;
    for (auto& [node, box] : boxes_) {
      for (const auto& waiter : box.waiting) waiter->timer.cancel();
    }
    boxes_.clear();
  }

  LineCounts counts() const { return {parked_, taken_, surplus_}; }

 private:
  struct Waiter {
    explicit Waiter(asio::io_context& loop) : timer(loop) {}
    asio::steady_timer timer;
    Line line;
  };
  struct Box {
    std::vector<Line> parked;  // oldest first
    std::list<std::shared_ptr<Waiter>> waiting;
    Clock::time_point heard_at;
  };

  // Nothing is to be read from a parked line but its end.
  void Watch(NodeId from, TlsStream& line) {
    line.next_layer().async_wait(boost::asio::ip::tcp::socket::wait_read,
                                 [weak = weak_from_this(), from, which = &line](ErrorCode stopped) {
                                   const auto host = stopped ? nullptr : weak.lock();
                                   if (host != nullptr) host->Drop(from, which);
                                 });
  }

  void Drop(NodeId from, const TlsStream* which) {
    const auto found = boxes_.find(from);
    if (found == boxes_.end()) return;
    parked_ -= std::erase_if(found->second.parked, [which](const Line& line) { return line.get() == which; });
    const bool idle = found->second.parked.empty() && found->second.waiting.empty();
    if (idle && Clock::now() >= found->second.heard_at + config_.memory) boxes_.erase(found);
  }

  asio::io_context& loop_;
  LineHostConfig config_;
  std::map<NodeId, Box> boxes_;
  std::size_t parked_ = 0;
  std::uint64_t taken_ = 0;
  std::uint64_t surplus_ = 0;
  bool closed_ = false;
};

LineHost::LineHost(asio::io_context& loop, LineHostConfig config)
    : impl_(std::make_shared<Impl>(loop, config)) {}
LineHost::~LineHost() { impl_->Close(); }
void LineHost::Park(TlsStream&& stream, NodeId from) { impl_->Park(std::move(stream), from); }
bool LineHost::Serves(NodeId node) const { return impl_->Serves(node); }
TunnelTask<std::unique_ptr<TlsStream>> LineHost::Take(NodeId node) { return impl_->Take(impl_, node); }
LineCounts LineHost::counts() const { return impl_->counts(); }

}  // namespace hs
