// The bytes of a long answer between those who write them and the connection that sends them.
//
// A pipe with a mark: above kFull the writer is asked to pause, below kRoom it is called back. One thread.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <string>

#include "runtime/http/backend.h"

namespace hs {

class StreamQueue final : public ByteSink {
 public:
  static constexpr std::size_t kFull = 256 << 10;
  static constexpr std::size_t kRoom = 64 << 10;
  static constexpr std::size_t kMax = 8 << 20;  // a writer that does not pause is cut off here

  explicit StreamQueue(boost::asio::any_io_executor executor);

  bool Write(std::string_view bytes) override;
  bool Full() const override { return bytes_.size() >= kFull; }
  void OnRoom(std::function<void()> resume) override;
  void End() override;
  void OnGone(std::function<void()> gone) override;

  // The reader's side.
  bool empty() const { return bytes_.empty(); }
  bool ended() const { return ended_; }
  std::string Take();  // all that waits; calls the paused writers back
  void Close();        // the reader is gone
  // Ends when something is written or ended; the reader waits on it with an expiry of its own.
  boost::asio::steady_timer& wake() { return wake_; }

 private:
  void TellGone();

  boost::asio::steady_timer wake_;
  std::string bytes_;
  bool ended_ = false;
  bool closed_ = false;
  std::vector<std::function<void()>> resume_;
  std::vector<std::function<void()>> gone_;
};

}  // namespace hs
