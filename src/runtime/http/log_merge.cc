#include "runtime/http/log_merge.h"

#include <fmt/format.h>

#include <algorithm>

namespace hs {
namespace {
constexpr std::size_t kCollectMax = 64 << 20;
constexpr std::size_t kLineMax = 1 << 20;
}  // namespace

class LogMerge::LocalSource final : public LogSink {
 public:
  LocalSource(std::shared_ptr<LogMerge> merge, std::string replica)
      : merge_(std::move(merge)), replica_(std::move(replica)) {}
  ~LocalSource() override { End(); }

  bool Line(WallMs at_ms, std::string_view line) override {
    return !ended_ && merge_->Add({at_ms, replica_, std::string(line)});
  }
  bool Full() const override { return merge_->out_->Full(); }
  void OnRoom(std::function<void()> resume) override { merge_->out_->OnRoom(std::move(resume)); }
  void OnGone(std::function<void()> gone) override { merge_->out_->OnGone(std::move(gone)); }
  void End() override {
    if (!std::exchange(ended_, true)) merge_->SourceEnded();
  }

 private:
  std::shared_ptr<LogMerge> merge_;
  std::string replica_;
  bool ended_ = false;
};

// Another node answers in lines of JSON, cut anywhere.
class LogMerge::RemoteSource final : public ByteSink {
 public:
  explicit RemoteSource(std::shared_ptr<LogMerge> merge) : merge_(std::move(merge)) {}
  ~RemoteSource() override { End(); }

  bool Write(std::string_view bytes) override {
    if (ended_) return false;
    rest_ += bytes;
    std::size_t start = 0;
    for (auto end = rest_.find('\n'); end != std::string::npos; end = rest_.find('\n', start)) {
      auto line = LogLineFromJson(std::string_view(rest_).substr(start, end - start));
      start = end + 1;
      if (line && !merge_->Add(*std::move(line))) return false;
    }
    rest_.erase(0, start);
    if (rest_.size() > kLineMax) rest_.clear();
    return !merge_->command_.follow ||
           merge_->out_->Write("");  // a heartbeat tells whether anyone still reads
  }
  bool Full() const override { return merge_->out_->Full(); }
  void OnRoom(std::function<void()> resume) override { merge_->out_->OnRoom(std::move(resume)); }
  void OnGone(std::function<void()> gone) override { merge_->out_->OnGone(std::move(gone)); }
  void End() override {
    if (!std::exchange(ended_, true)) merge_->SourceEnded();
  }

 private:
  std::shared_ptr<LogMerge> merge_;
  std::string rest_;
  bool ended_ = false;
};

LogMerge::LogMerge(ReadLogsCommand command, std::shared_ptr<StreamQueue> out)
    : command_(std::move(command)), out_(std::move(out)) {}

void LogMerge::Start(ApiBackend& backend, NodeId self, bool local_only) {
  open_ = 1;  // ours, until all are asked: a source may end at once
  for (const auto& source : command_.sources) {
    if (source.node == self) {
      ++open_;
      backend.ReadLogs({source.replica, command_.lines, command_.since_ms, command_.follow},
                       std::make_shared<LocalSource>(shared_from_this(), source.name));
    } else if (!local_only) {
      ++open_;
      backend.FetchFrom(source.node,
                        fmt::format("/v1/logs/{}?n={}&since_ms={}{}", source.name, command_.lines,
                                    command_.since_ms, command_.follow ? "&follow=1" : ""),
                        std::make_shared<RemoteSource>(shared_from_this()));
    }
  }
  SourceEnded();
}

bool LogMerge::Add(LogLine line) {
  if (finished_) return false;
  if (command_.follow) return out_->Write(LogLineToJson(line));
  bytes_ += line.line.size() + sizeof(LogLine);
  if (bytes_ > kCollectMax) return false;
  lines_.push_back(std::move(line));
  return true;
}

void LogMerge::SourceEnded() {
  if (--open_ == 0) Finish();
}

void LogMerge::Finish() {
  if (std::exchange(finished_, true)) return;
  std::ranges::stable_sort(lines_, {}, &LogLine::at_ms);
  if (lines_.size() > command_.lines) next_ = lines_.size() - command_.lines;
  Pump();
}

void LogMerge::Pump() {
  while (next_ < lines_.size()) {
    if (out_->Full()) return out_->OnRoom([self = shared_from_this()] { self->Pump(); });
    if (!out_->Write(LogLineToJson(lines_[next_++]))) break;
  }
  lines_.clear();
  out_->End();
}

}  // namespace hs
