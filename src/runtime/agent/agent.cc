#include "runtime/agent/agent.h"

#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <chrono>

#include "core/engines/door_table.h"
#include "core/intent/keys.h"
#include "core/leadership/roles.h"
#include "runtime/agent/agent_impl.h"
#include "runtime/agent/clock.h"
#include "runtime/agent/footprint.h"
#include "runtime/agent/log.h"
#include "runtime/crypto/primitives.h"
#include "wire/codec.h"

#ifndef HS_VERSION
#define HS_VERSION "unknown"
#endif

namespace hs {
namespace {

// After this long a node has joined and exchanged its tables.
constexpr Duration kStartUpTime = 15s;
constexpr Duration kFootprintInterval = 60s;

Capacity MeasureCapacity() {
  Capacity capacity;
  capacity.cpu_millicores = static_cast<std::uint32_t>(std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN))) * 1000;
  struct sysinfo info {};
  if (::sysinfo(&info) == 0)
    capacity.memory_bytes = static_cast<std::uint64_t>(info.totalram) * info.mem_unit;
  return capacity;
}

bool HasOtherNodes(const std::vector<Document>& documents, NodeId self) {
  return std::ranges::any_of(documents, [self](const Document& document) {
    return document.key.starts_with("node/") && document.key != NodeKey(self) && !document.IsTombstone();
  });
}

}  // namespace

Agent::~Agent() {
  // What calls back into us goes first.
  http_.reset();
  links_.reset();
  own_lines_.reset();
  relay_.reset();
  tunnels_.reset();
  lines_.reset();
  gossip_.reset();
  lan_.reset();
  joins_.reset();
  telemetry_.reset();
  door_.reset();
  processes_.reset();
  disk_.join();
  logs_.join();
  store_.reset();
}

Result<void> Agent::OpenSockets() {
  auto sockets = Listen(options_.listen);
  if (!sockets) return std::unexpected(sockets.error());
  sockets_ = *sockets;
  advertised_ = options_.advertise ? *options_.advertise : AdvertisedFor(sockets_.endpoint);
  door_endpoint_ = options_.door ? *options_.door : Endpoint{sockets_.endpoint.ip, kDefaultDoorPort};
  if (IsBarred(options_.labels, Role::kDoor)) door_endpoint_ = {};
  if (options_.name.empty()) options_.name = advertised_.ip.ToString();
  return {};
}

Result<void> Agent::Start() {
  if (auto opened = OpenSockets(); !opened) return opened;
  auto entry = EnterCluster(loop_, directory_, options_, options_.name);
  if (!entry) return std::unexpected(entry.error());
  identity_ = entry->identity;
  auto tls = MakeTlsContext(identity_);
  if (!tls) return std::unexpected(tls.error());
  tls_ = *tls;

  StoreContent content;
  const StoreCodec codec{[](const Document& document) { return EncodeDocument(document); },
                         [](std::string_view bytes) { return DecodeDocument(bytes); }};
  auto store = Store::Open(loop_, directory_.PathOf(kStateFile), codec, content);
  if (!store) return std::unexpected(store.error());
  store_ = std::move(*store);
  for (const std::string& warning : content.warnings) Log("documents: {}", warning);
  unreadable_ = content.warnings;
  // Nobody can join before the first documents are on disk: with others known, they were.
  formed_ = entry->formed && content.peers.empty();
  if (auto started = StartNode(std::move(*entry), std::move(content)); !started) return started;
  if (!formed_) CheckHint();
  return StartTransport();
}

MemberMeta Agent::MakeMeta(const DoorPorts& ports) const {
  MemberMeta meta;
  meta.name = options_.name;
  meta.address = advertised_;
  // Others are told an address they can use.
  meta.door = {door_endpoint_.ip.IsUnspecified() ? advertised_.ip : door_endpoint_.ip, door_endpoint_.port};
  meta.inbound_http = ports.http;
  meta.inbound_tcp = ports.tcp;
  meta.labels = options_.labels;
  meta.capacity = MeasureCapacity();
  meta.version = HS_VERSION;
  meta.dials_out = options_.dial_out;
  return meta;
}

