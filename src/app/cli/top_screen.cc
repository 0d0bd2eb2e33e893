#include "app/cli/top_screen.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "app/cli/words.h"

namespace hs {
namespace {

constexpr const char* kBold = "\033[1m";
constexpr const char* kRed = "\033[31m";
constexpr const char* kGreen = "\033[32m";
constexpr const char* kReverse = "\033[7m";
constexpr const char* kPlain = "\033[0m";

struct Cell {
  std::string text;
  bool alarm = false;
};

struct Column {
  const char* title;
  int worth;  // those of least worth are left out first
  bool left = false;
  Cell (*cell)(const json::value& row);
};

std::optional<double> NumberOf(const json::value& row, const char* key) {
  const auto* fields = row.if_object();
  const auto* value = fields == nullptr ? nullptr : fields->if_contains(key);
  if (value == nullptr || !value->is_number()) return std::nullopt;
  return value->to_number<double>();
}

double NumberOr0(const json::value& row, const char* key) { return NumberOf(row, key).value_or(0); }

template <typename Format>
Cell CellOf(const json::value& row, const char* key, Format format) {
  const auto number = NumberOf(row, key);
  return {number ? format(*number) : "-"};
}

std::string Percent(double share) { return fmt::format("{:.0f}%", std::clamp(share, 0.0, 9.99) * 100); }

Cell ShareOf(const json::value& row, const char* used, const char* total, double alarm_at) {
  const auto a = NumberOf(row, used);
  const auto b = NumberOf(row, total);
  if (!a || !b || *b <= 0) return {"-"};
  return {Percent(*a / *b), *a / *b >= alarm_at};
}

Cell Stall(const json::value& row, const char* key) {
  const auto share = NumberOf(row, key);
  return {share ? Percent(*share) : "-", share.value_or(0) >= 0.5};
}

const std::vector<Column>& NodeColumns() {
  static const std::vector<Column> columns = {
      {"NODE", 100, true, [](const json::value& row) { return Cell{Word(row, "node")}; }},
      {"STATE", 70, true,
       [](const json::value& row) {
         const auto state = Word(row, "state");
         return Cell{state, state != "alive"};
       }},
      {"REPL", 65, false, [](const json::value& row) { return CellOf(row, "replicas", ShortNumber); }},
      {"CPU", 99, false, [](const json::value& row) { return ShareOf(row, "cpu", "cores", 0.9); }},
      {"CORES", 60, false,
       [](const json::value& row) {
         const auto used = NumberOf(row, "cpu");
         return Cell{used ? fmt::format("{}/{}", ShortNumber(*used), ShortNumber(NumberOr0(row, "cores")))
                          : "-"};
       }},
      {"MEM", 98, false,
       [](const json::value& row) { return ShareOf(row, "memory_used_bytes", "memory_total_bytes", 0.95); }},
      {"USED", 40, false,
       [](const json::value& row) { return CellOf(row, "memory_used_bytes", ShortBytes); }},
      {"PSI:CPU", 90, false, [](const json::value& row) { return Stall(row, "pressure_cpu"); }},
      {":MEM", 85, false, [](const json::value& row) { return Stall(row, "pressure_memory"); }},
      {":IO", 84, false, [](const json::value& row) { return Stall(row, "pressure_io"); }},
      {"LAG ms", 80, false,
       [](const json::value& row) {
         Cell cell = CellOf(row, "lag_ms", ShortNumber);
         cell.alarm = NumberOr0(row, "lag_ms") >= 100;
         return cell;
       }},
      {"NET/s", 75, false, [](const json::value& row) { return CellOf(row, "net_bytes_s", ShortBytes); }},
      {"DISK/s", 50, false, [](const json::value& row) { return CellOf(row, "disk_bytes_s", ShortBytes); }},
      {"FREE", 45, false,
       [](const json::value& row) {
         Cell cell = CellOf(row, "disk_free_bytes", ShortBytes);
         const double total = NumberOr0(row, "disk_total_bytes");
         cell.alarm = total > 0 && NumberOr0(row, "disk_free_bytes") / total < 0.05;
         return cell;
       }},
  };
  return columns;
}

const std::vector<Column>& ServiceColumns() {
  static const std::vector<Column> columns = {
      {"SERVICE", 100, true, [](const json::value& row) { return Cell{Word(row, "service")}; }},
      {"WANT", 99, false, [](const json::value& row) { return CellOf(row, "desired", ShortNumber); }},
      {"GIVEN", 92, false,
       [](const json::value& row) {
         Cell cell = CellOf(row, "granted", ShortNumber);
         cell.alarm = NumberOr0(row, "granted") < NumberOr0(row, "desired");
         return cell;
       }},
      {"LIMITS", 60, false,
       [](const json::value& row) {
         const auto min = NumberOf(row, "min");
         const auto max = NumberOf(row, "max");
         return Cell{min && max ? fmt::format("{}-{}", ShortNumber(*min), ShortNumber(*max)) : "-"};
       }},
      {"RUN", 80, false, [](const json::value& row) { return CellOf(row, "running", ShortNumber); }},
      {"OK", 98, false,
       [](const json::value& row) {
         Cell cell = CellOf(row, "healthy", ShortNumber);
         cell.alarm = NumberOr0(row, "healthy") < NumberOr0(row, "desired");
         return cell;
       }},
      {"REQ/s", 97, false, [](const json::value& row) { return CellOf(row, "arrivals_s", ShortNumber); }},
      {"BUSY", 90, false, [](const json::value& row) { return CellOf(row, "in_flight", ShortNumber); }},
      {"QUEUE", 70, false, [](const json::value& row) { return CellOf(row, "queued", ShortNumber); }},
      {"p50 ms", 85, false, [](const json::value& row) { return CellOf(row, "p50_ms", ShortNumber); }},
      {"p99 ms", 95, false, [](const json::value& row) { return CellOf(row, "p99_ms", ShortNumber); }},
      {"REFUSED/s", 94, false,
       [](const json::value& row) {
         Cell cell = CellOf(row, "refused_s", ShortNumber);
         cell.alarm = NumberOr0(row, "refused_s") > 0;
         return cell;
       }},
      {"ERR/s", 75, false,
       [](const json::value& row) {
         Cell cell = CellOf(row, "errors_s", ShortNumber);
         cell.alarm = NumberOr0(row, "errors_s") > 0;
         return cell;
       }},
      {"CPU", 93, false, [](const json::value& row) { return CellOf(row, "cpu", ShortNumber); }},
      {"MEM", 65, false, [](const json::value& row) { return CellOf(row, "memory_bytes", ShortBytes); }},
      {"METRIC", 55, false, [](const json::value& row) { return CellOf(row, "metric", ShortNumber); }},
  };
  return columns;
}

std::string Fit(const std::string& text, std::size_t width, bool left) {
  // Bytes of a character beyond ASCII are counted as one each; such names are only padded too little.
  if (text.size() > width) return width == 0 ? "" : text.substr(0, width - 1) + "~";
  const std::string blanks(width - text.size(), ' ');
  return left ? text + blanks : blanks + text;
}

std::string Paint(const std::string& text, const char* how, bool color) {
  return color && !text.empty() ? how + text + kPlain : text;
}

// A table in the room given: `rows_max` counts the heading.
class Table {
 public:
  Table(const std::vector<Column>& columns, const std::vector<json::value>& rows) : rows_(rows) {
    for (const auto& column : columns) {
      auto& kept = kept_.emplace_back(Kept{&column, std::string_view(column.title).size(), {}});
      for (const auto& row : rows) {
        kept.cells.push_back(column.cell(row));
        kept.width = std::max(kept.width, kept.cells.back().text.size());
      }
    }
  }

