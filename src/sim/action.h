// What is to happen later in the simulated world.
//
// A std::function<void()> whose captures lie in itself: a world makes several of these with each step, and
// what they capture is a little more than std::function takes without allocating. It can be moved, not
// copied, so that a message can move through it.
#pragma once

#include <concepts>
#include <cstddef>
#include <memory>
#include <type_traits>
#include <utility>

#include "base/check.h"

namespace hs::sim {

class Action {
 public:
  static constexpr std::size_t kRoom = 80;  // bytes; what captures more is kept elsewhere

  Action() = default;
  template <std::invocable F>
  requires(!std::same_as<F, Action>)
      Action(F what) {  // NOLINT: a lambda is an action, as it is a std::function
    if constexpr (sizeof(F) <= kRoom && alignof(F) <= alignof(std::max_align_t)) {
      std::construct_at(static_cast<F*>(Room()), std::move(what));
      kind_ = &kKindOf<F>;
    } else {
      *this = Action([kept = std::make_unique<F>(std::move(what))] { (*kept)(); });
    }
  }
  Action(Action&& other) noexcept { Take(other); }
  Action& operator=(Action&& other) noexcept {
    if (this == &other) return *this;
    Clear();
    Take(other);
    return *this;
  }
  ~Action() { Clear(); }

  void operator()() {
    HS_CHECK(kind_ != nullptr);
    kind_->run(Room());
  }

 private:
  struct Kind {
    void (*run)(void* what);
    void (*move)(void* to, void* from);  // `from` is ended
    void (*end)(void* what);
  };
  template <typename F>
  static constexpr Kind kKindOf{[](void* what) { (*static_cast<F*>(what))(); },
                                [](void* to, void* from) {
                                  std::construct_at(static_cast<F*>(to), std::move(*static_cast<F*>(from)));
                                  std::destroy_at(static_cast<F*>(from));
                                },
                                [](void* what) { std::destroy_at(static_cast<F*>(what)); }};

  void* Room() { return room_; }
  void Take(Action& other) {
    kind_ = std::exchange(other.kind_, nullptr);
    if (kind_ != nullptr) kind_->move(Room(), other.Room());
  }
  void Clear() {
    if (kind_ != nullptr) std::exchange(kind_, nullptr)->end(Room());
  }

  const Kind* kind_ = nullptr;  // null: nothing
  alignas(std::max_align_t) std::byte room_[kRoom];
};

}  // namespace hs::sim
