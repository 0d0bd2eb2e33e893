#include "app/crew/crew.h"

namespace hs {
namespace {

// About a tenth of a millisecond: longer than nearly all rounds.
constexpr int kLooks = 2000;

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

Crew::Crew(std::size_t size) {
  for (std::size_t which = 1; which < size; ++which) threads_.emplace_back([this, which] { Run(which); });
}

Crew::~Crew() {
  work_ = nullptr;
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void Crew::Do(const Work& work) {
  work_ = &work;
  busy_.store(threads_.size(), std::memory_order_relaxed);
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  work(0);
  for (int looks = 0; busy_.load(std::memory_order_acquire) != 0; ++looks) {
    // Another thread may need this processor to be done.
    looks < kLooks ? Pause() : std::this_thread::yield();
  }
}

void Crew::Run(std::size_t which) {
  for (std::uint64_t seen = 0;; ++seen) {
    for (int looks = 0; round_.load(std::memory_order_acquire) == seen && looks < kLooks; ++looks) Pause();
    round_.wait(seen, std::memory_order_acquire);
    if (work_ == nullptr) return;
    (*work_)(which);
    busy_.fetch_sub(1, std::memory_order_release);
  }
}

}  // namespace hs
