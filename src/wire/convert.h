// One Pack and one Unpack per struct, between core types and protobuf's. Internal to wire/: nothing else
// includes it. Pack cannot fail; Unpack notes in `check` what is wrong and leaves `out` unspecified then.
#pragma once

#include "core/messages.h"
#include "core/types.h"
#include "homeostat.pb.h"
#include "wire/check.h"

namespace hs::wire {

namespace pb = ::homeostat::wire;

// Bounds. What a person or a program can reach lies well inside; what an attacker can make us hold lies
// outside.
inline constexpr std::size_t kUpdatesMax = 4096;
inline constexpr std::size_t kMembersMax = 16384;
inline constexpr std::size_t kDocumentsMax = 65536;
inline constexpr std::size_t kRecordsMax = 65536;
inline constexpr std::size_t kServicesMax = 1024;
inline constexpr std::size_t kServiceLoadsMax = 16384;
inline constexpr std::size_t kListMax = 1024;  // words, variables, ports, constraints, shortages
inline constexpr std::size_t kLabelsMax = 64;
inline constexpr std::size_t kReplicasMax = 16384;  // on one node
inline constexpr std::size_t kRolesMax = 64;        // there are fewer; a later release may know more
inline constexpr std::size_t kWitnessesMax = 8;
// Two relays and the target, less the receiver itself where it is one of them.
inline constexpr std::size_t kRelayedHopsMax = 2;
inline constexpr std::size_t kStringMax = 1 << 20;  // one argument or variable
inline constexpr std::size_t kNameMax = 253;
inline constexpr std::size_t kPathMax = 4096;
inline constexpr std::size_t kWordsMax = 4096;  // free text: causes, reasons, errors
inline constexpr std::uint64_t kReplicasWantedMax = 1'000'000;

template <typename Id>
std::string BytesOf(const Id& id) {
  if (!id) return {};
  return std::string(id.bytes.begin(), id.bytes.end());
}

// convert_member.cc
void Pack(const Endpoint& in, pb::Endpoint& out);
void Unpack(const pb::Endpoint& in, Endpoint& out, Check& check);
void Pack(const Stamp& in, pb::Stamp& out);
void Unpack(const pb::Stamp& in, Stamp& out, Check& check);
void Pack(const MemberMeta& in, pb::MemberMeta& out);
void Unpack(const pb::MemberMeta& in, MemberMeta& out, Check& check);
void Pack(const MemberUpdate& in, pb::MemberUpdate& out);
void Unpack(const pb::MemberUpdate& in, MemberUpdate& out, Check& check);
void Pack(const GossipMessage& in, pb::Gossip& out);
void Unpack(const pb::Gossip& in, GossipMessage& out, Check& check);

// convert_intent.cc
void Pack(const ServiceSpec& in, pb::ServiceSpec& out);
void Unpack(const pb::ServiceSpec& in, ServiceSpec& out, Check& check);
void Pack(const DocumentBody& in, pb::DocumentBody& out);
void Unpack(const pb::DocumentBody& in, DocumentBody& out, Check& check);
void Pack(const Document& in, pb::Document& out);
void Unpack(const pb::Document& in, Document& out, Check& check);
void UnpackDocumentKey(const std::string& in, std::string& out, Check& check);

// convert_observation.cc
void Pack(const NodeReport& in, pb::NodeReport& out);
void Unpack(const pb::NodeReport& in, NodeReport& out, Check& check);
void Pack(const RecordKey& in, pb::RecordKey& out);
void Unpack(const pb::RecordKey& in, RecordKey& out, Check& check);
void Pack(const RecordVersion& in, pb::RecordVersion& out);
void Unpack(const pb::RecordVersion& in, RecordVersion& out, Check& check);
void Pack(const Record& in, pb::Record& out);
void Unpack(const pb::Record& in, Record& out, Check& check);

// convert_load.cc
void Pack(const LoadReport& in, pb::LoadReport& out);
void Unpack(const pb::LoadReport& in, LoadReport& out, Check& check);

// convert_link.cc
void Pack(const LinkMessage& in, pb::Link& out);
void Unpack(const pb::Link& in, LinkMessage& out, Check& check);

// A bounded list of messages, each in a scope of its own.
template <typename PbList, typename T>
void UnpackList(const PbList& in, std::vector<T>& out, std::size_t max, std::string_view field,
                Check& check) {
  if (!check.TakeCount(in.size(), max, field)) return;
  out.reserve(static_cast<std::size_t>(in.size()));
  for (int i = 0; i < in.size() && check.ok(); ++i) {
    Check::Scope scope(check, field, i);
    Unpack(in.Get(i), out.emplace_back(), check);
  }
}

// The same where one entry has nothing to do with the others: a wrong one is left out.
template <typename PbList, typename T>
void UnpackEach(const PbList& in, std::vector<T>& out, std::size_t max, std::string_view field,
                Check& check) {
  if (!check.TakeCount(in.size(), max, field)) return;
  out.reserve(static_cast<std::size_t>(in.size()));
  for (int i = 0; i < in.size(); ++i) {
    const std::string place = std::string(field) + "[" + std::to_string(i) + "]";
    Check one(place);
    T entry;
    Unpack(in.Get(i), entry, one);
    if (one.ok()) {
      out.push_back(std::move(entry));
    } else {
      check.LeaveOut(one.error().message);
    }
  }
}

// Strictly ascending by `key`: sorted and unique.
template <typename T, typename KeyOf>
void NeedAscending(const std::vector<T>& list, std::string_view field, Check& check, KeyOf key) {
  for (std::size_t i = 1; i < list.size() && check.ok(); ++i) {
    check.Need(key(list[i - 1]) < key(list[i]), field, "not sorted, or an entry twice");
  }
}

}  // namespace hs::wire
