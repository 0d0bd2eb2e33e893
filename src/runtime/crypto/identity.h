// Who this node is, on disk and in memory.
//
// Files in the data directory:
//   identity    cluster id, node id, boot counter, with a checksum. Written last: a directory without it
//   belongs to
//               no cluster, whatever else lies in it from a join that was cut short
//   node.key    the node's private key        node.crt  its certificate, signed by the cluster's CA
//   ca.crt      the CA's certificate          ca.key    the CA's private key, sealed
//   gossip.key  the secret from which every sender's gossip key is derived
//   joining     the id and the private key with which it asks to be let in, until it is
//   forming     the id of the node that forms a cluster, until the cluster's first documents are on disk
//
// The CA's key is on every box, so that any survivor can let new boxes in. It is sealed with AES-256-GCM
// under a key derived from node.key, bound to the cluster and node id: the file alone (a backup, a mixed-up
// copy) is worthless and a damaged one is noticed, but whoever reads the whole directory, which only its
// owner may, can sign nodes. Losing a box to a thief means making a new cluster, and the docs say so.
#pragma once

#include <optional>
#include <string>

#include "base/ids.h"
#include "base/result.h"
#include "runtime/crypto/certificates.h"
#include "runtime/crypto/data_dir.h"

namespace hs {

struct Identity {
  ClusterId cluster;
  NodeId node;
  std::uint32_t boot_counter = 0;  // of this start, on disk already
  BootId boot_id;                  // random per start, never on disk
  std::string node_key_pem;
  std::string node_certificate_pem;
  Authority authority;        // the CA's key is open in memory only
  std::string gossip_secret;  // 32 bytes
};

// A node that has drawn its id and key but belongs to no cluster yet.
struct NewNode {
  NodeId node;
  std::string key_pem;
  std::string public_key_pem;
};
NewNode DrawNode();
// The one drawn by an earlier try to join, else a new one, which is on disk when this returns. A cluster that
// lets it in writes it down, so a try that is cut short after that must not be followed by another node.
Result<NewNode> KeepNewNode(const DataDir& directory);
// To be called when its identity is stored.
void ForgetNewNode(const DataDir& directory);

// What a cluster hands to a node that it lets in.
struct Admission {
  ClusterId cluster;
  std::string node_certificate_pem;
  Authority authority;
  std::string gossip_secret;
};

// nullopt: the directory belongs to no cluster yet. Otherwise the boot counter is raised, on disk, before it
// returns.
Result<std::optional<Identity>> LoadIdentity(const DataDir& directory);
Result<Identity> FormCluster(const DataDir& directory);
// This node formed its cluster, and nobody has called FinishForming since.
bool IsForming(const DataDir& directory, const Identity& identity);
void FinishForming(const DataDir& directory);
// Checks that what was handed over fits together before anything is written.
Result<Identity> StoreAdmission(const DataDir& directory, const NewNode& self, const Admission& admission);
// Starts of this node are counted from `counter`: others know of as many.
Result<void> KeepBootCounter(const DataDir& directory, Identity& identity, std::uint32_t counter);
// Starts of this node are counted from `counter`: others know of as many.
Result<void> KeepBootCounter(const DataDir& directory, Identity& identity, std::uint32_t counter);
// A new node id and key within the same cluster: for a copied data directory whose original is alive.
Result<Identity> RenewNode(const DataDir& directory, const Identity& old);

}  // namespace hs
