#include "wire/codec.h"

#include "wire/convert.h"

namespace hs {
namespace {

template <typename Pb, typename T>
std::string Encode(const T& value) {
  Pb message;
  wire::Pack(value, message);
  return message.SerializeAsString();
}

template <typename Pb, typename T>
Result<T> Decode(std::string_view bytes, std::size_t size_max, std::string_view name,
                 std::vector<std::string>* left_out = nullptr) {
  if (bytes.size() > size_max) {
    return BadInput(std::string(name) + ": " + std::to_string(bytes.size()) + " bytes, at most " +
                    std::to_string(size_max));
  }
  Pb message;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return BadInput(std::string(name) + ": not a whole message of " + std::to_string(bytes.size()) +
                    " bytes");
  }
  wire::Check check(name);
  T value;
  wire::Unpack(message, value, check);
  if (!check.ok()) return std::unexpected(check.error());
  if (left_out != nullptr) *left_out = check.left_out();
  return value;
}

}  // namespace

std::string EncodeGossip(const GossipMessage& message) { return Encode<wire::pb::Gossip>(message); }
Result<GossipMessage> DecodeGossip(std::string_view bytes) {
  return Decode<wire::pb::Gossip, GossipMessage>(bytes, kGossipBytesMax, "gossip");
}

std::string EncodeLinkMessage(const LinkMessage& message) { return Encode<wire::pb::Link>(message); }
Result<LinkMessage> DecodeLinkMessage(std::string_view bytes, std::vector<std::string>& left_out) {
  return Decode<wire::pb::Link, LinkMessage>(bytes, kLinkBytesMax, "link", &left_out);
}
Result<LinkMessage> DecodeLinkMessage(std::string_view bytes) {
  return Decode<wire::pb::Link, LinkMessage>(bytes, kLinkBytesMax, "link");
}

std::string EncodeDocument(const Document& document) { return Encode<wire::pb::Document>(document); }
Result<Document> DecodeDocument(std::string_view bytes) {
  return Decode<wire::pb::Document, Document>(bytes, kDocumentBytesMax, "document");
}

std::string EncodeDocumentBody(const DocumentBody& body) { return Encode<wire::pb::DocumentBody>(body); }
Result<DocumentBody> DecodeDocumentBody(std::string_view bytes) {
  return Decode<wire::pb::DocumentBody, DocumentBody>(bytes, kDocumentBytesMax, "document");
}

Result<void> CheckReadable(const DocumentBody& body) {
  const auto read = DecodeDocumentBody(EncodeDocumentBody(body));
  if (!read) return std::unexpected(read.error());
  if (*read != body) return BadInput("document: reads back as something else");
  return {};
}

std::string EncodeServiceSpec(const ServiceSpec& spec) { return Encode<wire::pb::ServiceSpec>(spec); }
Result<ServiceSpec> DecodeServiceSpec(std::string_view bytes) {
  return Decode<wire::pb::ServiceSpec, ServiceSpec>(bytes, kDocumentBytesMax, "service");
}

std::string EncodeNodeReport(const NodeReport& report) { return Encode<wire::pb::NodeReport>(report); }
Result<NodeReport> DecodeNodeReport(std::string_view bytes) {
  return Decode<wire::pb::NodeReport, NodeReport>(bytes, kLinkBytesMax, "report");
}

std::string EncodePeers(const PeerList& peers) {
  wire::pb::Peers message;
  for (const auto& [node, address] : peers) {
    auto& peer = *message.add_peers();
    peer.set_node(wire::BytesOf(node));
    wire::Pack(address, *peer.mutable_address());
  }
  return message.SerializeAsString();
}

Result<PeerList> DecodePeers(std::string_view bytes) {
  wire::pb::Peers message;
  if (bytes.size() > kDocumentBytesMax ||
      !message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return BadInput("peers: not a whole message of " + std::to_string(bytes.size()) + " bytes");
  }
  wire::Check check("peers");
  PeerList peers;
  if (check.TakeCount(message.peers_size(), wire::kMembersMax, "peers")) {
    for (int i = 0; i < message.peers_size() && check.ok(); ++i) {
      wire::Check::Scope scope(check, "peers", i);
      auto& [node, address] = peers.emplace_back();
      check.TakeId(message.peers(i).node(), node, "node", wire::Check::Zero::kAllowed);
      wire::Unpack(message.peers(i).address(), address, check);
    }
  }
  if (!check.ok()) return std::unexpected(check.error());
  return peers;
}

}  // namespace hs
