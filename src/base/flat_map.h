// A map for small keys that are looked up far more often than they come or go: a sorted vector.
//
// Intuition: a telephone list on one sheet instead of a card index. What a node keeps about each of its peers
// is asked for with every datagram; in a tree of nodes each such question is a walk over a handful of cache
// lines, here it is mostly one. Invariants: sorted by key, each key once; iterates in the order of keys, as
// std::map does. Unlike std::map, references and iterators end with any insertion or removal, which take time
// in proportion to the size.
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "base/check.h"

namespace hs {

template <typename Key, typename Value>
class FlatMap {
 public:
  using value_type = std::pair<Key, Value>;
  using iterator = typename std::vector<value_type>::iterator;
  using const_iterator = typename std::vector<value_type>::const_iterator;

  iterator begin() { return entries_.begin(); }
  iterator end() { return entries_.end(); }
  const_iterator begin() const { return entries_.begin(); }
  const_iterator end() const { return entries_.end(); }
  std::size_t size() const { return entries_.size(); }
  bool empty() const { return entries_.empty(); }
  void clear() { entries_.clear(); }

  iterator find(const Key& key) {
    const iterator at = lower_bound(key);
    return at != end() && at->first == key ? at : end();
  }
  const_iterator find(const Key& key) const { return const_cast<FlatMap*>(this)->find(key); }
  bool contains(const Key& key) const { return find(key) != end(); }
  const Value& at(const Key& key) const {
    const const_iterator found = find(key);
    HS_CHECK(found != end());
    return found->second;
  }
  Value& operator[](const Key& key) { return try_emplace(key).first->second; }

  // Whether it is new.
  std::pair<iterator, bool> try_emplace(const Key& key, Value value = {}) {
    const iterator at = lower_bound(key);
    if (at != end() && at->first == key) return {at, false};
    return {entries_.emplace(at, key, std::move(value)), true};
  }
  std::size_t erase(const Key& key) {
    const iterator found = find(key);
    if (found == end()) return 0;
    entries_.erase(found);
    return 1;
  }
  iterator erase(iterator at) { return entries_.erase(at); }

  // The first entry whose key is not less; greater.
  iterator lower_bound(const Key& key) {
    return std::lower_bound(begin(), end(), key,
                            [](const value_type& a, const Key& b) { return a.first < b; });
  }
  const_iterator lower_bound(const Key& key) const { return const_cast<FlatMap*>(this)->lower_bound(key); }
  iterator upper_bound(const Key& key) {
    return std::upper_bound(begin(), end(), key,
                            [](const Key& a, const value_type& b) { return a < b.first; });
  }

 private:
  std::vector<value_type> entries_;
};

}  // namespace hs
