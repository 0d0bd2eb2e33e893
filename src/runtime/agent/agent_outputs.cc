// Carries out what the node asks for.
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <fstream>

#include "core/intent/keys.h"
#include "runtime/agent/agent_impl.h"
#include "runtime/agent/clock.h"
#include "runtime/agent/disk_check.h"
#include "runtime/agent/log.h"
#include "runtime/http/client.h"
#include "wire/codec.h"

namespace hs {

namespace {

constexpr Duration kSavePeersPause = 500ms;

}  // namespace

void Agent::CarryOut(Output& output) {
  std::visit([this](auto& value) { Do(value); }, output);
}

void Agent::Do(SendDatagram& output) { gossip_->Send(output.address, EncodeGossip(output.message)); }

void Agent::Do(SendLink& output) {
  links_->Send(output.to, output.address, EncodeLinkMessage(output.message));
}

void Agent::Do(HoldLinks& output) { links_->Hold(output.peers); }

void Agent::Do(TryConnect& output) {
  TryConnectTo(loop_, output.address, sockets_.endpoint, output.timeout,
               [this, attempt = output.attempt](ConnectResult result) {
                 Feed(ConnectOutcome{attempt, result});
               });
}

void Agent::Do(Persist& output) {
  // A node's key that is no longer trusted ends its links, also where a full disk cannot keep that.
  bool revokes = false;
  for (const Document& document : output.documents)
    revokes = revokes || (document.IsTombstone() && document.key.starts_with("node/"));
  store_->Persist(std::move(output.documents), [this, id = output.id, revokes](Result<void> result) {
    if (result) {
      Feed(Persisted{id});
    } else {
      const DiskFault fault = FaultIn(result.error().message);
      Feed(
          PersistFailed{id, result.error().message, fault == DiskFault::kNone ? DiskFault::kFailing : fault});
    }
    if (revokes) links_->Recheck();
  });
}

void Agent::Do(Reply& output) {
  const auto found = requests_.find(output.request);
  if (found == requests_.end()) return;
  auto done = std::move(found->second);
  requests_.erase(found);
  // Not from within the step: what is done next may well be another write.
  boost::asio::post(loop_, [done = std::move(done), result = std::move(output.result)]() mutable {
    done(std::move(result));
  });
}

void Agent::Do(EmitEvent& output) {
  Log("{} {}: {}", output.event.kind, output.event.subject, output.event.cause);
  if (!output.event.kind.starts_with("member.")) return;
  // Where others are is worth keeping whenever that changes; many change together.
  if (std::exchange(saves_peers_, true)) return;
  save_peers_.expires_after(kSavePeersPause);
  save_peers_.async_wait([this](const boost::system::error_code& failure) {
    saves_peers_ = false;
    if (failure) return;
    std::vector<std::pair<NodeId, Endpoint>> peers;
    for (const Member& member : node_->View(ReadClocks()).members) {
      if (member.id != identity_.node && member.state != MemberState::kLeft)
        peers.emplace_back(member.id, member.meta->address);
    }
    // Whom it has not met since its start may still be somewhere.
    for (const auto& [id, address] : former_peers_) {
      const Document* key = node_->FindDocument(NodeKey(id));
      if (!node_->Members().contains(id) && (key == nullptr || !key->IsTombstone()))
        peers.emplace_back(id, address);
    }
    store_->SavePeers(std::move(peers));
    const std::uint32_t boot = node_->Members().at(identity_.node).incarnation.boot;
    if (boot <= identity_.boot_counter) return;
    if (auto kept = KeepBootCounter(directory_, identity_, boot); !kept)
      Log("the number of starts was not kept: {}", kept.error().message);
  });
}

void Agent::Do(TakeNewIdentity&) {
  boost::asio::post(loop_, [this] {
    // They have the ids of the other's, who runs them.
    processes_->Abandon();
    auto renewed = RenewNode(directory_, identity_);
    if (!renewed) {
      outcome_ =
          Fail(renewed.error().reaction,
               "another agent has this node's id, and no new one could be kept: " + renewed.error().message);
      loop_.stop();
      return;
    }
    outcome_ = Fail(Reaction::kReconnect, "this box has a new node id");
    loop_.stop();
  });
}

// Unlike a signal, this is for good: the door goes as well.
void Agent::Do(Gone& output) {
  if (!output.error.empty()) {
    outcome_ = Fail(Reaction::kFixInput, output.error +
                                             "; to use this box again, start it with another data directory "
                                             "(or empty this one) and --join TOKEN");
  }
  boost::asio::post(loop_, [this] {
    door_->Shutdown([this] {
      links_->Leave([this] {
        if (outcome_) Log("this node has left the cluster; nothing of it runs any more");
        loop_.stop();
      });
    });
  });
}

void Agent::Do(AskLan&) {
  if (lan_) lan_->Ask();
}

// ------------------------------------------------------------------------------------------------ bundles

namespace {

// Writes what a holder sends into the bundle store and says how it ended.
class BundleSink : public ByteSink {
 public:
  BundleSink(BundleStore::Incoming incoming,
             std::function<void(Result<void>, std::optional<BundleStore::Incoming>)> done)
      : incoming_(std::move(incoming)), done_(std::move(done)) {}
  ~BundleSink() override { Finish(Fail(Reaction::kReconnect, "the holder's answer ended early")); }

