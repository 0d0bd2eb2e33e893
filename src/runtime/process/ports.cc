#include "runtime/process/ports.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/prng.h"

namespace hs {
namespace {

bool CanBind(const IpAddress& ip, std::uint16_t port) {
  const int fd = socket(ip.IsV4() ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  int result;
  if (ip.IsV4()) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    memcpy(&address.sin_addr, ip.bytes.data() + 12, 4);
    result = bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  } else {
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(port);
    memcpy(&address.sin6_addr, ip.bytes.data(), 16);
    result = bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  }
  close(fd);
  return result == 0;
}

}  // namespace

bool IsPortFree(const IpAddress& host, std::uint16_t port) {
  // 0.0.0.0 clashes with every IPv4 address, the loopback ones included.
  return CanBind(IpAddress::V4(0, 0, 0, 0), port) && CanBind(host, port);
}

bool IsBindable(const IpAddress& host) { return CanBind(host, 0); }

PortRange::PortRange(const NodeId& node)
    : next_(static_cast<std::uint16_t>(kReplicaPortMin +
                                       Mix64(node.Prefix64()) % (kReplicaPortMax - kReplicaPortMin))) {}

std::uint16_t PortRange::Take(const IpAddress& host, std::uint16_t preferred,
                              const std::set<std::uint16_t>& taken) {
  if (preferred != 0 && !taken.contains(preferred) && IsPortFree(host, preferred)) return preferred;
  for (int tries = kReplicaPortMin; tries < kReplicaPortMax; ++tries) {
    const std::uint16_t port = next_;
    next_ = next_ + 1 < kReplicaPortMax ? static_cast<std::uint16_t>(next_ + 1) : kReplicaPortMin;
    if (!taken.contains(port) && IsPortFree(host, port)) return port;
  }
  return 0;
}

}  // namespace hs
