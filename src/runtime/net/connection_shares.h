// Who may have how many connections at once, to the API or for a join.
//
// Like seats in a hall with a gallery of its own for the staff: however many strangers come, the box's own
// user and the other nodes find theirs, and one stranger cannot take them all.
#pragma once

#include <map>
#include <variant>

#include "base/endpoint.h"
#include "core/types.h"

namespace hs {

struct OwnUser {  // of the box, over its socket
  friend auto operator<=>(const OwnUser&, const OwnUser&) = default;
};
// A node is one that was proven; an address is anybody's.
using ConnectionSource = std::variant<OwnUser, NodeId, IpAddress>;

class ConnectionShares {
 public:
  // `in_all`: of each kind together. `per_source`: of one node, or of one address.
  ConnectionShares(std::size_t in_all, std::size_t per_source) : in_all_(in_all), per_source_(per_source) {}

  // False: there are too many. Each that was taken is to be given back.
  bool Take(const ConnectionSource& source) {
    std::size_t& of_kind = by_kind_[source.index()];
    const auto known = by_source_.find(source);
    const bool share_taken = source.index() != 0 && known != by_source_.end() && known->second >= per_source_;
    if (of_kind >= in_all_ || share_taken) return false;
    ++of_kind;
    ++by_source_[source];
    return true;
  }
  void Give(const ConnectionSource& source) {
    --by_kind_[source.index()];
    const auto known = by_source_.find(source);
    if (--known->second == 0) by_source_.erase(known);
  }

 private:
  std::size_t in_all_;
  std::size_t per_source_;
  std::map<std::size_t, std::size_t> by_kind_;
  std::map<ConnectionSource, std::size_t> by_source_;
};

}  // namespace hs
