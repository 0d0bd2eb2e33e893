#include "runtime/crypto/byte_io.h"
#include "runtime/net/join.h"

namespace hs {
namespace {

constexpr std::uint64_t kVersion = 1;
constexpr std::size_t kTextMax = 16 * 1024;
constexpr std::size_t kPeersMax = 4096;

}  // namespace

std::string EncodeJoinRequest(const JoinRequest& request) {
  ByteWriter writer;
  writer.Number(kVersion, 1);
  writer.String(request.token_id);
  writer.String(request.secret);
  writer.Id(request.node);
  writer.String(request.name);
  writer.String(request.public_key_pem);
  writer.Number(request.tunables_fingerprint, 8);
  writer.Id(request.former_cluster);
  return writer.Take();
}

Result<JoinRequest> DecodeJoinRequest(std::string_view bytes) {
  ByteReader reader(bytes);
  if (reader.Number(1) != kVersion) return BadInput("the join request is of another version");
  JoinRequest request;
  request.token_id = reader.String(64);
  request.secret = reader.String(64);
  request.node = reader.TakeId<NodeId>();
  request.name = reader.String(256);
  request.public_key_pem = reader.String(kTextMax);
  request.tunables_fingerprint = reader.Number(8);
  request.former_cluster = reader.TakeId<ClusterId>();
  if (!reader.AtEnd() || !request.node) return BadInput("the join request cannot be read");
  return request;
}

std::string EncodeJoinAnswer(const JoinAnswer& answer) {
  ByteWriter writer;
  writer.Number(kVersion, 1);
  writer.String(answer.refusal);
  writer.Number(answer.final, 1);
  if (!answer.refusal.empty()) return writer.Take();
  writer.Id(answer.admission.cluster);
  writer.String(answer.admission.node_certificate_pem);
  writer.String(answer.admission.authority.certificate_pem);
  writer.String(answer.admission.authority.key_pem);
  writer.String(answer.admission.gossip_secret);
  writer.Number(answer.peers.size(), 4);
  for (const auto& [node, endpoint] : answer.peers) {
    writer.Id(node);
    writer.Address(endpoint);
  }
  return writer.Take();
}

Result<JoinAnswer> DecodeJoinAnswer(std::string_view bytes) {
  ByteReader reader(bytes);
  if (reader.Number(1) != kVersion) return BadInput("the answer to the join is of another version");
  JoinAnswer answer;
  answer.refusal = reader.String(kTextMax);
  answer.final = reader.Number(1) != 0;
  if (answer.refusal.empty()) {
    answer.admission.cluster = reader.TakeId<ClusterId>();
    answer.admission.node_certificate_pem = reader.String(kTextMax);
    answer.admission.authority.certificate_pem = reader.String(kTextMax);
    answer.admission.authority.key_pem = reader.String(kTextMax);
    answer.admission.gossip_secret = reader.String(64);
    const std::uint64_t count = reader.Number(4);
    if (count > kPeersMax) return BadInput("the answer to the join names too many peers");
    for (std::uint64_t i = 0; i < count && reader.ok(); ++i) {
      const NodeId node = reader.TakeId<NodeId>();
      answer.peers.emplace_back(node, reader.Address());
    }
  }
  if (!reader.AtEnd()) return BadInput("the answer to the join cannot be read");
  return answer;
}

}  // namespace hs
