// Room for one more in a vector of which every node of a cluster has one.
#pragma once

#include <vector>

namespace hs {

// By a quarter: doubling would leave half of a large array unused.
template <typename T>
void MakeRoom(std::vector<T>& items) {
  if (items.size() == items.capacity()) items.reserve(items.size() + items.size() / 4 + 4);
}

}  // namespace hs
