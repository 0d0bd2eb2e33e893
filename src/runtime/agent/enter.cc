#include "runtime/agent/enter.h"

#include <boost/asio/io_context.hpp>
#include <optional>

#include "runtime/agent/log.h"
#include "runtime/net/join.h"

namespace hs {
namespace {

Result<Entry> Return(const AgentOptions& options, Identity identity) {
  Entry entry{std::move(identity), false, {}};
  if (options.join.empty()) return entry;
  // A member that comes back needs no permission, only an address.
  if (const auto hint = Endpoint::Parse(options.join, kDefaultPort)) {
    entry.peers.emplace_back(NodeId{}, *hint);
    return entry;
  }
  const auto token = ParseToken(options.join);
  if (!token) return std::unexpected(token.error());
  if (token->ca != FingerprintOf(entry.identity.authority.certificate_pem)) {
    return Fail(Reaction::kRefuse, "the token is for another cluster than the one in " + options.data_dir +
                                       "; give an empty --data directory to join that one as a new box");
  }
  for (const Endpoint& address : token->addresses) entry.peers.emplace_back(NodeId{}, address);
  return entry;
}

Result<Entry> Join(boost::asio::io_context& loop, const DataDir& directory, const AgentOptions& options,
                   const std::string& name) {
  const auto token = ParseToken(options.join);
  if (!token) return std::unexpected(token.error());
  const NewNode self = DrawNode();
  std::optional<Result<JoinOutcome>> outcome;
  JoinClient client(
      loop, *token, {}, self, name, ClusterFingerprint(options.tunables), ClusterId{},
      [](const std::string& progress) { Log("joining: {}", progress); },
      [&](Result<JoinOutcome> result) {
        outcome = std::move(result);
        loop.stop();
      });
  loop.run();
  loop.restart();
  if (!outcome) return Fail(Reaction::kRetryLater, "stopped before a cluster let this box in");
  if (!*outcome) return std::unexpected(outcome->error());
  auto identity = StoreAdmission(directory, self, (*outcome)->admission);
  if (!identity) return std::unexpected(identity.error());
  if (auto kept = directory.Write(kTokenFile, options.join); !kept) return std::unexpected(kept.error());
  return Entry{std::move(*identity), false, (*outcome)->peers};
}

}  // namespace

Result<Entry> EnterCluster(boost::asio::io_context& loop, const DataDir& directory,
                           const AgentOptions& options, const std::string& name) {
  auto known = LoadIdentity(directory);
  if (!known) return std::unexpected(known.error());
  if (*known) return Return(options, std::move(**known));
  if (!options.join.empty()) return Join(loop, directory, options, name);
  auto identity = FormCluster(directory);
  if (!identity) return std::unexpected(identity.error());
  return Entry{std::move(*identity), true, {}};
}

}  // namespace hs
