#include "runtime/net/sockets.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <sstream>
#include <vector>

namespace hs {
namespace {

constexpr int kBacklog = 512;

int OpenBound(const Endpoint& endpoint, int type, int& error) {
  const int family = FamilyOf(endpoint);
  const int fd = ::socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    error = errno;
    return -1;
  }
  const int on = 1, off = 0;
  if (family == AF_INET6) ::setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  // For TCP only: connections of a former life in TIME_WAIT must not block a restart. For UDP it would let
  // two agents share the port.
  if (type == SOCK_STREAM) ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const SocketAddress address = ToSocketAddress(endpoint, family);
  if (::bind(fd, address.get(), address.size) == 0 && (type != SOCK_STREAM || ::listen(fd, kBacklog) == 0))
    return fd;
  error = errno;
  ::close(fd);
  return -1;
}

// Inodes of sockets in one /proc/net table whose local port is this one, and whose address is in the way.
std::vector<std::string> InodesIn(const char* path, const Endpoint& endpoint, const char* state) {
  std::vector<std::string> inodes;
  std::ifstream file(path);
  std::string line;
  char port_hex[8];
  std::snprintf(port_hex, sizeof port_hex, ":%04X", endpoint.port);
  char v4_hex[9] = {};
  const auto& b = endpoint.ip.bytes;
  std::snprintf(v4_hex, sizeof v4_hex, "%02X%02X%02X%02X", b[15], b[14], b[13], b[12]);
  while (std::getline(file, line)) {
    std::istringstream fields(line);
    std::string number, local, remote, status, queues, timer, retransmits, uid, timeout, inode;
    if (!(fields >> number >> local >> remote >> status >> queues >> timer >> retransmits >> uid >> timeout >>
          inode)) {
      continue;
    }
    if (!local.ends_with(port_hex) || status != state) continue;
    const std::string ip = local.substr(0, local.size() - 5);
    const bool any = ip.find_first_not_of('0') == std::string::npos;
    if (any || endpoint.ip.IsUnspecified() || !endpoint.ip.IsV4() || ip.ends_with(v4_hex))
      inodes.push_back(inode);
  }
  return inodes;
}

std::string ProcessWithSocket(const std::vector<std::string>& inodes) {
  DIR* proc = ::opendir("/proc");
  std::string found;
  while (const dirent* entry = proc && found.empty() ? ::readdir(proc) : nullptr) {
    const std::string pid = entry->d_name;
    if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
    const std::string fds = "/proc/" + pid + "/fd";
    DIR* directory = ::opendir(fds.c_str());
    while (const dirent* fd = directory ? ::readdir(directory) : nullptr) {
      char target[64];
      const ssize_t size = ::readlink((fds + "/" + fd->d_name).c_str(), target, sizeof target);
      const std::string_view link(target, size > 0 ? static_cast<std::size_t>(size) : 0);
      const auto is_link = [&](const std::string& inode) { return link == "socket:[" + inode + "]"; };
      if (!std::any_of(inodes.begin(), inodes.end(), is_link)) continue;
      std::string name;
      std::getline(std::ifstream("/proc/" + pid + "/comm") >> std::ws, name);
      found = name + " (pid " + pid + ")";
      break;
    }
    if (directory) ::closedir(directory);
  }
  if (proc) ::closedir(proc);
  return found;
}

}  // namespace

int FamilyOf(const Endpoint& endpoint) { return endpoint.ip.IsV4() ? AF_INET : AF_INET6; }

SocketAddress ToSocketAddress(const Endpoint& endpoint, int family) {
  SocketAddress address;
  if (family == AF_INET) {
    auto* v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
    v4->sin_family = AF_INET;
    v4->sin_port = htons(endpoint.port);
    std::memcpy(&v4->sin_addr, endpoint.ip.bytes.data() + 12, 4);
    address.size = sizeof *v4;
  } else {
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(endpoint.port);
    std::memcpy(&v6->sin6_addr, endpoint.ip.bytes.data(), 16);
    address.size = sizeof *v6;
  }
  return address;
}

