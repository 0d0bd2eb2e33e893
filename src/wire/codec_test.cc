#include "wire/codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>

#include "wire/random_messages_test.h"

namespace hs {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::uint64_t kSeeds = 400;

// RecordPush has shared bodies and thus no == of its own.
bool SameLink(const LinkMessage& a, const LinkMessage& b) {
  if (a.index() != b.index()) return false;
  const auto* left = std::get_if<RecordPush>(&a);
  if (left == nullptr) {
    return std::visit(
        [&b](const auto& message) {
          if constexpr (requires { message == message; }) {
            return message == std::get<std::decay_t<decltype(message)>>(b);
          } else {
            return false;
          }
        },
        a);
  }
  const auto& right = std::get<RecordPush>(b);
  return left->flood == right.flood && left->known == right.known &&
         std::equal(left->records.begin(), left->records.end(), right.records.begin(), right.records.end(),
                    [](const Record& x, const Record& y) {
                      return x.key == y.key && x.version == y.version && *x.body == *y.body;
                    });
}

// What the tests need to know of one kind of message, whatever it is.
struct Kind {
  std::string name;
  std::function<std::string(std::uint64_t seed)> make;            // encoded random instance
  std::function<bool(std::uint64_t seed)> round_trips;            // decode(encode(x)) == x
  std::function<Result<std::string>(std::string_view)> reencode;  // encode(decode(bytes))
};

template <typename T>
Kind KindOf(std::string name, std::function<T(RandomMessages&)> random, std::string (*encode)(const T&),
            Result<T> (*decode)(std::string_view),
            std::function<bool(const T&, const T&)> same = std::equal_to<T>()) {
  return Kind{std::move(name),
              [=](std::uint64_t seed) {
                RandomMessages messages(seed);
                return encode(random(messages));
              },
              [=](std::uint64_t seed) {
                RandomMessages messages(seed);
                const T value = random(messages);
                const auto back = decode(encode(value));
                EXPECT_TRUE(back) << name << " seed " << seed << ": " << back.error().message;
                return back && same(value, *back);
              },
              [=](std::string_view bytes) -> Result<std::string> {
                const auto value = decode(bytes);
                if (!value) return std::unexpected(value.error());
                return encode(*value);
              }};
}

Result<LinkMessage> DecodeLink(std::string_view bytes) { return DecodeLinkMessage(bytes); }

const std::vector<Kind>& Kinds() {
  static const std::vector<Kind> kinds = {
      KindOf<GossipMessage>("gossip", &RandomMessages::Gossip, EncodeGossip, DecodeGossip),
      KindOf<LinkMessage>("link", &RandomMessages::Link, EncodeLinkMessage, DecodeLink, SameLink),
      KindOf<Document>("document", &RandomMessages::RandomDocument, EncodeDocument, DecodeDocument),
      KindOf<DocumentBody>(
          "body", [](RandomMessages& random) { return random.RandomDocument().body; }, EncodeDocumentBody,
          DecodeDocumentBody),
      KindOf<ServiceSpec>("service", &RandomMessages::Spec, EncodeServiceSpec, DecodeServiceSpec),
      KindOf<NodeReport>("report", &RandomMessages::Report, EncodeNodeReport, DecodeNodeReport),
      KindOf<PeerList>(
          "peers",
          [](RandomMessages& random) {
            PeerList peers;
            for (std::size_t i = random.Count(6); i > 0; --i) {
              peers.emplace_back(random.BytesOrNone<NodeId>(), random.Address());
            }
            return peers;
          },
          EncodePeers, DecodePeers),
      KindOf<ServiceSpec>("scaled", &RandomMessages::ScaledSpec, EncodeServiceSpec, DecodeServiceSpec),
      KindOf<Document>("quota", &RandomMessages::Quota, EncodeDocument, DecodeDocument),
      KindOf<LinkMessage>("load", &RandomMessages::Load, EncodeLinkMessage, DecodeLink, SameLink),
      KindOf<LinkMessage>(
          "levels",
          [](RandomMessages& random) -> LinkMessage {
            Record record{.key = {RecordKind::kRegionReport, random.Bytes<NodeId>(), 1}};
            record.body = std::make_shared<const RecordBody>(random.Levels());
            return RecordPush{{record}, true};
          },
          EncodeLinkMessage, DecodeLink, SameLink),
      KindOf<GossipMessage>("path", &RandomMessages::OnAPath, EncodeGossip, DecodeGossip),
      KindOf<LinkMessage>(
          "reach",
          [](RandomMessages& random) -> LinkMessage {
            Record record{.key = {RecordKind::kReach, random.Bytes<NodeId>(), 0}};
            record.body = std::make_shared<const RecordBody>(random.Reach());
            return RecordPush{{record}, true};
          },
          EncodeLinkMessage, DecodeLink, SameLink),
  };
  return kinds;
}

TEST(Codec, EveryMessageComesBackAsItWas) {
  for (const Kind& kind : Kinds()) {
    for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
      ASSERT_TRUE(kind.round_trips(seed)) << kind.name << " seed " << seed;
    }
  }
}

