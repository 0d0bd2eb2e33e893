// Brings the output of several replicas, here and on other nodes, into one answer.
//
// Without following: collects every source's part, sorts by time, sends the last so many lines. Following:
// sends each line as it comes.
#pragma once

#include <memory>

#include "api/log_json.h"
#include "runtime/http/backend.h"
#include "runtime/http/stream_queue.h"

namespace hs {

class LogMerge : public std::enable_shared_from_this<LogMerge> {
 public:
  LogMerge(ReadLogsCommand command, std::shared_ptr<StreamQueue> out);

  // Asks every source. With `local_only`, sources on other nodes are left out (the asker is a node itself).
  void Start(ApiBackend& backend, NodeId self, bool local_only);
  // Sends what came so far and ends: a node that is asked may be gone.
  void Finish();

 private:
  class LocalSource;
  class RemoteSource;
  bool Add(LogLine line);
  void SourceEnded();
  void Pump();

  ReadLogsCommand command_;
  std::shared_ptr<StreamQueue> out_;
  std::vector<LogLine> lines_;
  std::size_t bytes_ = 0;
  std::size_t next_ = 0;  // first line not yet sent
  std::size_t open_ = 0;
  bool finished_ = false;
};

}  // namespace hs
