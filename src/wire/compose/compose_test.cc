#include "wire/compose/compose.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "base/prng.h"
#include "wire/codec.h"

namespace hs {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

const ComposeOptions kOptions{{{"TAG", "v7"}, {"EMPTY", ""}, {"PORT", "1"}, {"HOST", "h"}}, "My_Shop.2"};

Result<ComposeFile> Parse(const std::string& text) { return ParseCompose(text, "c.yaml", kOptions); }

// One service `a` with these lines below its command.
std::string Service(const std::string& lines) {
  std::string text = "services:\n  a:\n    command: run\n";
  std::istringstream stream(lines);
  for (std::string line; std::getline(stream, line);) text += "    " + line + "\n";
  return text;
}

ServiceSpec Spec(const std::string& lines) {
  const auto file = Parse(Service(lines));
  EXPECT_TRUE(file) << file.error().message;
  return file ? file->stack.services.at(0) : ServiceSpec{};
}

std::string Why(const std::string& text) {
  const auto file = Parse(text);
  return file ? "accepted" : file.error().message;
}

// --------------------------------------------------------------------------------------------------- what
// works

TEST(Compose, ReadsEveryKey) {
  const auto file = Parse(R"(
name: shop
version: "3.8"
services:
  web:
    x-process: {bundle: ./web, command: [nginx, -g, "daemon off;"]}
    environment: {B: two, A: 1}
    working_dir: public
    user: 1000:1000
    ports: ["8080:80", "81/tcp", {target: 80, published: 82, app_protocol: http}]
    x-http: {host: Shop.Example, path: /s}
    x-health: {http: /healthz, interval: 1s, timeout: 500ms}
    stop_signal: INT
    stop_grace_period: 1m30s
    deploy:
      replicas: 3
      resources: {reservations: {cpus: "0.25", memory: 64m}}
      placement: {constraints: [node.labels.zone == eu, node.hostname!=b1]}
  api: {command: "python3 'a b.py' --x=\"1 2\""}
)");
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->stack.name, "shop");
  ASSERT_EQ(file->stack.services.size(), 2u);
  EXPECT_EQ(file->stack.services[0].name, "api") << "services are sorted";
  EXPECT_THAT(file->stack.services[0].command, ElementsAre("python3", "a b.py", "--x=1 2"));
  ServiceSpec web{
      .name = "web", .command = {"nginx", "-g", "daemon off;"}, .environment = {{"A", "1"}, {"B", "two"}}};
  web.working_dir = "public";
  web.user = "1000:1000";
  web.ports = {{8080, false}, {81, false}, {82, true}};
  web.http = HttpRoute{"shop.example", "/s"};
  web.health = {.kind = HealthKind::kHttp, .path = "/healthz", .interval = 1s, .timeout = 500ms};
  web.stop_signal = "SIGINT";
  web.stop_grace = 90s;
  web.replicas = 3;
  web.reserve = {250, 64 << 20};
  web.constraints = {{"node.labels.zone", "eu", true}, {"node.hostname", "b1", false}};
  EXPECT_EQ(file->stack.services[1], web);
  ASSERT_EQ(file->bundles.count("web"), 1u);
  EXPECT_EQ(file->bundles.at("web").directory, "./web");
  EXPECT_EQ(file->bundles.at("web").place, "c.yaml:6:17: services.web.x-process.bundle");
  EXPECT_THAT(file->warnings, ElementsAre(HasSubstr("c.yaml:3:1: version: is obsolete")));
}

TEST(Compose, WhatItAcceptsTheWireAcceptsToo) {
  const auto file = Parse(Service("user: a\nports: [80]\nx-http: {path: /}\ndeploy: {replicas: 100000}"));
  ASSERT_TRUE(file);
  const auto back = DecodeDocumentBody(EncodeDocumentBody(DocumentBody(file->stack)));
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(std::get<StackSpec>(*back), file->stack);
}

TEST(Compose, TheExampleParses) {
  std::ifstream stream(std::string(HS_EXAMPLES_DIR) + "/shop/compose.yaml");
  std::stringstream text;
  text << stream.rdbuf();
  const auto file = ParseCompose(text.str(), "compose.yaml");
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_THAT(file->warnings, IsEmpty());
  ASSERT_EQ(file->stack.services.size(), 2u);
  EXPECT_EQ(file->stack.services[0].replicas, 3u);
  EXPECT_EQ(file->bundles.at("web").directory, "web");
}

