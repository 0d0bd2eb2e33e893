// Open-loop HTTP load over several doors: requests leave when they are due, whether or not earlier ones were
// answered.
//
//   overload_load [--timeout-ms 1000] [--retries 0] [--urgent 0.05] [--seed 1] --doors IP:PORT,...
//   RATE:SECONDS ...
//
// Arrivals are independent (Poisson), each at the next door in turn. A client waits --timeout-ms for an
// answer, closes its connection when none came, and asks again at once, --retries times, after a refusal, an
// error or a timeout. Connections are kept and used again, as an HTTP library does; a client never waits for
// a connection. --urgent: that share of the clients sends "Priority: u=0".
//
// Prints one JSON object per second and class: {"second", "urgent", "offered" (clients that came), "ok"
// (answered 200 in time), "attempts", "refused" (503), "timeouts", "other", "p50_ms", "p99_ms", "max_ms" (of
// attempts answered 200), "refused_p99_ms"}, everything but "offered" by when it happened; and at the end
// {"served": [how many of each second's clients were served at last, usual, urgent], ...} rows as {"born",
// "urgent", "clients", "served"}. One thread; about 15 us of CPU for a request.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <queue>
#include <random>
#include <string>
#include <vector>

namespace {

double Clock() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

struct Options {
  double timeout = 1;
  int retries = 0;
  double urgent = 0;
  unsigned seed = 1;
  std::vector<sockaddr_in> doors;
  std::vector<std::pair<double, double>> phases;  // rate, seconds
};

struct Second {
  int offered = 0, ok = 0, attempts = 0, refused = 0, timeouts = 0, other = 0, born_served = 0;
  std::vector<float> answered_ms, refused_ms;
};

// One attempt's connection; its place in the table is its name.
struct Connection {
  int fd = -1;
  std::size_t door = 0;
  unsigned life = 0;  // counts uses, so that late events and timers are known as such
  bool open = false;  // connected
  bool busy = false;
  bool urgent = false, kept = false;
  int tries_left = 0;
  double born = 0, began = 0;
  std::string bytes;
};

struct Timer {
  double at;
  std::size_t connection;
  unsigned life;
  bool operator>(const Timer& other) const { return at > other.at; }
};

enum class End { kOk, kRefused, kTimeout, kOther };

class Load {
 public:
  explicit Load(Options options) : options_(std::move(options)), random_(options_.seed) {
    idle_.resize(options_.doors.size());
    for (const auto& phase : options_.phases) total_ += phase.second;
    seconds_.resize(static_cast<std::size_t>(total_ + options_.timeout * (options_.retries + 1)) + 3);
  }

