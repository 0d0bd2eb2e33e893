#include "runtime/process/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

namespace hs {
namespace {

std::filesystem::path FindMount() {
  std::ifstream mounts("/proc/self/mountinfo");
  for (std::string line; std::getline(mounts, line);) {
    const std::size_t dash = line.find(" - ");
    if (dash == std::string::npos || line.compare(dash + 3, 8, "cgroup2 ") != 0) continue;
    std::istringstream fields(line);
    std::string skip;
    std::string root;
    std::string point;
    fields >> skip >> skip >> skip >> root >> point;
    if (root == "/") return point;
  }
  return {};
}

// Where this process is in the hierarchy: the line "0::/path".
std::string OwnGroup() {
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    if (line.starts_with("0::/")) return line.substr(4);
  }
  return {};
}

}  // namespace

CgroupTree::CgroupTree(const NodeId& node, bool wanted) {
  constexpr auto kInstead = "replicas are killed by process group and by walking /proc";
  if (!wanted) {
    words_ = fmt::format("cgroups switched off; {}", kInstead);
    return;
  }
  const std::filesystem::path mount = FindMount();
  if (mount.empty()) {
    words_ = fmt::format("no cgroup v2 is mounted; {}", kInstead);
    return;
  }
  // A restarted agent starts in whatever group its starter is in; groups of replicas are remembered by path.
  const std::filesystem::path base = mount / OwnGroup() / ("homeostat-" + node.Short());
  if (mkdir(base.c_str(), 0755) != 0 && errno != EEXIST) {
    words_ =
        fmt::format("cgroup v2 at {} cannot be used ({}); {}", mount.string(), strerror(errno), kInstead);
    return;
  }
  if (access((base / "cgroup.kill").c_str(), W_OK) != 0) {
    rmdir(base.c_str());
    words_ = fmt::format("this kernel's cgroup v2 has no cgroup.kill; {}", kInstead);
    return;
  }
  base_ = base;
  words_ = fmt::format("cgroup v2 at {}", base.string());
}

CgroupTree::~CgroupTree() {
  if (!base_.empty()) rmdir(base_.c_str());
}

std::filesystem::path CgroupTree::Make(ReplicaId id) {
  if (base_.empty()) return {};
  const std::filesystem::path group = base_ / fmt::format("{:016x}", id.value);
  mkdir(base_.c_str(), 0755);  // an empty one may have been cleaned up by somebody
  if (mkdir(group.c_str(), 0755) != 0 && errno != EEXIST) return {};
  return group;
}

bool CgroupTree::Kill(const std::filesystem::path& group) {
  if (group.empty()) return false;
  const int fd = open((group / "cgroup.kill").c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool done = write(fd, "1", 1) == 1;
  close(fd);
  return done;
}

void CgroupTree::Remove(const std::filesystem::path& group) {
  if (!group.empty()) rmdir(group.c_str());
}

}  // namespace hs
