#include "bench/elasticity/trace.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <string_view>

namespace hs::elasticity {
namespace {

constexpr int kSecondsMax = 7 * 86400;
constexpr double kRateMax = 1e9;

struct Row {
  int line;
  long second;
  double rate;
};

std::unexpected<Error> At(const std::string& path, int line, const std::string& what) {
  return BadInput(path + ":" + std::to_string(line) + ": " + what);
}

template <typename Number>
bool Parse(std::string_view text, Number& number) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

Result<Row> ParseRow(const std::string& path, int line, std::string_view text) {
  const auto comma = text.find(',');
  Row row{line, 0, 0};
  if (comma == std::string_view::npos || text.find(',', comma + 1) != std::string_view::npos) {
    return At(path, line, "must be two numbers: second,requests_per_second");
  }
  if (!Parse(text.substr(0, comma), row.second) || row.second < 0) {
    return At(path, line, "second '" + std::string(text.substr(0, comma)) + "' is not a whole number from 0");
  }
  if (!Parse(text.substr(comma + 1), row.rate) || !std::isfinite(row.rate) || row.rate > kRateMax) {
    return At(path, line,
              "requests_per_second '" + std::string(text.substr(comma + 1)) + "' is not a number");
  }
  if (row.rate < 0) return At(path, line, "requests_per_second is negative");
  return row;
}

Result<std::vector<Row>> ReadRows(const std::string& path) {
  std::ifstream file(path);
  if (!file) return BadInput(path + ": cannot be read");
  std::vector<Row> rows;
  std::string text;
  for (int line = 1; std::getline(file, text); ++line) {
    if (!text.empty() && text.back() == '\r') text.pop_back();
    if (line == 1) {
      if (text != "second,requests_per_second") {
        return At(path, line, "the first line must be second,requests_per_second");
      }
      continue;
    }
    if (text.empty()) return At(path, line, "is empty");
    auto row = ParseRow(path, line, text);
    if (!row) return std::unexpected(row.error());
    if (!rows.empty() && row->second <= rows.back().second) {
      return At(
          path, line,
          "second " + std::to_string(row->second) + " does not follow " + std::to_string(rows.back().second));
    }
    rows.push_back(*row);
  }
  if (rows.size() < 2) return BadInput(path + ": holds no load: at least two rows are needed");
  if (rows.back().second - rows.front().second > kSecondsMax) {
    return At(path, rows.back().line, "the trace is longer than 7 days");
  }
  return rows;
}

// Means of `step` seconds each, to seconds.
std::vector<double> Spread(const std::vector<double>& means, long step) {
  if (step == 1) return means;
  std::vector<double> rate;
  const double middle = static_cast<double>(step - 1) / 2;
  for (std::size_t i = 0; i < means.size(); ++i) {
    for (long offset = 0; offset < step; ++offset) {
      const double from_middle = (static_cast<double>(offset) - middle) / static_cast<double>(step);
      const std::size_t other = from_middle < 0 ? (i == 0 ? i : i - 1) : std::min(i + 1, means.size() - 1);
      rate.push_back(means[i] + (means[other] - means[i]) * std::abs(from_middle));
    }
  }
  return rate;
}

}  // namespace

Result<Trace> ReadTrace(const std::string& path, bool fill_gaps) {
  auto rows = ReadRows(path);
  if (!rows) return std::unexpected(rows.error());
  long step = (*rows)[1].second - (*rows)[0].second;
  for (std::size_t i = 2; i < rows->size(); ++i) {
    step = std::min(step, (*rows)[i].second - (*rows)[i - 1].second);
  }
  std::vector<double> means = {rows->front().rate};
  for (std::size_t i = 1; i < rows->size(); ++i) {
    const Row& before = (*rows)[i - 1];
    const Row& row = (*rows)[i];
    const long gap = row.second - before.second;
    if (gap % step != 0) {
      return At(path, row.line,
                "second " + std::to_string(row.second) + " is off the trace's step of " +
                    std::to_string(step) + " s");
    }
    if (gap != step && !fill_gaps) {
      return At(path, row.line,
                "a gap: seconds " + std::to_string(before.second + step) + " to " +
                    std::to_string(row.second - step) + " are missing (--fill-gaps interpolates them)");
    }
    for (long at = step; at <= gap; at += step) {
      means.push_back(before.rate +
                      (row.rate - before.rate) * static_cast<double>(at) / static_cast<double>(gap));
    }
  }
  if (*std::max_element(means.begin(), means.end()) <= 0)
    return BadInput(path + ": holds no load: every row is 0");
  auto name = path.substr(path.find_last_of('/') + 1);
  if (name.ends_with(".csv")) name.resize(name.size() - 4);
  return Trace{name, Spread(means, step)};
}

void ScalePeak(Trace& trace, double peak) {
  const double factor = peak / *std::max_element(trace.rate.begin(), trace.rate.end());
  for (double& rate : trace.rate) rate *= factor;
}

}  // namespace hs::elasticity