TEST(Compose, TheStackIsNamedAfterItsDirectoryWhenItSaysNothing) {
  EXPECT_EQ(Parse(Service(""))->stack.name, "myshop2");
  EXPECT_THAT(ParseCompose(Service(""), "c.yaml").error().message, HasSubstr("give one with `name:`"));
}

TEST(Compose, HealthOfEveryForm) {
  struct Row {
    const char* lines;
    HealthKind kind;
    std::vector<std::string> command;
    const char* why;
  };
  const Row rows[] = {
      {"", HealthKind::kTcp, {}, "an app listens on its PORT, so that is asked when nothing is said"},
      {"x-health: {tcp: true}", HealthKind::kTcp, {}, "said outright"},
      {"healthcheck: {test: curl localhost}",
       HealthKind::kCommand,
       {"/bin/sh", "-c", "curl localhost"},
       "text: shell"},
      {"healthcheck: {test: [CMD, a, b]}", HealthKind::kCommand, {"a", "b"}, "argv, no shell"},
      {"healthcheck: {test: [CMD-SHELL, a b]}",
       HealthKind::kCommand,
       {"/bin/sh", "-c", "a b"},
       "shell, said outright"},
      {"healthcheck: {test: [NONE]}", HealthKind::kNone, {}, "off"},
      {"healthcheck: {disable: true}", HealthKind::kNone, {}, "off"},
  };
  for (const Row& row : rows) {
    const ServiceSpec spec = Spec(row.lines);
    EXPECT_EQ(spec.health.kind, row.kind) << row.why;
    EXPECT_EQ(spec.health.command, row.command) << row.why;
  }
  const HealthCheck health =
      Spec("healthcheck: {test: x, interval: 1m, timeout: 1.5s, start_period: 2h, retries: 9}").health;
  EXPECT_EQ(health.interval, 60s);
  EXPECT_EQ(health.timeout, 1500ms);
  EXPECT_EQ(health.start_period, 2h);
  EXPECT_EQ(health.retries, 9u);
}

TEST(Compose, FillsInVariablesAsComposeDoes) {
  struct Row {
    const char* text;
    const char* value;
    const char* why;
  };
  const Row rows[] = {
      {"$TAG-${TAG}", "v7-v7", "both forms"},
      {"$$TAG $$$$", "$TAG $$", "a doubled dollar is one"},
      {"${NO:-d}${EMPTY:-e}${EMPTY-f}${NO-g}", "deg", "only :- replaces what is set but empty"},
      {"${NO:-${TAG}x}", "v7x", "defaults are filled in too"},
      {"${TAG:+y}${NO:+z}${EMPTY+w}", "yw", ":+ stands in for what is set"},
      {"${TAG:?must}", "v7", "a required variable that is there"},
      {"$PORT ${PORT} ${HOST} ${HOMEOSTAT_DOOR}", "$PORT ${PORT} ${HOST} ${HOMEOSTAT_DOOR}",
       "each replica has its own: left alone, although the caller has variables of that name"},
      {"${PORT:-80}", "${PORT}", "every replica has one, so the default is never needed"},
      {"[$NO]", "[]", "nothing takes the place of what is not set"},
  };
  for (const Row& row : rows) {
    const ServiceSpec spec = Spec(std::string("environment: {X: '") + row.text + "'}");
    EXPECT_THAT(spec.environment, ElementsAre(Pair("X", row.value))) << row.why;
  }
  EXPECT_THAT(Parse(Service("working_dir: a$NO"))->warnings,
              ElementsAre(HasSubstr("the variable NO is not set")));
}

TEST(Compose, EnvironmentAsListAndPassedOn) {
  const auto file = Parse(Service("environment: [B=2, A=x=y, TAG, NO]"));
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_THAT(file->stack.services[0].environment,
              ElementsAre(Pair("A", "x=y"), Pair("B", "2"), Pair("TAG", "v7")));
  EXPECT_THAT(file->warnings, ElementsAre(HasSubstr("the service does not get it")));
}

