#include "runtime/haproxy/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>

#include "core/control/queue_room.h"
#include "runtime/haproxy/commands.h"
#include "runtime/haproxy/stats.h"

namespace hs {

namespace {

constexpr std::size_t kNameMax = 200;  // an ALPN name has at most 255 bytes
constexpr int kTcpWaiting = 1024;      // connections of a TCP port that wait to be taken
constexpr std::string_view kBudgetTable = "budget";
constexpr std::string_view kServerLine = "  server ";
constexpr std::string_view kBindLine = "  bind ";

bool IsSafeRoute(const std::string& text) {
  return text.size() <= 1024 &&
         std::ranges::all_of(text, [](unsigned char c) { return c > ' ' && c < 127 && c != '#'; });
}

std::vector<const DoorService*> Usable(const DoorTable& table) {
  std::vector<const DoorService*> usable;
  for (const DoorService& service : table.services) {
    if (IsSafeName(service.name)) usable.push_back(&service);
  }
  return usable;
}

bool HasTcp(const DoorService& service) {
  return std::ranges::any_of(service.ports, [](const PublishedPort& port) { return !port.http; });
}

std::string BindText(const Endpoint& endpoint) {
  return endpoint.ip.IsV4() ? fmt::format("ipv4@{}", endpoint.ToString())
                            : fmt::format("ipv6@{}", endpoint.ToString());
}

std::string Milliseconds(std::int64_t ms) { return fmt::format("{}ms", ms); }

void RenderGlobal(std::string& out, const DoorConfig& config) {
  out += fmt::format(R"(global
  nbthread {}
  maxconn {}
  hard-stop-after {}
  ssl-default-bind-options ssl-min-ver TLSv1.3
  ssl-default-server-options ssl-min-ver TLSv1.3
  tune.ssl.cachesize 1000

defaults
  mode http
  timeout connect {}
  timeout client 5m
  timeout server 5m
  timeout queue {}
  timeout tunnel 24h
  timeout http-request 30s
  timeout http-keep-alive 60s
  timeout client-fin 30s
  option redispatch 1
  option abortonclose
  option http-ignore-probes
  retries 3
  http-error status 503 content-type "text/plain" string "no replica can answer now: try again\n" hdr Retry-After 1

)",
                     config.threads, config.connections_max, Milliseconds(ToMs(config.old_worker_max)),
                     Milliseconds(ToMs(config.connect_timeout)), Milliseconds(ToMs(kQueueDeadline)));
}

// Of a frontend of HTTP: whether a request comes from a process of the cluster's own boxes. Of this one it
// comes from the address that it goes to, whichever of the box's that is.
void RenderInside(std::string& out, const DoorConfig& config) {
  out += fmt::format(R"(  http-request set-var(txn.to) dst,concat()
  acl inside src 127.0.0.0/8 ::1
  acl inside src,strcmp(txn.to) eq 0
  acl inside src,map_ip({}) -m found
)",
                     EscapeWord(BoxesPath(config)));
}

// RFC 9218: 0 is most urgent, 3 usual, 7 least. From outside a request may only step back: else the first
// client to ask for it would be served before all others. What an app passes on was cut at the door before.
void RenderUrgencyAtDoor(std::string& out) {
  out +=
      R"(  http-request set-header Priority '%[req.fhdr(priority),regsub("u=[0-2]","u=3",g)]' if { req.fhdr(priority) -m reg u=[0-2] } !inside
)";
}

// Of a frontend of HTTP: one short line per request to the agent, see stats.h.
void RenderRequestLog(std::string& out, const DoorConfig& config) {
  out +=
      fmt::format("  log {} len 512 format raw local0\n{}", EscapeWord(RequestLogPath(config)), LogFormat());
}

