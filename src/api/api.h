// The API: a request and what the node knows go in; an answer, or one thing for the driver to do, comes out.
//
// Like a clerk at a counter with a copy of the ledger: most questions are answered from the copy at once.
// What needs the world (a write, a log file, a bundle, a secret) is handed back as a command, and the clerk
// says what to reply.
//
// Invariants: Handle() is a pure function; it never throws and never aborts on any request; every path it
// serves is a row of the route table, from which /v1/openapi.json is made as well; without a proven caller
// only public rows answer. Not here: sockets, files, tokens' secrets (runtime/http and its ApiBackend).
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "core/node/view.h"

namespace hs {

class History;

// A caller whose identity was proven: the box's own user, another node, or the holder of a token.
struct Who {
  std::string name;    // for events and errors
  bool admin = false;  // may change things
};

struct ApiRequest {
  std::string method;  // GET, HEAD, PUT, POST, DELETE
  std::string path;    // as sent, percent-encoded, without the query
  std::string query;   // without '?'
  std::string body;
  std::optional<Who> who;  // empty: nobody proved anything
  std::string accept{};    // the Accept header
  std::string refused{};   // why a token that was sent proves nothing
};

struct ApiResponse {
  int status = 200;
  std::string body;
  std::string content_type = "application/json";
};

// Write these documents; when durable answer 200 with {stamp, written, note}. All of `bundles` must be held
// here or by some node first.
struct WriteCommand {
  std::vector<std::pair<std::string, DocumentBody>> documents;
  std::vector<Digest> bundles;
  std::string note;  // one sentence for the person
};

struct LogSource {
  NodeId node;
  ReplicaId replica;
  std::string name;  // web-3fa9c1
};
// Lines of the replicas' output as newline-separated JSON: {at_ms, replica, line}.
struct ReadLogsCommand {
  std::vector<LogSource> sources;
  std::uint32_t lines = 100;  // the last so many, over all sources
  WallMs since_ms = 0;        // only lines at or after it; 0: any
  bool follow = false;
};

// Server-sent events, from `since_ms` on, of one subject or of all when empty.
struct FollowEventsCommand {
  std::string subject;
  WallMs since_ms = 0;
};

struct StoreBundleCommand {
  Digest digest;
};
struct SendBundleCommand {
  Digest digest;
  bool head_only = false;
};
// The join token that people copy; answered as {token}.
struct ShowJoinTokenCommand {};
// Make a token and answer with {id, token}: the only time that its secret is seen.
struct CreateTokenCommand {
  bool admin = false;      // an API token; otherwise one for joining
  std::int64_t ttl_s = 0;  // 0: no end
};

// What was measured on this node in the last hour; answered by HistoryShown.
struct ReadHistoryCommand {
  std::vector<std::string> series;  // empty: list their names
  std::int64_t since_s = 300;       // seconds back from now
  std::int64_t step_s = 1;
};
// Another node knows better: what it answers to GET `target` with 200 is the answer, and if it does not in
// time, `own` is.
struct AskNodeCommand {
  NodeId node;
  std::string target;
  ApiResponse own;
};

// Replicas of other regions are not known here: get /v1/reports from these nodes, join what they know to the
// view (NodeView::joined), and handle the request again. Who does not answer is left out.
struct AskRegionsCommand {
  std::vector<NodeId> nodes;  // one of each region
};
// Reports and slices of the view, as records.
struct SendReportsCommand {};

// The node that is asked leaves the cluster and its agent ends.
struct LeaveCommand {
  bool at_once = false;  // its work is stopped instead of given away
};

using ApiResult =
    std::variant<ApiResponse, WriteCommand, ReadLogsCommand, FollowEventsCommand, StoreBundleCommand,
                 SendBundleCommand, ShowJoinTokenCommand, CreateTokenCommand, ReadHistoryCommand,
                 AskNodeCommand, AskRegionsCommand, SendReportsCommand, LeaveCommand>;

ApiResult Handle(const ApiRequest& request, const NodeView& view);

// True when the request's body is to be streamed to a file instead of held in memory: PUT of a bundle.
bool HasStreamedBody(const std::string& method, const std::string& path);

// {"error":{"status":404,"message":"..."}}
ApiResponse ErrorResponse(int status, const std::string& message);
// The status for an Error by its class: 400, 503, 502, 403.
ApiResponse ErrorResponse(const Error& error);

// The answer to a WriteCommand that was made durable, and to the two token commands.
ApiResponse WriteDone(const WriteCommand& command, const Stamp& stamp);
ApiResponse JoinTokenShown(const std::string& token);
ApiResponse TokenCreated(const std::string& id, const std::string& token);
// {series: [names]}, or {series: [{name, points: [[at_ms, mean, max], ...]}]}.
ApiResponse HistoryShown(const ReadHistoryCommand& command, const History& history, Now now);
// {note}; what follows is seen in events and in the agent's end.
ApiResponse LeaveAccepted(const LeaveCommand& command);

}  // namespace hs
