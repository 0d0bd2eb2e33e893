// A value that never changes while others see it, held by many.
//
// Intuition: a printed notice instead of a hand-written copy for everyone. Whoever passes it on hands over
// the sheet, not the text; whoever wants it to read differently prints one of his own. What a member says of
// itself is known to all, so in a simulation of ten thousand nodes it is held a hundred million times.
// Invariants: what one holder reads changes only by his own Edit() or assignment; none at all reads as, and
// equals, T{}. Copies may go to other threads; one of them, like any value, is used by one thread at a time.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

namespace hs {

template <typename T>
class SharedValue {
 public:
  SharedValue() = default;
  SharedValue(T value) : sheet_(new Sheet(std::move(value))) {}
  SharedValue(const SharedValue& other) : sheet_(other.sheet_) {
    if (sheet_ != nullptr) sheet_->holders.fetch_add(1, std::memory_order_relaxed);
  }
  SharedValue(SharedValue&& other) noexcept : sheet_(std::exchange(other.sheet_, nullptr)) {}
  SharedValue& operator=(SharedValue other) noexcept {
    std::swap(sheet_, other.sheet_);
    return *this;
  }
  ~SharedValue() {
    if (sheet_ != nullptr && sheet_->holders.fetch_sub(1, std::memory_order_acq_rel) == 1) delete sheet_;
  }

  // Whether there is one at all.
  explicit operator bool() const { return sheet_ != nullptr; }
  const T& operator*() const { return sheet_ != nullptr ? sheet_->value : None(); }
  const T* operator->() const { return &**this; }

  // For this holder alone: a copy first, where others hold the same.
  T& Edit() {
    if (sheet_ == nullptr || sheet_->holders.load(std::memory_order_acquire) != 1)
      *this = SharedValue(**this);
    return sheet_->value;
  }

  // One and the same, not only equal.
  bool Is(const SharedValue& other) const { return sheet_ == other.sheet_; }
  friend bool operator==(const SharedValue& a, const SharedValue& b) { return a.Is(b) || *a == *b; }

 private:
  struct Sheet {
    explicit Sheet(T text) : value(std::move(text)) {}
    T value;
    std::atomic<std::uint32_t> holders{1};
  };
  static const T& None() {
    static const T none{};
    return none;
  }

  Sheet* sheet_ = nullptr;
};

}  // namespace hs
