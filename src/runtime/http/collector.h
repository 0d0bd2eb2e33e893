// A short answer of another node, collected whole: for those who want all of it or nothing.
#pragma once

#include <functional>
#include <string>
#include <utility>

#include "runtime/http/backend.h"

namespace hs {

class Collector final : public ByteSink {
 public:
  static constexpr std::size_t kBytesMax = 4 << 20;

  // Called once, with what came; empty when that was nothing or too much.
  explicit Collector(std::function<void(std::string)> done) : done_(std::move(done)) {}
  ~Collector() override { End(); }

  bool Write(std::string_view bytes) override {
    if (text_.size() + bytes.size() > kBytesMax) {
      text_.clear();
      End();
      return false;
    }
    text_ += bytes;
    return true;
  }
  bool Full() const override { return false; }
  void OnRoom(std::function<void()> resume) override { resume(); }
  void End() override {
    if (const auto done = std::exchange(done_, nullptr)) done(std::move(text_));
  }
  void OnGone(std::function<void()> /*gone*/) override {}

 private:
  std::function<void(std::string)> done_;
  std::string text_;
};

}  // namespace hs
