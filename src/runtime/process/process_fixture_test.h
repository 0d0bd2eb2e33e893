// Test only: a host of real processes, each test in a directory of its own; whatever a test started is killed
// when it ends.
#pragma once

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/process/cgroup.h"
#include "runtime/process/log_reader.h"
#include "runtime/process/process_host.h"

namespace hs {

namespace fs = std::filesystem;

inline constexpr ReplicaId kId{0xabc1};
inline constexpr auto kPatience = std::chrono::seconds(20);

// Two fields are enough here; the real form is wire's.
inline std::string EncodeSpec(const ServiceSpec& spec) {
  std::string text = spec.name;
  for (const std::string& word : spec.command) text += '\0' + word;
  return text;
}
inline Result<ServiceSpec> DecodeSpec(std::string_view text) {
  if (text.empty()) return BadInput("empty");
  ServiceSpec spec;
  spec.name = text.substr(0, text.find('\0'));
  for (std::size_t at; (at = text.find('\0')) != std::string_view::npos;) {
    text.remove_prefix(at + 1);
    spec.command.emplace_back(text.substr(0, text.find('\0')));
  }
  return spec;
}

class ProcessHostTest : public ::testing::Test {
 protected:
  ProcessHostTest() {
    std::string pattern = (fs::temp_directory_path() / "hs_process_XXXXXX").string();
    dir_ = mkdtemp(pattern.data());
    Revive();
  }
  ~ProcessHostTest() override {
    host_.reset();
    std::error_code error;
    std::vector<fs::path> groups;
    for (const auto& entry : fs::directory_iterator(dir_ / "replicas", error)) {
      const std::string name = entry.path().filename();
      if (name.size() != 16) continue;
      const auto id = std::stoull(name, nullptr, 16);
      const ReplicaDir replica(dir_, ReplicaId{id});
      const auto pids = replica.ReadPids();
      groups.push_back(replica.ReadCgroup());
      if (!pids || !IsAlive(pids->shim)) continue;
      KillDescendants(pids->shim.pid, 0);
      for (int i = 0; i < 1000 && IsAlive(pids->shim); ++i)
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
      if (IsAlive(pids->shim)) kill(pids->shim.pid, SIGKILL);
    }
    for (const fs::path& group : groups) {
      CgroupTree::Remove(group);
      CgroupTree::Remove(group.parent_path());
    }
    fs::remove_all(dir_, error);
  }

  // A new agent over the same directory; the old one vanishes without a word.
  void Revive() {
    host_.reset();
    ProcessHostOptions options;
    options.data_dir = dir_;
    options.shim = HS_SHIM;
    options.node.bytes[0] = 0x5a;
    options.node.bytes[1] = static_cast<std::uint8_t>(getpid());
    options.node.bytes[2] = static_cast<std::uint8_t>(getpid() >> 8);
    options.node_name = "box";
    options.advertised = IpAddress::V4(127, 0, 0, 77);
    options.door_url = "http://127.0.0.77:8080";
    options.encode_spec = EncodeSpec;
    options.reachable = [this](const std::string& service) { return service != unreachable_; };
    options.decode_spec = DecodeSpec;
    options.unpack = [](const Digest&, const fs::path& into) -> Result<void> {
      std::ofstream(into / "content") << "unpacked";
      return {};
    };
    options.use_cgroups = use_cgroups_;
    options.open_files = open_files_;
    host_ = std::make_unique<ProcessHost>(io_, options,
                                          [this](Input input) { inputs_.push_back(std::move(input)); });
  }

  template <typename Condition>
  bool Until(Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      io_.restart();
      io_.run_for(std::chrono::milliseconds(10));
    }
    return true;
  }
  // The next report of this kind, taken out.
  template <typename T>
  std::optional<T> Next() {
    std::optional<T> found;
    Until([&] {
      for (auto it = inputs_.begin(); it != inputs_.end(); ++it) {
        if (const T* report = std::get_if<T>(&*it)) {
          found = *report;
          inputs_.erase(it);
          return true;
        }
      }
      return false;
    });
    return found;
  }
  void Start(std::vector<std::string> command, Digest bundle = {}) {
    ServiceSpec spec;
    spec.name = "web";
    spec.command = std::move(command);
    spec.bundle = bundle;
    host_->Start({kId, std::make_shared<const ServiceSpec>(spec), 0});
  }
  std::string Log() {
    std::string all;
    for (const std::string& line : ReadLog(host_->LogDir(kId), 10'000)) all += line.substr(25) + "\n";
    return all;
  }

  bool use_cgroups_ = true;
  std::uint64_t open_files_ = 0;
  fs::path dir_;
  boost::asio::io_context io_;
  std::vector<Input> inputs_;
  std::string unreachable_;  // the service that requests do not reach
  std::unique_ptr<ProcessHost> host_;
};

}  // namespace hs