  void Write(std::vector<std::string>& out, const TopPage& page, std::size_t rows_max) {
    if (rows_max == 0) return;
    Narrow(page.columns);
    std::string heading;
    for (const auto& kept : kept_) Append(heading, Fit(kept.column->title, kept.width, kept.column->left));
    out.push_back(Paint(page.color ? Fit(heading, page.columns, true) : heading, kReverse, page.color));
    const std::size_t room = rows_max - 1;
    const bool all = rows_.size() <= room;
    const std::size_t shown = all ? rows_.size() : room - std::min<std::size_t>(room, 1);
    for (std::size_t i = 0; i < shown; ++i) {
      std::string line;
      for (const auto& kept : kept_) {
        const Cell& cell = kept.cells[i];
        Append(line, Paint(Fit(cell.text, kept.width, kept.column->left), kRed, page.color && cell.alarm));
      }
      out.push_back(std::move(line));
    }
    if (!all && room > 0)
      out.push_back(Fit(fmt::format("... {} more", rows_.size() - shown), page.columns, true));
  }

 private:
  struct Kept {
    const Column* column;
    std::size_t width;
    std::vector<Cell> cells;
  };

  void Append(std::string& line, const std::string& cell) const {
    if (!line.empty()) line += "  ";
    line += cell;
  }
  std::size_t Width() const {
    std::size_t width = 0;
    for (const auto& kept : kept_) width += kept.width + 2;
    return width - std::min<std::size_t>(width, 2);
  }
  // A long name is cut to 16 before anything else is left out.
  void Narrow(std::size_t columns) {
    constexpr std::size_t kNameMin = 16;
    if (Width() > columns && kept_.front().width > kNameMin)
      kept_.front().width =
          std::max(kNameMin, kept_.front().width - std::min(kept_.front().width, Width() - columns));
    while (Width() > columns && kept_.size() > 1)
      kept_.erase(std::ranges::min_element(kept_, {}, [](const Kept& kept) { return kept.column->worth; }));
    if (Width() > columns) kept_.front().width = columns;
    // What the columns left out have freed goes to the name.
    std::size_t wanted = std::string_view(kept_.front().column->title).size();
    for (const auto& cell : kept_.front().cells) wanted = std::max(wanted, cell.text.size());
    if (Width() < columns && kept_.front().width < wanted)
      kept_.front().width = std::min(wanted, kept_.front().width + columns - Width());
  }