Result<void> Agent::StartNode(Entry entry, StoreContent content) {
  auto bundles = BundleStore::Open(directory_.PathOf("bundles"), options_.program_dir + "/homeostat-bundle");
  if (!bundles) return std::unexpected(bundles.error());
  bundles_ = std::move(*bundles);

  // HAProxy reads certificate and key from one file.
  if (auto written = directory_.Write("door.pem", identity_.node_certificate_pem + identity_.node_key_pem);
      !written)
    return written;
  DoorConfig door_config;
  door_config.dir = directory_.PathOf("door");
  door_config.door = door_endpoint_;
  door_config.inbound_ip = sockets_.endpoint.ip;
  door_config.inbound_first = static_cast<std::uint16_t>(sockets_.endpoint.port + 1);
  door_config.certificate_pem = directory_.PathOf("door.pem");
  door_config.ca_pem = directory_.PathOf("ca.crt");
  door_ = std::make_unique<HaproxyDoor>(
      loop_, door_config, [this](const std::string& error) { Feed(DoorStatus{error}); },
      [this](const std::string& server) {
        if (const auto id = ReplicaOf(server)) Feed(ReplicaIdle{*id});
      });
  auto ports = door_->Prepare();
  if (!ports) return std::unexpected(ports.error());
  telemetry_ = std::make_unique<DoorTelemetry>(loop_, door_config, [] { return ReadClocks().mono; });
  if (auto opened = telemetry_->Open(); !opened) return std::unexpected(opened.error());

  sense_.emplace(directory_.path());
  for (const std::string& words : sense_->Missing()) Log("load: {}", words);

  const MemberMeta meta = MakeMeta(*ports);
  ProcessHostOptions hosting;
  hosting.data_dir = directory_.path();
  hosting.shim = options_.program_dir + "/homeostat-shim";
  hosting.open_files = options_.replica_files;
  hosting.node = identity_.node;
  hosting.node_name = meta.name;
  hosting.advertised = advertised_.ip;
  if (meta.door) hosting.door_url = "http://" + meta.door.ToString();
  hosting.encode_spec = [](const ServiceSpec& spec) { return EncodeServiceSpec(spec); };
  hosting.decode_spec = [](std::string_view bytes) { return DecodeServiceSpec(bytes); };
  hosting.unpack = [this, store = *bundles_](const Digest& digest, const std::filesystem::path& path) {
    Result<void> unpacked = store.Unpack(digest, path);
    if (!unpacked && !store.Has(digest)) {
      boost::asio::post(loop_, [this, lost = BundleFailed{digest, unpacked.error().message}] { Feed(lost); });
    }
    return unpacked;
  };
  hosting.reachable = [this](const std::string& service) { return door_->Serves(service); };
  processes_ = std::make_unique<ProcessHost>(loop_, std::move(hosting), [this](Input input) {
    const auto* failed = std::get_if<ReplicaStartFailed>(&input);
    if (failed != nullptr) DoubtDisk(failed->reason);
    Feed(std::move(input));
  });

  BootState boot;
  boot.cluster = identity_.cluster;
  boot.node = identity_.node;
  boot.boot_id = identity_.boot_id;
  boot.boot_counter = identity_.boot_counter;
  boot.meta = meta;
  boot.documents = std::move(content.documents);
  std::vector<std::string> problems;
  boot.replicas = processes_->Scan(&problems);
  for (const std::string& problem : problems) Log("replicas: {}", problem);
  boot.bundles = bundles_->List();
  boot.containment = processes_->WeakContainment();
  const bool nobody_kept = content.peers.empty();
  former_peers_ = content.peers;
  boot.peers = std::move(content.peers);
  boot.peers.insert(boot.peers.end(), entry.peers.begin(), entry.peers.end());
  // Kept at once: a box that is killed just after it joined must find the others again.
  if (nobody_kept && !entry.peers.empty() && entry.peers.front().first) store_->SavePeers(entry.peers);
  // A cluster of one has nobody to look for, also where its token names the address it had before.
  knows_others_ = HasOtherNodes(boot.documents, identity_.node);
  const bool alone = !knows_others_ && std::ranges::any_of(boot.documents, [this](const Document& document) {
    return document.key == NodeKey(identity_.node);
  });
  if (boot.peers.empty() && !alone) boot.peers = std::move(entry.fallback);
  std::erase_if(boot.peers,
                [&](const auto& peer) { return peer.first == identity_.node || peer.second == advertised_; });
  boot.asks_lan = options_.discovery;
  boot.seed = RandomU64();
  node_ = std::make_unique<Node>(options_.tunables, std::move(boot), ReadClocks());
  return {};
}