void RenderDoor(std::string& out, const DoorConfig& config) {
  const std::string routes = EscapeWord(RoutesPath(config));
  out += fmt::format("frontend door\n  bind {}\n", BindText(config.door));
  RenderInside(out, config);
  // What services call each other by is in the same map as what they are published under: a host with a slash
  // could name both at once.
  out += fmt::format(R"(  option forwardfor
  http-request set-header X-Forwarded-Proto http unless {{ req.hdr(X-Forwarded-Proto) -m found }}
  http-request return status 400 content-type "text/plain" string "a host has no slash\n" if {{ req.hdr(host) -m sub / }}
  http-request set-var(txn.path) path
  http-request set-var(txn.host) req.hdr(host),host_only,lower
  http-request set-var(txn.key) var(txn.host),concat(,txn.path,/)
  http-request set-var(txn.service) var(txn.key),map_beg({})
  acl internal var(txn.host) -m end .internal
  http-request return status 404 content-type "text/plain" string "names under .internal are for processes on the boxes\n" if internal !inside
  acl settled var(txn.service) -m found
  http-request set-var(txn.key) str(*),concat(,txn.path,/) unless settled or internal
  http-request set-var(txn.service) var(txn.key),map_beg({}) unless settled or internal
  http-request return status 404 content-type "text/plain" string "no service is reached by this host and path\n" unless {{ var(txn.service) -m found }}
)",
                     routes, routes);
  RenderUrgencyAtDoor(out);
  RenderRequestLog(out, config);
  out += "  use_backend b_%[var(txn.service)]\n\n";
}

// Connections of plain TCP at one time, all services together: half, so that however many come, and however
// long they stay, HTTP has the other half.
std::uint32_t TcpShare(const DoorConfig& config) { return std::max(1U, config.connections_max / 2); }

std::uint32_t TcpShareOfPort(const DoorConfig& config, const std::vector<const DoorService*>& services) {
  std::uint32_t ports = 0;
  for (const DoorService* service : services)
    ports += static_cast<std::uint32_t>(
        std::ranges::count_if(service->ports, [](const PublishedPort& port) { return !port.http; }));
  return std::max(1U, TcpShare(config) / std::max(1U, ports));
}

void RenderPort(std::string& out, const DoorService& service, const PublishedPort& port,
                const Endpoint& endpoint, const DoorConfig& config, std::uint32_t tcp_share) {
  out += fmt::format("frontend p_{}\n  bind {}\n", port.port, BindText(endpoint));
  if (port.http) {
    out += fmt::format(
        "  option forwardfor\n"
        "  http-request set-header X-Forwarded-Proto http unless {{ req.hdr(X-Forwarded-Proto) -m found }}\n"
        "  default_backend b_{}\n",
        service.name);
    RenderInside(out, config);
    RenderUrgencyAtDoor(out);
    RenderRequestLog(out, config);
    out += '\n';
  } else {
    // What comes above its share waits outside, at most as long as its client does.
    out += fmt::format("  mode tcp\n  maxconn {}\n  backlog {}\n  default_backend t_{}\n\n", tcp_share,
                       kTcpWaiting, service.name);
  }
}

// The list of services that the inbound listener lets a door ask for.
std::string AlpnList(const std::vector<const DoorService*>& services, bool tcp) {
  std::string list;
  for (const DoorService* service : services) {
    if (tcp && !HasTcp(*service)) continue;
    if (!list.empty()) list += ',';
    list += service->name;
  }
  return list;
}

void RenderInbound(std::string& out, const std::vector<const DoorService*>& services,
                   const DoorConfig& config, std::uint16_t port, bool tcp) {
  const std::string alpn = AlpnList(services, tcp);
  if (alpn.empty() || port == 0) return;
  out += fmt::format("frontend {}\n  bind {} ssl crt {} ca-file {} verify required alpn {}{}\n",
                     tcp ? "inbound_tcp" : "inbound", BindText({config.inbound_ip, port}),
                     EscapeWord(config.certificate_pem), EscapeWord(config.ca_pem), alpn,
                     tcp ? "" : " proto h1");
  out += fmt::format("  {} if {{ ssl_c_s_dn(CN),map({}) -m found }}\n",
                     tcp ? "tcp-request content reject" : "http-request deny deny_status 403",
                     EscapeWord(RemovedPath(config)));
  if (tcp) {
    out += fmt::format(
        "  mode tcp\n  maxconn {}\n  tcp-request content reject unless {{ ssl_fc_alpn -m found }}\n"
        "  use_backend int_%[ssl_fc_alpn]\n\n",
        TcpShare(config));
  } else {
    // Without a service both floors agree on, the request was meant for a service this node does not know
    // (yet).
    out += fmt::format(
        "  http-request return status 503 errorfile {} unless {{ ssl_fc_alpn -m found }}\n"
        "  use_backend in_%[ssl_fc_alpn]\n\n",
        EscapeWord(RefusalPath(config)));
  }
}

