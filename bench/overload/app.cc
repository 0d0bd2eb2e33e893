// A service with a known capacity that needs no CPU: overload_app WORKERS SERVICE_MS answers at most WORKERS
// requests at a time, each SERVICE_MS after a worker took it up, first come first served, without end. A
// request whose client has left is worked on all the same, as in most real services. /healthz is answered at
// once. HOST and PORT say where to listen. One thread, epoll, HTTP/1.1 with kept connections; requests have
// no body.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <string>

namespace {

using Clock = std::chrono::steady_clock;

struct Request {
  int fd = -1;
  unsigned long connection = 0;  // descriptors are used again
  Clock::time_point came{};
};

struct Service {
  int workers = 1;
  Clock::duration takes{};
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  std::map<int, std::pair<unsigned long, std::string>> connections;  // number, bytes of a request so far
  unsigned long numbers = 0;
  std::deque<Request> waiting;
  std::deque<std::pair<Clock::time_point, Request>> served;  // by end, since all take the same time

  void Close(int fd) {
    connections.erase(fd);
    close(fd);
  }

  void Answer(const Request& request) {
    constexpr char kAnswer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    const auto found = connections.find(request.fd);
    if (found == connections.end() || found->second.first != request.connection) return;
    if (send(request.fd, kAnswer, sizeof kAnswer - 1, MSG_NOSIGNAL) < 0) Close(request.fd);
  }

  void Accept(int listener) {
    for (int fd; (fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
      const int on = 1;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      connections[fd] = {++numbers, ""};
      epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
      epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    }
  }

  void Read(int fd) {
    const auto found = connections.find(fd);
    if (found == connections.end()) return;
    char buffer[8192];
    const ssize_t size = recv(fd, buffer, sizeof buffer, 0);
    if (size < 0 && errno == EAGAIN) return;
    if (size <= 0) return Close(fd);
    auto& [number, bytes] = found->second;
    bytes.append(buffer, static_cast<std::size_t>(size));
    if (bytes.find("\r\n\r\n") == std::string::npos) return;
    const bool health = bytes.starts_with("GET /healthz");
    bytes.clear();
    if (health) return Answer({fd, number, {}});
    waiting.push_back({fd, number, Clock::now()});
  }

  void Begin(Clock::time_point at) {
    at = std::max(at, waiting.front().came);
    served.emplace_back(at + takes, waiting.front());
    waiting.pop_front();
  }

  // Milliseconds until the next one is done; -1: nobody is served. A worker takes up the next request when it
  // was done with the last, not when this thread woke up: a busy machine does not make it slower.
  int Work() {
    const auto now = Clock::now();
    while (!served.empty() && served.front().first <= now) {
      const auto [end, request] = served.front();
      served.pop_front();
      if (!waiting.empty()) Begin(end);
      Answer(request);
    }
    while (!waiting.empty() && served.size() < static_cast<std::size_t>(workers)) Begin(now);
    if (served.empty()) return -1;
    return static_cast<int>(
        std::chrono::ceil<std::chrono::milliseconds>(served.front().first - Clock::now()).count());
  }
};

int Listen() {
  const char* host = std::getenv("HOST");
  const char* port = std::getenv("PORT");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(std::atoi(port ? port : "0")));
  inet_pton(AF_INET, host ? host : "127.0.0.1", &address.sin_addr);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || listen(fd, 4096) != 0) {
    std::perror("listen");
    std::exit(1);
  }
  return fd;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: HOST=IP PORT=N overload_app WORKERS SERVICE_MS\n");
    return 1;
  }
  std::signal(SIGPIPE, SIG_IGN);
  Service service;
  service.workers = std::atoi(argv[1]);
  service.takes = std::chrono::milliseconds(std::atoi(argv[2]));
  const int listener = Listen();
  epoll_event event{.events = EPOLLIN, .data = {.fd = listener}};
  epoll_ctl(service.epoll, EPOLL_CTL_ADD, listener, &event);
  epoll_event events[256];
  for (;;) {
    const int count = epoll_wait(service.epoll, events, 256, service.Work());
    for (int i = 0; i < count; ++i) {
      if (events[i].data.fd == listener) {
        service.Accept(listener);
      } else {
        service.Read(events[i].data.fd);
      }
    }
  }
}