  void Run() {
    start_ = Clock();
    double next = start_, phase_end = start_ + options_.phases[0].second;
    std::size_t phase = 0;
    bool done = false;
    std::array<epoll_event, 512> events{};
    for (;;) {
      const double now = Clock();
      while (!done && next <= now) {
        if (next >= phase_end) {
          if (++phase == options_.phases.size()) {
            done = true;
            break;
          }
          phase_end += options_.phases[phase].second;
        }
        Born(next);
        next += std::exponential_distribution<double>(options_.phases[phase].first)(random_);
      }
      while (!timers_.empty() && timers_.top().at <= now) {
        const Timer timer = timers_.top();
        timers_.pop();
        const Connection& connection = connections_[timer.connection];
        if (connection.busy && connection.life == timer.life) Finish(timer.connection, End::kTimeout, false);
      }
      if (done && busy_ == 0) return;
      double wait = done ? 0.05 : next - Clock();
      if (!timers_.empty()) wait = std::min(wait, timers_.top().at - Clock());
      const int ms = wait <= 0 ? 0 : static_cast<int>(std::ceil(std::min(wait, 0.05) * 1e3));
      const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), ms);
      for (int i = 0; i < count; ++i) {
        Happened(events[static_cast<std::size_t>(i)]);
      }
    }
  }

  void Print() {
    for (std::size_t at = 0; at < seconds_.size(); ++at) {
      for (const bool urgent : {false, true}) {
        Second& second = seconds_[at][urgent];
        if (second.offered + second.attempts + second.ok == 0) continue;
        const auto quantile = [](std::vector<float>& values, double share) {
          if (values.empty()) return 0.0F;
          std::sort(values.begin(), values.end());
          return values[std::min(values.size() - 1,
                                 static_cast<std::size_t>(static_cast<double>(values.size()) * share))];
        };
        std::printf(
            "{\"second\": %zu, \"urgent\": %s, \"offered\": %d, \"ok\": %d, \"attempts\": %d, \"refused\": "
            "%d, "
            "\"timeouts\": %d, \"other\": %d, \"p50_ms\": %.1f, \"p99_ms\": %.1f, \"max_ms\": %.1f, "
            "\"refused_p99_ms\": %.1f, \"born_served\": %d, \"answered_ms\": [",
            at, urgent ? "true" : "false", second.offered, second.ok, second.attempts, second.refused,
            second.timeouts, second.other, quantile(second.answered_ms, 0.5),
            quantile(second.answered_ms, 0.99), quantile(second.answered_ms, 1),
            quantile(second.refused_ms, 0.99), second.born_served);
        for (std::size_t i = 0; i < second.answered_ms.size(); ++i) {
          std::printf("%s%.1f", i ? "," : "", second.answered_ms[i]);
        }
        std::printf("]}\n");
      }
    }
  }

 private:
  Second& At(double when, bool urgent) {
    const auto at = static_cast<std::size_t>(std::max(0.0, when - start_));
    return seconds_[std::min(at, seconds_.size() - 1)][urgent];
  }

  void Born(double due) {
    const bool urgent = std::uniform_real_distribution<double>()(random_) < options_.urgent;
    ++At(due, urgent).offered;
    Begin(due, urgent, options_.retries);
  }

  void Begin(double born, bool urgent, int tries_left) {
    const std::size_t door = door_++ % options_.doors.size();
    std::size_t at = 0;
    if (!idle_[door].empty()) {
      at = idle_[door].back();
      idle_[door].pop_back();
      connections_[at].kept = true;
    } else {
      at = Connect(door);
    }
    Connection& connection = connections_[at];
    connection.busy = true;
    ++busy_;
    ++connection.life;
    connection.urgent = urgent;
    connection.born = born;
    connection.began = Clock();
    connection.tries_left = tries_left;
    connection.bytes.clear();
    ++At(connection.began, urgent).attempts;
    timers_.push({connection.began + options_.timeout, at, connection.life});
    if (connection.open) Send(at);
  }

  std::size_t Connect(std::size_t door) {
    std::size_t at = connections_.size();
    if (free_.empty()) {
      connections_.emplace_back();
    } else {
      at = free_.back();
      free_.pop_back();
    }
    Connection& connection = connections_[at];
    connection.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connection.fd < 0) {
      std::perror("socket");
      std::exit(1);
    }
    const int on = 1;
    setsockopt(connection.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    connection.door = door;
    connection.open = connection.kept = false;
    (void)!connect(connection.fd, reinterpret_cast<sockaddr*>(&options_.doors[door]), sizeof(sockaddr_in));
    epoll_event event{.events = EPOLLIN | EPOLLOUT, .data = {.u64 = at}};
    epoll_ctl(epoll_, EPOLL_CTL_ADD, connection.fd, &event);
    return at;
  }

  void Send(std::size_t at) {
    static const std::string kUsual = "GET / HTTP/1.1\r\nHost: bench\r\n\r\n";
    static const std::string kUrgent = "GET / HTTP/1.1\r\nHost: bench\r\nPriority: u=0\r\n\r\n";
    const Connection& connection = connections_[at];
    const std::string& request = connection.urgent ? kUrgent : kUsual;
    if (send(connection.fd, request.data(), request.size(), MSG_NOSIGNAL) < 0) Finish(at, End::kOther, false);
  }

  void Happened(const epoll_event& event) {
    const std::size_t at = event.data.u64;
    Connection& connection = connections_[at];
    if (connection.fd < 0) return;
    if (!connection.open) {
      int error = 0;
      socklen_t size = sizeof error;
      getsockopt(connection.fd, SOL_SOCKET, SO_ERROR, &error, &size);
      if (error != 0) return Finish(at, End::kOther, false);
      connection.open = true;
      epoll_event only{.events = EPOLLIN, .data = {.u64 = at}};
      epoll_ctl(epoll_, EPOLL_CTL_MOD, connection.fd, &only);
      return Send(at);
    }
    char buffer[8192];
    const ssize_t size = recv(connection.fd, buffer, sizeof buffer, 0);
    if (size < 0 && errno == EAGAIN) return;
    if (size <= 0) {
      if (!connection.busy) return Drop(at);
      // A kept connection that the door closed just now: the request was not begun, and goes out again.
      if (connection.kept && connection.bytes.empty()) return Again(at);
      return Finish(at, End::kOther, false);
    }
    connection.bytes.append(buffer, static_cast<std::size_t>(size));
    const std::size_t head = connection.bytes.find("\r\n\r\n");
    if (head == std::string::npos) return;
    std::string lower = connection.bytes.substr(0, head);
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](unsigned char c) { return std::tolower(c); });
    const std::size_t length = lower.find("content-length: ");
    const std::size_t body =
        length == std::string::npos ? 0 : std::strtoul(lower.c_str() + length + 16, nullptr, 10);
    if (connection.bytes.size() < head + 4 + body) return;
    const bool keep = lower.find("connection: close") == std::string::npos;
    const std::string status = lower.substr(9, 3);
    Finish(at, status == "200" ? End::kOk : status == "503" ? End::kRefused : End::kOther, keep);
  }

  void Again(std::size_t at) {
    const Connection old = connections_[at];
    --At(old.began, old.urgent).attempts;
    connections_[at].busy = false;
    --busy_;
    Drop(at);
    Begin(old.born, old.urgent, old.tries_left);
  }

  void Drop(std::size_t at) {
    Connection& connection = connections_[at];
    auto& idle = idle_[connection.door];
    idle.erase(std::remove(idle.begin(), idle.end(), at), idle.end());
    close(connection.fd);
    connection.fd = -1;
    free_.push_back(at);
  }

  void Finish(std::size_t at, End end, bool keep) {
    Connection& connection = connections_[at];
    const double now = Clock(), born = connection.born;
    const float took_ms = static_cast<float>((now - connection.began) * 1e3);
    const bool urgent = connection.urgent;
    const int tries_left = connection.tries_left;
    connection.busy = false;
    --busy_;
    if (keep) {
      idle_[connection.door].push_back(at);
    } else {
      Drop(at);
    }
    Second& second = At(now, urgent);
    if (end == End::kOk) {
      ++second.ok;
      second.answered_ms.push_back(took_ms);
      ++At(born, urgent).born_served;
      return;
    }
    if (end == End::kRefused) {
      ++second.refused;
      second.refused_ms.push_back(took_ms);
    } else {
      ++(end == End::kTimeout ? second.timeouts : second.other);
    }
    if (tries_left > 0) Begin(born, urgent, tries_left - 1);
  }

  Options options_;
  std::mt19937 random_;
  int epoll_ = epoll_create1(EPOLL_CLOEXEC);
  std::deque<Connection> connections_;  // stays in place while it grows
  std::vector<std::size_t> free_;
  std::vector<std::vector<std::size_t>> idle_;  // by door
  std::priority_queue<Timer, std::vector<Timer>, std::greater<>> timers_;
  std::vector<std::array<Second, 2>> seconds_;
  std::size_t door_ = 0;
  int busy_ = 0;
  double start_ = 0, total_ = 0;
};