// One that is wrong must not keep a member from starting: it may know better itself.
void Agent::CheckHint() {
  const auto hint = Endpoint::Parse(options_.join, kDefaultPort);
  if (!hint || *hint == advertised_) return;
  const auto is_alone = [this] {
    return std::ranges::count_if(node_->Members(),
                                 [](const auto& entry) { return IsPresent(entry.second.state); }) <= 1;
  };
  hint_.emplace(
      loop_, *hint, FingerprintOf(identity_.authority.certificate_pem), is_alone,
      [](const std::string& found) {
        Log("--join: nobody of this cluster is at {}; going on with what this box knows, and still trying",
            found);
      });
}

Result<void> Agent::StartTransport() {
  const auto refuse = [this](const Error& error) {
    // Authentic but not understood: said once, counted always.
    if (refused_messages_++ == 0)
      Log("a member sent what this release does not understand: {}", error.message);
  };
  gossip_ = std::make_unique<GossipSocket>(
      loop_, sockets_.udp, GossipSeal(identity_.gossip_secret, identity_.node, identity_.boot_id),
      [this, refuse](NodeId from, const Endpoint& address, std::string_view bytes) {
        auto message = DecodeGossip(bytes);
        if (!message) return refuse(message.error());
        Feed(DatagramReceived{from, address, std::move(*message)});
      });
  if (options_.discovery) StartLan();
  joins_ = std::make_unique<JoinServer>(identity_, MakeJoinService());
  http_ = std::make_unique<HttpServer>(loop_.get_executor(), *this);
  LinkHostHandlers handlers;
  handlers.up = [this](NodeId peer) { Feed(LinkUp{peer}); };
  handlers.down = [this](NodeId peer, LinkEnd end) { Feed(LinkDown{peer, end}); };
  handlers.received = [this, refuse](NodeId from, std::string_view bytes) {
    std::vector<std::string> left_out;
    auto message = DecodeLinkMessage(bytes, left_out);
    if (!message) {
      refuse(message.error());
      return Feed(Unreadable{from, message.error().message});
    }
    for (std::string& words : left_out) Feed(Unreadable{from, std::move(words)});
    Feed(LinkReceived{from, std::move(*message)});
  };
  handlers.allowed = [this](NodeId node, const Digest& key) { return IsTrusted(node, key); };
  StartRoutes();
  handlers.dial_at = [this](NodeId peer, const Endpoint& address) {
    const Endpoint tunnel = tunnels_->For(peer, TunnelService::kAgent);
    return tunnel ? tunnel : address;
  };
  handlers.relay = [this](TlsStream&& stream, NodeId from) { relay_->Serve(std::move(stream), from); };
  handlers.line = [this](TlsStream&& stream, NodeId from) { lines_->Park(std::move(stream), from); };
  // A removed box whose own disk does not know it yet.
  handlers.why_denied = [this](NodeId node) {
    const Document* document = node_->FindDocument(NodeKey(node));
    if (document == nullptr || !document->IsTombstone()) return std::string();
    return EncodeLinkMessage(DocumentPush{{*document}, false, {}});
  };
  handlers.http = [this](TlsStream&& stream, std::optional<NodeId> peer) {
    http_->ServeTls(std::move(stream), peer);
  };
  handlers.join = [this](TlsStream&& stream) { joins_->Serve(std::move(stream)); };
  LinkHostConfig config;
  config.tcp_fd = sockets_.tcp;
  config.listen = sockets_.endpoint;
  auto links = LinkHost::Start(loop_, identity_, config, std::move(handlers));
  if (!links) return std::unexpected(links.error());
  links_ = std::move(*links);
  return http_->ListenUnix(directory_.PathOf("api.sock"));
}

