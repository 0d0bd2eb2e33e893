#include "runtime/haproxy/processes.h"

#include <sstream>

namespace hs {

std::optional<HaproxyProcesses> ParseProcesses(const std::string& text) {
  HaproxyProcesses processes;
  std::istringstream lines(text);
  bool old = false;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("# old workers")) old = true;
    if (line.starts_with("# programs")) break;
    std::istringstream words(line);
    pid_t pid = 0;
    std::string type;
    if (line.starts_with('#') || !(words >> pid >> type) || pid <= 0) continue;
    if (type == "master") {
      processes.master = pid;
      words >> processes.reloads;
      std::string mark;
      if (words >> mark && mark == "[failed:") words >> processes.failed;
    } else if (type == "worker" && old) {
      processes.old_workers.push_back(pid);
    } else if (type == "worker") {
      processes.worker = pid;
    }
  }
  if (processes.master == 0 || processes.worker == 0) return std::nullopt;
  return processes;
}

std::string AlertsOf(const std::string& output) {
  constexpr std::size_t kSize = 600;
  std::string alerts;
  std::istringstream lines(output);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t mark = line.find("[ALERT]");
    if (mark == std::string::npos) continue;
    const std::size_t start = line.find(" : ", mark);
    if (!alerts.empty()) alerts += " | ";
    alerts += start == std::string::npos ? line.substr(mark) : line.substr(start + 3);
  }
  if (alerts.empty()) alerts = output.empty() ? "it says nothing" : output;
  while (alerts.ends_with('\n')) alerts.pop_back();
  return alerts.substr(0, kSize);
}

}  // namespace hs