  bool Write(std::string_view bytes) override {
    if (!incoming_) return false;
    got_ = got_ || !bytes.empty();
    auto written = incoming_->Write(bytes);
    if (!written) Finish(std::unexpected(written.error()));
    return written.has_value();
  }
  bool Full() const override { return false; }
  void OnRoom(std::function<void()> resume) override { resume(); }
  void End() override {
    if (got_) return Finish({});
    Finish(Fail(Reaction::kRetryLater, "the holder does not have it"));
  }
  void OnGone(std::function<void()> gone) override { gone_ = std::move(gone); }

 private:
  void Finish(Result<void> result) {
    if (!done_) return;
    auto done = std::exchange(done_, {});
    done(std::move(result), std::exchange(incoming_, std::nullopt));
    if (auto gone = std::exchange(gone_, {})) gone();
  }

  std::optional<BundleStore::Incoming> incoming_;
  std::function<void(Result<void>, std::optional<BundleStore::Incoming>)> done_;
  std::function<void()> gone_;
  bool got_ = false;
};

}  // namespace

// At once, since a fetch of the same bundle may follow.
void Agent::Do(DropBundle& output) {
  if (const auto removed = bundles_->Remove(output.digest); !removed)
    Log("bundle {} could not be removed: {}", output.digest.Short(), removed.error().message);
}

void Agent::Do(FetchBundle& output) {
  boost::asio::post(loop_, [this, fetch = std::make_shared<FetchBundle>(std::move(output))] {
    FetchNext(fetch, 0, "no member that is present holds it");
  });
}

void Agent::FetchNext(std::shared_ptr<FetchBundle> fetch, std::size_t next, std::string reason) {
  if (bundles_->Has(fetch->digest)) return Feed(BundleReady{fetch->digest});
  auto incoming = next < fetch->holders.size() ? bundles_->Receive(fetch->digest)
                                               : std::unexpected(Error{Reaction::kRetryLater, reason});
  if (!incoming) {
    DoubtDisk(incoming.error().message);
    return Feed(BundleFailed{fetch->digest, incoming.error().message});
  }
  const auto try_next = [this, fetch, next](const std::string& why) {
    boost::asio::post(loop_, [this, fetch, next, why] { FetchNext(fetch, next + 1, why); });
  };
  auto sink = std::make_shared<BundleSink>(
      std::move(*incoming),
      [this, fetch, try_next](Result<void> result, std::optional<BundleStore::Incoming> part) {
        if (!result || !part) return try_next(result ? "nothing came" : result.error().message);
        // Verifying and syncing take their time: not on the loop.
        boost::asio::post(
            disk_, [this, fetch, try_next, held = std::make_shared<BundleStore::Incoming>(std::move(*part))] {
              const Result<void> kept = held->Commit();
              boost::asio::post(loop_, [this, fetch, try_next, kept] {
                if (!kept) return try_next(kept.error().message);
                Feed(BundleReady{fetch->digest});
              });
            });
      });
  FetchFrom(fetch->holders[next].first, "/v1/bundles/" + fetch->digest.Hex(), std::move(sink));
}

}  // namespace hs