TEST(Compose, MergesTemplates) {
  const auto file = Parse(R"(
x-base: &base
  command: run
  environment: {A: base}
x-more: &more {user: u, working_dir: w}
services:
  a: {<<: [*base, *more], user: own}
  b: {<<: *base}
)");
  ASSERT_TRUE(file) << file.error().message;
  const ServiceSpec& a = file->stack.services[0];
  EXPECT_THAT(a.command, ElementsAre("run"));
  EXPECT_EQ(a.user, "own") << "what the service says itself wins";
  EXPECT_EQ(a.working_dir, "w");
  EXPECT_THAT(file->stack.services[1].environment, ElementsAre(Pair("A", "base")));
}

TEST(Compose, LimitsStandInForReservations) {
  const auto file =
      Parse(Service("deploy: {resources: {limits: {cpus: 2, memory: 1gb}, reservations: {cpus: 0.5}}}"));
  ASSERT_TRUE(file);
  EXPECT_EQ(file->stack.services[0].reserve, (Resources{500, std::uint64_t{1} << 30}));
  EXPECT_THAT(file->warnings, ElementsAre(HasSubstr("not enforced")));
}

// ------------------------------------------------------------------------------------------------ what does
// not

TEST(Compose, SaysWhereAndWhatIsWrong) {
  struct Row {
    const char* lines;  // below `services: a: command: run`, so line 4 is the first and columns begin at 5
    const char* error;
    const char* why;
  };
  const Row rows[] = {
      {"image: nginx", "c.yaml:4:5: services.a.image: is not supported: needs a later release; use x-process",
       "a hint"},
      {"volumes: [a:b]", "c.yaml:4:5: services.a.volumes: is not supported", "nothing is silently ignored"},
      {"foo: 1", "c.yaml:4:5: services.a.foo: is not supported", "unknown to Compose too"},
      {"enviroment: {}", "did you mean environment?", "a slip of the finger"},
      {"x-foo: 1", "services.a.x-foo: is not supported", "an x- key may be meant for us"},
      {"command: again", "c.yaml:4:5: command: the key is there twice",
       "YAML forbids it, many readers do not"},
      {"x-process: {command: b}", "c.yaml:4:17: services.a.x-process.command: the command is given twice",
       "which one?"},
      {"deploy:\n  replicas: many",
       "c.yaml:5:7: services.a.deploy.replicas: must be a whole number, not \"many\"", "type"},
      {"deploy: {replicas: -1}", "must be between 0 and 100000", "range"},
      {"deploy: {replicas: 99999999999999999999}", "must be between 0 and 100000", "does not fit 64 bits"},
      {"deploy: {replicas: 1.5}", "must be a whole number", "no half replicas"},
      {"deploy: [a]", "services.a.deploy: must be a mapping, not a list", "shape"},
      {"deploy: {update_config: {}}",
       "services.a.deploy.update_config: is not supported: one replica at a time", "hint"},
      {"deploy: {resources: {limits: {cpus: 1}, reservations: {cpus: 2}}}", "is less than what is reserved",
       "relation"},
      {"deploy: {resources: {limits: {memory: lots}}}", "\"lots\" is not a size", "size"},
      {"deploy: {resources: {limits: {pids: 3}}}", "limits.pids: is not supported", "deep keys too"},
      {"deploy: {placement: {constraints: [node.role == manager]}}",
       "services.a.deploy.placement.constraints[0]: node.role is not supported", "there are no managers"},
      {"deploy: {placement: {constraints: [zone]}}", "must be `LABEL == VALUE`", "form"},
      {"deploy: {placement: {constraints: [engine.labels.x == 1]}}", "must be about node.labels.KEY",
       "Docker only"},
      {"ports: [\"127.0.0.1:80:80\"]", "services.a.ports[0]: a host address is not supported",
       "one door address"},
      {"ports: [\"53:53/udp\"]", "services.a.ports[0]: udp is not supported", "doors carry TCP"},
      {"ports: [\"80-90:80\"]", "port ranges are not supported", "said, not guessed"},
      {"ports: [\"0:80\"]", "a port is a number from 1 to 65535", "range"},
      {"ports: [\"70000\"]", "a port is a number from 1 to 65535", "range"},
      {"ports: [\"80:80\", {published: 80}]", "c.yaml:4:22: services.a.ports[1]: port 80 is published twice",
       "twice"},
      {"ports: [{published: 80, host_ip: 0.0.0.0}]", "host_ip: is not supported", "one door address"},
      {"ports: {a: 1}", "services.a.ports: must be a list, not a mapping", "shape"},
      {"environment: [A=1, A=2]", "services.a.environment[1]: the variable is there twice", "which one?"},
      {"environment: {PORT: 80}", "services.a.environment.PORT: is set by homeostat",
       "each replica gets its own"},
      {"environment: {A: {b: c}}", "services.a.environment.A: must be text, not a mapping", "shape"},
      {"environment: {A: \"${NO:?set it}\"}", "the variable NO is not set: set it",
       "the caller asked for the error"},
      {"environment: {A: \"a $ b\"}", "write $$ for a dollar sign", "Compose refuses it too"},
      {"environment: {A: \"${A\"}", "${ is not closed", "form"},
      {"stop_signal: SIGSEGV", "\"SIGSEGV\" is not a signal that can ask", "a crash is no request"},
      {"stop_grace_period: 10", "\"10\" is not a duration such as 500ms", "10 what?"},
      {"stop_grace_period: 48h", "must be between 0 ms and 86400000 ms", "range"},
      {"user: \"a b\"", "services.a.user: is not a user's name", "characters"},
      {"healthcheck: {interval: 1s}", "services.a.healthcheck: has no test", "there is no image to have one"},
      {"healthcheck: {test: [curl, x]}", "[CMD, program, ...]", "Compose refuses it too"},
      {"healthcheck: {test: x, interval: 1ms}", "must be between 100 ms", "would burn the box"},
      {"healthcheck: {test: x, retries: 0}", "must be between 1 and 1000", "never unhealthy, or always?"},
      {"healthcheck: {test: x}\nx-health: {tcp: true}",
       "c.yaml:5:5: services.a.x-health: health is described twice", "which one?"},
      {"x-health: {http: healthz}", "must be a path that begins with /", "form"},
      {"x-health: {}", "needs either", "nothing said"},
      {"x-health: {http: /, tcp: true}", "needs either", "both said"},
      {"x-health: {tcp: \"true\"}", "must be true or false", "text is not a truth value"},
      {"x-http: {host: \"a b\"}", "is not a host's name", "characters"},
      {"x-http: {path: \"/a b\"}", "must be a path that begins with / and has no spaces", "characters"},
      {"x-process: {bundle: }", "services.a.x-process.bundle: must be text, not nothing", "forgotten"},
  };
  for (const Row& row : rows) EXPECT_THAT(Why(Service(row.lines)), HasSubstr(row.error)) << row.why;
}