// What this node's own door enters by: the lower floor without TLS. Only this HAProxy can open the socket.
void RenderOwn(std::string& out, const DoorConfig& config) {
  out += fmt::format(
      "frontend own\n  bind unix@{} mode 600\n  use_backend in_%[req.hdr(x-homeostat-service)]\n\n",
      EscapeWord(OwnSocketPath(config)));
}

// Requests of each service, how many of them met a full replica in the last second (gpc0), and how many were
// refused at last (gpc1): one table for all.
void RenderBudget(std::string& out) {
  out += fmt::format(
      "backend {}\n  stick-table type string len {} size 10k expire 1h store "
      "http_req_cnt,http_req_rate(1s),gpc0,gpc0_rate(1s),gpc1\n\n",
      kBudgetTable, kNameMax);
}

void RenderServers(std::string& out, const Backends& backends, const std::string& backend,
                   const DoorConfig& config) {
  const auto found = backends.find(backend);
  if (found == backends.end()) return;
  for (const auto& [name, server] : found->second) {
    if (server.state != ServerState::kReady) continue;
    out += fmt::format("{}{} {}\n", kServerLine, name, ServerWords(backend, server, config));
  }
}

// The door's own floor. Connections to other nodes are shared between clients: a TLS handshake for each
// request would cost ten times the request. Ours to the inbound listener are let go long before it would
// close them, so a reused one is alive.
// Retry budget: the floors below mark answers that others had to wait behind, as routers mark packets before
// they drop them (RFC 3168). Once a twentieth of a service's answers are marked or refusals, one request in
// 40 may be tried again, three times at most: less than a tenth more. Before that so few are refused that
// trying them all again is less than that.
void RenderUpper(std::string& out, const std::string& name) {
  out += fmt::format(R"(backend b_{0}
  balance leastconn
  http-reuse always
  retry-on conn-failure empty-response junk-response 425
  http-request track-sc0 str({0}) table {1}
  http-request set-var(txn.rate) sc0_http_req_rate({1})
  acl spent sc0_gpc0_rate({1}),mul(20),sub(txn.rate) gt 0
  http-request disable-l7-retry unless {{ method GET HEAD OPTIONS PUT DELETE TRACE }}
  http-request disable-l7-retry if spent !{{ rand(40) eq 0 }}
  http-request set-header X-Homeostat-Service {0}
{2}  acl refused status 425
  acl refused_by_us res.hdr(X-Homeostat-Refused) -m found
  acl others_wait res.hdr(X-Homeostat-Full) -m found
  http-response sc-inc-gpc0(0) if others_wait or refused refused_by_us
  http-response sc-inc-gpc1(0) if refused refused_by_us
  http-response set-var(txn.refused) int(1) if refused refused_by_us
  http-response set-status 503 reason "Service Unavailable" if refused refused_by_us
  http-response del-header X-Homeostat-Refused
  http-response del-header X-Homeostat-Full
)",
                     name, kBudgetTable, LogSampling());
}

// The floor of the replicas. Who finds no room in the queue is turned away at once, before any replica hears
// of it: the less urgent already when it is half full, the more urgent only at eight times the room.
void RenderLower(std::string& out, const std::string& name, const DoorConfig& config) {
  const std::string refusal = EscapeWord(RefusalPath(config));
  out += fmt::format(R"(
backend in_{0}
  balance leastconn
  retry-on conn-failure empty-response junk-response
  http-request disable-l7-retry unless {{ method GET HEAD OPTIONS PUT DELETE TRACE }}
  http-request del-header X-Homeostat-Service
  http-request set-var(txn.urgency) int(3)
  http-request set-var(txn.urgency) 'req.fhdr(priority),regsub("^.*u=([0-7]).*$","\1")' if {{ req.fhdr(priority) -m reg u=[0-7] }}
  http-request set-priority-class var(txn.urgency)
  http-request set-var(txn.room) str({0}),map_str_int({1},{2})
  http-request set-var(txn.room) var(txn.room),mul(8) if {{ var(txn.urgency) -m int lt 3 }}
  http-request set-var(txn.room) var(txn.room),add(1),div(2) if {{ var(txn.urgency) -m int gt 3 }}
  http-request return status 503 errorfile {3} if {{ queue(in_{0}),sub(txn.room) ge 0 }}
  http-response del-header X-Homeostat-Full
  http-response set-header X-Homeostat-Full 1 if {{ queue(in_{0}) gt 0 }}
  errorfile 502 {3}
  errorfile 503 {3}
)",
                     name, EscapeWord(RoomsPath(config)), kRoomAtFirst, refusal);
}

