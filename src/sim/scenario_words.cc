#include "sim/scenario_words.h"

#include <charconv>

#include "core/leadership/roles.h"

namespace hs::sim {

Result<std::uint64_t> ParseNumber(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failure != std::errc() || end != text.data() + text.size()) {
    return BadInput("'" + std::string(text) + "' is not a whole number");
  }
  return number;
}

Result<long long> ParseNanoseconds(std::string_view text) {
  static constexpr std::pair<std::string_view, long long> kUnits[] = {
      {"us", 1'000},         {"ms", 1'000'000},    {"min", 60'000'000'000},
      {"m", 60'000'000'000}, {"s", 1'000'000'000}, {"h", 3'600'000'000'000}};
  for (const auto& [unit, factor] : kUnits) {
    if (!text.ends_with(unit)) continue;
    const std::string_view digits = text.substr(0, text.size() - unit.size());
    long long value = 0;
    const auto [end, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (failure == std::errc() && end == digits.data() + digits.size() && !digits.empty() &&
        value <= 8'000'000'000'000'000'000 / factor && value >= -8'000'000'000'000'000'000 / factor) {
      return value * factor;
    }
  }
  return BadInput("'" + std::string(text) + "' is not a time like 250ms, 5s, 2min or 1h");
}

Result<ServiceSpec> ParseService(const std::string& text) {
  const auto wrong = [&] {
    return BadInput("'" + text +
                    "' is not SERVICE=N[!] or SERVICE=MIN..MAX, with ~pause, "
                    "~run-both, ~stay or ~strict");
  };
  std::string word = text;
  ServiceSpec service;
  bool strict = false;
  for (std::size_t tilde; (tilde = word.rfind('~')) != std::string::npos; word.resize(tilde)) {
    const std::string what = word.substr(tilde + 1);
    if (what == "pause") {
      service.singleton = Singleton::kPause;
    } else if (what == "run-both") {
      service.singleton = Singleton::kRunBoth;
    } else if (what == "stay") {
      service.movable = false;
    } else if (what == "strict") {
      strict = true;
    } else {
      return wrong();
    }
  }
  if (word.ends_with('!')) {
    word.pop_back();
    service.environment.emplace_back("SIM_BROKEN", "1");
  }
  const std::size_t equals = word.find('=');
  if (equals == std::string::npos) return wrong();
  service.name = word.substr(0, equals);
  service.command = {"serve"};
  const std::string number = word.substr(equals + 1);
  const std::size_t dots = number.find("..");
  const auto count = ParseNumber(number.substr(0, dots));
  if (!count) return wrong();
  service.replicas = static_cast<std::uint32_t>(*count);
  if (dots == std::string::npos) return service;
  const auto max = ParseNumber(number.substr(dots + 2));
  if (!max || *max < *count || *count == 0) return wrong();
  service.scale =
      ScaleSpec{.min = service.replicas, .max = static_cast<std::uint32_t>(*max), .strict = strict};
  return service;
}

std::string RolesText(const Member& member) {
  std::string text;
  if (!IsPresent(member.state)) return text;
  for (const RoleRow& row : RoleTable()) {
    if (row.role == Role::kWorker || row.role == Role::kDoor) continue;
    if (member.meta->roles.*row.claim) text += std::string(" ") + ToString(row.role);
  }
  return text;
}

}  // namespace hs::sim
