#include "core/intent/desired.h"

#include <gtest/gtest.h>

namespace hs {
namespace {

NodeId Node(std::uint8_t n) {
  NodeId id;
  id.bytes[0] = n;
  return id;
}
ServiceSpec Service(std::string name, std::string command = "run") {
  ServiceSpec spec;
  spec.name = std::move(name);
  spec.command = {std::move(command)};
  return spec;
}
void Put(Documents& documents, const Writes& writes) {
  static WallMs clock = 1000;
  for (const auto& [key, body] : writes) {
    ASSERT_TRUE(KeyFits(key, body)) << key;
    const auto known = documents.find(key);
    const Stamp seen = known == documents.end() ? Stamp{} : known->second.stamp;
    documents[key] = {key, {++clock, 0, Node(1)}, body, seen};
  }
}

TEST(KeysTest, EveryKeyParsesBackAndMalformedOnesDoNot) {
  EXPECT_EQ(ParseKey(StackKey("shop", 12)), (ParsedKey{KeyKind::kStack, "shop", 12, {}}));
  EXPECT_EQ(ParseKey(ScaleKey("web")), (ParsedKey{KeyKind::kScale, "web", 0, {}}));
  EXPECT_EQ(ParseKey(DrainKey(Node(3))), (ParsedKey{KeyKind::kDrain, "", 0, Node(3)}));
  EXPECT_EQ(ParseKey(TokenKey("t1")), (ParsedKey{KeyKind::kToken, "t1", 0, {}}));
  EXPECT_EQ(ParseKey(NodeKey(Node(3))), (ParsedKey{KeyKind::kNode, "", 0, Node(3)}));
  for (const char* bad : {"", "stack", "stack/", "stack/shop", "stack/shop/", "stack/shop/01", "stack/shop/0",
                          "stack/shop/-1", "stack/shop/1x", "stack//1", "stack/a/b/1", "scale/", "scale/a b",
                          "drain/12", "node/00000000000000000000000000000000", "floor", "other/x",
                          "drain/AB000000000000000000000000000000", "stack/shop/99999999999999999999999"}) {
    EXPECT_FALSE(ParseKey(bad).has_value()) << bad;
  }
}

TEST(KeysTest, ABodyUnderAnothersKeyDoesNotFit) {
  EXPECT_TRUE(KeyFits("scale/web", ScaleOverride{"web", 1}));
  EXPECT_TRUE(KeyFits("scale/web", std::monostate{}));
  EXPECT_FALSE(KeyFits("scale/web", ScaleOverride{"api", 1}));
  EXPECT_FALSE(KeyFits("stack/web/1", ScaleOverride{"web", 1}));
  EXPECT_FALSE(KeyFits("floor", std::monostate{}));
}

TEST(DesiredTest, TheNewestLiveRevisionCountsWithItsScaleAndAServiceLeftOutIsGone) {
  Documents documents;
  Put(documents, DeployWrites(documents, {"shop", {Service("api"), Service("web", "v1")}}, 3));
  Put(documents, {{ScaleKey("web"), ScaleOverride{"web", 5}}});
  Put(documents, DeployWrites(documents, {"shop", {Service("web", "v2")}}, 3));
  const auto services = DesiredServices(documents);
  ASSERT_EQ(services.size(), 1u);
  EXPECT_EQ(services[0].spec.command[0], "v2");
  EXPECT_EQ(services[0].replicas, 5u) << "deploying never resets the level reached";
  EXPECT_EQ(services[0].stack, "shop");
  EXPECT_EQ(services[0].revision, documents.at(StackKey("shop", 2)).stamp);
  Put(documents, {{StackKey("shop", 2), std::monostate{}}});
  EXPECT_EQ(DesiredServices(documents).size(), 2u) << "going back is deleting the newest";
}

TEST(DesiredTest, AServiceNameInTwoStacksStaysWithTheOlderStackEvenWhenItDeploysAgain) {
  Documents documents;
  Put(documents, {{StackKey("zeta", 1), StackSpec{"zeta", {Service("web", "old")}}}});
  Put(documents, {{StackKey("alpha", 1), StackSpec{"alpha", {Service("web", "new")}}}});
  Put(documents, DeployWrites(documents, {"zeta", {Service("web", "old2")}}, 1));
  const auto services = DesiredServices(documents);
  ASSERT_EQ(services.size(), 1u);
  EXPECT_EQ(services[0].spec.command[0], "old2");
}

TEST(DesiredTest, OldRevisionsAreDeletedButThoseKeptStillDescribeTheirReplicas) {
  Documents documents;
  for (const char* version : {"v1", "v2", "v3", "v4"}) {
    const Writes writes = DeployWrites(documents, {"shop", {Service("web", version)}}, 3);
    EXPECT_TRUE(std::holds_alternative<StackSpec>(writes.back().second)) << "its stamp is the answer";
    Put(documents, writes);
  }
  EXPECT_TRUE(documents.at(StackKey("shop", 1)).IsTombstone());
  EXPECT_FALSE(documents.at(StackKey("shop", 2)).IsTombstone());
  const auto specs = WhatIsAsked(documents).specs;
  EXPECT_FALSE(specs.contains(HashOf(Service("web", "v1"))));
  EXPECT_EQ(specs.at(HashOf(Service("web", "v2"))).command[0], "v2");
  EXPECT_EQ(specs.size(), 3u);
}

// Ten comes after nine, though not as a word.
TEST(DesiredTest, WhatTheVersionLeavesOutIsAsTheNewestRevisionHasIt) {
  Documents documents;
  ServiceSpec service = Service("web", "v1");
  for (service.replicas = 1; service.replicas <= 10; ++service.replicas)
    Put(documents, DeployWrites(documents, {"shop", {service}}, 3));
  EXPECT_EQ(WhatIsAsked(documents).specs.at(HashOf(service)).replicas, 10u);
}

TEST(DesiredTest, AVersionThatStillRunsStaysDescribedHoweverManyBadOnesCame) {
  Documents documents;
  const SpecHash runs = HashOf(Service("web", "good"));
  Put(documents, DeployWrites(documents, {"shop", {Service("web", "good")}}, 3, {runs}));
  for (const auto* version : {"bad1", "bad2", "bad3", "bad4", "bad5"}) {
    Put(documents, DeployWrites(documents, {"shop", {Service("web", version)}}, 3, {runs}));
    EXPECT_TRUE(WhatIsAsked(documents).specs.contains(runs)) << version;
  }
  EXPECT_FALSE(WhatIsAsked(documents).specs.contains(HashOf(Service("web", "bad1"))));
  Put(documents, DeployWrites(documents, {"shop", {Service("web", "good2")}}, 3));
  EXPECT_FALSE(WhatIsAsked(documents).specs.contains(runs)) << "none of it runs any more";
}

TEST(DesiredTest, RemovingAStackLeavesNothingOfItAndNothingElseGoes) {
  Documents documents;
  Put(documents, DeployWrites(documents, {"shop", {Service("web")}}, 3));
  Put(documents, DeployWrites(documents, {"shop", {Service("web", "v2")}}, 3));
  Put(documents, DeployWrites(documents, {"blog", {Service("pages")}}, 3));
  Put(documents,
      {{ScaleKey("web"), ScaleOverride{"web", 5}}, {ScaleKey("pages"), ScaleOverride{"pages", 2}}});
  EXPECT_TRUE(RemoveStackWrites(documents, "nothing").empty());
  Put(documents, RemoveStackWrites(documents, "shop"));
  const auto services = DesiredServices(documents);
  ASSERT_EQ(services.size(), 1u);
  EXPECT_EQ(services[0].spec.name, "pages");
  EXPECT_EQ(services[0].replicas, 2u);
  EXPECT_TRUE(documents.at(ScaleKey("web")).IsTombstone());
  EXPECT_EQ(DeployWrites(documents, {"shop", {Service("web")}}, 3)[0].first, StackKey("shop", 3));
}

TEST(DesiredTest, ADeployThatCannotStandBesideTheOthersIsRefusedNamingEveryReason) {
  Documents documents;
  ServiceSpec web = Service("web");
  web.ports = {{8080, true}};
  web.http = HttpRoute{"shop.example", "/"};
  Put(documents, DeployWrites(documents, {"shop", {web}}, 3));
  EXPECT_TRUE(CheckDeploy(documents, {"shop", {web}}).has_value()) << "its own next revision is no conflict";
  ServiceSpec thief = web;
  thief.name = "thief";
  ServiceSpec empty;
  empty.name = "bad name";
  const auto result = CheckDeploy(documents, {"other", {web, thief, empty}});
  ASSERT_FALSE(result.has_value());
  for (const char* part : {"name is taken by service 'web' of stack 'shop'", "port 8080",
                           "route shop.example/", "'bad name' is not valid", "has no command"}) {
    EXPECT_NE(result.error().message.find(part), std::string::npos) << part << " in:\n"
                                                                    << result.error().message;
  }
  EXPECT_FALSE(CheckDeploy(documents, {"none", {}}).has_value());
}

}  // namespace
}  // namespace hs
