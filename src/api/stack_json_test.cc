#include "api/stack_json.h"

#include <gtest/gtest.h>

#include "base/prng.h"

namespace hs {
namespace {

std::string Word(Prng& prng) {
  static constexpr char kLetters[] = "abc \"\\/\n\t=é€𝄞{}[]:,";
  std::string out = "w";
  const std::string letters(kLetters);
  for (auto n = prng.Below(6); n > 0; --n) out += letters.substr(prng.Below(8), 1);
  if (prng.Chance(0.3)) out += "é€𝄞";
  return out;
}

Duration Ms(Prng& prng) {
  return std::chrono::milliseconds(1 + static_cast<std::int64_t>(prng.Below(100000)));
}

ServiceSpec RandomService(Prng& prng, std::size_t number) {
  ServiceSpec spec;
  spec.name = "s" + std::to_string(number);
  for (auto n = prng.Below(4); n > 0; --n) spec.command.push_back(Word(prng));
  for (auto n = prng.Below(4); n > 0; --n) spec.environment.emplace_back("K" + std::to_string(n), Word(prng));
  spec.working_dir = prng.Chance(0.5) ? Word(prng) : "";
  spec.user = prng.Chance(0.5) ? "nobody" : "";
  if (prng.Chance(0.5)) spec.bundle.bytes.fill(static_cast<std::uint8_t>(1 + prng.Below(255)));
  for (auto n = prng.Below(3); n > 0; --n) {
    spec.ports.push_back({static_cast<std::uint16_t>(1 + prng.Below(65535)), prng.Chance(0.5)});
  }
  if (prng.Chance(0.5)) spec.http = HttpRoute{prng.Chance(0.5) ? "a.example" : "", "/" + Word(prng)};
  spec.health.kind = static_cast<HealthKind>(prng.Below(4));
  spec.health.path = spec.health.kind == HealthKind::kHttp ? "/ok" : "";
  if (spec.health.kind == HealthKind::kCommand) spec.health.command = {"true", Word(prng)};
  spec.health.interval = Ms(prng);
  spec.health.timeout = Ms(prng);
  spec.health.start_period = Ms(prng);
  spec.health.retries = static_cast<std::uint32_t>(1 + prng.Below(9));
  spec.stop_signal = "SIGINT";
  spec.stop_grace = Ms(prng);
  spec.replicas = static_cast<std::uint32_t>(prng.Below(100));
  spec.reserve = {static_cast<std::uint32_t>(prng.Next()), prng.Next() >> 1};
  for (auto n = prng.Below(3); n > 0; --n)
    spec.constraints.push_back({"node.labels.k", Word(prng), prng.Chance(0.5)});
  return spec;
}

TEST(StackJson, IsLosslessForAnyStack) {
  Prng prng(7);
  for (int round = 0; round < 300; ++round) {
    StackSpec stack{"shop", {}};
    for (std::size_t i = 0, n = prng.Below(5); i < n; ++i) stack.services.push_back(RandomService(prng, i));
    const auto text = StackToJson(stack);
    const auto back = StackFromJson(text);
    ASSERT_TRUE(back) << back.error().message << "\n" << text;
    ASSERT_EQ(*back, stack) << text;
  }
}

struct Row {
  const char* service;  // the second service's fields beside its name
  const char* says;
};

TEST(StackJson, ErrorsNameThePlace) {
  const Row table[] = {
      {R"("replicas":"3")", "services[1].replicas must be a whole number"},
      {R"("replicas":-1)", "services[1].replicas must be a whole number"},
      {R"("replicas":4294967296)", "services[1].replicas must be from 0 to"},
      {R"("replica":3)", "services[1].replica is an unknown key"},
      {R"("command":"ls")", "services[1].command must be an array"},
      {R"("command":["ls",3])", "services[1].command[1] must be a string"},
      {R"("command":["a\u0000b"])", "services[1].command[0] must not hold a NUL"},
      {R"("environment":[["A"]])", "services[1].environment[0] must be [name, value]"},
      {R"("environment":[["A","1"],["B=","1"]])", "services[1].environment[1] has a name"},
      {R"("bundle":"abc")", "services[1].bundle must be null or 64"},
      {R"("ports":[{"port":70000}])", "services[1].ports[0].port must be from 1"},
      {R"("ports":[{}])", "services[1].ports[0].port must be from 1"},
      {R"("http":{"path":"x"})", "services[1].http.path must start with /"},
      {R"("health":{"kind":"ping"})", "services[1].health.kind must be none"},
      {R"("health":{"kind":"http"})", "services[1].health.path must start with /"},
      {R"("health":{"kind":"command"})", "services[1].health.command must not be empty"},
      {R"("health":{"interval_ms":0})", "services[1].health.interval_ms must be from 1"},
      {R"("constraints":[{"equal":1}])", "services[1].constraints[0].equal must be true or false"},
      {R"("reserve":[])", "services[1].reserve must be an object"},
  };
  for (const auto& row : table) {
    const auto stack = StackFromJson(std::string(R"({"name":"s","services":[{"name":"a"},{"name":"b",)") +
                                     row.service + "}]}");
    ASSERT_FALSE(stack) << row.service;
    EXPECT_EQ(stack.error().message.find(row.says), 0u) << stack.error().message;
  }
}

TEST(StackJson, RefusesWhatIsNoStack) {
  for (const auto* text : {"", "null", "[]", "{", "{}", R"({"name":"s"})", R"({"name":"s","services":{}})",
                           R"({"name":"s","services":[1]})", R"({"name":"s","services":[{}]})",
                           R"({"name":"s","services":[{"name":"b"},{"name":"a"}]})",
                           R"({"name":"s","services":[{"name":"a"},{"name":"a"}]})"}) {
    EXPECT_FALSE(StackFromJson(text)) << text;
  }
  EXPECT_FALSE(StackFromJson(std::string(100000, '[')));
}

TEST(StampText, RoundTripsAndRefusesGarbage) {
  Stamp stamp{1'732'263'371'000, 3, {}};
  stamp.node.bytes.fill(0xab);
  EXPECT_EQ(*ParseStamp(StampText(stamp)), stamp);
  for (const auto* text :
       {"", "-", "--", "1-2", "1-2-3", "x-2-abababababababababababababababab",
        "1-99999999999-abababababababababababababababab", "1-2-abababababababababababababababab-"}) {
    EXPECT_FALSE(ParseStamp(text)) << text;
  }
}

}  // namespace
}  // namespace hs
