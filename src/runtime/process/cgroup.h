// A cgroup v2 of its own per node and replica, where the box allows it: one write then kills a whole tree,
// however it forked. Limits are not set here (hybrid mounts have no controllers). Where it is not possible,
// process groups and a walk through /proc do the same less surely, and Describe() says so.
#pragma once

#include <filesystem>
#include <string>

#include "base/ids.h"

namespace hs {

class CgroupTree {
 public:
  // Probes the box once: finds a cgroup2 mount and tries to make homeostat-<first 8 of the node id> in it.
  CgroupTree(const NodeId& node, bool wanted);
  ~CgroupTree();  // removes the node's group if it is empty
  CgroupTree(const CgroupTree&) = delete;
  CgroupTree& operator=(const CgroupTree&) = delete;

  // In words, for `status`: "cgroup v2 at /sys/fs/cgroup/unified/homeostat-1a2b3c4d" or why not.
  const std::string& Describe() const { return words_; }
  bool Works() const { return !base_.empty(); }

  // The directory of a replica's group, made now; empty when there is none.
  std::filesystem::path Make(ReplicaId id);

  // Of a group by its path, which may have been made by an earlier agent. False when it could not be done.
  static bool Kill(const std::filesystem::path& group);
  static void Remove(const std::filesystem::path& group);

 private:
  std::filesystem::path base_;  // empty: not possible
  std::string words_;
};

}  // namespace hs
