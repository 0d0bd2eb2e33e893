#include "runtime/haproxy/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace hs {

namespace {

std::string PortsPath(const DoorConfig& config) { return config.dir + "/ports"; }

// A socket that closes itself.
struct Socket {
  int fd;
  ~Socket() {
    if (fd >= 0) close(fd);
  }
};

DoorPorts ReadPorts(const DoorConfig& config) {
  std::istringstream words(ReadText(PortsPath(config)));
  std::uint32_t http = 0, tcp = 0;
  if (!(words >> http >> tcp) || http == 0 || tcp == 0 || http > 65535 || tcp > 65535) return {};
  return {static_cast<std::uint16_t>(http), static_cast<std::uint16_t>(tcp)};
}

bool AreFree(const DoorConfig& config, const DoorPorts& ports) {
  return WhyNotBindable({config.inbound_ip, ports.http}).empty() &&
         WhyNotBindable({config.inbound_ip, ports.tcp}).empty();
}

// Whether it is a HAProxy with this configuration, by its command line, which a zombie does not have. Who
// only reads the file, as an editor does, is none.
bool Runs(pid_t pid, const DoorConfig& config) {
  const std::string command = ReadText(fmt::format("/proc/{}/cmdline", pid));
  const std::filesystem::path program = command.substr(0, command.find('\0'));
  return program.filename() == std::filesystem::path(config.binary).filename() &&
         command.find(fmt::format("{0}-f{0}{1}{0}", '\0', ConfigPath(config))) != std::string::npos;
}

}  // namespace

std::string ReadText(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

Result<void> WriteText(const std::string& path, const std::string& text) {
  const std::string fresh = path + ".tmp";
  const int fd = open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0)
    return Fail(Reaction::kRetryLater, fmt::format("cannot write {}: {}", fresh, std::strerror(errno)));
  std::size_t written = 0;
  while (written < text.size()) {
    const ssize_t size = write(fd, text.data() + written, text.size() - written);
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) break;
    written += static_cast<std::size_t>(size);
  }
  const int error = errno;
  if (close(fd) != 0 || written < text.size()) {
    return Fail(Reaction::kRetryLater, fmt::format("cannot write {}: {}", fresh, std::strerror(error)));
  }
  if (rename(fresh.c_str(), path.c_str()) != 0) {
    return Fail(Reaction::kRetryLater, fmt::format("cannot write {}: {}", path, std::strerror(errno)));
  }
  return {};
}

Result<void> MakeFolder(const std::string& path) {
  if (mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) return {};
  return BadInput(fmt::format("cannot make {}: {}", path, std::strerror(errno)));
}

std::string WhyNotBindable(const Endpoint& endpoint) {
  const bool v4 = endpoint.ip.IsV4();
  const Socket socket_fd{socket(v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  if (socket_fd.fd < 0) return std::strerror(errno);
  const int on = 1;
  setsockopt(socket_fd.fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_storage storage{};
  socklen_t size = 0;
  if (v4) {
    auto* address = reinterpret_cast<sockaddr_in*>(&storage);
    address->sin_family = AF_INET;
    address->sin_port = htons(endpoint.port);
    std::memcpy(&address->sin_addr, endpoint.ip.bytes.data() + 12, 4);
    size = sizeof(sockaddr_in);
  } else {
    auto* address = reinterpret_cast<sockaddr_in6*>(&storage);
    address->sin6_family = AF_INET6;
    address->sin6_port = htons(endpoint.port);
    std::memcpy(&address->sin6_addr, endpoint.ip.bytes.data(), 16);
    size = sizeof(sockaddr_in6);
  }
  if (bind(socket_fd.fd, reinterpret_cast<sockaddr*>(&storage), size) == 0 && listen(socket_fd.fd, 1) == 0)
    return "";
  return errno == EADDRINUSE ? "another program has it" : std::strerror(errno);
}

bool IsListening(const std::string& socket_path) {
  sockaddr_un address{};
  if (socket_path.size() >= sizeof address.sun_path) return false;
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, socket_path.c_str(), socket_path.size());
  const Socket socket_fd{socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  return socket_fd.fd >= 0 &&
         connect(socket_fd.fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
}

pid_t RunningMaster(const DoorConfig& config) {
  pid_t pid = 0;
  std::istringstream text(ReadText(PidPath(config)));
  if (!(text >> pid) || pid <= 0) return 0;
  return Runs(pid, config) ? pid : 0;  // the number may have gone to another process
}

std::vector<pid_t> ProcessesOf(const DoorConfig& config) {
  std::vector<pid_t> found;
  std::error_code ended;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", ended)) {
    const std::string name = entry.path().filename().string();
    pid_t pid = 0;
    const auto [end, failure] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (failure != std::errc{} || end != name.data() + name.size()) continue;
    if (Runs(pid, config)) found.push_back(pid);
  }
  return found;
}

Result<DoorPorts> ChoosePorts(const DoorConfig& config) {
  const DoorPorts last = ReadPorts(config);
  if (last.http != 0) {
    const std::set<Endpoint> bound = BindsOf(ReadText(ConfigPath(config)));
    const bool ours = RunningMaster(config) != 0 && bound.contains({config.inbound_ip, last.http});
    if (ours || AreFree(config, last)) return last;
  }
  constexpr int kTries = 1000;
  DoorPorts ports;
  std::uint32_t port = config.inbound_first;
  for (int i = 0; i < kTries && port <= 65535; ++i, ++port) {
    const Endpoint endpoint{config.inbound_ip, static_cast<std::uint16_t>(port)};
    if (endpoint == config.door || !WhyNotBindable(endpoint).empty()) continue;
    if (ports.http == 0) {
      ports.http = endpoint.port;
    } else {
      ports.tcp = endpoint.port;
      const Result<void> written =
          WriteText(PortsPath(config), fmt::format("{} {}\n", ports.http, ports.tcp));
      if (!written) return std::unexpected(written.error());
      return ports;
    }
  }
  const Endpoint first{config.inbound_ip, config.inbound_first};
  return BadInput(fmt::format("no two free ports for the inbound listeners from {} on: {}", first.ToString(),
                              WhyNotBindable(first)));
}

std::uint32_t ConnectionsWithinLimit(std::uint32_t wish) {
  constexpr std::uint64_t kOwnFiles = 256;  // listeners, sockets to the master
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_max == RLIM_INFINITY) return wish;
  const std::uint64_t room =
      limit.rlim_max > 2 * kOwnFiles ? (limit.rlim_max - kOwnFiles) / 2 : kOwnFiles / 2;
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(wish, room));
}

}  // namespace hs
