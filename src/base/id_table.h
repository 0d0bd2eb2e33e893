// Values that carry their own id, in the order of ids: a std::map<Id, Value> for a hundred million entries.
//
// Intuition: a hall of numbered lockers and two lists of their numbers. A value stays in its locker until it
// is erased; one list has the numbers in the order of ids, the other in the order of the ids' hashes, with
// gaps, so that a hash says about where to look. std::map takes 48 bytes for each entry beside the value and
// its key a second time; this takes about 20.
//
// Invariants:
//  1. at(id).id == id, also for an entry that operator[] has just made.
//  2. References to a value and its slot are valid until it is erased; iterators until anything is added or
//     erased. The slots are small numbers, used again: for arrays beside the table.
//  3. Iterates in the order of ids, as std::map does. No order by address or by history shows anywhere but in
//     slots.
//  4. The circle (the list by hashes) is sorted by (Mix64(id.Prefix64()), id), and no gap lies between an
//     entry and the place its hash names: so a search ends at the first gap. Linear probing; the order within
//     runs is that of "ordered hash tables" (Amble, Knuth 1974).
// Ids are random, as NodeId says; where many have the same first 8 bytes a search takes time in proportion to
// their number.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/grow.h"
#include "base/prng.h"

namespace hs {

template <typename Value>
class IdTable {
 public:
  using Slot = std::uint32_t;
  using Id = std::remove_cvref_t<decltype(std::declval<Value>().id)>;
  static constexpr Slot kNone = ~Slot{0};

  template <bool kConst>
  class Iterator {
   public:
    using Table = std::conditional_t<kConst, const IdTable, IdTable>;
    using reference = std::pair<const Id&, std::conditional_t<kConst, const Value&, Value&>>;
    using value_type = reference;
    using difference_type = std::ptrdiff_t;
    using iterator_category = std::bidirectional_iterator_tag;
    struct pointer {
      reference entry;
      const reference* operator->() const { return &entry; }
    };

    Iterator() = default;
    Iterator(Table* table, std::size_t at) : table_(table), at_(at) {}
    operator Iterator<true>() const { return {table_, at_}; }
    reference operator*() const {
      auto& value = table_->Of(table_->order_[at_]);
      return {value.id, value};
    }
    pointer operator->() const { return {**this}; }
    Slot slot() const { return table_->order_[at_]; }
    Iterator& operator++() { return ++at_, *this; }
    Iterator& operator--() { return --at_, *this; }
    Iterator operator++(int) { return {table_, at_++}; }
    Iterator operator--(int) { return {table_, at_--}; }
    friend bool operator==(const Iterator& a, const Iterator& b) { return a.at_ == b.at_; }

   private:
    Table* table_ = nullptr;
    std::size_t at_ = 0;
  };
  using iterator = Iterator<false>;
  using const_iterator = Iterator<true>;
  using value_type = typename const_iterator::value_type;

  IdTable() = default;
  IdTable(IdTable&&) noexcept = default;
  IdTable& operator=(IdTable&&) noexcept = default;
  IdTable(const IdTable& other) { *this = other; }
  IdTable& operator=(const IdTable& other) {
    if (this == &other) return *this;
    order_ = other.order_;
    free_ = other.free_;
    circle_ = other.circle_;
    bits_ = other.bits_;
    chunks_.clear();
    for (const auto& chunk : other.chunks_) chunks_.push_back(std::make_unique<Chunk>(*chunk));
    return *this;
  }

  std::size_t size() const { return order_.size(); }
  bool empty() const { return order_.empty(); }
  iterator begin() { return {this, 0}; }
  iterator end() { return {this, size()}; }
  const_iterator begin() const { return {this, 0}; }
  const_iterator end() const { return {this, size()}; }

  // kNone: there is none.
  Slot SlotOf(const Id& id) const {
    if (circle_.empty()) return kNone;
    const std::uint64_t hash = HashOf(id);
    const std::uint32_t tag = TagOf(hash);
    for (std::size_t at = HomeOf(tag); at < circle_.size(); ++at) {
      const Place& place = circle_[at];
      if (place.slot == kNone || place.tag > tag) return kNone;
      if (place.tag == tag && Of(place.slot).id == id) return place.slot;
    }
    return kNone;
  }
  Value& Of(Slot slot) { return (*chunks_[slot / kChunk])[slot % kChunk]; }
  const Value& Of(Slot slot) const { return (*chunks_[slot / kChunk])[slot % kChunk]; }
  // All slots ever used are below it.
  std::size_t slots() const { return size() + free_.size(); }

  // Null: there is none.
  const Value* Find(const Id& id) const {
    const Slot slot = SlotOf(id);
    return slot == kNone ? nullptr : &Of(slot);
  }
  bool contains(const Id& id) const { return SlotOf(id) != kNone; }
  iterator find(const Id& id) { return {this, contains(id) ? OrderOf(id) : size()}; }
  const_iterator find(const Id& id) const { return {this, contains(id) ? OrderOf(id) : size()}; }
  Value& at(const Id& id) { return const_cast<Value&>(std::as_const(*this).at(id)); }
  const Value& at(const Id& id) const {
    const Value* value = Find(id);
    HS_CHECK(value != nullptr);
    return *value;
  }

