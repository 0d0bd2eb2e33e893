#include "runtime/haproxy/commands.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <sstream>

#include "core/control/limit.h"

namespace hs {

namespace {

constexpr std::uint32_t kWeightMax = 256;  // of HAProxy

void Put(Backends& backends, const std::string& backend, const DoorServer& server, std::uint16_t port) {
  if (!IsSafeName(server.name) || port == 0) return;
  backends[backend].emplace(server.name, ServerRun{{server.address.ip, port},
                                                   server.tls,
                                                   std::clamp<std::uint32_t>(server.weight, 1, kWeightMax),
                                                   server.state});
}

// This node's replicas as one server of its door.
void PutOwn(Backends& backends, const DoorService& service) {
  ServerRun own{.weight = 0, .state = ServerState::kDown};
  for (const DoorServer& server : service.local) {
    own.weight += server.state == ServerState::kReady;
    if (server.state == ServerState::kReady) own.state = ServerState::kReady;
    if (server.state == ServerState::kDrain && own.state == ServerState::kDown) own.state = server.state;
  }
  if (service.local.empty()) return;
  own.weight = std::clamp<std::uint32_t>(own.weight, 1, kWeightMax);
  backends["b_" + service.name].emplace(kOwnServer, own);
}

bool ReadNumber(const std::string& text, std::uint32_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

// Brings one existing server to what is wanted.
void Adjust(std::vector<std::string>& out, const std::string& id, const ServerRun& have,
            const ServerRun& want) {
  if (have.address != want.address) {
    out.push_back(
        fmt::format("set server {} addr {} port {}", id, want.address.ip.ToString(), want.address.port));
  }
  // Moved to a tunnel: the direct path is cut, and what was sent over it waits in vain.
  const IpAddress here = IpAddress::V4(127, 0, 0, 1);
  if (want.tls && want.address.ip == here && have.address.ip != here) {
    out.push_back(fmt::format("shutdown sessions server {}", id));
  }
  if (have.weight != want.weight) out.push_back(fmt::format("set server {} weight {}", id, want.weight));
  if (have.state == want.state) return;
  switch (want.state) {
    case ServerState::kReady:
      out.push_back(fmt::format("set server {} state ready", id));
      return;
    case ServerState::kDrain:
      out.push_back(fmt::format("set server {} state drain", id));
      return;
    case ServerState::kDown:
      out.push_back(fmt::format("set server {} state maint", id));
      out.push_back(fmt::format("shutdown sessions server {}", id));
      return;
  }
}

void Remove(std::vector<std::string>& out, const std::string& id, const ServerRun& have) {
  if (have.state != ServerState::kDown) out.push_back(fmt::format("set server {} state maint", id));
  out.push_back(fmt::format("del server {}", id));
}

void Add(std::vector<std::string>& out, const std::string& backend, const std::string& id,
         const ServerRun& want, const DoorConfig& config) {
  if (want.state != ServerState::kReady) return;
  out.push_back(fmt::format("add server {} {}", id, ServerWords(backend, want, config)));
  out.push_back(fmt::format("set server {} state ready", id));
}

}  // namespace

Backends BackendsOf(const DoorTable& table) {
  Backends backends;
  for (const DoorService& service : table.services) {
    if (!IsSafeName(service.name)) continue;
    const bool tcp = std::ranges::any_of(service.ports, [](const PublishedPort& port) { return !port.http; });
    backends["b_" + service.name];
    backends["in_" + service.name];
    if (tcp) {
      backends["t_" + service.name];
      backends["int_" + service.name];
    }
    for (const DoorServer& server : service.servers) {
      if (server.tls) Put(backends, "b_" + service.name, server, server.address.port);
      if (tcp) Put(backends, "t_" + service.name, server, server.tls ? server.tcp_port : server.address.port);
    }
    PutOwn(backends, service);
    // Other doors may not have heard yet that what runs here is on its way out: it serves them until it goes.
    const bool nobody_else = std::ranges::none_of(
        service.local, [](const DoorServer& server) { return server.state == ServerState::kReady; });
    for (DoorServer server : service.local) {
      if (nobody_else && server.state == ServerState::kDrain) server.state = ServerState::kReady;
      Put(backends, "in_" + service.name, server, server.address.port);
      if (tcp) Put(backends, "int_" + service.name, server, server.address.port);
    }
  }
  return backends;
}

std::string ServerWords(const std::string& backend, const ServerRun& server, const DoorConfig& config) {
  // Said in full, since servers added at run time inherit no defaults and would never keep a connection. The
  // inbound listeners keep idle connections for 60 s: a reused one is alive.
  constexpr std::string_view kShared = " proto h1 pool-max-conn 256 pool-purge-delay 5s";
  if (!server.address)
    return fmt::format("unix@{} weight {}{}", EscapeWord(OwnSocketPath(config)), server.weight, kShared);
  std::string words = fmt::format("{} weight {}", server.address.ToString(), server.weight);
  if (server.tls) {
    const std::string service = backend.substr(backend.find('_') + 1);
    words += fmt::format(" ssl crt {} ca-file {} verify required alpn {}", EscapeWord(config.certificate_pem),
                         EscapeWord(config.ca_pem), service);
    if (backend.starts_with("b_")) words += kShared;
  } else if (backend.starts_with("in_")) {
    // Shared by the requests of one connection from a door, and let go before most applications would close
    // them. The limit is where ConcurrencyLimit starts.
    words += fmt::format(" maxconn {} pool-max-conn 256 pool-purge-delay 2s", kLimitAtFirst);
  }
  return words;
}

Result<Backends> ParseServersState(const std::string& text) {
  Backends backends;
  std::istringstream lines(text);
  std::string line;
  if (!std::getline(lines, line) || line != "1") {
    return Fail(Reaction::kReconnect,
                "HAProxy answered something else than its servers' state: " + line.substr(0, 100));
  }
  while (std::getline(lines, line)) {
    if (line.empty() || line.starts_with('#')) continue;
    std::istringstream words(line);
    std::vector<std::string> fields;
    for (std::string word; words >> word;) fields.push_back(word);
    std::uint32_t admin = 0, weight = 0, port = 0, tls = 0;
    // be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight ... srv_port(18) -
    // use_ssl(20)
    if (fields.size() < 21 || !ReadNumber(fields[6], admin) || !ReadNumber(fields[7], weight) ||
        !ReadNumber(fields[18], port) || !ReadNumber(fields[20], tls) || port > 65535) {
      return Fail(Reaction::kReconnect,
                  "a line of HAProxy's servers' state cannot be read: " + line.substr(0, 100));
    }
    ServerRun server{{}, tls != 0, weight, ServerState::kReady};
    if (fields[4] != "-") {  // what is no IP address
      const Result<IpAddress> ip = IpAddress::Parse(fields[4]);
      if (!ip) return std::unexpected(ip.error());
      server.address = {*ip, static_cast<std::uint16_t>(port)};
    }
    constexpr std::uint32_t kMaintenance =
        0x01 | 0x02 | 0x04 | 0x20 | 0x40;  // management.txt, srv_admin_state
    constexpr std::uint32_t kDraining = 0x08 | 0x10;
    if (admin & kMaintenance) {
      server.state = ServerState::kDown;
    } else if (admin & kDraining) {
      server.state = ServerState::kDrain;
    }
    backends[fields[1]].emplace(fields[3], server);
  }
  return backends;
}

std::vector<std::string> RuntimeCommands(const Backends& have, const Backends& want,
                                         const DoorConfig& config) {
  // Who is new or back comes first, of all backends: requests that are cut are repeated there. The lower
  // floor opens before the upper one sends there, and closes after it.
  std::vector<std::string> lower, upper, worse;
  for (const auto& [backend, servers] : have) {
    const auto wanted = want.find(backend);
    if (wanted == want.end()) continue;  // the backend goes with the next reload
    std::vector<std::string>& better = backend.starts_with("in") ? lower : upper;
    for (const auto& [name, server] : servers) {
      const std::string id = backend + "/" + name;
      const auto match = wanted->second.find(name);
      if (match == wanted->second.end()) {
        Remove(worse, id, server);
      } else if (match->second.tls != server.tls) {
        Remove(better, id, server);
        Add(better, backend, id, match->second, config);
      } else {
        const bool stays = match->second.state == ServerState::kReady;
        Adjust(stays ? better : worse, id, server, match->second);
      }
    }
    for (const auto& [name, server] : wanted->second) {
      if (!servers.contains(name)) Add(better, backend, backend + "/" + name, server, config);
    }
  }
  std::vector<std::string> out = std::move(lower);
  out.insert(out.end(), upper.begin(), upper.end());
  out.insert(out.end(), worse.begin(), worse.end());
  return out;
}

std::vector<std::string> RuntimeCommands(const DoorTable& have, const DoorTable& want,
                                         const DoorConfig& config) {
  return RuntimeCommands(BackendsOf(have), BackendsOf(want), config);
}

std::vector<std::string> MapCommands(const Routes& have, const Routes& want, const std::string& file) {
  std::vector<std::string> out;
  const std::string map = EscapeWord(file);
  for (const auto& [key, service] : want) {
    const auto found = have.find(key);
    if (found == have.end()) {
      out.push_back(fmt::format("add map {} {} {}", map, EscapeWord(key), service));
    } else if (found->second != service) {
      out.push_back(fmt::format("set map {} {} {}", map, EscapeWord(key), service));
    }
  }
  for (const auto& [key, service] : have) {
    if (!want.contains(key)) out.push_back(fmt::format("del map {} {}", map, EscapeWord(key)));
  }
  return out;
}

Routes ParseMap(const std::string& text) {
  Routes routes;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string reference, key, value;
    if (words >> reference >> key >> value && reference.starts_with("0x")) routes.emplace(key, value);
  }
  return routes;
}

bool IsAccepted(const std::string& command, const std::string& answer) {
  if (command.starts_with("add server")) return answer.find("New server registered") != std::string::npos;
  if (command.starts_with("del server")) return answer.find("Server deleted") != std::string::npos;
  return answer.find_first_not_of(" \n") == std::string::npos ||
         answer.find("changed from") != std::string::npos ||
         answer.find("no need to change") != std::string::npos ||
         answer.find("not changed") != std::string::npos;
}

}  // namespace hs
