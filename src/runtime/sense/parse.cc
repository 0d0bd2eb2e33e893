#include "runtime/sense/parse.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <string>

namespace hs {
namespace {

constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();

// Takes the first line off `text`, without its newline.
std::string_view TakeLine(std::string_view& text) {
  const auto end = text.find('\n');
  const auto line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return line;
}

// Takes the first word off `line`; empty when there is none.
std::string_view TakeWord(std::string_view& line) {
  const auto begin = line.find_first_not_of(" \t\n");
  if (begin == std::string_view::npos) return line = {};
  const auto end = line.find_first_of(" \t\n", begin);
  const auto word = line.substr(begin, end == std::string_view::npos ? end : end - begin);
  line.remove_prefix(end == std::string_view::npos ? line.size() : end);
  return word;
}

// Digits only; beyond the type's range it is the type's greatest.
std::optional<std::uint64_t> Number(std::string_view word) {
  std::uint64_t value = 0;
  const auto [end, code] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (word.empty() || end != word.data() + word.size()) return std::nullopt;
  return code == std::errc::result_out_of_range ? kMost : value;
}

std::optional<std::uint64_t> TakeNumber(std::string_view& line) { return Number(TakeWord(line)); }

std::uint64_t Add(std::uint64_t a, std::uint64_t b) { return a > kMost - b ? kMost : a + b; }
std::uint64_t Multiply(std::uint64_t a, std::uint64_t b) { return b != 0 && a > kMost / b ? kMost : a * b; }

// At least `wanted` numbers from the start of the line.
template <std::size_t kCount>
std::optional<std::array<std::uint64_t, kCount>> TakeNumbers(std::string_view line, std::size_t wanted) {
  std::array<std::uint64_t, kCount> numbers{};
  for (std::size_t i = 0; i < kCount; ++i) {
    const auto number = TakeNumber(line);
    if (!number && i < wanted) return std::nullopt;
    if (!number) break;
    numbers[i] = *number;
  }
  return numbers;
}

// "avg10=1.25" and so on; the value after `key`, or nothing.
std::string_view ValueOf(std::string_view line, std::string_view key) {
  while (!line.empty()) {
    const auto word = TakeWord(line);
    if (word.starts_with(key)) return word.substr(key.size());
  }
  return {};
}

// A line of pressure: the average as a share, and the total. False when either is not there.
bool ReadStall(std::string_view line, double& avg10, std::uint64_t& total_us) {
  const auto average = ValueOf(line, "avg10=");
  const auto total = Number(ValueOf(line, "total="));
  double percent = 0;
  const auto [end, code] = std::from_chars(average.data(), average.data() + average.size(), percent);
  if (average.empty() || code != std::errc{} || end != average.data() + average.size() || !total)
    return false;
  if (!(percent >= 0)) return false;
  avg10 = std::min(percent, 100.0) / 100;
  total_us = *total;
  return true;
}

bool SeesTrafficTwice(std::string_view interface) {
  static constexpr std::string_view kPrefixes[] = {"veth", "docker", "br-", "virbr", "ifb", "cni"};
  return std::ranges::any_of(kPrefixes, [&](auto prefix) { return interface.starts_with(prefix); });
}

void AddTo(NetTotals& sum, const std::array<std::uint64_t, 10>& fields) {
  sum.receive_bytes = Add(sum.receive_bytes, fields[0]);
  sum.receive_packets = Add(sum.receive_packets, fields[1]);
  sum.transmit_bytes = Add(sum.transmit_bytes, fields[8]);
  sum.transmit_packets = Add(sum.transmit_packets, fields[9]);
}

}  // namespace

std::optional<CpuTicks> ParseStat(std::string_view text) {
  CpuTicks ticks;
  bool whole = false;
  while (!text.empty()) {
    auto line = TakeLine(text);
    const auto word = TakeWord(line);
    if (word == "cpu") {
      // user nice system idle, then iowait irq softirq steal on every kernel of this century
      const auto fields = TakeNumbers<8>(line, 4);
      if (!fields) return std::nullopt;
      const auto& [user, nice, system, idle, iowait, irq, softirq, steal] = *fields;
      ticks.used = Add(Add(Add(user, nice), Add(system, irq)), softirq);
      ticks.idle = idle;
      ticks.iowait = iowait;
      ticks.stolen = steal;
      whole = true;
    } else if (word.starts_with("cpu") && Number(word.substr(3))) {
      ++ticks.cores;
    } else if (word == "processes") {
      ticks.forks = TakeNumber(line).value_or(0);
    }
  }
  if (!whole || ticks.cores == 0) return std::nullopt;
  return ticks;
}

std::optional<MemInfo> ParseMemInfo(std::string_view text) {
  std::optional<std::uint64_t> total;
  std::optional<std::uint64_t> available;
  while (!text.empty() && !(total && available)) {
    auto line = TakeLine(text);
    const auto name = TakeWord(line);
    if (name == "MemTotal:") total = TakeNumber(line);
    if (name == "MemAvailable:") available = TakeNumber(line);
  }
  if (!total || !available) return std::nullopt;
  return MemInfo{Multiply(*total, 1024), std::min(Multiply(*available, 1024), Multiply(*total, 1024))};
}

std::optional<PressureText> ParsePressure(std::string_view text) {
  PressureText pressure;
  bool some = false;
  while (!text.empty()) {
    auto line = TakeLine(text);
    const auto kind = TakeWord(line);
    if (kind == "some") some = ReadStall(line, pressure.some_avg10, pressure.some_total_us);
    if (kind == "full") ReadStall(line, pressure.full_avg10, pressure.full_total_us);
  }
  if (!some) return std::nullopt;
  return pressure;
}

std::optional<NetTotals> ParseNetDev(std::string_view text) {
  NetTotals outer, inner;
  bool has_outer = false, has_inner = false, has_loopback = false;
  while (!text.empty()) {
    const auto line = TakeLine(text);
    const auto colon = line.find(':');
    if (colon == std::string_view::npos) continue;  // the two lines of headings
    auto head = line.substr(0, colon);
    const auto name = TakeWord(head);
    const auto fields = TakeNumbers<10>(line.substr(colon + 1), 10);
    if (name.empty() || !fields) continue;
    if (name == "lo") {
      has_loopback = true;
    } else if (SeesTrafficTwice(name)) {
      AddTo(inner, *fields);
      has_inner = true;
    } else {
      AddTo(outer, *fields);
      has_outer = true;
    }
  }
  if (has_outer) return outer;
  if (has_inner) return inner;
  return has_loopback ? std::optional(NetTotals{}) : std::nullopt;
}

std::optional<DeviceTotals> ParseBlockStat(std::string_view text) {
  const auto fields = TakeNumbers<10>(TakeLine(text), 10);
  if (!fields) return std::nullopt;
  constexpr std::uint64_t kSector = 512;  // of this file, whatever the device's is
  return DeviceTotals{Multiply((*fields)[2], kSector), Multiply((*fields)[6], kSector), (*fields)[9]};
}

std::optional<ProcessStat> ParseProcessStat(std::string_view text) {
  const auto name_end = text.rfind(')');
  if (name_end == std::string_view::npos) return std::nullopt;
  text.remove_prefix(name_end + 1);
  const auto state = TakeWord(text);
  const auto parent = TakeNumber(text);
  if (state.size() != 1 || !parent || *parent > static_cast<std::uint64_t>(std::numeric_limits<pid_t>::max()))
    return std::nullopt;
  ProcessStat stat;
  stat.state = state[0];
  stat.parent = static_cast<pid_t>(*parent);
  for (int field = 5; field <= 24; ++field) {
    const auto word = TakeWord(text);
    if (word.empty()) return std::nullopt;
    if (field != 14 && field != 15 && field != 16 && field != 17 && field != 22 && field != 24) continue;
    const std::uint64_t value = Number(word).value_or(0);  // cutime and rss are signed
    if (field <= 15) {
      stat.own_ticks = Add(stat.own_ticks, value);
    } else if (field <= 17) {
      stat.reaped_ticks = Add(stat.reaped_ticks, value);
    } else if (field == 22) {
      stat.start_ticks = value;
    } else {
      stat.resident_pages = value;
    }
  }
  return stat;
}

std::optional<std::uint64_t> ParseResidentPages(std::string_view text) {
  TakeWord(text);
  return TakeNumber(text);
}

std::optional<std::uint64_t> ParseKeyed(std::string_view text, std::string_view name) {
  while (!text.empty()) {
    auto line = TakeLine(text);
    if (TakeWord(line) == name) return TakeNumber(line);
  }
  return std::nullopt;
}

std::optional<std::uint64_t> ParseNumber(std::string_view text) { return TakeNumber(text); }

std::vector<pid_t> ParsePids(std::string_view text) {
  std::vector<pid_t> pids;
  for (auto end = text.find('\n'); end != std::string_view::npos; end = text.find('\n')) {
    const auto pid = Number(text.substr(0, end));
    if (pid && *pid > 0 && *pid <= static_cast<std::uint64_t>(std::numeric_limits<pid_t>::max()))
      pids.push_back(static_cast<pid_t>(*pid));
    text.remove_prefix(end + 1);
  }
  return pids;
}

}  // namespace hs
