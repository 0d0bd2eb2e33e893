// A small world for tests of the door: two boxes on loopback addresses of this test process's own, a CA made
// by the openssl program, replicas that are real processes, and blocking clients. Everything ends with the
// fixture.
#pragma once

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <iterator>
#include <map>
#include <mutex>
#include <sstream>
#include <thread>

#include "runtime/haproxy/control.h"
#include "runtime/haproxy/door.h"
#include "runtime/haproxy/files.h"

extern char** environ;

namespace hs {

// Answers "NAME xff=..." and sleeps first when the path has "slow".
inline constexpr const char* kReplicaProgram = R"(
import http.server, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        if 'slow' in self.path: time.sleep(1.0)
        if 'hang' in self.path: time.sleep(60)
        body = ('%s xff=%s priority=%s service=%s' % (sys.argv[1], self.headers.get_all('X-Forwarded-For'),
                self.headers.get_all('Priority'), self.headers.get_all('X-Homeostat-Service'))).encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_POST = do_GET
    def log_message(self, *words): pass
class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *words): pass
    request_queue_size = 256
Server((sys.argv[2], int(sys.argv[3])), Handler).serve_forever()
)";

// What the certificate of every box here names.
inline const NodeId kCertifiedNode = *NodeId::FromHex("0123456789abcdef0123456789abcdef");

struct Answer {
  int status = 0;  // 0: no answer
  std::string text;
};

inline int Connect(const Endpoint& to) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(to.port);
  std::memcpy(&address.sin_addr, to.ip.bytes.data() + 12, 4);
  timeval limit{10, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return fd;
  close(fd);
  return -1;
}

inline Answer Ask(const Endpoint& to, const std::string& path, const std::string& host = "any",
                  const std::string& method = "GET", const std::string& more = "") {
  Answer answer;
  const int fd = Connect(to);
  if (fd < 0) return answer;
  const std::string request =
      method + " " + path + " HTTP/1.1\r\nHost: " + host + "\r\n" + more + "Connection: close\r\n\r\n";
  (void)!write(fd, request.data(), request.size());
  char buffer[4096];
  for (ssize_t size; (size = read(fd, buffer, sizeof buffer)) > 0;) answer.text.append(buffer, size);
  close(fd);
  if (answer.text.size() > 12) answer.status = std::atoi(answer.text.c_str() + 9);
  return answer;
}

inline bool Eventually(const std::function<bool()>& holds,
                       std::chrono::milliseconds limit = std::chrono::seconds(10)) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (std::chrono::steady_clock::now() < deadline) {
    if (holds()) return true;
    usleep(5000);
  }
  return holds();
}

// Sent is not stopped: a thread that runs on another core may still answer.
inline void Stop(pid_t pid) {
  kill(pid, SIGSTOP);
  const auto is_stopped = [](const std::filesystem::path& thread) {
    std::ifstream file(thread / "stat");
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    const std::size_t name_end = text.rfind(')');
    return name_end == std::string::npos || text.compare(name_end, 3, ") T") == 0;
  };
  EXPECT_TRUE(Eventually([&] {
    const std::filesystem::directory_iterator threads("/proc/" + std::to_string(pid) + "/task");
    return std::all_of(begin(threads), end(threads),
                       [&](const auto& entry) { return is_stopped(entry.path()); });
  }));
}

inline pid_t SpawnProgram(const std::vector<std::string>& argv) {
  std::vector<char*> words;
  for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  pid_t pid = -1;
  return posix_spawnp(&pid, words[0], nullptr, nullptr, words.data(), environ) == 0 ? pid : -1;
}

class DoorWorld : public ::testing::Test {
 protected:
  // One box: its addresses, its door object and what that last said.
  struct Box {
    DoorConfig config;
    DoorPorts ports;
    std::unique_ptr<HaproxyDoor> door;
    std::string status = "not said";
    std::string idle;  // the server that was last told to have nothing left
  };