void RenderBackends(std::string& out, const DoorService& service, const Backends& backends,
                    const DoorConfig& config) {
  const std::string& name = service.name;
  RenderUpper(out, name);
  RenderServers(out, backends, "b_" + name, config);
  RenderLower(out, name, config);
  RenderServers(out, backends, "in_" + name, config);
  out += '\n';
  if (!HasTcp(service)) return;
  for (const char* prefix : {"t_", "int_"}) {
    out += fmt::format("backend {}{}\n  mode tcp\n  balance leastconn\n", prefix, name);
    RenderServers(out, backends, prefix + name, config);
    out += '\n';
  }
}

}  // namespace

std::string ConfigPath(const DoorConfig& config) { return config.dir + "/haproxy.cfg"; }
std::string RoutesPath(const DoorConfig& config) { return config.dir + "/routes.map"; }
std::string RefusalPath(const DoorConfig& config) { return config.dir + "/refused.http"; }
std::string RemovedPath(const DoorConfig& config) { return config.dir + "/removed.map"; }
std::string BoxesPath(const DoorConfig& config) { return config.dir + "/boxes.map"; }
std::string RoomsPath(const DoorConfig& config) { return config.dir + "/rooms.map"; }
std::string OwnSocketPath(const DoorConfig& config) { return config.dir + "/own.sock"; }
std::string MasterSocketPath(const DoorConfig& config) { return config.dir + "/haproxy.sock"; }
std::string PidPath(const DoorConfig& config) { return config.dir + "/haproxy.pid"; }
std::string RequestLogPath(const DoorConfig& config) { return config.dir + "/requests.sock"; }

bool IsSafeName(const std::string& name) {
  return !name.empty() && name.size() <= kNameMax && std::ranges::all_of(name, [](unsigned char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' ||
           c == '_' || c == '-';
  });
}

std::string EscapeWord(const std::string& word) {
  std::string out;
  for (const char c : word) {
    if (c == ' ' || c == '\\' || c == '"' || c == '\'' || c == '#' || c == ';') out += '\\';
    if (static_cast<unsigned char>(c) >= ' ') out += c;
  }
  return out;
}

std::string RenderRefusal() {
  const std::string body = "no replica of this service can answer here now: try again\n";
  return fmt::format(
      "HTTP/1.1 425 Too Early\r\nContent-Length: {}\r\nContent-Type: text/plain\r\nRetry-After: 1\r\n"
      "X-Homeostat-Refused: 1\r\n\r\n{}",
      body.size(), body);
}

std::string RenderConfig(const DoorTable& table, const DoorConfig& config, const DoorPorts& ports,
                         const std::set<Endpoint>& taken) {
  std::string out;
  const std::vector<const DoorService*> services = Usable(table);
  const Backends backends = BackendsOf(table);
  RenderGlobal(out, config);
  const std::uint32_t tcp_share = TcpShareOfPort(config, services);
  std::set<Endpoint> bound = taken;
  if (config.door && bound.insert(config.door).second) RenderDoor(out, config);
  for (const DoorService* service : services) {
    for (const PublishedPort& port : service->ports) {
      const Endpoint endpoint{config.door.ip, port.port};
      if (config.door && port.port != 0 && bound.insert(endpoint).second)
        RenderPort(out, *service, port, endpoint, config, tcp_share);
    }
  }
  RenderBudget(out);
  RenderOwn(out, config);
  RenderInbound(out, services, config, ports.http, false);
  RenderInbound(out, services, config, ports.tcp, true);
  for (const DoorService* service : services) RenderBackends(out, *service, backends, config);
  return out;
}