Endpoint ToEndpoint(const sockaddr* address) {
  Endpoint endpoint;
  if (address->sa_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(address);
    endpoint.ip = IpAddress::V4(0, 0, 0, 0);
    std::memcpy(endpoint.ip.bytes.data() + 12, &v4->sin_addr, 4);
    endpoint.port = ntohs(v4->sin_port);
  } else if (address->sa_family == AF_INET6) {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(address);
    std::memcpy(endpoint.ip.bytes.data(), &v6->sin6_addr, 16);
    endpoint.port = ntohs(v6->sin6_port);
  }
  return endpoint;
}

Endpoint LocalEndpoint(int fd) {
  SocketAddress address;
  address.size = sizeof address.storage;
  if (::getsockname(fd, address.get(), &address.size) != 0) return {};
  return ToEndpoint(address.get());
}

Result<ListenSockets> Listen(const Endpoint& endpoint) {
  constexpr int kDraws = 20;  // with port 0, the port drawn for TCP may be taken for UDP
  int error = 0;
  for (int draw = 0; draw < kDraws; ++draw) {
    ListenSockets sockets;
    sockets.endpoint = endpoint;
    sockets.tcp = OpenBound(endpoint, SOCK_STREAM, error);
    if (sockets.tcp < 0) break;
    sockets.endpoint.port = LocalEndpoint(sockets.tcp).port;
    sockets.udp = OpenBound(sockets.endpoint, SOCK_DGRAM, error);
    if (sockets.udp >= 0) return sockets;
    ::close(sockets.tcp);
    if (endpoint.port != 0) break;
  }
  std::string message = "cannot listen on " + endpoint.ToString() + ": " + std::strerror(error);
  if (error == EADDRINUSE) {
    const std::string holder = HolderOf(endpoint);
    message += holder.empty() ? " (by a process that cannot be seen from here)" : " by " + holder;
    message += "; choose another port with --listen";
  }
  if (error == EADDRNOTAVAIL) message += "; this machine has no such address";
  return Fail(Reaction::kFixInput, std::move(message));
}

std::string HolderOf(const Endpoint& endpoint) {
  std::vector<std::string> inodes;
  // 0A: listening; 07: a bound UDP socket.
  for (const auto& [path, state] : {std::pair{"/proc/net/tcp", "0A"}, std::pair{"/proc/net/tcp6", "0A"},
                                    std::pair{"/proc/net/udp", "07"}, std::pair{"/proc/net/udp6", "07"}}) {
    const auto more = InodesIn(path, endpoint, state);
    inodes.insert(inodes.end(), more.begin(), more.end());
  }
  return inodes.empty() ? std::string() : ProcessWithSocket(inodes);
}

Endpoint AdvertisedFor(const Endpoint& listen) {
  if (!listen.ip.IsUnspecified()) return listen;
  // Addresses of the documentation ranges, never reached: only the routing table is asked.
  for (const char* far : {"192.0.2.1:9", "[2001:db8::1]:9"}) {
    const Endpoint destination = *Endpoint::Parse(far);
    const int fd = ::socket(FamilyOf(destination), SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) continue;
    const SocketAddress address = ToSocketAddress(destination, FamilyOf(destination));
    Endpoint local;
    if (::connect(fd, address.get(), address.size) == 0) local = LocalEndpoint(fd);
    ::close(fd);
    if (local.port != 0 && !local.ip.IsUnspecified()) return {local.ip, listen.port};
  }
  return {IpAddress::V4(127, 0, 0, 1), listen.port};
}

void BindSource(int fd, const Endpoint& listen, const Endpoint& destination) {
  if (listen.ip.IsUnspecified() || listen.ip.IsLoopback() != destination.ip.IsLoopback()) return;
  if (FamilyOf(listen) != FamilyOf(destination)) return;
  const int on = 1;
  ::setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
  const SocketAddress address = ToSocketAddress({listen.ip, 0}, FamilyOf(listen));
  // Failing only means that the kernel chooses the source, as it would anyway.
  (void)!::bind(fd, address.get(), address.size);
}

}  // namespace hs