  void SetUp() override {
    char name[] = "/tmp/hsdoorXXXXXX";
    folder_ = mkdtemp(name);
    ASSERT_EQ(std::system(("cd " + folder_ + R"( && (
      openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.crt -subj /CN=ca -days 9 &&
      openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout node.key -out node.csr -subj /CN=)" +
                           kCertifiedNode.Hex() + R"( &&
      openssl x509 -req -in node.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out node.crt -days 9 &&
      cat node.crt node.key > node.pem) 2>/dev/null)")
                              .c_str()),
              0);
    std::ofstream(folder_ + "/replica.py") << kReplicaProgram;
    thread_ = std::thread([this] { io_.run(); });
  }

  void TearDown() override {
    for (auto& [name, box] : boxes_) {
      std::ifstream file(PidPath(box.config));
      pid_t pid = 0;
      file >> pid;
      OnLoop([&] { box.door.reset(); });
      if (pid > 0 && kill(pid, SIGTERM) == 0) {
        EXPECT_TRUE(Eventually([&] { return !IsListening(MasterSocketPath(box.config)); }));
      }
    }
    for (const auto& [name, pid] : replicas_) End(pid);
    work_.reset();
    io_.stop();
    thread_.join();
    std::filesystem::remove_all(folder_);
  }

  static void End(pid_t pid) {
    if (pid <= 0) return;
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
  }

  void OnLoop(const std::function<void()>& call) {
    std::promise<void> done;
    boost::asio::post(io_, [&] {
      call();
      done.set_value();
    });
    done.get_future().wait();
  }

  IpAddress Ip(int host) const {
    return IpAddress::V4(127, 30 + getpid() % 200, 1 + getpid() / 200 % 250, static_cast<std::uint8_t>(host));
  }

  Box& MakeBox(int number) {
    Box& box = boxes_[number];
    box.config.dir = folder_ + "/door" + std::to_string(number);
    box.config.door = {Ip(number), 8080};
    box.config.inbound_ip = Ip(number);
    box.config.inbound_first = 7701;
    box.config.certificate_pem = folder_ + "/node.pem";
    box.config.ca_pem = folder_ + "/ca.crt";
    OpenDoor(box);
    return box;
  }

  // Also what the agent of a box does after its restart.
  void OpenDoor(Box& box) {
    OnLoop([&] {
      box.door = std::make_unique<HaproxyDoor>(
          io_, box.config,
          [this, &box](const std::string& error) {
            const std::lock_guard lock(mutex_);
            box.status = error;
          },
          [this, &box](const std::string& server) {
            const std::lock_guard lock(mutex_);
            box.idle = server;
          });
      const Result<DoorPorts> ports = box.door->Prepare();
      ASSERT_TRUE(ports) << ports.error().message;
      box.ports = *ports;
    });
  }

  void Apply(Box& box, const DoorTable& table) {
    OnLoop([&] { box.door->Apply(table); });
  }

  std::string StatusOf(const Box& box) {
    const std::lock_guard lock(mutex_);
    return box.status;
  }

  std::string IdleAt(const Box& box) {
    const std::lock_guard lock(mutex_);
    return box.idle;
  }

  pid_t MasterOf(const Box& box) {
    pid_t pid = 0;
    std::ifstream(PidPath(box.config)) >> pid;
    return pid;
  }

  // The worker that takes new connections: the youngest child of the master.
  pid_t WorkerOf(const Box& box) {
    const pid_t master = MasterOf(box);
    std::ifstream file("/proc/" + std::to_string(master) + "/task/" + std::to_string(master) + "/children");
    pid_t last = 0;
    for (pid_t child; file >> child;) last = std::max(last, child);
    return last;
  }

  DoorServer StartReplica(const std::string& name, int host, std::uint16_t port) {
    const Endpoint at{Ip(host), port};
    const std::string python = access("/usr/bin/python3", X_OK) == 0 ? "/usr/bin/python3" : "python3";
    replicas_[name] =
        SpawnProgram({python, folder_ + "/replica.py", name, at.ip.ToString(), std::to_string(port)});
    EXPECT_TRUE(Eventually([&] {
      const int fd = Connect(at);
      if (fd >= 0) close(fd);
      return fd >= 0;
    })) << name;
    return {.name = name, .address = at};
  }

  void KillReplica(const std::string& name) {
    End(replicas_[name]);
    replicas_.erase(name);
  }

  // A command to a box's running worker.
  std::string AskWorker(const Box& box, const std::string& command) {
    std::promise<std::string> answer;
    boost::asio::co_spawn(
        io_, AskHaproxy(MasterSocketPath(box.config), "@1 " + command, std::chrono::seconds(5)),
        [&](std::exception_ptr, Result<std::string> text) { answer.set_value(text ? *text : ""); });
    return answer.get_future().get();
  }

  // Connections that a box's HAProxy took so far, besides those to its command socket.
  std::uint64_t ConnectionsOf(const Box& box) {
    // stot, the eighth field, counts a frontend's connections (management.txt, 9.1).
    std::uint64_t connections = 0;
    EXPECT_TRUE(Eventually([&] {  // a worker that has just taken over does not answer yet
      std::istringstream lines(AskWorker(box, "show stat inbound 1 -1"));
      std::string line;
      while (std::getline(lines, line) && !line.starts_with("inbound,FRONTEND,")) {
      }
      std::istringstream fields(line);
      std::string field;
      for (int i = 0; i < 8; ++i) std::getline(fields, field, ',');
      if (!fields) return false;
      connections = std::stoull(field);
      return true;
    })) << "HAProxy tells nothing of its inbound listener";
    return connections;
  }

  // How another box's door reaches this one.
  static DoorServer Inbound(const Box& box, const std::string& name) {
    return {.name = name,
            .address = {box.config.inbound_ip, box.ports.http},
            .tls = true,
            .tcp_port = box.ports.tcp};
  }

  std::string folder_;
  std::map<int, Box> boxes_;
  std::map<std::string, pid_t> replicas_;
  std::mutex mutex_;
  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{io_.get_executor()};
  std::thread thread_;
};

inline DoorTable Web(std::vector<DoorServer> servers, std::vector<DoorServer> local,
                     std::vector<PublishedPort> ports = {}) {
  DoorService web{.name = "web", .http = HttpRoute{}, .ports = std::move(ports)};
  web.servers = std::move(servers);
  web.local = std::move(local);
  return {{web}};
}

}  // namespace hs
