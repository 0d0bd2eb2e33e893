#include "core/membership/lan_search.h"

#include <algorithm>

namespace hs {
namespace {

constexpr std::size_t kGreeters = 8;
// Members on the same network answer a ping at their known address within a few milliseconds.
constexpr Duration kFirst = 300ms;
// A question is about 100 bytes to each box of the network. Who has been alone for hours asks this often.
constexpr Duration kWaitMax = 30s;

}  // namespace

bool AnswerGate::Open(Time now, std::size_t crowd) {
  return (crowd <= kGreeters || prng_.Below(crowd) < kGreeters) && tokens_.Take(now) == 1;
}

std::vector<LanSearch::Output> LanSearch::Step(Time now, const Input& input) {
  std::vector<Output> out;
  if (const auto* company = std::get_if<Company>(&input)) {
    company_ = *company;
    const bool lost = company_.known > 1 && company_.present * 2 <= company_.known;
    if (!lost) {
      ask_at_ = kNever;
    } else if (ask_at_ == kNever) {
      wait_ = {};
      ask_at_ = now + prng_.Between(kFirst * 3 / 4, kFirst);
    }
  } else if (const auto* heard = std::get_if<LanHeard>(&input)) {
    if (gate_.Open(now, company_.known)) out.emplace_back(Greet{heard->from, heard->address});
  }
  if (ask_at_ > now) return out;
  out.emplace_back(Ask{wait_ == Duration{}});
  wait_ = std::clamp(wait_ * 2, kFirst, kWaitMax);
  ask_at_ = now + prng_.Between(wait_ * 3 / 4, wait_);
  return out;
}

}  // namespace hs