std::string ShapeOf(const std::string& rendered) {
  std::string shape;
  std::istringstream lines(rendered);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(kServerLine)) shape += line + '\n';
  }
  return shape;
}

std::set<Endpoint> BindsOf(const std::string& rendered) {
  std::set<Endpoint> binds;
  std::istringstream lines(rendered);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(kBindLine)) continue;
    std::string text = line.substr(line.find('@') + 1);
    text = text.substr(0, text.find(' '));
    if (const Result<Endpoint> endpoint = Endpoint::Parse(text)) binds.insert(*endpoint);
  }
  return binds;
}

std::set<std::string> BackendNamesOf(const std::string& rendered) {
  constexpr std::string_view kBackendLine = "backend ";
  std::set<std::string> names;
  std::istringstream lines(rendered);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(kBackendLine)) names.insert(line.substr(kBackendLine.size()));
  }
  return names;
}

std::vector<DoorBind> DoorBinds(const DoorTable& table, const DoorConfig& config) {
  std::vector<DoorBind> binds;
  if (!config.door) return binds;
  binds.push_back({config.door, "the door"});
  for (const DoorService* service : Usable(table)) {
    for (const PublishedPort& port : service->ports) {
      if (port.port != 0) binds.push_back({{config.door.ip, port.port}, "service " + service->name});
    }
  }
  return binds;
}

Routes RoutesOf(const DoorTable& table) {
  Routes routes;
  for (const DoorService* service : Usable(table)) {
    routes.emplace(service->name + ".internal/", service->name);
    if (!service->http || !IsSafeRoute(service->http->host) || !IsSafeRoute(service->http->path)) continue;
    std::string host = service->http->host.empty() ? "*" : service->http->host;
    std::ranges::transform(host, host.begin(),
                           [](unsigned char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; });
    std::string path = service->http->path;
    while (path.ends_with('/')) path.pop_back();
    if (!path.empty() && !path.starts_with('/')) path.insert(0, "/");
    routes.emplace(host + path + "/", service->name);
  }
  return routes;
}

std::string RenderRoutes(const Routes& routes) {
  std::string out;
  for (const auto& [key, service] : routes) out += key + " " + service + "\n";
  return out;
}

Routes RemovedOf(const DoorTable& table) {
  Routes removed;
  for (const NodeId& id : table.refused) removed.emplace(id.Hex(), "removed");
  return removed;
}

Routes BoxesOf(const DoorTable& table) {
  Routes boxes;
  for (const DoorService& service : table.services) {
    for (const auto* servers : {&service.local, &service.servers}) {
      for (const DoorServer& server : *servers) boxes.emplace(server.address.ip.ToString(), "box");
    }
  }
  return boxes;
}

Routes RoomsOf(const DoorTable& table) {
  Routes rooms;
  for (const DoorService* service : Usable(table))
    rooms.emplace(service->name, fmt::format("{}", kRoomAtFirst));
  return rooms;
}

std::vector<std::string> Problems(const DoorTable& table, const DoorConfig& config) {
  std::vector<std::string> problems;
  std::map<Endpoint, std::string> owners;
  for (const DoorService& service : table.services) {
    if (!IsSafeName(service.name)) problems.push_back("a service's name cannot be used by the door");
  }
  for (const DoorBind& bind : DoorBinds(table, config)) {
    const auto [at, fresh] = owners.emplace(bind.endpoint, bind.owner);
    if (!fresh) {
      problems.push_back(
          fmt::format("{} asks for port {}, which {} has", bind.owner, bind.endpoint.port, at->second));
    }
  }
  const Routes routes = RoutesOf(table);
  for (const DoorService* service : Usable(table)) {
    if (!service->http) continue;
    const bool mine = std::ranges::any_of(routes, [&](const auto& route) {
      return route.second == service->name && route.first != service->name + ".internal/";
    });
    if (!mine) {
      problems.push_back(
          fmt::format("service {} asks for host '{}' path '{}', which another service has or which has "
                      "characters that cannot be in a route",
                      service->name, EscapeWord(service->http->host), EscapeWord(service->http->path)));
    }
  }
  return problems;
}

}  // namespace hs