  const std::vector<json::value>& rows_;
  std::vector<Kept> kept_;
};

std::vector<json::value> RowsOf(const json::value& top, const char* key) {
  const auto* fields = top.if_object();
  const auto* value = fields == nullptr ? nullptr : fields->if_contains(key);
  const auto* list = value == nullptr ? nullptr : value->if_array();
  if (list == nullptr) return {};
  return {list->begin(), list->end()};
}

// The worst first: not alive, then by share of the CPU in steps of 5 %, so that rows do not dance; then by
// name.
void SortNodes(std::vector<json::value>& rows) {
  const auto key = [](const json::value& row) {
    const double cores = NumberOr0(row, "cores");
    const double share = cores > 0 ? NumberOr0(row, "cpu") / cores : -1;
    return std::tuple(Word(row, "state") == "alive", -std::floor(share * 20), Word(row, "node"));
  };
  std::ranges::sort(rows, [&](const auto& a, const auto& b) { return key(a) < key(b); });
}

// Those that lack replicas first, then the busiest by powers of two, then by name.
void SortServices(std::vector<json::value>& rows) {
  const auto magnitude = [](double value) { return value > 0 ? std::floor(std::log2(value)) : -1e9; };
  const auto key = [&](const json::value& row) {
    const bool whole = NumberOr0(row, "healthy") >= NumberOr0(row, "desired");
    return std::tuple(whole, -magnitude(NumberOr0(row, "arrivals_s")), -magnitude(NumberOr0(row, "cpu")),
                      Word(row, "service"));
  };
  std::ranges::sort(rows, [&](const auto& a, const auto& b) { return key(a) < key(b); });
}

const json::value& Field(const json::value& object, const char* key) {
  static const json::value kNothing;
  const auto* fields = object.if_object();
  const auto* value = fields == nullptr ? nullptr : fields->if_contains(key);
  return value == nullptr ? kNothing : *value;
}

std::string Span(double seconds) {
  if (seconds < 120) return fmt::format("{:.0f} s", seconds);
  if (seconds < 7200) return fmt::format("{:.0f} min", seconds / 60);
  if (seconds < 172800) return fmt::format("{:.0f} h", seconds / 3600);
  return fmt::format("{:.0f} d", seconds / 86400);
}

std::string SteadyWords(const json::value& cluster) {
  const auto* steady = Field(cluster, "steady").if_bool();
  if (steady != nullptr && *steady) return "steady " + Span(NumberOr0(cluster, "steady_s"));
  return "not steady";
}

void WriteHead(std::vector<std::string>& out, const json::value& top, const TopPage& page) {
  const auto& cluster = Field(top, "cluster");
  const bool all = NumberOr0(cluster, "measured") >= NumberOr0(cluster, "present");
  const std::string nodes = fmt::format("{}/{} nodes", Word(cluster, "present"), Word(cluster, "nodes"));
  const double cores = NumberOr0(cluster, "cores");
  const double memory = NumberOr0(cluster, "memory_total_bytes");
  std::string line =
      fmt::format("homeostat  {}  {}  cpu {}/{}{}  mem {}/{}{}", nodes, SteadyWords(cluster),
                  ShortNumber(NumberOr0(cluster, "cpu")), ShortNumber(cores),
                  cores > 0 ? " " + Percent(NumberOr0(cluster, "cpu") / cores) : "",
                  ShortBytes(NumberOr0(cluster, "memory_used_bytes")), ShortBytes(memory),
                  memory > 0 ? " " + Percent(NumberOr0(cluster, "memory_used_bytes") / memory) : "");
  const std::string right = page.clock;
  if (line.size() + right.size() + 2 <= page.columns)
    line = Fit(line, page.columns - right.size(), true) + right;
  out.push_back(Paint(Fit(line, std::min(line.size(), page.columns), true), kBold, page.color));
  // One line of what is wrong, the most pressing first.
  std::string note;
  const char* how = kGreen;
  if (!page.problem.empty()) {
    note = "no answer, this is old: " + page.problem;
    how = kRed;
  } else if (const auto shortages = RowsOf(cluster, "short"); !shortages.empty()) {
    note = "short: " + TextOf(shortages.front());
    if (shortages.size() > 1) note += fmt::format(" (and {} more)", shortages.size() - 1);
    how = kRed;
  } else if (const auto pending = RowsOf(cluster, "pending"); !pending.empty()) {
    note = "pending: " + TextOf(pending.front());
    if (pending.size() > 1) note += fmt::format(" (and {} more)", pending.size() - 1);
  } else if (!all) {
    note = fmt::format("load known of {} of {} nodes, as {} sees it", Word(cluster, "measured"),
                       Word(cluster, "present"), Word(top, "by"));
  }
  out.push_back(Paint(Fit(note, std::min(note.size(), page.columns), true), how, page.color));
}

}  // namespace

std::string ShortNumber(double value) {
  if (!std::isfinite(value)) return "?";
  const double size = std::abs(value);
  if (size == std::floor(size) && size < 10'000) return fmt::format("{:.0f}", value);
  if (size < 0.005) return "0";
  if (size < 9.995) return fmt::format("{:.2f}", value);
  if (size < 99.95) return fmt::format("{:.1f}", value);
  if (size < 9'999.5) return fmt::format("{:.0f}", value);
  if (size < 999'500) return fmt::format("{:.0f}k", value / 1e3);
  if (size < 999.5e6) return fmt::format("{:.0f}M", value / 1e6);
  if (size < 999.5e9) return fmt::format("{:.0f}G", value / 1e9);
  return ">1T";
}

std::string ShortBytes(double bytes) {
  if (!std::isfinite(bytes)) return "?";
  static constexpr const char* kUnits[] = {"", "k", "M", "G", "T", "P", "E"};
  std::size_t unit = 0;
  while (bytes >= 999.5 && unit + 1 < std::size(kUnits)) {
    bytes /= 1024;
    ++unit;
  }
  return fmt::format("{:.{}f}{}", bytes, unit > 0 && bytes < 9.95 ? 1 : 0, kUnits[unit]);
}

std::vector<std::string> TopScreen(const json::value& top, const TopPage& page) {
  std::vector<std::string> out;
  WriteHead(out, top, page);
  auto nodes = RowsOf(top, "nodes");
  auto services = RowsOf(top, "services");
  SortNodes(nodes);
  SortServices(services);
  // Two tables and a blank line between them share what is left; one that needs less leaves it to the other.
  std::size_t for_nodes = nodes.size() + 1;
  std::size_t for_services = services.size() + 1;
  if (page.rows) {
    const std::size_t room = *page.rows > out.size() + 1 ? *page.rows - out.size() - 1 : 0;
    const std::size_t half = room / 2;
    for_nodes = std::min(for_nodes, std::max(half, room - std::min(room, for_services)));
    for_services = std::min(for_services, room - for_nodes);
  }
  Table(NodeColumns(), nodes).Write(out, page, for_nodes);
  if (for_services > 0) out.emplace_back();
  Table(ServiceColumns(), services).Write(out, page, for_services);
  if (page.rows && out.size() > *page.rows) out.resize(*page.rows);
  return out;
}

}  // namespace hs
