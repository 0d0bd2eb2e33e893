// A map that is asked by key and never gone through, so that nothing can depend on the order of its entries.
//
// Intuition: a cloakroom. The ticket says where to look, and nobody asks who hangs beside whom. Keys are
// hashed to a place in one array; who finds his place taken hangs in the next free one. Invariants: each key
// once; references to values stay valid until their key is erased; at most three quarters of the places are
// taken.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace hs {

template <typename Key, typename Value>
class LookupMap {
 public:
  std::size_t size() const { return size_; }

  // Null: there is none.
  Value* Find(const Key& key) { return const_cast<Value*>(std::as_const(*this).Find(key)); }
  const Value* Find(const Key& key) const {
    if (places_.empty()) return nullptr;
    return places_[PlaceOf(key)].value.get();
  }

  Value& operator[](const Key& key) {
    if (4 * (size_ + 1) > 3 * places_.size()) Grow();
    Place& place = places_[PlaceOf(key)];
    if (place.value == nullptr) {
      place = {key, std::make_unique<Value>()};
      ++size_;
    }
    return *place.value;
  }

  void Erase(const Key& key) {
    if (places_.empty()) return;
    std::size_t gap = PlaceOf(key);
    if (places_[gap].value == nullptr) return;
    places_[gap].value.reset();
    --size_;
    // Whoever was pushed past this place moves up, so that a search may end at the first free one.
    for (std::size_t at = Next(gap); places_[at].value != nullptr; at = Next(at)) {
      const std::size_t home = HomeOf(places_[at].key);
      const bool reachable = gap < at ? home <= gap || home > at : home <= gap && home > at;
      if (!reachable) continue;
      places_[gap] = std::move(places_[at]);
      gap = at;
    }
  }

 private:
  struct Place {
    Key key;
    std::unique_ptr<Value> value;  // null: free
  };

  std::size_t HomeOf(const Key& key) const { return std::hash<Key>()(key) & (places_.size() - 1); }
  std::size_t Next(std::size_t at) const { return (at + 1) & (places_.size() - 1); }
  // Of the key, or the free one where it would hang.
  std::size_t PlaceOf(const Key& key) const {
    std::size_t at = HomeOf(key);
    while (places_[at].value != nullptr && !(places_[at].key == key)) at = Next(at);
    return at;
  }
  void Grow() {
    std::vector<Place> old(places_.empty() ? 8 : 2 * places_.size());
    std::swap(old, places_);
    for (Place& place : old) {
      if (place.value != nullptr) places_[PlaceOf(place.key)] = std::move(place);
    }
  }

  std::vector<Place> places_;  // a power of two of them
  std::size_t size_ = 0;
};

}  // namespace hs
