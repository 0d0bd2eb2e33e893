// HAProxy's configuration as a pure function of the door table.
//
// Intuition: every node runs the same two-storey house. The upper floor is the door: frontends where people's
// requests enter, and one backend b_SERVICE per service with a server per other node and one for this node.
// The lower floor is the inbound listener: other nodes' doors enter there over mutual TLS, this node's door
// over a socket of its own, and in_SERVICE holds this node's own replicas only. So one place knows how much
// each replica has to do: there are the limit, the queue and the classes (docs/CONTROL.md, Overload).
// t_SERVICE and int_SERVICE are the same for plain TCP, without limits.
//
// Invariants:
//  1. Text from outside (names, hosts, paths) is checked against a small alphabet before it gets into a
//     line; what does not fit is left out and named in Problems().
//  2. Services differ by backends, hence a reload; servers and routes differ only by run-time commands
//     (commands.h). ShapeOf() is what is left when those are taken out: equal shapes need no reload.
//  3. Only ready servers are rendered: a fresh worker knows nothing of the ones that drain or are down.
//
// The service travels between nodes as the TLS ALPN name, not as SNI: HAProxy checks the peer's certificate
// against the SNI it sends, and a node's certificate names the node, not the services it happens to run. Does
// not read files, does not talk to HAProxy.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/types.h"

namespace hs {

struct DoorConfig {
  std::string dir;                  // absolute; holds everything below, mode 0700
  std::string binary = "haproxy";   // a path, or a name to look up in PATH
  Endpoint door;                    // port 0: no door, only the inbound listeners
  IpAddress inbound_ip;             // where other nodes' doors enter
  std::uint16_t inbound_first = 0;  // first port tried for the inbound listeners: the advertised port + 1
  std::string certificate_pem;      // absolute path: certificate and key in one file
  std::string ca_pem;               // absolute path
  // Larger serves more at once and needs two descriptors and about 35 KB each when busy.
  std::uint32_t connections_max = 8000;
  std::uint32_t threads = 1;         // larger: more than one core for traffic; about 4 MB each
  Duration connect_timeout = 400ms;  // smaller leaves a cut box sooner, and a slow link wrongly
  Duration old_worker_max = 5min;    // after a reload, connections of the old worker end by then
};

// Ports of the inbound listeners, known before joining since other nodes are told.
struct DoorPorts {
  std::uint16_t http = 0;
  std::uint16_t tcp = 0;
  friend bool operator==(const DoorPorts&, const DoorPorts&) = default;
};

// One place of a published port or of the door itself.
struct DoorBind {
  Endpoint endpoint;
  std::string owner;  // for people: "the door", "service web"
  friend auto operator<=>(const DoorBind&, const DoorBind&) = default;
};

// File names inside DoorConfig::dir.
std::string ConfigPath(const DoorConfig& config);
std::string RoutesPath(const DoorConfig& config);
std::string RefusalPath(const DoorConfig& config);
std::string RemovedPath(const DoorConfig& config);
std::string BoxesPath(const DoorConfig& config);
std::string RoomsPath(const DoorConfig& config);
std::string OwnSocketPath(const DoorConfig& config);
std::string MasterSocketPath(const DoorConfig& config);
std::string PidPath(const DoorConfig& config);
std::string RequestLogPath(const DoorConfig& config);  // a Unix datagram socket, see telemetry.h

// The whole configuration. Binds in `taken` (held by some other program) are left out.
std::string RenderConfig(const DoorTable& table, const DoorConfig& config, const DoorPorts& ports,
                         const std::set<Endpoint>& taken = {});

// A configuration without its servers.
std::string ShapeOf(const std::string& rendered);

// Endpoints that a configuration binds, as written by RenderConfig.
std::set<Endpoint> BindsOf(const std::string& rendered);

// Backends of a configuration; HAProxy does not list the ones without a server.
std::set<std::string> BackendNamesOf(const std::string& rendered);

// What the table asks to bind on the door's address.
std::vector<DoorBind> DoorBinds(const DoorTable& table, const DoorConfig& config);

// Host and longest path prefix -> service. Keys are HOST/PREFIX/ with * for any host.
using Routes = std::map<std::string, std::string>;
Routes RoutesOf(const DoorTable& table);
std::string RenderRoutes(const Routes& routes);

// Nodes that the inbound listeners turn away: id in hex, as the certificate has it -> why. A map of HAProxy's
// like the routes, so that it changes without a reload.
Routes RemovedOf(const DoorTable& table);

// Addresses from which a request may claim more urgency than usual: of boxes with replicas, since those are
// who asks for other services. A map as well.
Routes BoxesOf(const DoorTable& table);

// How many requests may wait for a service's replicas on this node: service -> number. Moved at run time;
// what is not in it has kRoomAtFirst.
Routes RoomsOf(const DoorTable& table);

// What in the table cannot be served and is left out, in words.
std::vector<std::string> Problems(const DoorTable& table, const DoorConfig& config);

// The raw answer of an inbound listener that could not serve; the asking door tries elsewhere or turns it
// into a 503.
std::string RenderRefusal();

// A word of a configuration line or of a run-time command: blanks, quotes and the like are escaped.
std::string EscapeWord(const std::string& word);

// Letters, digits, '.', '_' and '-': nothing that could end a word or a line.
bool IsSafeName(const std::string& name);

}  // namespace hs
