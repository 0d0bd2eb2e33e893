// Keys and certificates of the cluster: one authority (CA) per cluster, one certificate per node, P-256
// throughout.
//
// A node's certificate names it twice: CN = node id in hex, and the URI `homeostat://CLUSTER/NODE` as subject
// alternative name, both in hex. Certificates run from 1970 to the end of 9999 and nobody looks at their
// dates: a wrong clock or a year in a drawer must lock nobody out. Trust is the CA's signature, and not being
// revoked.
//
// Everything is PEM text, so that it can go to files, to HAProxy and to TLS contexts as it is.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/result.h"

namespace hs {

struct Authority {
  std::string certificate_pem;
  std::string key_pem;
};

std::string GenerateKeyPem();
Result<std::string> PublicKeyPemOf(std::string_view private_key_pem);

Authority CreateAuthority(ClusterId cluster);
// Errors: a public key that is none or not P-256, an authority whose key does not fit its certificate.
Result<std::string> IssueNodeCertificate(const Authority& authority, ClusterId cluster, NodeId node,
                                         std::string_view public_key_pem);

struct NodeCertificate {
  ClusterId cluster;
  NodeId node;
  Digest public_key;  // SHA-256 of the SubjectPublicKeyInfo (NodeDoc::public_key)
};
// What the certificate says of its bearer; no signature is checked.
Result<NodeCertificate> ReadNodeCertificate(std::string_view certificate_pem);
// Signed by this authority? Dates are ignored.
bool VerifyCertificate(std::string_view ca_certificate_pem, std::string_view certificate_pem);

// SHA-256 of the DER form; zero when it is not a certificate.
Digest CertificateDigest(std::string_view certificate_pem);
// SHA-256 of the SubjectPublicKeyInfo.
Result<Digest> PublicKeyDigest(std::string_view public_key_pem);

}  // namespace hs
