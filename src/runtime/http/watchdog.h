// Closes a socket when a step of a conversation takes too long; its pending operation then ends with an
// error.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>

#include "base/time.h"

namespace hs {

class Watchdog {
 public:
  Watchdog(boost::asio::any_io_executor executor, std::function<void()> bite)
      : state_(std::make_shared<State>(std::move(executor), std::move(bite))) {}
  ~Watchdog() { Disarm(); }
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  void Arm(Duration wait) {
    state_->timer.expires_after(wait);
    state_->timer.async_wait(
        [state = state_, round = ++state_->round](const boost::system::error_code& code) {
          if (code || round != state->round) return;
          state->bitten = true;
          if (state->bite) state->bite();
        });
  }
  void Disarm() {
    ++state_->round;
    state_->timer.cancel();
  }
  bool bitten() const { return state_->bitten; }

 private:
  struct State {
    State(boost::asio::any_io_executor executor, std::function<void()> what)
        : timer(std::move(executor)), bite(std::move(what)) {}
    boost::asio::steady_timer timer;
    std::function<void()> bite;
    std::uint64_t round = 0;  // a wait that fired just before it was replaced must not bite
    bool bitten = false;
  };
  std::shared_ptr<State> state_;
};

}  // namespace hs