  Value& operator[](const Id& id) {
    const Slot known = SlotOf(id);
    return known != kNone ? Of(known) : Of(Add(id));
  }
  // Nothing happens where the id is known.
  void emplace(const Id& id, Value value) {
    if (contains(id)) return;
    value.id = id;
    (*this)[id] = std::move(value);
  }
  std::size_t erase(const Id& id) {
    const Slot slot = SlotOf(id);
    if (slot == kNone) return 0;
    order_.erase(order_.begin() + static_cast<std::ptrdiff_t>(OrderOf(id)));
    TakeFromCircle(id);
    Of(slot) = Value{};
    free_.push_back(slot);
    return 1;
  }

  // ---- the circle, walked by places; none of these on an empty table.
  // The first at or after (hash, id); past the last comes the first.
  std::size_t CircleFrom(std::uint64_t hash, const Id& id) const {
    std::size_t at = HomeOf(TagOf(hash));
    while (at < circle_.size() && (circle_[at].slot == kNone || Less(circle_[at], hash, id))) ++at;
    return at < circle_.size() ? at : CircleNext(circle_.size() - 1);
  }
  std::size_t CircleNext(std::size_t at) const {
    do at = at + 1 < circle_.size() ? at + 1 : 0;
    while (circle_[at].slot == kNone);
    return at;
  }
  std::size_t CircleBefore(std::size_t at) const {
    do at = at > 0 ? at - 1 : circle_.size() - 1;
    while (circle_[at].slot == kNone);
    return at;
  }
  const Value& CircleAt(std::size_t at) const { return Of(circle_[at].slot); }
  static std::uint64_t HashOf(const Id& id) { return Mix64(id.Prefix64()); }

 private:
  static constexpr std::size_t kChunk = 32;
  using Chunk = std::array<Value, kChunk>;
  struct Place {
    std::uint32_t tag = 0;  // the upper half of the hash
    Slot slot = kNone;      // kNone: a gap
  };

  static std::uint32_t TagOf(std::uint64_t hash) { return static_cast<std::uint32_t>(hash >> 32); }
  std::size_t HomeOf(std::uint32_t tag) const { return std::uint64_t{tag} << bits_ >> 32; }
  bool Less(const Place& place, std::uint64_t hash, const Id& id) const {
    if (place.tag != TagOf(hash)) return place.tag < TagOf(hash);
    const Id& other = Of(place.slot).id;
    const std::uint64_t its = HashOf(other);
    return its != hash ? its < hash : other < id;
  }
  // Of the first entry whose id is not less.
  std::size_t OrderOf(const Id& id) const {
    // Whole tables come in order: most often it is the last.
    if (order_.empty() || Of(order_.back()).id < id) return order_.size();
    const auto less = [&](Slot slot, const Id& wanted) { return Of(slot).id < wanted; };
    return static_cast<std::size_t>(std::lower_bound(order_.begin(), order_.end(), id, less) -
                                    order_.begin());
  }

  Slot Add(const Id& id) {
    if (circle_.empty() || 4 * (size() + 1) > 3 * (std::size_t{1} << bits_)) Grow();
    Slot slot = 0;
    if (free_.empty()) {
      slot = static_cast<Slot>(size());
      if (slot / kChunk == chunks_.size()) chunks_.push_back(std::make_unique<Chunk>());
    } else {
      slot = free_.back();
      free_.pop_back();
    }
    Of(slot).id = id;
    MakeRoom(order_);
    order_.insert(order_.begin() + static_cast<std::ptrdiff_t>(OrderOf(id)), slot);
    PutIntoCircle(id, slot);
    return slot;
  }
  void PutIntoCircle(const Id& id, Slot slot) {
    const std::uint64_t hash = HashOf(id);
    std::size_t at = HomeOf(TagOf(hash));
    while (at < circle_.size() && circle_[at].slot != kNone && Less(circle_[at], hash, id)) ++at;
    Place moved{TagOf(hash), slot};
    for (; at < circle_.size(); ++at) {
      std::swap(moved, circle_[at]);
      if (moved.slot == kNone) return;
    }
    circle_.push_back(moved);
  }
  void TakeFromCircle(const Id& id) {
    std::size_t gap = HomeOf(TagOf(HashOf(id)));
    while (!(Of(circle_[gap].slot).id == id)) ++gap;
    // Who was pushed past this place moves up.
    for (; gap + 1 < circle_.size(); ++gap) {
      const Place& next = circle_[gap + 1];
      if (next.slot == kNone || HomeOf(next.tag) == gap + 1) break;
      circle_[gap] = next;
    }
    circle_[gap] = Place{};
  }
  void Grow() {
    bits_ = circle_.empty() ? 3 : bits_ + 1;
    std::vector<Place> old(std::size_t{1} << bits_);
    std::swap(old, circle_);
    std::size_t next = 0;
    for (const Place& place : old) {
      if (place.slot == kNone) continue;
      next = std::max(next, HomeOf(place.tag));
      if (next == circle_.size()) circle_.emplace_back();
      circle_[next++] = place;
    }
  }

  std::vector<std::unique_ptr<Chunk>> chunks_;
  std::vector<Slot> free_;
  std::vector<Slot> order_;    // by id
  std::vector<Place> circle_;  // 2^bits_ homes, and as many places more as the last ones overflow
  int bits_ = 0;
};

}  // namespace hs
