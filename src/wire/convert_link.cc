#include <type_traits>

#include "wire/convert.h"

namespace hs::wire {
namespace {

void Pack(const PushPull& in, pb::PushPull& out) {
  out.set_reply_wanted(in.reply_wanted);
  for (const MemberUpdate& member : in.members) wire::Pack(member, *out.add_members());
}

void Unpack(const pb::PushPull& in, PushPull& out, Check& check) {
  out.reply_wanted = in.reply_wanted();
  UnpackList(in.members(), out.members, kMembersMax, "members", check);
}

void Pack(const DocumentPush& in, pb::DocumentPush& out) {
  for (const Document& document : in.documents) wire::Pack(document, *out.add_documents());
  out.set_flood(in.flood);
  out.set_ack_to(BytesOf(in.ack_to));
}

void Unpack(const pb::DocumentPush& in, DocumentPush& out, Check& check) {
  UnpackEach(in.documents(), out.documents, kDocumentsMax, "documents", check);
  out.flood = in.flood();
  check.TakeId(in.ack_to(), out.ack_to, "ack_to", Check::Zero::kAllowed);
}

void Pack(const DocumentOffer& in, pb::DocumentOffer& out) {
  out.set_reply_wanted(in.reply_wanted);
  wire::Pack(in.floor, *out.mutable_floor());
  for (const auto& [key, stamp] : in.held) {
    auto& held = *out.add_held();
    held.set_key(key);
    wire::Pack(stamp, *held.mutable_stamp());
  }
}

// Named after what they fill: one entry of an offer.
void Unpack(const pb::HeldDocument& in, std::pair<std::string, Stamp>& out, Check& check) {
  UnpackDocumentKey(in.key(), out.first, check);
  Check::Scope scope(check, "stamp");
  wire::Unpack(in.stamp(), out.second, check);
}

void Unpack(const pb::HeldRecord& in, std::pair<RecordKey, RecordVersion>& out, Check& check) {
  Check::Scope scope(check, "key");
  wire::Unpack(in.key(), out.first, check);
  wire::Unpack(in.version(), out.second, check);
}

template <typename PbList, typename T>
void UnpackHeld(const PbList& in, std::vector<T>& out, std::size_t max, Check& check) {
  if (!check.TakeCount(in.size(), max, "held")) return;
  for (int i = 0; i < in.size() && check.ok(); ++i) {
    Check::Scope scope(check, "held", i);
    Unpack(in.Get(i), out.emplace_back(), check);
  }
  NeedAscending(out, "held", check, [](const T& entry) { return entry.first; });
}

void Unpack(const pb::DocumentOffer& in, DocumentOffer& out, Check& check) {
  out.reply_wanted = in.reply_wanted();
  {
    Check::Scope scope(check, "floor");
    wire::Unpack(in.floor(), out.floor, check);
  }
  UnpackHeld(in.held(), out.held, kDocumentsMax, check);
}

void Pack(const RecordPush& in, pb::RecordPush& out) {
  for (const Record& record : in.records) wire::Pack(record, *out.add_records());
  out.set_flood(in.flood);
  out.set_known(in.known);
}

void Unpack(const pb::RecordPush& in, RecordPush& out, Check& check) {
  UnpackEach(in.records(), out.records, kRecordsMax, "records", check);
  out.flood = in.flood();
  out.known = in.known();
}

void Pack(const RecordOffer& in, pb::RecordOffer& out) {
  out.set_reply_wanted(in.reply_wanted);
  for (const auto& [key, version] : in.held) {
    auto& held = *out.add_held();
    wire::Pack(key, *held.mutable_key());
    wire::Pack(version, *held.mutable_version());
  }
}

void Unpack(const pb::RecordOffer& in, RecordOffer& out, Check& check) {
  out.reply_wanted = in.reply_wanted();
  UnpackHeld(in.held(), out.held, kRecordsMax, check);
}

}  // namespace

void Pack(const LinkMessage& in, pb::Link& out) {
  std::visit(
      [&out](const auto& message) {
        using Message = std::decay_t<decltype(message)>;
        if constexpr (std::is_same_v<Message, PushPull>) Pack(message, *out.mutable_push_pull());
        if constexpr (std::is_same_v<Message, DocumentPush>) Pack(message, *out.mutable_document_push());
        if constexpr (std::is_same_v<Message, DocumentOffer>) Pack(message, *out.mutable_document_offer());
        if constexpr (std::is_same_v<Message, RecordPush>) Pack(message, *out.mutable_record_push());
        if constexpr (std::is_same_v<Message, RecordOffer>) Pack(message, *out.mutable_record_offer());
        if constexpr (std::is_same_v<Message, LoadReport>) wire::Pack(message, *out.mutable_load_report());
      },
      in);
}

void Unpack(const pb::Link& in, LinkMessage& out, Check& check) {
  const auto into = [&](const auto& from, auto message, std::string_view field) {
    Check::Scope scope(check, field);
    Unpack(from, message, check);
    out = std::move(message);
  };
  switch (in.body_case()) {
    case pb::Link::kPushPull:
      return into(in.push_pull(), PushPull{}, "push_pull");
    case pb::Link::kDocumentPush:
      return into(in.document_push(), DocumentPush{}, "document_push");
    case pb::Link::kDocumentOffer:
      return into(in.document_offer(), DocumentOffer{}, "document_offer");
    case pb::Link::kRecordPush:
      return into(in.record_push(), RecordPush{}, "record_push");
    case pb::Link::kRecordOffer:
      return into(in.record_offer(), RecordOffer{}, "record_offer");
    case pb::Link::kLoadReport:
      return into(in.load_report(), LoadReport{}, "load_report");
    case pb::Link::BODY_NOT_SET:
      break;
  }
  check.Fail("body", "absent, or of a kind this release does not know");
}

}  // namespace hs::wire