TEST(Compose, RefusesFilesThatAreWrongAsAWhole) {
  struct Row {
    std::string text;
    const char* error;
    const char* why;
  };
  const Row rows[] = {
      {"", "c.yaml:1:1: the file is empty", "nothing to deploy"},
      {"a: [", "c.yaml:", "broken YAML"},
      {"- a", "c.yaml:1:1: must be a mapping, not a list", "shape"},
      {"services: {}", "c.yaml:1:1: services: is empty", "a stack of nothing would remove everything"},
      {"name: x", "has no services", "nothing to deploy"},
      {"services: {a: }", "services.a: must be a mapping, not nothing", "shape"},
      {"services: {a: {user: x}}", "services.a: has no command", "nothing to run"},
      {"services: {Web: {command: x}}", "services.Web: a service's name must be a-z", "becomes a host name"},
      {"name: A\nservices: {a: {command: x}}", "c.yaml:1:1: name: must be a-z", "name"},
      {"services: {a: {command: x}}\nvolumes: {}", "c.yaml:2:1: volumes: is not supported", "top level too"},
      {"services: {a: {command: x}}\nx-common: {}", "x-common: is not supported",
       "no template: has no anchor"},
      {"services: {a: {command: x}}\n---\nb: c", "only one YAML document", "the second would be lost"},
      {"services: {a: {command: x, ports: [80]}, b: {command: x, ports: [80]}}",
       "port 80 is published by a too", "one door"},
      {"services: {a: {command: x, x-http: {}}, b: {command: x, x-http: {}}}", "a has the same host and path",
       "which?"},
      {"services: {a: {command: \"it's\"}}", "services.a.command: a quote ' is not closed", "form"},
      {"services: {a: {command: []}}", "services.a.command: names no program", "nothing to run"},
      {"a: &x [*x]", "the alias stands inside what it refers to", "endless"},
      {"a: *x", "c.yaml:1:", "an alias of nothing"},
      {"a: !!binary x", "the tag", "would need decoding"},
      {"? [a]\n: b", "a key must be plain text", "no path could name it"},
      {"services: {a: {<<: x, command: y}}", "<< takes a mapping", "form"},
      {std::string("services: {a: {command: \"\xff\"}}"), "c.yaml:", "not UTF-8"},
      {std::string(kComposeBytesMax + 1, ' '), "at most 1048576", "size"},
  };
  for (const Row& row : rows) EXPECT_THAT(Why(row.text), HasSubstr(row.error)) << row.why;
}

