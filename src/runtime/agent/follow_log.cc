#include "runtime/agent/follow_log.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <ctime>

#include "runtime/process/log_reader.h"

namespace hs {
namespace {

constexpr auto kLook = std::chrono::milliseconds(200);

// A line as the shim wrote it: "2026-11-22T08:36:11.123Z o text".
bool Pass(LogSink& sink, const std::string& line) {
  constexpr std::size_t kStampSize = 24;
  std::tm time{};
  int millis = 0;
  if (line.size() < kStampSize ||
      std::sscanf(line.c_str(), "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ", &time.tm_year, &time.tm_mon, &time.tm_mday,
                  &time.tm_hour, &time.tm_min, &time.tm_sec, &millis) != 7) {
    return sink.Line(0, line);
  }
  time.tm_year -= 1900;
  time.tm_mon -= 1;
  const std::size_t text = std::min(line.size(), kStampSize + 3);  // " o "
  return sink.Line(static_cast<WallMs>(::timegm(&time)) * 1000 + millis, std::string_view(line).substr(text));
}

// Looks at the file now and then: a file system tells nobody in time across rotations, and five looks a
// second cost nothing beside what a person reads.
class Follower : public std::enable_shared_from_this<Follower> {
 public:
  Follower(boost::asio::io_context& loop, std::filesystem::path directory, LogMark mark,
           std::shared_ptr<LogSink> sink)
      : timer_(loop), directory_(std::move(directory)), mark_(mark), sink_(std::move(sink)) {}

  void Start() {
    sink_->OnGone([weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->Stop();
    });
    Wait();
  }

 private:
  void Stop() {
    gone_ = true;
    timer_.cancel();
  }

  void Wait() {
    timer_.expires_after(kLook);
    timer_.async_wait([self = shared_from_this()](const boost::system::error_code& failure) {
      if (!failure && !self->gone_) self->Look();
    });
  }

  void Look() {
    if (sink_->Full()) {
      sink_->OnRoom([self = shared_from_this()] {
        if (!self->gone_) self->Wait();
      });
      return;
    }
    for (const std::string& line : ReadLogAfter(directory_, mark_, 64 << 10)) {
      if (!Pass(*sink_, line)) return;
    }
    Wait();
  }

  boost::asio::steady_timer timer_;
  std::filesystem::path directory_;
  LogMark mark_;
  std::shared_ptr<LogSink> sink_;
  bool gone_ = false;
};

}  // namespace

void FollowLog(boost::asio::io_context& loop, boost::asio::thread_pool& reading,
               const std::filesystem::path& directory, const LogQuery& query, std::shared_ptr<LogSink> sink) {
  boost::asio::post(reading, [&loop, directory, query, sink = std::move(sink)]() mutable {
    const LogMark end = LogEnd(directory);
    const auto since = query.since_ms == 0 ? std::nullopt : std::optional<WallMs>(query.since_ms);
    std::vector<std::string> lines = ReadLog(directory, query.lines, since);
    // Moved: the sink belongs to the loop, and so does its end.
    boost::asio::post(loop, [&loop, directory, follow = query.follow, end, lines = std::move(lines),
                             sink = std::move(sink)]() mutable {
      for (const std::string& line : lines) {
        if (!Pass(*sink, line)) return;
      }
      if (!follow) return sink->End();
      std::make_shared<Follower>(loop, directory, end, std::move(sink))->Start();
    });
  });
}

}  // namespace hs
