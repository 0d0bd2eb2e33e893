// What the API server needs from the agent.
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "core/intent/keys.h"
#include "runtime/agent/agent_impl.h"
#include "runtime/agent/clock.h"
#include "runtime/agent/follow_log.h"
#include "runtime/http/client.h"
#include "wire/codec.h"

namespace hs {
namespace {

constexpr Duration kSecondCopyWait = 3s;
constexpr Duration kSecondCopyLook = 20ms;

bool HeldElsewhere(const NodeView& view, const Digest& digest) {
  bool others = false;
  for (const Member& member : view.members) {
    if (member.id == view.self || !IsPresent(member.state)) continue;
    others = true;
    const auto report = view.reports.find(member.id);
    if (report == view.reports.end()) continue;
    const auto& held = std::get<NodeReport>(*report->second).bundles;
    if (std::binary_search(held.begin(), held.end(), digest)) return true;
  }
  return !others;  // alone: there is no second copy to wait for
}

}  // namespace

NodeView Agent::View() {
  NodeView view = node_->View(ReadClocks());
  view.local_load = load_;
  view.door_totals = door_totals_;
  return view;
}

void Agent::Write(std::vector<std::pair<std::string, DocumentBody>> documents,
                  std::function<void(Result<Stamp>)> done) {
  for (const auto& [key, body] : documents) {
    if (auto readable = CheckReadable(body); !readable) return done(std::unexpected(readable.error()));
  }
  const RequestId request{++next_request_};
  requests_[request] = std::move(done);
  Feed(ClientWrite{request, std::move(documents)});
}

Result<Who> Agent::Authorize(std::string_view text) {
  const auto token = ParseToken(text);
  if (!token) return std::unexpected(token.error());
  const auto ours = FingerprintOf(identity_.authority.certificate_pem);
  if (auto good = CheckApiToken(*token, ours, FindToken(token->id), ReadClocks().wall_ms); !good)
    return std::unexpected(good.error());
  return Who{"token " + token->id, true};
}

// The token that this box formed or joined the cluster with, with the addresses of today.
Result<std::string> Agent::JoinToken() {
  const std::string create = "homeostat token create makes another one, which is shown only then";
  const std::string advice = "; " + create;
  if (!directory_.Has(kTokenFile)) return Fail(Reaction::kFixInput, "this box keeps no join token" + advice);
  const auto text = directory_.Read(kTokenFile);
  if (!text) return std::unexpected(text.error());
  auto token = ParseToken(*text);
  if (!token) return Fail(Reaction::kFixInput, directory_.PathOf(kTokenFile) + " is damaged" + advice);
  const Document* document = node_->FindDocument(TokenKey(token->id));
  // Revoked is a tombstone; nothing at all has only not come yet.
  if (document == nullptr)
    return Fail(
        Reaction::kRetryLater,
        "the cluster's documents have not come yet; try again in a moment; if they are lost, " + create);
  const auto* body = std::get_if<TokenDoc>(&document->body);
  if (body == nullptr || !CheckToken(*body, token->secret, ReadClocks().wall_ms)) {
    return Fail(Reaction::kFixInput,
                "the join token that this box keeps was revoked or has expired" + advice);
  }
  token->addresses = WhereToJoin();
  return ToText(*token);
}

// This box and some more, of those that a newcomer can connect to.
std::vector<Endpoint> Agent::WhereToJoin() {
  std::vector<Endpoint> addresses;
  if (!options_.dial_out) addresses.push_back(advertised_);
  for (const Member& member : View().members) {
    if (member.id == identity_.node || member.state != MemberState::kAlive || member.meta->dials_out)
      continue;
    if (addresses.size() < 4) addresses.push_back(member.meta->address);
  }
  return addresses;
}

void Agent::CreateToken(const CreateTokenCommand& command, std::function<void(Result<MadeToken>)> done) {
  const hs::JoinToken token =
      NewToken(FingerprintOf(identity_.authority.certificate_pem),
               options_.dial_out ? WhereToJoin() : std::vector<Endpoint>{advertised_});
  const WallMs expires = command.ttl_s == 0 ? 0 : ReadClocks().wall_ms + command.ttl_s * 1000;
  Write({{TokenKey(token.id), DocumentOf(token, expires, command.admin)}},
        [token, done](Result<Stamp> result) {
          if (!result) return done(std::unexpected(result.error()));
          done(MadeToken{token.id, ToText(token)});
        });
}

std::optional<std::filesystem::path> Agent::BundleFile(Digest digest) {
  if (!bundles_->Has(digest)) return std::nullopt;
  return bundles_->Path(digest);
}

// Answered when a second node holds the bundle as well, or after a while: what was uploaded must outlive this
// box.
void Agent::AdoptBundle(Digest digest, std::filesystem::path file, std::function<void(Result<void>)> done) {
  boost::asio::post(disk_, [this, digest, file, done] {
    const Result<void> added = bundles_->AddFile(file, digest);
    std::error_code ignored;
    std::filesystem::remove(file, ignored);
    boost::asio::post(loop_, [this, digest, done, added] {
      if (!added) {
        DoubtDisk(added.error().message);
        return done(added);
      }
      Feed(BundleReady{digest});
      auto timer = std::make_shared<boost::asio::steady_timer>(loop_);
      auto look = std::make_shared<std::function<void()>>();
      const Time give_up = ReadClocks().mono + kSecondCopyWait;
      *look = [this, digest, done, timer, give_up, weak = std::weak_ptr(look)] {
        if (HeldElsewhere(View(), digest) || ReadClocks().mono >= give_up) return done({});
        timer->expires_after(kSecondCopyLook);
        timer->async_wait([keep = weak.lock()](const boost::system::error_code& failure) {
          if (!failure) (*keep)();
        });
      };
      (*look)();
    });
  });
}

void Agent::ReadLogs(const LogQuery& query, std::shared_ptr<LogSink> sink) {
  FollowLog(loop_, logs_, processes_->LogDir(query.replica), query, std::move(sink));
}

void Agent::FetchFrom(NodeId node, std::string target, std::shared_ptr<ByteSink> sink) {
  Endpoint address = tunnels_->For(node, TunnelService::kAgent);
  if (!address) address = node_->AddressOf(node);
  if (!address) return sink->End();
  FetchFromNode(
      loop_.get_executor(), tls_,
      [this, node](TlsStream& stream) {
        const auto peer = PeerOf(stream, identity_.cluster);
        return peer && peer->node == node;
      },
      address, std::move(target), std::move(sink));
}

}  // namespace hs