TEST(Codec, APingIsSmall) {
  RandomMessages random(1);
  GossipMessage ping{.body = Ping{100'000, random.Bytes<NodeId>()}, .wall_ms = 1'790'000'000'000};
  EXPECT_LE(EncodeGossip(ping).size(), 30u);
  ping.intent_digest = ping.observation_digest = ~0ULL;
  ping.members_digest = ~0U;
  EXPECT_LE(EncodeGossip(ping).size(), 54u);
  EXPECT_LE(EncodeGossip(GossipMessage{.body = Ack{100'000}}).size(), 6u);
}

// What is accepted of damaged bytes must be as good as any other message: packed again, it is accepted,
// unchanged.
void ExpectRefusedOrSound(const Kind& kind, std::string_view bytes) {
  const auto once = kind.reencode(bytes);
  if (!once) {
    EXPECT_FALSE(once.error().message.empty());
    return;
  }
  const auto twice = kind.reencode(*once);
  ASSERT_TRUE(twice) << kind.name << ": " << twice.error().message;
  EXPECT_EQ(*once, *twice) << kind.name;
}

TEST(Codec, BytesCutAtEveryLengthAreRefusedOrSound) {
  for (const Kind& kind : Kinds()) {
    for (std::uint64_t seed = 0; seed < 40; ++seed) {
      const std::string bytes = kind.make(seed);
      for (std::size_t size = 0; size < bytes.size(); ++size) {
        ExpectRefusedOrSound(kind, std::string_view(bytes).substr(0, size));
      }
    }
  }
}

TEST(Codec, FlippedBitsAreRefusedOrSound) {
  for (const Kind& kind : Kinds()) {
    for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
      std::string bytes = kind.make(seed);
      if (bytes.empty()) continue;
      Prng prng(seed);
      for (int i = 0; i < 20; ++i) {
        std::string damaged = bytes;
        for (std::uint64_t flips = 1 + prng.Below(3); flips > 0; --flips) {
          damaged[prng.Below(damaged.size())] ^= static_cast<char>(1 << prng.Below(8));
        }
        ExpectRefusedOrSound(kind, damaged);
      }
    }
  }
}

TEST(Codec, RandomBytesAreRefusedOrSound) {
  Prng prng(7);
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes(prng.Below(80), '\0');
    for (char& c : bytes) c = static_cast<char>(prng.Next());
    for (const Kind& kind : Kinds()) ExpectRefusedOrSound(kind, bytes);
  }
}

// ----------------------------------------------------------------------------------------------------
// refusals

template <typename T>
std::string Why(const Result<T>& result) {
  return result ? "accepted" : result.error().message;
}

TEST(Codec, RefusesWhatBreaksAnInvariantAndNamesTheField) {
  RandomMessages random(3);
  const NodeId low = NodeId::FromHex("01000000000000000000000000000000").value();
  const NodeId high = NodeId::FromHex("ff000000000000000000000000000000").value();
  const auto gossip = [&](const MemberUpdate& update) {
    return Why(DecodeGossip(EncodeGossip(GossipMessage{.body = News{}, .updates = {update}})));
  };
  MemberUpdate good{.id = low, .state = MemberState::kSuspect, .witnesses = {{low, high}}};
  ASSERT_EQ(gossip(good), "accepted");

  MemberUpdate update = good;
  update.id = NodeId{};
  EXPECT_THAT(gossip(update), HasSubstr("gossip.updates[0].id: must have 16 bytes")) << "news about nobody";
  update = good;
  update.witnesses = {{high, low}};
  EXPECT_THAT(gossip(update), HasSubstr("gossip.updates[0].witnesses: not sorted"))
      << "two orders, two digests";
  update.witnesses = {{low, low}};
  EXPECT_THAT(gossip(update), HasSubstr("witnesses: not sorted, or an entry twice"))
      << "one witness counted twice";
  update.witnesses.Edit().assign(9, low);
  EXPECT_THAT(gossip(update), HasSubstr("witnesses: 9 entries, at most 8"));
  update = good;
  update.meta = MemberMeta{};
  EXPECT_THAT(gossip(update), HasSubstr("meta: must be present exactly when alive"))
      << "only a node speaks of itself";
  update = good;
  update.state = MemberState::kAlive;
  EXPECT_THAT(gossip(update), HasSubstr("meta: must be present exactly when alive"));
  update.state = static_cast<MemberState>(6);
  EXPECT_THAT(gossip(update), HasSubstr("state: out of range")) << "a state of a later release";
  update = good;
  update.state = MemberState::kAlive;
  update.meta = MemberMeta{.name = "a b"};
  EXPECT_THAT(gossip(update), HasSubstr("gossip.updates[0].meta.name: "))
      << "names end up in tables and addresses";
  update.meta = MemberMeta{.labels = {{"zone", "a\nb"}}};
  EXPECT_THAT(gossip(update), HasSubstr("meta.labels: a value"))
      << "a line break would forge lines of output";
}

TEST(Codec, RefusesSpecsThatNoComposeFileCouldHaveMade) {
  const auto why = [](const ServiceSpec& spec) { return Why(DecodeServiceSpec(EncodeServiceSpec(spec))); };
  const ServiceSpec good{.name = "web"};
  ASSERT_EQ(why(good), "accepted");
  ServiceSpec spec = good;
  spec.name = "Web";
  EXPECT_THAT(why(spec), HasSubstr("service.name: ")) << "becomes a host name";
  spec = good;
  spec.environment = {{"B", ""}, {"A", ""}};
  EXPECT_THAT(why(spec), HasSubstr("service.environment: not sorted"));
  spec.environment = {{"A=B", ""}};
  EXPECT_THAT(why(spec), HasSubstr("service.environment: not a variable's name"))
      << "would set another variable";
  spec = good;
  spec.command = {std::string("a\0b", 3)};
  EXPECT_THAT(why(spec), HasSubstr("service.command: not UTF-8 text")) << "execve would cut it";
  spec = good;
  spec.ports = {{0, false}};
  EXPECT_THAT(why(spec), HasSubstr("service.ports: port 0"));
  spec = good;
  spec.stop_signal = "TERM";
  EXPECT_THAT(why(spec), HasSubstr("service.stop_signal: "));
  spec = good;
  spec.http = HttpRoute{.path = "x"};
  EXPECT_THAT(why(spec), HasSubstr("service.http.path: "));
  spec = good;
  spec.health.path = "/a\r\nX: y";
  EXPECT_THAT(why(spec), HasSubstr("service.health.path: ")) << "would add a header to the probe";
  spec = good;
  spec.health.interval = Duration(-1);
  EXPECT_THAT(why(spec), HasSubstr("service.health.interval_ns: "));
  spec = good;
  spec.replicas = 1'000'001;
  EXPECT_THAT(why(spec), HasSubstr("service.replicas: out of range"));
  spec = good;
  spec.scale = ScaleSpec{.min = 3, .max = 2};
  EXPECT_THAT(why(spec), HasSubstr("service.scale.min: not from 1 to max"));
  spec.scale = ScaleSpec{.min = 1, .max = 2, .target = ScaleTarget::kCpu};
  EXPECT_THAT(why(spec), HasSubstr("service.scale.value: ")) << "would divide by zero";
  spec = good;
  spec.priority = 1001;
  EXPECT_THAT(why(spec), HasSubstr("service.priority: out of range"));
}

TEST(Codec, RefusesADocumentUnderAKeyThatIsNotItsOwn) {
  const auto why = [](const Document& document) { return Why(DecodeDocument(EncodeDocument(document))); };
  EXPECT_EQ(why({.key = "scale/web", .body = ScaleOverride{"web", 3}}), "accepted");
  EXPECT_EQ(why({.key = "scale/web", .body = std::monostate{}}), "accepted") << "a tombstone fits any key";
  EXPECT_THAT(why({.key = "scale/api", .body = ScaleOverride{"web", 3}}),
              HasSubstr("document.key: does not fit"));
  EXPECT_THAT(why({.key = "drain/x", .body = ScaleOverride{"x", 3}}),
              HasSubstr("document.key: does not fit"));
  EXPECT_THAT(why({.key = "stack/shop/", .body = StackSpec{"shop", {}}}),
              HasSubstr("document.key: does not fit"));
  EXPECT_THAT(why({.key = "other/x", .body = std::monostate{}}), HasSubstr("document.key: of a kind"));
  EXPECT_THAT(why({.key = "scale/a b", .body = std::monostate{}}), HasSubstr("document.key: not letters"));
}

TEST(Codec, LeavesOutARecordWhoseBodyIsNotOfItsKindAndTakesTheOthers) {
  RandomMessages random(5);
  const Record wrong{.key = {RecordKind::kPlanSlice, random.Bytes<NodeId>(), 1},
                     .body = std::make_shared<const RecordBody>(NodeReport{})};
  const Record right{.key = {RecordKind::kNodeReport, random.Bytes<NodeId>(), 0},
                     .body = std::make_shared<const RecordBody>(NodeReport{})};
  std::vector<std::string> left_out;
  const auto back = DecodeLinkMessage(EncodeLinkMessage(RecordPush{{wrong, right}, false}), left_out);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(std::get<RecordPush>(*back).records.size(), 1u);
  EXPECT_THAT(left_out, ElementsAre(HasSubstr("records[0].key.kind: does not fit the body")));
}

TEST(Codec, LeavesOutAPoisonedDocumentAndTakesTheOthers) {
  std::vector<Document> documents;
  for (const char* name : {"a", "Not A Name", "c"})
    documents.push_back({.key = std::string("scale/") + name, .body = ScaleOverride{name, 3}});
  std::vector<std::string> left_out;
  const auto back = DecodeLinkMessage(EncodeLinkMessage(DocumentPush{documents, true, {}}), left_out);
  ASSERT_TRUE(back) << back.error().message;
  const auto& push = std::get<DocumentPush>(*back);
  ASSERT_EQ(push.documents.size(), 2u);
  EXPECT_EQ(push.documents[1].key, "scale/c");
  EXPECT_TRUE(push.flood);
  EXPECT_THAT(left_out, ElementsAre(HasSubstr("documents[1].key")));
}

TEST(Codec, WhatNobodyWouldReadBackIsNotReadable) {
  const auto why = [](const StackSpec& stack) {
    const auto readable = CheckReadable(stack);
    return readable ? "" : readable.error().message;
  };
  StackSpec stack{"shop", {ServiceSpec{.name = "web"}}};
  EXPECT_EQ(why(stack), "");
  stack.services[0].name = "Web";
  EXPECT_THAT(why(stack), HasSubstr("document.stack.services[0].name"));
  stack.services[0] = {.name = "web", .environment = {{"B", ""}, {"A", ""}}};
  EXPECT_THAT(why(stack), HasSubstr("services[0].environment: not sorted"));
  stack.services.clear();
  for (int i = 0; i < 100; ++i)
    stack.services.push_back({.name = "s" + std::to_string(100 + i), .command = {std::string(48'000, 'x')}});
  EXPECT_THAT(why(stack), HasSubstr("bytes, at most 4194304"));
}

TEST(Codec, LeavesOutADocumentThatNoDiskWouldReadBackAndTakesTheOthers) {
  StackSpec large{"large", {}};
  for (int i = 0; i < 100; ++i)
    large.services.push_back({.name = "s" + std::to_string(100 + i), .command = {std::string(48'000, 'x')}});
  const std::vector<Document> documents = {{.key = "stack/large/1", .body = large},
                                           {.key = "scale/web", .body = ScaleOverride{"web", 3}}};
  std::vector<std::string> left_out;
  const auto back = DecodeLinkMessage(EncodeLinkMessage(DocumentPush{documents, true, {}}), left_out);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(std::get<DocumentPush>(*back).documents.size(), 1u);
  EXPECT_THAT(left_out, ElementsAre(HasSubstr("documents[0].body.body: ")));
}

TEST(Codec, RefusesAWayThatIsTooLongOrLeadsInACircle) {
  RandomMessages random(7);
  const auto a = random.Bytes<NodeId>(), b = random.Bytes<NodeId>(), c = random.Bytes<NodeId>();
  const auto inner = std::make_shared<const GossipMessage>(GossipMessage{.body = News{}});
  const auto why = [](Relayed relayed) {
    return Why(DecodeGossip(EncodeGossip(GossipMessage{.body = std::move(relayed)})));
  };
  EXPECT_EQ(why({a, {b, c}, {}, inner}), "accepted");
  EXPECT_EQ(why({a, {}, {b, c}, inner}), "accepted");
  EXPECT_THAT(why({a, {b, c}, {random.Bytes<NodeId>()}, inner}), HasSubstr("relayed.ahead: a longer way"));
  EXPECT_THAT(why({a, {b, b}, {}, inner}), HasSubstr("relayed.ahead: names a node twice"));
  EXPECT_THAT(why({a, {b}, {b}, inner}), HasSubstr("relayed.ahead: names a node twice"));
  EXPECT_THAT(why({a, {b, a}, {}, inner}), HasSubstr("relayed.ahead: names a node twice"));
  const auto twice = std::make_shared<const GossipMessage>(GossipMessage{.body = Relayed{b, {}, {}, inner}});
  EXPECT_THAT(why({a, {c}, {}, twice}), HasSubstr("relayed.inner: absent, or relayed itself"));
}

TEST(Codec, RefusesABodyItDoesNotKnow) {
  EXPECT_THAT(Why(DecodeGossip("")), HasSubstr("gossip.body: absent"));
  // Field 200, a message: what a later release might add.
  EXPECT_THAT(Why(DecodeLinkMessage(std::string("\xc2\x0c\x00", 3))),
              HasSubstr("link.body: absent, or of a kind"));
  EXPECT_THAT(Why(DecodeDocumentBody("")), HasSubstr("document.body: absent"));
}

TEST(Codec, RefusesMoreThanItsBounds) {
  EXPECT_THAT(Why(DecodeGossip(std::string(kGossipBytesMax + 1, 'x'))), HasSubstr("bytes, at most"));
  RandomMessages random(6);
  PushPull table;
  table.members.resize(16385, MemberUpdate{.id = random.Bytes<NodeId>(), .state = MemberState::kLeft});
  EXPECT_THAT(Why(DecodeLinkMessage(EncodeLinkMessage(table))),
              HasSubstr("members: 16385 entries, at most 16384"));
}

TEST(Codec, FreeTextOfAnyContentTravelsClippedAndClean) {
  NodeReport report;
  report.door_error = "ok \xff\xfe" + std::string(1, '\0') + std::string(10'000, 'x');
  const auto back = DecodeNodeReport(EncodeNodeReport(report));
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->door_error.size(), 4096u);
  EXPECT_TRUE(back->door_error.starts_with("ok ???xxx"));
}

TEST(Codec, AnAbsurdClockCostsNobodyItsMembership) {
  for (const WallMs wall :
       {std::numeric_limits<WallMs>::min(), WallMs{-1}, std::numeric_limits<WallMs>::max()}) {
    EXPECT_TRUE(DecodeGossip(EncodeGossip(GossipMessage{.body = News{}, .wall_ms = wall})));
  }
}

// ------------------------------------------------------------------------------------------------------
// golden

std::string Hex(const std::string& bytes) {
  return HexOf(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
}

TEST(Codec, BytesAreThoseOfEarlierReleases) {
  // Lines of `kind seed hex`. HOMEOSTAT_RECORD=1 writes the file afresh: review the difference.
  const std::string path = std::string(HS_GOLDEN_DIR) + "/wire.txt";
  std::ostringstream present;
  for (const Kind& kind : Kinds()) {
    for (std::uint64_t seed = 1; seed <= 12; ++seed)
      present << kind.name << ' ' << seed << ' ' << Hex(kind.make(seed)) << '\n';
  }
  if (std::getenv("HOMEOSTAT_RECORD") != nullptr) std::ofstream(path) << present.str();
  std::ifstream file(path);
  std::stringstream recorded;
  recorded << file.rdbuf();
  EXPECT_EQ(recorded.str(), present.str());
}

}  // namespace
}  // namespace hs
