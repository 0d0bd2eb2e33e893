// Small helpers around BSD sockets: addresses, listening, and who is in the way.
#pragma once

#include <sys/socket.h>

#include <string>

#include "base/endpoint.h"
#include "base/result.h"

namespace hs {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

// `family`: of the socket it is for; an AF_INET6 socket takes IPv4 addresses in mapped form.
SocketAddress ToSocketAddress(const Endpoint& endpoint, int family);
Endpoint ToEndpoint(const sockaddr* address);
int FamilyOf(const Endpoint& endpoint);

Endpoint LocalEndpoint(int fd);

// Both sockets of one endpoint, non-blocking and close-on-exec: TCP listening and UDP bound, on the same
// port. Port 0 draws one that is free for both. The error names the process in the way when it can be found.
struct ListenSockets {
  int tcp = -1;
  int udp = -1;
  Endpoint endpoint;
};
Result<ListenSockets> Listen(const Endpoint& endpoint);

// The process that listens on a TCP port or has bound a UDP port there, as "NAME (pid N)"; empty when it
// cannot be found, as for processes of other users.
std::string HolderOf(const Endpoint& endpoint);

// What others should call this node when it listens on `listen`: the same, or, when that is "any address",
// the address by which the machine reaches out (no packet is sent to find that).
Endpoint AdvertisedFor(const Endpoint& listen);

// Lets outgoing connections come from the address the node listens on, where that works: others then see one
// address per node, and a cut of the node's address cuts both directions.
void BindSource(int fd, const Endpoint& listen, const Endpoint& destination);

}  // namespace hs