TEST(Compose, AllProblemsComeAtOnceInTheFilesOrder) {
  std::string text =
      "services:\n  a:\n    image: x\n    deploy: {replicas: x}\n  b: {command: c, user: ''}\nfoo: 1\n";
  EXPECT_EQ(Why(text),
            "c.yaml:2:3: services.a: has no command; give x-process.command or command\n"
            "c.yaml:3:5: services.a.image: is not supported: needs a later release; use x-process with a "
            "bundle and a "
            "command\n"
            "c.yaml:4:14: services.a.deploy.replicas: must be a whole number, not \"x\"\n"
            "c.yaml:5:19: services.b.user: is empty\n"
            "c.yaml:6:1: foo: is not supported");
  text = "services: {a: {command: x}}\n";
  for (int i = 0; i < 30; ++i) text += "k" + std::to_string(i) + ": 1\n";
  const std::string why = Why(text);
  EXPECT_EQ(std::count(why.begin(), why.end(), '\n'), 20);
  EXPECT_THAT(why, HasSubstr("c.yaml: and 10 more"));
}

TEST(Compose, BombsAreRefused) {
  std::string text = "x-0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 9; ++i) {
    text += "x-" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int j = 0; j < 10; ++j) text += "*a" + std::to_string(i - 1) + (j < 9 ? ", " : "]\n");
  }
  EXPECT_THAT(Why(text), HasSubstr("unfolds to more than 100000 nodes"));
  EXPECT_THAT(Why(std::string(100'000, '[')), HasSubstr("c.yaml:"));
  EXPECT_THAT(Why("a: " + std::string(65, '[') + std::string(65, ']')), HasSubstr("nested too deeply"));
  std::string nested = "x";
  for (int i = 0; i < 30; ++i) nested = "${A:-" + nested + "}";
  EXPECT_THAT(Why(Service("user: '" + nested + "'")), HasSubstr("nested too deeply"));
}

TEST(Compose, DamagedFilesAreRefusedOrSound) {
  const std::string good = Service(
      "environment: {A: '${TAG:-x}'}\nports: ['80:80']\nhealthcheck: {test: [CMD, x], interval: 1m30s}\n"
      "deploy: {replicas: 3, resources: {limits: {cpus: '1', memory: 1g}}}\nx-http: {host: a.b, path: /c}");
  ASSERT_EQ(Why(good), "accepted");
  Prng prng(11);
  for (int i = 0; i < 4000; ++i) {
    std::string text = good;
    for (std::uint64_t edits = 1 + prng.Below(4); edits > 0; --edits) {
      const std::size_t at = prng.Below(text.size());
      switch (prng.Below(3)) {
        case 0:
          text[at] = static_cast<char>(prng.Next());
          break;
        case 1:
          text.erase(at, 1 + prng.Below(5));
          break;
        default:
          text.insert(at, std::string(1, "[]{}&*!|>'\"%@`:,-?#$\n\t "[prng.Below(23)]));
          break;
      }
      if (text.empty()) break;
    }
    const auto file = Parse(text);
    if (!file) {
      EXPECT_THAT(file.error().message, ::testing::StartsWith("c.yaml:"));
      continue;
    }
    const auto back = DecodeDocumentBody(EncodeDocumentBody(DocumentBody(file->stack)));
    ASSERT_TRUE(back) << back.error().message << "\n" << text;
  }
}

}  // namespace
}  // namespace hs
