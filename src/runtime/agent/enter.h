// How a box becomes, or is again, a member: from the data directory, by a token, or as the first of a new
// cluster.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "runtime/agent/options.h"
#include "runtime/crypto/data_dir.h"
#include "runtime/crypto/identity.h"
#include "runtime/crypto/token.h"

namespace boost::asio {
class io_context;
}

namespace hs {

inline constexpr std::string_view kTokenFile = "join.token";
inline constexpr std::string_view kStateFile = "state.db";

struct Entry {
  Identity identity;
  // A new cluster, by this start or by one cut short: its first documents are to be written.
  bool formed = false;
  std::vector<std::pair<NodeId, Endpoint>> peers;     // where to look for others; zero id: whoever is there
  std::vector<std::pair<NodeId, Endpoint>> fallback;  // only where no others are known
};

// Runs `loop` while it waits for a cluster to let it in. Errors are for the person who typed `up`.
Result<Entry> EnterCluster(boost::asio::io_context& loop, const DataDir& directory,
                           const AgentOptions& options, const std::string& name);

}  // namespace hs
