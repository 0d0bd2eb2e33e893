// The inside of the agent; for the files of this folder.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "core/node/node.h"
#include "core/observation/history.h"
#include "runtime/agent/enter.h"
#include "runtime/agent/options.h"
#include "runtime/bundle/bundle.h"
#include "runtime/crypto/data_dir.h"
#include "runtime/haproxy/door.h"
#include "runtime/haproxy/telemetry.h"
#include "runtime/http/backend.h"
#include "runtime/http/server.h"
#include "runtime/net/gossip_socket.h"
#include "runtime/net/hint_check.h"
#include "runtime/net/join.h"
#include "runtime/net/lan_member.h"
#include "runtime/net/line_host.h"
#include "runtime/net/line_keeper.h"
#include "runtime/net/link_host.h"
#include "runtime/net/relay_server.h"
#include "runtime/net/sockets.h"
#include "runtime/net/tls.h"
#include "runtime/net/tunnels.h"
#include "runtime/process/process_host.h"
#include "runtime/sense/metric_reader.h"
#include "runtime/sense/sense.h"
#include "runtime/store/store.h"

namespace hs {

class Agent : public ApiBackend {
 public:
  Agent(AgentOptions options, DataDir directory)
      : options_(std::move(options)), directory_(std::move(directory)) {}
  ~Agent() override;

  Result<void> Start();
  Result<void> Run();

  // ---- ApiBackend (agent_api.cc)
  NodeView View() override;
  void Write(std::vector<std::pair<std::string, DocumentBody>> documents,
             std::function<void(Result<Stamp>)> done) override;
  Result<Who> Authorize(std::string_view token) override;
  Result<std::string> JoinToken() override;
  void CreateToken(const CreateTokenCommand& command, std::function<void(Result<MadeToken>)> done) override;
  void Leave(bool at_once) override { Feed(LeaveRequested{at_once}); }
  std::optional<std::filesystem::path> BundleFile(Digest digest) override;
  std::filesystem::path UploadPath(Digest digest) override { return bundles_->DraftPath(digest); }
  void AdoptBundle(Digest digest, std::filesystem::path file,
                   std::function<void(Result<void>)> done) override;
  ApiResponse ReadHistory(const ReadHistoryCommand& command) override;
  void ReadLogs(const LogQuery& query, std::shared_ptr<LogSink> sink) override;
  void FetchFrom(NodeId node, std::string target, std::shared_ptr<ByteSink> sink) override;

 private:
  // ---- start (agent.cc)
  Result<void> OpenSockets();
  Result<void> StartNode(Entry entry, StoreContent content);
  Result<void> StartTransport();
  JoinService MakeJoinService();
  std::optional<TokenDoc> FindToken(const std::string& id) const;
  void StartLan();
  void CheckHint();
  void WriteFirstDocuments();
  MemberMeta MakeMeta(const DoorPorts& ports) const;
  void Announce();
  void OnSignal();

  // ---- loop (agent.cc)
  void Feed(Input input);
  void ArmTimer();
  void ArmSense();
  void ArmFootprint(Duration wait);
  void KeepSocket();
  void MeasureLoad(Time due);
  void CheckDisk(bool test);
  void DoubtDisk(const std::string& reason);
  void TakeLoad(const std::vector<ServiceLoad>& doors, const MetricReader::Round& metrics);

  // ---- outputs (agent_outputs.cc)
  void CarryOut(Output& output);
  void Do(SendDatagram& output);
  void Do(SendLink& output);
  void Do(HoldLinks& output);
  void Do(UseDetours& output);
  void Do(UseLines& output);
  void Do(TryConnect& output);
  void Do(Persist& output);
  void Do(StartReplica& output) { processes_->Start(output); }
  void Do(SignalReplica& output) { processes_->Signal(output); }
  void Do(KillReplica& output) { processes_->Kill(output); }
  void Do(ForgetReplica& output) { processes_->Forget(output); }
  void Do(ProbeReplica& output) { processes_->Probe(output); }
  void Do(FetchBundle& output);
  void Do(DropBundle& output);
  void Do(ApplyDoor& output);
  void Do(Reply& output);
  void Do(EmitEvent& output);
  void Do(TakeNewIdentity& output);
  void Do(Gone& output);
  void Do(AskLan&);
  // ---- routes (agent_routes.cc)
  void StartRoutes();
  void ApplyDoorTable();
  Endpoint PortOf(NodeId node, TunnelService service) const;
  bool IsMember(TlsStream& stream, NodeId node) const;
  std::vector<Endpoint> WhereToJoin();
  bool IsTrusted(NodeId node, const Digest& key) const;
  void FetchNext(std::shared_ptr<FetchBundle> fetch, std::size_t next, std::string reason);

  AgentOptions options_;
  DataDir directory_;
  boost::asio::io_context loop_{1};
  boost::asio::thread_pool disk_{1};  // bundles and test writes; before what uses it, so that it ends after
  boost::asio::thread_pool logs_{1};  // reads output: not behind a bundle that waits for the disk
  ListenSockets sockets_;
  Endpoint advertised_;
  Endpoint door_endpoint_;
  Identity identity_;
  std::shared_ptr<TlsContext> tls_;

  std::unique_ptr<Node> node_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<GossipSocket> gossip_;
  std::unique_ptr<LinkHost> links_;
  std::unique_ptr<JoinServer> joins_;
  std::unique_ptr<LanMember> lan_;  // null: not asked for, or not possible here
  std::optional<HintCheck> hint_;   // of an address that a person gave
  std::unique_ptr<Tunnels> tunnels_;
  std::unique_ptr<RelayServer> relay_;
  std::shared_ptr<LineHost> lines_;        // of others to this node
  std::unique_ptr<LineKeeper> own_lines_;  // of this node to others, while it dials out
  std::vector<Detour> detours_;
  DoorTable door_table_;  // as the node said; HAProxy gets tunnels in place of what is not reached directly
  std::unique_ptr<ProcessHost> processes_;
  std::unique_ptr<HaproxyDoor> door_;
  std::unique_ptr<DoorTelemetry> telemetry_;
  std::optional<BundleStore> bundles_;
  std::unique_ptr<HttpServer> http_;

  std::deque<Input> inputs_;
  bool feeding_ = false;
  boost::asio::steady_timer timer_{loop_};
  Time timer_at_ = kNever;
  Time timer_armed_{};
  boost::asio::steady_timer footprint_{loop_};
  boost::asio::steady_timer sense_timer_{loop_};
  std::optional<Sense> sense_;
  MetricReader metrics_{loop_};
  LagMeter lag_;
  History history_;
  std::shared_ptr<const LocalLoad> load_;                   // of the last second; null: none yet
  std::shared_ptr<const DoorTotalsByService> door_totals_;  // the same
  bool tests_disk_ = false;
  bool socket_lost_ = false;
  boost::asio::steady_timer save_peers_{loop_};
  bool saves_peers_ = false;
  std::vector<std::pair<NodeId, Endpoint>> former_peers_;  // of its last life
  boost::asio::signal_set signals_{loop_};
  std::map<RequestId, std::function<void(Result<Stamp>)>> requests_;
  std::uint64_t next_request_ = 0;
  std::vector<std::string> unreadable_;  // of this box's own disk, to be told once the node runs
  std::uint64_t refused_messages_ = 0;   // authentic, but not decodable: another release, or a defect
  Result<void> outcome_{};
  bool formed_ = false;
  bool knows_others_ = false;  // by the documents on its disk
};

}  // namespace hs
