#include "app/cli/context.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <ctime>
#include <thread>

#include "api/json.h"
#include "app/cli/words.h"

extern char** environ;

namespace hs {
namespace {

std::string Lookup(const Environment& environment, const char* name) {
  const auto it = environment.find(name);
  return it == environment.end() ? "" : it->second;
}

HttpTarget SocketIn(const std::string& directory) {
  return UnixTarget{std::filesystem::path(directory) / "api.sock"};
}

Result<HttpTarget> FromAddress(const std::string& address, const CliOptions& options,
                               const Environment& environment, const char* named_by) {
  if (address.starts_with("unix:")) return UnixTarget{address.substr(5)};
  std::error_code ignored;
  if (address.starts_with('/') || std::filesystem::is_socket(address, ignored)) return UnixTarget{address};
  const auto endpoint = Endpoint::Parse(address, 7700);
  if (!endpoint) return BadInput(named_by + (": " + endpoint.error().message));
  return TlsTarget{*endpoint, Lookup(environment, "HOMEOSTAT_TOKEN"), options.insecure};
}

// Columns a terminal needs for it, taking each code point as one.
std::size_t Width(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(text, [](char c) { return (c & 0xc0) != 0x80; }));
}

// What comes from the cluster must not drive the terminal.
std::string Printable(std::string_view text) {
  std::string out;
  for (const char c : text) out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c;
  return out;
}

}  // namespace

Environment ProcessEnvironment() {
  Environment out;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const auto equals = text.find('=');
    if (equals != std::string_view::npos) out.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return out;
}

std::string DefaultDataDir(const Environment& environment, bool is_root) {
  if (is_root) return "/var/lib/homeostat";
  const std::string share = Lookup(environment, "XDG_DATA_HOME");
  if (!share.empty()) return share + "/homeostat";
  return Lookup(environment, "HOME") + "/.local/share/homeostat";
}

Result<HttpTarget> TargetOf(const CliOptions& options, const Environment& environment) {
  if (!options.addr.empty()) return FromAddress(options.addr, options, environment, "--addr");
  if (!options.data.empty()) return SocketIn(options.data);
  const std::string address = Lookup(environment, "HOMEOSTAT_ADDR");
  if (!address.empty()) return FromAddress(address, options, environment, "HOMEOSTAT_ADDR");
  return SocketIn(DefaultDataDir(environment, ::geteuid() == 0));
}

Result<std::int64_t> ParseSpan(std::string_view text) {
  std::int64_t number = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit(end, text.data() + text.size());
  std::int64_t factor = 0;
  if (unit.empty() || unit == "s") factor = 1;
  if (unit == "m" || unit == "min") factor = 60;
  if (unit == "h") factor = 3600;
  if (unit == "d") factor = 24 * 3600;
  if (code != std::errc{} || factor == 0 || number < 0 || number > 100'000'000) {
    return BadInput(fmt::format("'{}' is no span of time; write 90s, 15m, 2h or 3d", text));
  }
  return number * factor;
}

Result<WallMs> ParseSince(std::string_view text, WallMs now_ms) {
  if (text.find('-') != std::string_view::npos) {
    std::tm parts{};
    const std::string copy(text);
    const char* end = ::strptime(copy.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
    if (end == nullptr || (*end != '\0' && std::string_view(end) != "Z")) {
      return BadInput(fmt::format("'{}' is no time; write 15m or 2026-11-22T08:00:00 (UTC)", text));
    }
    return static_cast<WallMs>(::timegm(&parts)) * 1000;
  }
  const auto span = ParseSpan(text);
  if (!span) return BadInput(fmt::format("'{}' is no time; write 15m or 2026-11-22T08:00:00 (UTC)", text));
  return std::max<WallMs>(0, now_ms - *span * 1000);
}

std::string PercentEncode(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '.' || c == '_' || c == '~';
    out += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

std::string ErrorText(const HttpReply& reply) {
  json::error_code code;
  const json::value value = json::parse(reply.body, code);
  if (!code) {
    if (const auto* object = value.if_object()) {
      const auto* error = object->if_contains("error");
      const auto* inner = error == nullptr ? nullptr : error->if_object();
      const auto* message = inner == nullptr ? nullptr : inner->if_contains("message");
      if (message != nullptr && message->is_string()) return Text(message->get_string());
    }
  }
  return fmt::format("the node answered with status {}", reply.status);
}

HttpTarget CliContext::Target() {
  if (!target_) {
    auto target = TargetOf(options, ProcessEnvironment());
    if (!target) throw CliError(target.error().message);
    target_ = *std::move(target);
  }
  return *target_;
}

HttpReply CliContext::Raw(HttpCall call) {
  if (call.body_file.empty()) {  // a large file takes its time
    call.on_slow = [&call] {
      PrintError(
          fmt::format("no answer yet (is the agent stopped, or its box short of CPU?); waiting up to {} s\n",
                      call.silence_max / 1s));
    };
  }
  auto reply = CallHttp(Target(), call);
  if (!reply) throw CliError(reply.error().message);
  return *std::move(reply);
}

std::string CliContext::Call(const std::string& method, const std::string& target, const std::string& body) {
  HttpCall call;
  call.method = method;
  call.target = target;
  call.body = body;
  auto reply = Raw(call);
  if (reply.status != 200) throw CliError(ErrorText(reply));
  return std::move(reply.body);
}

std::string CliContext::GetPatiently(const std::string& target, Duration patience) {
  const auto give_up = std::chrono::steady_clock::now() + patience;
  while (true) {
    HttpCall call;
    call.target = target;
    auto reply = Raw(call);
    if (reply.status == 200) return std::move(reply.body);
    if (reply.status != 503 || std::chrono::steady_clock::now() >= give_up) throw CliError(ErrorText(reply));
    std::this_thread::sleep_for(200ms);
  }
}

void CliContext::Stream(const std::string& target, const std::function<bool(std::string_view)>& on_bytes) {
  HttpCall call;
  call.target = target;
  const auto reply = StreamHttp(Target(), call, on_bytes);
  if (!reply) throw CliError(reply.error().message);
  if (reply->status != 200) throw CliError(ErrorText(*reply));
}

std::string FormatTable(const std::vector<std::string>& header,
                        const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& cell : header) widths.push_back(Width(cell));
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size() && i < widths.size(); ++i)
      widths[i] = std::max(widths[i], Width(row[i]));
  }
  std::string out;
  const auto add = [&](const std::vector<std::string>& row) {
    for (std::size_t i = 0; i < row.size() && i < widths.size(); ++i) {
      out += Printable(row[i]);
      if (i + 1 < row.size()) out.append(widths[i] - Width(row[i]) + 2, ' ');
    }
    while (!out.empty() && out.back() == ' ') out.pop_back();
    out += '\n';
  };
  add(header);
  for (const auto& row : rows) add(row);
  return out;
}

}  // namespace hs
