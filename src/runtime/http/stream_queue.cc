#include "runtime/http/stream_queue.h"

namespace hs {

StreamQueue::StreamQueue(boost::asio::any_io_executor executor) : wake_(std::move(executor)) {}

bool StreamQueue::Write(std::string_view bytes) {
  if (closed_ || ended_) return false;
  if (bytes_.size() + bytes.size() > kMax) {
    End();
    return false;
  }
  bytes_ += bytes;
  wake_.cancel();
  return true;
}

void StreamQueue::OnRoom(std::function<void()> resume) {
  if (Full() && !closed_) {
    resume_.push_back(std::move(resume));
  } else {
    resume();
  }
}

void StreamQueue::End() {
  ended_ = true;
  wake_.cancel();
}

void StreamQueue::OnGone(std::function<void()> gone) {
  if (closed_) {
    gone();
  } else {
    gone_.push_back(std::move(gone));
  }
}

std::string StreamQueue::Take() {
  std::string taken = std::move(bytes_);
  bytes_.clear();
  auto resume = std::move(resume_);
  resume_.clear();
  for (auto& function : resume) function();
  return taken;
}

void StreamQueue::Close() {
  if (closed_) return;
  closed_ = true;
  wake_.cancel();
  auto resume = std::move(resume_);
  resume_.clear();
  for (auto& function : resume) function();  // a paused writer learns from Write() that nobody reads
  TellGone();
}

void StreamQueue::TellGone() {
  auto gone = std::move(gone_);
  gone_.clear();
  for (auto& function : gone) function();
}

}  // namespace hs
