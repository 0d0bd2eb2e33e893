// Core types <-> bytes, and the only place that validates bytes.
//
// A customs office: what comes in is opened and checked field by field before the core sees it; what goes out
// is packed so that every other office lets it pass.
//
// Invariants:
//  1. Decode never throws or aborts, whatever the bytes, and allocates no more than a small multiple of
//     their size.
//  2. What Decode accepts keeps the invariants that types.h and messages.h state: sorted lists, bounded
//     counts and sizes, names in their character sets, enums in range, variants that fit their keys.
//  3. What Decode accepts, Encode packs into bytes that Decode accepts again, as an equal value.
//  4. Encode is deterministic: equal values have equal bytes. tests/golden/wire.txt pins them.
//  5. Free text (causes, reasons, errors) is clipped to its bound and cleaned to UTF-8 by Encode, since it
//     may hold what a program printed. Everything else must be within bounds already.
//
// An error names the field: "gossip.updates[3].meta.labels: not sorted by key".
// It does not seal, frame or compress, and it does not know who sent the bytes.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "core/messages.h"
#include "core/types.h"

namespace hs {

// Greatest accepted sizes in bytes, before sealing and framing.
inline constexpr std::size_t kGossipBytesMax = 64 << 10;
inline constexpr std::size_t kLinkBytesMax = 64 << 20;
inline constexpr std::size_t kDocumentBytesMax = 4 << 20;

std::string EncodeGossip(const GossipMessage& message);
Result<GossipMessage> DecodeGossip(std::string_view bytes);

std::string EncodeLinkMessage(const LinkMessage& message);
// A document or record of a push that is wrong is left out, so that it does not keep the others away;
// `left_out` then says what was wrong, in words.
Result<LinkMessage> DecodeLinkMessage(std::string_view bytes, std::vector<std::string>& left_out);
Result<LinkMessage> DecodeLinkMessage(std::string_view bytes);

std::string EncodeDocument(const Document& document);
Result<Document> DecodeDocument(std::string_view bytes);

// The body alone; key and stamp are columns of their own on disk.
std::string EncodeDocumentBody(const DocumentBody& body);
Result<DocumentBody> DecodeDocumentBody(std::string_view bytes);
// Whether disks and other boxes will read it back as it is. What they refuse must not govern here: after the
// next start it would be gone. kFixInput with the field otherwise.
Result<void> CheckReadable(const DocumentBody& body);

std::string EncodeServiceSpec(const ServiceSpec& spec);
Result<ServiceSpec> DecodeServiceSpec(std::string_view bytes);

std::string EncodeNodeReport(const NodeReport& report);
Result<NodeReport> DecodeNodeReport(std::string_view bytes);

// Where others were last seen; a zero id is a join hint. In the order given.
using PeerList = std::vector<std::pair<NodeId, Endpoint>>;
std::string EncodePeers(const PeerList& peers);
Result<PeerList> DecodePeers(std::string_view bytes);

}  // namespace hs