std::optional<TokenDoc> Agent::FindToken(const std::string& id) const {
  const Document* document = node_->FindDocument(TokenKey(id));
  const auto* token = document == nullptr ? nullptr : std::get_if<TokenDoc>(&document->body);
  return token == nullptr ? std::nullopt : std::optional(*token);
}

void Agent::StartLan() {
  LanService service;
  service.find_token = [this](const std::string& id) { return FindToken(id); };
  service.now = ReadClocks;
  service.members = [this] { return node_->Members().size(); };
  service.heard = [this](NodeId from, const Endpoint& address) { Feed(LanHeard{from, address}); };
  auto lan = LanMember::Open(loop_, sockets_.endpoint, advertised_, identity_, std::move(service));
  if (!lan) return Log("{}", lan.error().message);
  lan_ = std::move(*lan);
}

JoinService Agent::MakeJoinService() {
  JoinService service;
  service.find_token = [this](const std::string& id) { return FindToken(id); };
  service.find_node = [this](NodeId node) -> std::optional<NodeDoc> {
    const Document* document = node_->FindDocument(NodeKey(node));
    const auto* known = document == nullptr ? nullptr : std::get_if<NodeDoc>(&document->body);
    return known == nullptr ? std::nullopt : std::optional(*known);
  };
  service.wall_now = [] { return ReadClocks().wall_ms; };
  service.tunables_fingerprint = ClusterFingerprint(options_.tunables);
  service.peers = [this] {
    std::vector<std::pair<NodeId, Endpoint>> peers;
    for (const Member& member : node_->View(ReadClocks()).members) {
      if (IsPresent(member.state)) peers.emplace_back(member.id, member.meta->address);
    }
    return peers;
  };
  service.admit = [this](NodeDoc node, std::function<void(Result<void>)> done) {
    const std::string key = NodeKey(node.node);
    Write({{key, std::move(node)}},
          [done](Result<Stamp> result) { done(result ? Result<void>() : std::unexpected(result.error())); });
  };
  return service;
}

// A new cluster's first token, and this node's key where nobody else wrote it down.
void Agent::WriteFirstDocuments() {
  std::vector<std::pair<std::string, DocumentBody>> documents;
  const bool is_known = node_->FindDocument(NodeKey(identity_.node)) != nullptr;
  if (formed_ && !is_known) {
    const hs::JoinToken token = NewToken(FingerprintOf(identity_.authority.certificate_pem), {advertised_});
    if (auto kept = directory_.Write(kTokenFile, ToText(token)); !kept)
      Log("the join token was not kept: {}", kept.error().message);
    documents.emplace_back(TokenKey(token.id), DocumentOf(token, 0, false));
  }
  // Only who holds the others' keys can tell that nobody wrote this one down. A removed box that lost its
  // documents would let itself in again.
  if (!is_known && (formed_ || knows_others_)) {
    const auto certificate = ReadNodeCertificate(identity_.node_certificate_pem);
    if (certificate)
      documents.emplace_back(NodeKey(identity_.node),
                             NodeDoc{identity_.node, options_.name, certificate->public_key});
  }
  if (documents.empty()) return Announce();
  Write(std::move(documents), [this](Result<Stamp> result) {
    if (!result && formed_) {
      // Without its token nobody could ever join: the next start is the first again.
      const std::string state(kStateFile);
      for (const std::string& file : {std::string("identity"), state, state + "-wal", state + "-shm"})
        directory_.Remove(file);
      FinishForming(directory_);
      outcome_ = Fail(result.error().reaction, "no cluster could be formed: " + result.error().message);
      return loop_.stop();
    }
    if (!result) Log("the first documents could not be written: {}", result.error().message);
    Announce();
  });
}

