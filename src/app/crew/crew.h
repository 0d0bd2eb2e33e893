// A few threads that work together in rounds: all begin at once, and the round ends with the last of them.
//
// Intuition: rowers. Rounds are short, some microseconds, and there are millions of them, so whoever is done
// looks up again and again for the next stroke; only after a while does he lie down to be woken.
// Invariants: Do() returns when everybody is done; what one wrote in a round all see after it. The caller is
// one of them.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

namespace hs {

class Crew {
 public:
  using Work = std::function<void(std::size_t)>;  // told which of them it is for: 0 is the caller

  // Who waits looks up so often before he lies down; by default for about a tenth of a millisecond, longer
  // than nearly all rounds.
  explicit Crew(std::size_t size, int looks = 2000);
  ~Crew();
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  std::size_t size() const { return threads_.size() + 1; }
  void Do(const Work& work) noexcept;  // no round can be left half done

 private:
  void Run(std::size_t which);

  const int looks_;
  const Work* work_ = nullptr;  // null: it is over
  std::atomic<std::uint64_t> round_{0};
  std::atomic<std::size_t> busy_{0};
  std::vector<std::thread> threads_;
};

}  // namespace hs
