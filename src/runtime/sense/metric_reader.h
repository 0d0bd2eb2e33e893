// Reads the apps' own numbers: GET on each replica's Prometheus endpoint, once a second.
//
// Intuition: a clerk who goes round with a slate. What he has at the next stroke of the clock counts; whoever
// kept him waiting is written down as silent, and he never waits for one longer than for another.
//
// Bounds: 800 ms and 1 MB for each answer; one question at a time for each replica. Where the address refuses
// and is another than 127.0.0.1, that is asked instead, as health probes do. Single-threaded, on the
// io_context. Not here: what the text means (prometheus.h).
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "core/load.h"
#include "core/local_load.h"

namespace boost::asio {
class io_context;
}

namespace hs {

class MetricReader {
 public:
  explicit MetricReader(boost::asio::io_context& io) : io_(io) {}
  ~MetricReader();
  MetricReader(const MetricReader&) = delete;
  MetricReader& operator=(const MetricReader&) = delete;

  struct Round {
    std::vector<ServiceLoad> loads;       // `metric` and `metric_replicas` of each service with any; sorted
    std::vector<MetricProblem> problems;  // sorted by service and replica
  };
  // What was found since the last call, and begins to ask these.
  Round Next(const std::vector<MetricTarget>& targets);

 private:
  class Question;
  struct Known {
    MetricTarget target;
    std::shared_ptr<Question> question;  // asked in the round under way
  };

  boost::asio::io_context& io_;
  std::map<ReplicaId, Known> known_;
};

}  // namespace hs
