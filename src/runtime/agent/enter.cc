#include "runtime/agent/enter.h"

#include <boost/asio/io_context.hpp>
#include <optional>

#include "runtime/agent/log.h"
#include "runtime/crypto/primitives.h"
#include "runtime/net/join.h"

namespace hs {
namespace {

// What a joiner writes when it is let in: seven small files, the documents with their log, the door's.
constexpr std::size_t kRoomBytes = 256 * 1024;

// Room on the disk, from Take to Give.
class Room {
 public:
  explicit Room(const DataDir& directory) : directory_(directory) { Give(); }
  ~Room() { Give(); }
  Room(const Room&) = delete;
  Room& operator=(const Room&) = delete;
  // Bytes that no file system keeps smaller than they are.
  Result<void> Take() { return directory_.Write(kFile, RandomBytes(kRoomBytes)); }
  void Give() { directory_.Remove(kFile); }

 private:
  static constexpr std::string_view kFile = "joining.room";
  const DataDir& directory_;
};

Result<Entry> Return(const DataDir& directory, const AgentOptions& options, Identity identity) {
  const bool formed = IsForming(directory, identity);
  Entry entry{std::move(identity), formed, {}, {}};
  if (options.join.empty()) {
    // Where others were last seen is in state.db; when that is lost, the token still names somebody.
    const auto text = directory.Has(kTokenFile) ? directory.Read(kTokenFile) : Result<std::string>("");
    const auto kept = text ? ParseToken(*text) : std::unexpected(text.error());
    if (kept && kept->ca == FingerprintOf(entry.identity.authority.certificate_pem)) {
      for (const Endpoint& address : kept->addresses) entry.fallback.emplace_back(NodeId{}, address);
    }
    return entry;
  }
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
  if (Endpoint::Parse(options.join, kDefaultPort)) {
    return BadInput("--join: this box has not been a member before, so the address " + options.join +
                    " is not enough: it needs a token; 'homeostat token show' on a member prints one");
  }
  const auto token = ParseToken(options.join);
  if (!token) return std::unexpected(token.error());
  // Who is let in is written down by the cluster: first it must be sure that this box can keep the answer.
  Room room(directory);
  if (auto taken = room.Take(); !taken) return std::unexpected(taken.error());
  const auto self = KeepNewNode(directory);
  if (!self) return std::unexpected(self.error());
  std::optional<Result<JoinOutcome>> outcome;
  JoinClient client(
      loop, *token, {}, *self, name, ClusterFingerprint(options.tunables), ClusterId{},
      [](const std::string& progress) { Log("joining: {}", progress); },
      [&](Result<JoinOutcome> result) {
        outcome = std::move(result);
        loop.stop();
      });
  if (options.discovery) {
    if (const auto searched = client.SearchLan(options.listen); !searched)
      Log("joining: {}", searched.error().message);
  }
  loop.run();
  loop.restart();
  if (!outcome) return Fail(Reaction::kRetryLater, "stopped before a cluster let this box in");
  if (!*outcome) return std::unexpected(outcome->error());
  room.Give();
  auto identity = StoreAdmission(directory, *self, (*outcome)->admission);
  if (!identity) return std::unexpected(identity.error());
  ForgetNewNode(directory);
  if (auto kept = directory.Write(kTokenFile, options.join); !kept) return std::unexpected(kept.error());
  return Entry{std::move(*identity), false, (*outcome)->peers, {}};
}

}  // namespace

Result<Entry> EnterCluster(boost::asio::io_context& loop, const DataDir& directory,
                           const AgentOptions& options, const std::string& name) {
  auto known = LoadIdentity(directory);
  if (!known) return std::unexpected(known.error());
  if (*known) return Return(directory, options, std::move(**known));
  // A node has an identity before it has documents: this one lost it, and must not become another by
  // accident.
  if (directory.Has(kStateFile)) {
    return BadInput(
        directory.PathOf("identity") + " is missing, though " + directory.PathOf(kStateFile) +
        " is there: this node cannot know who it was; put it back, or move the directory away and "
        "join afresh with a token");
  }
  if (!options.join.empty()) return Join(loop, directory, options, name);
  if (options.dial_out) {
    return BadInput(
        "--dial-out without --join: nobody could join a cluster whose only box cannot be connected to; form "
        "it "
        "on another box, or, if others can connect to this one, leave --dial-out out");
  }
  auto identity = FormCluster(directory);
  if (!identity) return std::unexpected(identity.error());
  return Entry{std::move(*identity), true, {}, {}};
}

}  // namespace hs
