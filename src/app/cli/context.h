// What the verbs share: where the node is, how to ask it, how to fail.
#pragma once

#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/http/client.h"

namespace hs {

// Ends a verb: printed as one line on stderr.
struct CliError : std::runtime_error {
  using std::runtime_error::runtime_error;
  int exit_code = 1;
};

struct CliOptions {
  std::string addr;  // IP:PORT or the path of a Unix socket
  std::string data;  // data directory of a node on this box
  bool json = false;
  bool insecure = false;
};

using Environment = std::map<std::string, std::string>;
Environment ProcessEnvironment();

// --addr, then --data, then HOMEOSTAT_ADDR, then this box's own node.
Result<HttpTarget> TargetOf(const CliOptions& options, const Environment& environment);
// /var/lib/homeostat for root, else ~/.local/share/homeostat.
std::string DefaultDataDir(const Environment& environment, bool is_root);

// 90s, 15m, 2h, 3d ago, or a time such as 2026-11-22T08:00:00 (UTC); milliseconds since 1970.
Result<WallMs> ParseSince(std::string_view text, WallMs now_ms);
// 90s, 15m, 2h, 3d, or seconds; in seconds.
Result<std::int64_t> ParseSpan(std::string_view text);

// For a part of a path or a query.
std::string PercentEncode(std::string_view text);

class CliContext {
 public:
  CliOptions options;
  int exit_code = 0;

  // The body of a 200; anything else is thrown as CliError with the server's message.
  std::string Get(const std::string& target) { return Call("GET", target, ""); }
  // The same, asked again for `patience` while the node says that it cannot answer yet (503).
  std::string GetPatiently(const std::string& target, Duration patience);
  std::string Call(const std::string& method, const std::string& target, const std::string& body);
  HttpReply Raw(HttpCall call);
  void Stream(const std::string& target, const std::function<bool(std::string_view)>& on_bytes);

 private:
  HttpTarget Target();
  std::optional<HttpTarget> target_;
};

// {"error":{"message":...}} as its message; otherwise the status.
std::string ErrorText(const HttpReply& reply);

// Columns are as wide as their widest cell, two blanks apart; the last is not padded. Without rows: the
// header only.
std::string FormatTable(const std::vector<std::string>& header,
                        const std::vector<std::vector<std::string>>& rows);

}  // namespace hs
