// What the HTTP server needs from the agent: the ledger to read from, and hands for what the ledger cannot
// answer.
//
// All calls and all callbacks happen on the one thread that runs the server's executor. A callback may come
// at once, from inside the call, or later; exactly once unless said otherwise.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/api.h"
#include "base/result.h"
#include "core/node/view.h"

namespace hs {

// Where the bytes of a long answer go. The writer holds it; dropping it without End() cuts the answer short.
class ByteSink {
 public:
  virtual ~ByteSink() = default;
  // False: the reader is gone, write no more.
  virtual bool Write(std::string_view bytes) = 0;
  // Too much is waiting to be sent: pause until the function given to OnRoom is called (once; at once when
  // not full).
  virtual bool Full() const = 0;
  virtual void OnRoom(std::function<void()> resume) = 0;
  virtual void End() = 0;
  // Called once when the reader goes away or the sink has ended, so that a follower can stop.
  virtual void OnGone(std::function<void()> gone) = 0;
};

// The same for lines of one replica's output.
class LogSink {
 public:
  virtual ~LogSink() = default;
  virtual bool Line(WallMs at_ms, std::string_view line) = 0;  // at_ms 0: unknown; without the newline
  virtual bool Full() const = 0;
  virtual void OnRoom(std::function<void()> resume) = 0;
  virtual void End() = 0;
  virtual void OnGone(std::function<void()> gone) = 0;
};

struct LogQuery {
  ReplicaId replica;
  std::uint32_t lines = 100;  // the last so many
  WallMs since_ms = 0;
  bool follow = false;  // then End() is called only when there can be no more
};

struct MadeToken {
  std::string id;
  std::string text;
};

class ApiBackend {
 public:
  virtual ~ApiBackend() = default;

  virtual NodeView View() = 0;
  virtual void Write(std::vector<std::pair<std::string, DocumentBody>> documents,
                     std::function<void(Result<Stamp>)> done) = 0;
  // The holder of this bearer token; the error says why it is not good, as far as its holder may know.
  virtual Result<Who> Authorize(std::string_view token) = 0;

  virtual Result<std::string> JoinToken() = 0;
  virtual void CreateToken(const CreateTokenCommand& command,
                           std::function<void(Result<MadeToken>)> done) = 0;

  // This node leaves the cluster; see LeaveRequested.
  virtual void Leave(bool at_once) = 0;

  // The file of a bundle that is held here complete.
  virtual std::optional<std::filesystem::path> BundleFile(Digest digest) = 0;
  // Where an upload is written to, a file of its own on the disk of the bundles. What a crash leaves of it is
  // the backend's to remove.
  virtual std::filesystem::path UploadPath(Digest digest) = 0;
  // The upload is complete: check it against the digest and take it over. The file is the server's no more.
  virtual void AdoptBundle(Digest digest, std::filesystem::path file,
                           std::function<void(Result<void>)> done) = 0;

  // What this node measured in the last hour.
  virtual ApiResponse ReadHistory(const ReadHistoryCommand& command) = 0;
  // Of a replica on this node.
  virtual void ReadLogs(const LogQuery& query, std::shared_ptr<LogSink> sink) = 0;
  // The body of GET `target` on another node (client.h: FetchFromNode).
  virtual void FetchFrom(NodeId node, std::string target, std::shared_ptr<ByteSink> sink) = 0;
};

}  // namespace hs
