#include "runtime/sense/sense.h"

#include <unistd.h>

namespace hs {

LocalLoad Sense::Measure(Time now, const std::vector<RunningReplica>& running) {
  NodeReading reading = node_.Read(now, buffer_);
  LocalLoad load = Difference(before_, reading, static_cast<double>(::sysconf(_SC_CLK_TCK)));
  const std::uint64_t forks = reading.cpu ? reading.cpu->forks : 0;
  load.replicas = replicas_.Measure(now, running, forks, load.cpu.cores, buffer_);
  before_ = std::move(reading);
  return load;
}

}  // namespace hs
