#include "runtime/crypto/identity.h"

#include <charconv>

#include "runtime/crypto/primitives.h"

namespace hs {
namespace {

constexpr std::size_t kGossipSecretBytes = 32;
constexpr std::string_view kJoiningFile = "joining";
constexpr std::string_view kFormingFile = "forming";
// The same key never seals two texts: it is derived from node.key for one cluster and node, and the CA key is
// fixed.
const std::string kSealNonce(AeadKey::kNonceBytes, '\0');

std::string SealContext(const Identity& identity) {
  return "homeostat ca.key " + identity.cluster.Hex() + " " + identity.node.Hex();
}
AeadKey SealKey(const Identity& identity) {
  return AeadKey(
      HkdfSha256(identity.node_key_pem, identity.cluster.Hex(), SealContext(identity), AeadKey::kKeyBytes));
}

std::string IdentityText(const Identity& identity) {
  std::string text = "homeostat-identity 1\ncluster " + identity.cluster.Hex() + "\nnode " +
                     identity.node.Hex() + "\nboot " + std::to_string(identity.boot_counter) + "\n";
  return text + "check " + Sha256(text).Hex() + "\n";
}

Result<Identity> ParseIdentity(const DataDir& directory, std::string_view text) {
  const auto damaged = [&](const std::string& why) {
    return BadInput(
        directory.PathOf("identity") + " is damaged (" + why +
        "): this node cannot know who it was; move the directory away and join afresh with a token");
  };
  const auto line = [&text](std::string_view name) -> std::optional<std::string_view> {
    const auto end = text.find('\n');
    if (!text.starts_with(name) || end == std::string_view::npos) return std::nullopt;
    const std::string_view value = text.substr(name.size(), end - name.size());
    text.remove_prefix(end + 1);
    return value;
  };
  const std::string_view whole = text;
  const auto version = line("homeostat-identity ");
  if (!version) return damaged("it does not begin with homeostat-identity");
  if (*version != "1") return damaged("version " + std::string(*version) + " is not known to this program");
  const auto cluster = line("cluster ");
  const auto node = line("node ");
  const auto boot = line("boot ");
  if (!cluster || !node || !boot) return damaged("lines are missing");
  const std::string_view body = whole.substr(0, whole.size() - text.size());
  if (line("check ") != Sha256(body).Hex()) return damaged("its checksum does not match");
  Identity identity;
  const auto cluster_id = ClusterId::FromHex(*cluster);
  const auto node_id = NodeId::FromHex(*node);
  const auto parsed = std::from_chars(boot->data(), boot->data() + boot->size(), identity.boot_counter);
  if (!cluster_id || !node_id || parsed.ec != std::errc()) return damaged("its values cannot be read");
  identity.cluster = *cluster_id;
  identity.node = *node_id;
  return identity;
}

Result<void> CheckFit(const Identity& identity) {
  const auto certificate = ReadNodeCertificate(identity.node_certificate_pem);
  if (!certificate) return std::unexpected(certificate.error());
  if (certificate->cluster != identity.cluster || certificate->node != identity.node) {
    return BadInput("the node certificate belongs to another node or cluster");
  }
  const auto public_key = PublicKeyPemOf(identity.node_key_pem);
  if (!public_key) return std::unexpected(public_key.error());
  const auto digest = PublicKeyDigest(*public_key);
  if (!digest || *digest != certificate->public_key)
    return BadInput("the node certificate is for another key");
  if (!VerifyCertificate(identity.authority.certificate_pem, identity.node_certificate_pem)) {
    return BadInput("the node certificate is not signed by the cluster's CA");
  }
  if (identity.gossip_secret.size() != kGossipSecretBytes) return BadInput("the gossip key has a wrong size");
  return {};
}

Result<Identity> WriteAll(const DataDir& directory, Identity identity) {
  if (auto fits = CheckFit(identity); !fits) return std::unexpected(fits.error());
  std::string sealed;
  SealKey(identity).Seal(kSealNonce, SealContext(identity), identity.authority.key_pem, sealed);
  identity.boot_counter += 1;
  identity.boot_id = RandomBootId();
  const std::pair<std::string_view, std::string> files[] = {
      {"node.key", identity.node_key_pem},
      {"node.crt", identity.node_certificate_pem},
      {"ca.crt", identity.authority.certificate_pem},
      {"ca.key", sealed},
      {"gossip.key", identity.gossip_secret},
      {"identity", IdentityText(identity)},  // last: its presence says that the others are whole
  };
  for (const auto& [name, bytes] : files) {
    if (auto written = directory.Write(name, bytes); !written) return std::unexpected(written.error());
  }
  return identity;
}

}  // namespace

NewNode DrawNode() {
  NewNode node{RandomNodeId(), GenerateKeyPem(), {}};
  node.public_key_pem = PublicKeyPemOf(node.key_pem).value();
  return node;
}

Result<NewNode> KeepNewNode(const DataDir& directory) {
  if (const auto text = directory.Read(kJoiningFile)) {
    const std::size_t end = text->find('\n');
    const auto node = NodeId::FromHex(std::string_view(*text).substr(0, end));
    std::string key_pem = end == std::string::npos ? "" : text->substr(end + 1);
    auto public_key = PublicKeyPemOf(key_pem);
    if (node && public_key) return NewNode{*node, std::move(key_pem), std::move(*public_key)};
  }
  NewNode drawn = DrawNode();
  auto written = directory.Write(kJoiningFile, drawn.node.Hex() + "\n" + drawn.key_pem);
  if (!written) return std::unexpected(written.error());
  return drawn;
}

void ForgetNewNode(const DataDir& directory) { directory.Remove(kJoiningFile); }

Result<std::optional<Identity>> LoadIdentity(const DataDir& directory) {
  if (!directory.Has("identity")) return std::nullopt;
  const auto text = directory.Read("identity");
  if (!text) return std::unexpected(text.error());
  auto identity = ParseIdentity(directory, *text);
  if (!identity) return std::unexpected(identity.error());
  std::string sealed;
  const std::pair<std::string_view, std::string*> files[] = {
      {"node.key", &identity->node_key_pem},
      {"node.crt", &identity->node_certificate_pem},
      {"ca.crt", &identity->authority.certificate_pem},
      {"ca.key", &sealed},
      {"gossip.key", &identity->gossip_secret},
  };
  for (const auto& [name, into] : files) {
    auto bytes = directory.Read(name);
    if (!bytes) return std::unexpected(bytes.error());
    *into = std::move(*bytes);
  }
  if (auto fits = CheckFit(*identity); !fits) {
    return BadInput("the data directory " + directory.path() + " is damaged: " + fits.error().message);
  }
  if (!SealKey(*identity).Open(kSealNonce, SealContext(*identity), sealed, identity->authority.key_pem)) {
    return BadInput(directory.PathOf("ca.key") + " is damaged, or from another node");
  }
  identity->boot_counter += 1;
  identity->boot_id = RandomBootId();
  if (auto written = directory.Write("identity", IdentityText(*identity)); !written) {
    return std::unexpected(written.error());
  }
  return std::move(*identity);
}

Result<Identity> FormCluster(const DataDir& directory) {
  const NewNode self = DrawNode();
  const ClusterId cluster = RandomClusterId();
  Admission admission{cluster, {}, CreateAuthority(cluster), RandomBytes(kGossipSecretBytes)};
  auto certificate = IssueNodeCertificate(admission.authority, cluster, self.node, self.public_key_pem);
  if (!certificate) return std::unexpected(certificate.error());
  admission.node_certificate_pem = std::move(*certificate);
  // Before the identity: from then on the disk alone tells a cluster half formed from one that lost its
  // documents. It names the node, so that one left behind says nothing about another that comes after.
  if (auto noted = directory.Write(kFormingFile, self.node.Hex()); !noted)
    return std::unexpected(noted.error());
  return StoreAdmission(directory, self, admission);
}

bool IsForming(const DataDir& directory, const Identity& identity) {
  if (!directory.Has(kFormingFile)) return false;
  const auto node = directory.Read(kFormingFile);
  return node && *node == identity.node.Hex();
}

void FinishForming(const DataDir& directory) { directory.Remove(kFormingFile); }

Result<Identity> StoreAdmission(const DataDir& directory, const NewNode& self, const Admission& admission) {
  Identity identity;
  identity.cluster = admission.cluster;
  identity.node = self.node;
  identity.node_key_pem = self.key_pem;
  identity.node_certificate_pem = admission.node_certificate_pem;
  identity.authority = admission.authority;
  identity.gossip_secret = admission.gossip_secret;
  return WriteAll(directory, std::move(identity));
}

Result<void> KeepBootCounter(const DataDir& directory, Identity& identity, std::uint32_t counter) {
  identity.boot_counter = counter;
  return directory.Write("identity", IdentityText(identity));
}

Result<Identity> RenewNode(const DataDir& directory, const Identity& old) {
  const NewNode self = DrawNode();
  auto certificate = IssueNodeCertificate(old.authority, old.cluster, self.node, self.public_key_pem);
  if (!certificate) return std::unexpected(certificate.error());
  return StoreAdmission(directory, self,
                        {old.cluster, std::move(*certificate), old.authority, old.gossip_secret});
}

}  // namespace hs