bool ReadDoors(const std::string& text, std::vector<sockaddr_in>& doors) {
  for (std::size_t from = 0; from < text.size();) {
    const std::size_t to = std::min(text.find(',', from), text.size());
    const std::string door = text.substr(from, to - from);
    const std::size_t colon = door.find(':');
    sockaddr_in address{};
    address.sin_family = AF_INET;
    if (colon == std::string::npos ||
        inet_pton(AF_INET, door.substr(0, colon).c_str(), &address.sin_addr) != 1) {
      return false;
    }
    address.sin_port = htons(static_cast<std::uint16_t>(std::atoi(door.c_str() + colon + 1)));
    doors.push_back(address);
    from = to + 1;
  }
  return !doors.empty();
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  bool good = true;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const char* value = word.starts_with("--") && i + 1 < argc ? argv[++i] : "";
    if (word == "--timeout-ms") {
      options.timeout = std::atof(value) / 1e3;
    } else if (word == "--retries") {
      options.retries = std::atoi(value);
    } else if (word == "--urgent") {
      options.urgent = std::atof(value);
    } else if (word == "--seed") {
      options.seed = static_cast<unsigned>(std::atoi(value));
    } else if (word == "--doors") {
      good = good && ReadDoors(value, options.doors);
    } else {
      const std::size_t colon = word.find(':');
      good = good && colon != std::string::npos && std::atof(word.c_str()) > 0;
      if (good) options.phases.emplace_back(std::atof(word.c_str()), std::atof(word.c_str() + colon + 1));
    }
  }
  if (!good || options.doors.empty() || options.phases.empty()) {
    std::fprintf(stderr,
                 "usage: overload_load [--timeout-ms N] [--retries N] [--urgent SHARE] [--seed N] --doors "
                 "IP:PORT,... RATE:SECONDS ...\n");
    return 1;
  }
  std::signal(SIGPIPE, SIG_IGN);
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  Load load(std::move(options));
  load.Run();
  load.Print();
}