void Agent::Announce() {
  Log("node {} ({}) of cluster {} listens on {}", options_.name, identity_.node.Short(),
      identity_.cluster.Short(), advertised_.ToString());
  if (door_endpoint_)
    Log("door: http://{}", node_->View(ReadClocks()).members.empty() ? "" : MakeMeta({}).door.ToString());
  FinishForming(directory_);
  if (!formed_) return;
  if (const auto token = JoinToken()) {
    WriteAtOnce(STDOUT_FILENO,
                fmt::format("A new cluster. On the next box:\n\n  homeostat up --join {}\n\n", *token));
  }
}

void Agent::OnSignal() {
  signals_.async_wait([this](const boost::system::error_code& failure, int number) {
    if (failure) return;
    Log("{}: the agent ends; its replicas and the door go on", number == SIGINT ? "SIGINT" : "SIGTERM");
    loop_.stop();
  });
}

Result<void> Agent::Run() {
  signals_.add(SIGINT);
  signals_.add(SIGTERM);
  OnSignal();
  boost::asio::post(loop_, [this] {
    Feed(Tick{});
    for (std::string& words : std::exchange(unreadable_, {}))
      Feed(Unreadable{identity_.node, std::move(words)});
    WriteFirstDocuments();
    CheckDisk(true);
    ArmSense();
  });
  ArmFootprint(kStartUpTime);
  loop_.run();
  return outcome_;
}

void Agent::ArmFootprint(Duration wait) {
  footprint_.expires_after(wait);
  footprint_.async_wait([this](const boost::system::error_code& failure) {
    if (failure) return;
    GiveBackUnused();
    if (lan_) lan_->Refresh();
    ArmFootprint(kFootprintInterval);
  });
}

// ------------------------------------------------------------------------------------------------ loop

void Agent::Feed(Input input) {
  inputs_.push_back(std::move(input));
  if (feeding_) return;  // an output of the step under way caused it
  feeding_ = true;
  while (!inputs_.empty()) {
    const Input next = std::move(inputs_.front());
    inputs_.pop_front();
    for (Output& output : node_->Step(ReadClocks(), next)) CarryOut(output);
  }
  feeding_ = false;
  ArmTimer();
}

void Agent::ArmTimer() {
  const Time due = node_->NextDeadline();
  if (due == timer_at_) return;
  timer_at_ = due;
  timer_armed_ = ReadClocks().mono;
  if (due == kNever) {
    timer_.cancel();
    return;
  }
  timer_.expires_at(ToSteady(due));
  timer_.async_wait([this](const boost::system::error_code& failure) {
    if (failure) return;
    lag_.Ran(timer_armed_, timer_at_, ReadClocks().mono);
    timer_at_ = kNever;
    Feed(Tick{});
  });
}

Result<void> RunAgent(const AgentOptions& options) {
  AllocateSparingly();
  while (true) {
    auto directory = DataDir::Open(options.data_dir);
    if (!directory) return std::unexpected(directory.error());
    Agent agent(options, std::move(*directory));
    if (auto started = agent.Start(); !started) return started;
    auto outcome = agent.Run();
    if (outcome || outcome.error().reaction != Reaction::kReconnect) return outcome;
    Log("starting again: {}", outcome.error().message);
  }
}

}  // namespace hs
