#include "app/crew/crew.h"

namespace hs {
namespace {

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

Crew::Crew(std::size_t size, int looks) : looks_(looks) {
  for (std::size_t which = 1; which < size; ++which) threads_.emplace_back([this, which] { Run(which); });
}

Crew::~Crew() {
  work_ = nullptr;
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void Crew::Do(const Work& work) noexcept {
  work_ = &work;
  busy_.store(threads_.size(), std::memory_order_relaxed);
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  work(0);
  for (int looks = 0; busy_.load(std::memory_order_acquire) != 0;) {
    if (looks < looks_) {
      ++looks;
      Pause();
    } else {
      std::this_thread::yield();  // another thread may need this processor to be done
    }
  }
}

void Crew::Run(std::size_t which) {
  for (std::uint64_t seen = 0;; ++seen) {
    for (int looks = 0; round_.load(std::memory_order_acquire) == seen && looks < looks_; ++looks) Pause();
    round_.wait(seen, std::memory_order_acquire);
    if (work_ == nullptr) return;
    (*work_)(which);
    busy_.fetch_sub(1, std::memory_order_release);
  }
}

}  // namespace hs
