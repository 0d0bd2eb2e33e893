#include "sim/scenario.h"

#include <algorithm>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <vector>

#include "core/intent/desired.h"
#include "sim/checkers.h"
#include "sim/fragment_checkers.h"
#include "sim/garbage.h"
#include "sim/scenario_words.h"
#include "sim/traffic.h"
#include "sim/world.h"

namespace hs::sim {
namespace {

using Words = std::vector<std::string>;

Words Split(std::string_view line) {
  Words words;
  std::istringstream stream{std::string(line.substr(0, line.find('#')))};
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

std::string Seconds(Time time) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f", ToSeconds(time.time_since_epoch()) - 3600);
  return text;
}

// Gathers what nodes say between two commands.
class Chronicle : public Watcher {
 public:
  void OnOutput(Time now, const Host& host, const Output& output) override {
    const auto* emit = std::get_if<EmitEvent>(&output);
    if (emit == nullptr) return;
    auto& line = lines_[{emit->event.kind, emit->event.subject}];
    if (line.sayers.empty()) {
      line.first = now;
      line.number = next_++;
      line.cause = emit->event.cause;
      line.who = host.meta.name;
    }
    line.sayers.insert(host.index);
  }

  std::string Take() {
    std::map<std::uint64_t, std::string> ordered;
    for (const auto& [about, line] : lines_) {
      const std::string who =
          line.sayers.size() == 1 ? line.who : std::to_string(line.sayers.size()) + " nodes";
      ordered[line.number] = "  " + Seconds(line.first) + " " + who + ": " + about.first + " " +
                             about.second + ": " + line.cause + "\n";
    }
    lines_.clear();
    std::string text;
    for (const auto& [number, line] : ordered) text += line;
    return text;
  }

 private:
  struct Line {
    Time first;
    std::uint64_t number = 0;
    std::string cause;
    std::string who;
    std::set<HostIndex> sayers;
  };
  std::map<std::pair<std::string, std::string>, Line> lines_;
  std::uint64_t next_ = 0;
};

class Runner {
 public:
  Runner();
  Result<ScenarioResult> Run(std::string_view text);

 private:
  using Command = std::function<Result<void>(const Words&)>;
  void AddLife();
  void AddPeople();
  void AddWires();
  Result<void> Setup(const Words& words);
  Result<HostIndex> Box(const std::string& name) const;
  Result<void> ForBoxes(const Words& words, const std::function<void(HostIndex)>& action);
  Result<void> Deploy(const Words& words);
  Result<void> Write(std::vector<std::pair<std::string, DocumentBody>> documents);
  Result<void> Partition(const Words& words);
  Result<void> Converge(const Words& words);
  Result<void> Show(const Words& words);
  void ShowLinks(const NodeView& view);
  NodeView ViewOf(HostIndex index) const { return world_->host(index).node->View({world_->now(), 0}); }
  Result<HostIndex> AnyRunning() const;
  void MakeWorld();

  WorldOptions options_;
  std::unique_ptr<World> world_;
  std::unique_ptr<SafetyChecker> safety_;
  std::unique_ptr<AllotmentChecker> allotments_;
  std::unique_ptr<SingletonChecker> singletons_;
  std::vector<std::unique_ptr<Traffic>> traffic_;
  Chronicle chronicle_;
  std::map<std::string, Command> commands_;
  std::string transcript_;
  std::uint64_t version_ = 0;
  bool passed_ = true;
};

Runner::Runner() {
  options_.seed = 1;
  for (const char* name : {"boxes", "seed", "latency", "set"}) {
    commands_[name] = [this](const Words& words) { return Setup(words); };
  }
  commands_["run"] = [this](const Words& words) -> Result<void> {
    const auto span = ParseNanoseconds(words.size() == 2 ? words[1] : "");
    if (!span) return std::unexpected(span.error());
    world_->RunFor(Duration(*span));
    return {};
  };
  commands_["converge"] = [this](const Words& words) { return Converge(words); };
  commands_["show"] = [this](const Words& words) { return Show(words); };
  AddLife();
  AddPeople();
  AddWires();
}

void Runner::AddLife() {
  const auto each = [this](const char* name, void (World::*method)(HostIndex)) {
    commands_[name] = [this, method](const Words& words) {
      return ForBoxes(words, [&](HostIndex index) { (world_.get()->*method)(index); });
    };
  };
  each("kill-agent", &World::KillAgent);
  each("kill-box", &World::KillBox);
  each("power-off", &World::PowerOff);
  each("pause", &World::PauseAgent);
  each("resume", &World::ResumeAgent);
  each("wipe", &World::WipeDisk);
  each("renumber", &World::Renumber);
  each("fill-disk", &World::FillDisk);
  each("free-disk", &World::FreeDisk);
  each("start", &World::StartAgent);
  for (const auto& [name, scatter] :
       {std::pair{"garbage", &ScatterGarbage}, std::pair{"stale-plans", &TellStalePlans}}) {
    commands_[name] = [this, scatter = scatter](const Words&) -> Result<void> {
      Prng prng(options_.seed);
      scatter(*world_, prng);
      return {};
    };
  }
  commands_["power-on"] = [this](const Words& words) {
    return ForBoxes(words, [&](HostIndex index) {
      world_->PowerOn(index);
      world_->StartAgent(index);
    });
  };
  commands_["exit"] = [this](const Words& words) -> Result<void> {
    for (HostIndex i = 0; words.size() == 2 && i < world_->size(); ++i) {
      for (const auto& [id, process] : world_->host(i).processes) {
        if (!process.alive || process.spec.name != words[1]) continue;
        world_->EndProcess(i, id, 1, 0);
        return {};
      }
    }
    return BadInput("no replica of that service runs");
  };
}

void Runner::AddPeople() {
  commands_["deploy"] = [this](const Words& words) { return Deploy(words); };
  commands_["scale"] = [this](const Words& words) -> Result<void> {
    const std::size_t equals = words.size() == 2 ? words[1].find('=') : std::string::npos;
    if (equals == std::string::npos) return BadInput("write: scale SERVICE=N");
    const auto count = ParseNumber(words[1].substr(equals + 1));
    if (!count) return std::unexpected(count.error());
    const std::string service = words[1].substr(0, equals);
    return Write({{ScaleKey(service), ScaleOverride{service, static_cast<std::uint32_t>(*count)}}});
  };
  // Requests to one service, of which a replica answers 100 a second.
  commands_["load"] = [this](const Words& words) -> Result<void> {
    const std::size_t equals = words.size() > 1 ? words[1].find('=') : std::string::npos;
    const auto span = ParseNanoseconds(words.size() > 2 ? words[2] : "2h");
    if (equals == std::string::npos || !span) return BadInput("write: load SERVICE=PER_SECOND [60s]");
    const auto rate = ParseNumber(words[1].substr(equals + 1));
    if (!rate) return std::unexpected(rate.error());
    TrafficOptions of{.service = words[1].substr(0, equals), .rate = {}};
    of.rate.assign(static_cast<std::size_t>(Duration(*span) / 1s), static_cast<double>(*rate));
    traffic_.push_back(std::make_unique<Traffic>(*world_, Prng(options_.seed), std::move(of)));
    traffic_.back()->Start();
    return {};
  };
  commands_["remove"] = [this](const Words& words) -> Result<void> {
    const auto host = AnyRunning();
    if (!host || words.size() != 2) return BadInput("write: remove STACK");
    Documents documents;
    for (const Document& document : ViewOf(*host).documents) documents[document.key] = document;
    return Write(RemoveStackWrites(documents, words[1]));
  };
  for (const bool drain : {true, false}) {
    commands_[drain ? "drain" : "undrain"] = [this, drain](const Words& words) -> Result<void> {
      const auto box = Box(words.size() == 2 ? words[1] : "");
      if (!box) return std::unexpected(box.error());
      const NodeId node = world_->host(*box).disk.node;
      DocumentBody body;
      if (drain) body = DrainOrder{node};
      return Write({{DrainKey(node), std::move(body)}});
    };
  }
  commands_["leave"] = [this](const Words& words) {
    return ForBoxes(words, [&](HostIndex index) { world_->Leave(index); });
  };
  commands_["expel"] = [this](const Words& words) -> Result<void> {
    const auto box = Box(words.size() == 2 ? words[1] : "");
    if (!box) return std::unexpected(box.error());
    return Write({{NodeKey(world_->host(*box).disk.node), std::monostate{}}});
  };
}

void Runner::AddWires() {
  commands_["cut"] = [this](const Words& words) -> Result<void> {
    const auto from = Box(words.size() == 3 ? words[1] : "");
    const auto to = Box(words.size() == 3 ? words[2] : "");
    if (!from || !to) return BadInput("write: cut nI nJ");
    world_->CutWires({{*from, *to}});
    return {};
  };
  commands_["partition"] = [this](const Words& words) { return Partition(words); };
  commands_["mend"] = [this](const Words&) -> Result<void> {
    world_->MendWires();
    return {};
  };
  for (const bool lag : {false, true}) {
    commands_[lag ? "lag" : "skew"] = [this, lag](const Words& words) -> Result<void> {
      const auto box = Box(words.size() == 3 ? words[1] : "");
      const auto span = ParseNanoseconds(words.size() == 3 ? words[2] : "");
      if (!box || !span) return BadInput("write: skew nI 1h, lag nI 300ms");
      Host& host = world_->host(*box);
      if (lag) host.lag_ms = static_cast<float>(ToMs(Duration(*span)));
      if (!lag) host.wall_skew = Duration(*span);
      return {};
    };
  }
  commands_["loss"] = [this](const Words& words) -> Result<void> {
    if (words.size() != 2) return BadInput("write: loss 0.1");
    world_->network().options().loss = std::strtod(words[1].c_str(), nullptr);
    return {};
  };
}

Result<void> Runner::Setup(const Words& words) {
  if (world_) return BadInput(words[0] + " must come before everything else");
  if (words.size() < 2) return BadInput(words[0] + " needs a value");
  if (words[0] == "latency") {
    const auto low = ParseNanoseconds(words[1]);
    const auto high = ParseNanoseconds(words.size() > 2 ? words[2] : words[1]);
    if (!low || !high || *low > *high) return BadInput("write: latency 100us 1ms");
    options_.network.latency_min = Duration(*low);
    options_.network.latency_max = Duration(*high);
    return {};
  }
  if (words[0] == "set") return SetTunable(options_.tunables, words[1], words.size() > 2 ? words[2] : "");
  const auto number = ParseNumber(words[1]);
  if (!number) return std::unexpected(number.error());
  if (words[0] == "seed") {
    options_.seed = *number;
    return {};
  }
  if (*number < 1 || *number > 1000) return BadInput("boxes must be from 1 to 1000");
  options_.hosts = *number;
  if (words.size() > 3 && words[2] == "zones") options_.zones.assign(words.begin() + 3, words.end());
  return {};
}

void Runner::MakeWorld() {
  world_ = std::make_unique<World>(options_);
  safety_ = std::make_unique<SafetyChecker>(*world_);
  world_->Watch(safety_.get());
  allotments_ = std::make_unique<AllotmentChecker>(*world_);
  world_->Watch(allotments_.get());
  singletons_ = std::make_unique<SingletonChecker>(*world_);
  world_->Watch(singletons_.get());
  world_->Watch(&chronicle_);
}

Result<HostIndex> Runner::Box(const std::string& name) const {
  const auto number = name.starts_with('n') ? ParseNumber(name.substr(1)) : BadInput("");
  if (!number || *number >= world_->size()) return BadInput("there is no box '" + name + "'");
  return *number;
}

// Who is refused for a full disk turns to another box.
Result<HostIndex> Runner::AnyRunning() const {
  for (const bool full : {false, true}) {
    for (HostIndex i = 0; i < world_->size(); ++i) {
      if (world_->host(i).Thinking() && world_->host(i).disk_full == full) return i;
    }
  }
  return BadInput("no agent runs");
}

Result<void> Runner::ForBoxes(const Words& words, const std::function<void(HostIndex)>& action) {
  if (words.size() == 2 && words[1] == "all") {
    for (HostIndex i = 0; i < world_->size(); ++i) {
      action(i);
      world_->RunFor(50ms);
    }
    return {};
  }
  if (words.size() < 2) return BadInput(words[0] + " needs the names of boxes");
  for (std::size_t i = 1; i < words.size(); ++i) {
    const auto box = Box(words[i]);
    if (!box) return std::unexpected(box.error());
    action(*box);
  }
  return {};
}

Result<void> Runner::Deploy(const Words& words) {
  if (words.size() < 3) return BadInput("write: deploy STACK SERVICE=N ...");
  StackSpec stack{words[1], {}};
  ++version_;
  for (std::size_t i = 2; i < words.size(); ++i) {
    auto service = ParseService(words[i]);
    if (!service) return std::unexpected(service.error());
    service->environment.emplace_back("VERSION", std::to_string(version_));
    stack.services.push_back(std::move(*service));
  }
  const auto host = AnyRunning();
  if (!host) return std::unexpected(host.error());
  Documents documents;
  for (const Document& document : ViewOf(*host).documents) documents[document.key] = document;
  if (auto allowed = CheckDeploy(documents, stack); !allowed) return allowed;
  return Write(DeployWrites(documents, stack, world_->tunables().revisions_kept));
}

Result<void> Runner::Write(std::vector<std::pair<std::string, DocumentBody>> documents) {
  const auto host = AnyRunning();
  if (!host) return std::unexpected(host.error());
  bool answered = false;
  world_->Write(*host, std::move(documents), [this, &answered](Result<Stamp> result) {
    answered = true;
    transcript_ += "  " + Seconds(world_->now()) +
                   (result ? " acknowledged\n" : " not acknowledged: " + result.error().message + "\n");
  });
  // As a person would: nothing else is typed before the answer.
  world_->RunUntilTrue(
      10s, [&] { return answered; }, 1ms);
  return answered ? Result<void>() : BadInput("the agent ended before it answered");
}

Result<void> Runner::Partition(const Words& words) {
  std::vector<int> side(world_->size(), 0);
  int number = 1;
  for (std::size_t i = 1; i < words.size(); ++i) {
    if (words[i] == "|") {
      ++number;
      continue;
    }
    const auto box = Box(words[i]);
    if (!box) return std::unexpected(box.error());
    side[*box] = number;
  }
  std::vector<std::pair<HostIndex, HostIndex>> cuts;
  for (HostIndex a = 0; a < side.size(); ++a) {
    for (HostIndex b = 0; b < side.size(); ++b) {
      if (side[a] != side[b]) cuts.emplace_back(a, b);
    }
  }
  world_->CutWires(cuts);
  return {};
}

Result<void> Runner::Converge(const Words& words) {
  const auto limit = ParseNanoseconds(words.size() == 2 ? words[1] : "");
  if (!limit) return std::unexpected(limit.error());
  if (world_->RunUntilTrue(Duration(*limit), [&] { return Converged(*world_); })) {
    transcript_ += chronicle_.Take() + "  " + Seconds(world_->now()) + " converged\n";
    return {};
  }
  passed_ = false;
  transcript_ += chronicle_.Take() + "  NOT converged:\n";
  for (const std::string& reason : NotConverged(*world_)) transcript_ += "    " + reason + "\n";
  return {};
}

Result<void> Runner::Show(const Words& words) {
  const auto host = words.size() > 2 ? Box(words[2]) : AnyRunning();
  if (!host || words.size() < 2) return BadInput("write: show members|replicas|links|parts|status [nI]");
  if (!world_->host(*host).Running()) return BadInput(words[2] + " has no agent");
  const NodeView view = ViewOf(*host);
  if (words[1] == "members") {
    for (HostIndex i = 0; i < world_->size(); ++i) {
      for (const Member& member : view.members) {
        if (member.id != world_->host(i).disk.node) continue;
        transcript_ += "  " + member.meta->name + " " + ToString(member.state) + RolesText(member) + "\n";
      }
    }
  } else if (words[1] == "replicas") {
    for (HostIndex i = 0; i < world_->size(); ++i) {
      for (const auto& [id, process] : world_->host(i).processes) {
        transcript_ += "  " + world_->host(i).meta.name + " " + ReplicaName(process.spec.name, id) +
                       (process.alive ? (process.Answers(world_->now()) ? " answers" : " runs") : " ended") +
                       "\n";
      }
    }
  } else if (words[1] == "links") {
    ShowLinks(view);
  } else if (words[1] == "parts") {
    for (HostIndex i = 0; i < world_->size(); ++i) {
      const Host& box = world_->host(i);
      for (const Allotment& part : box.Running() ? box.node->Held() : std::vector<Allotment>{})
        transcript_ +=
            "  " + box.meta.name + " holds " + std::to_string(part.amount) + " of " + part.subject + "\n";
    }
  } else {
    transcript_ += std::string("  ") + (view.steady.steady ? "steady" : "not steady") + "\n";
    for (const std::string& reason : view.steady.pending) transcript_ += "  pending: " + reason + "\n";
    for (const Shortage& shortage : view.steady.shortages) {
      transcript_ += "  short: " + shortage.service + " by " + std::to_string(shortage.missing) + ": " +
                     shortage.reason + "\n";
    }
  }
  return {};
}

void Runner::ShowLinks(const NodeView& view) {
  const auto name = [this](NodeId id) { return world_->host(world_->IndexOf(id)).meta.name; };
  std::set<std::string> lines;
  for (const LinkView& link : view.links) {
    std::string line = "  " + name(link.from) + " to " + name(link.to);
    for (std::size_t i = 0; i < link.relays.size(); ++i)
      line += (i == 0 ? " through " : " and ") + name(link.relays[i]);
    if (link.relays.empty()) line += " directly";
    if (link.one_way) line += ", hears it directly";
    lines.insert(line + "\n");
  }
  for (const std::string& line : lines) transcript_ += line;
}

Result<ScenarioResult> Runner::Run(std::string_view text) {
  std::istringstream lines{std::string(text)};
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    const Words words = Split(line);
    if (words.empty()) continue;
    const auto command = commands_.find(words[0]);
    if (command == commands_.end()) {
      return BadInput("line " + std::to_string(number) + ": there is no command '" + words[0] + "'");
    }
    const bool setup =
        words[0] == "boxes" || words[0] == "seed" || words[0] == "latency" || words[0] == "set";
    if (!setup && !world_) MakeWorld();
    transcript_ += line + "\n";
    if (auto done = command->second(words); !done) {
      return BadInput("line " + std::to_string(number) + ": " + done.error().message);
    }
    if (world_) transcript_ += chronicle_.Take();
  }
  if (safety_) {
    for (const auto* violations :
         {&safety_->violations(), &allotments_->violations(), &singletons_->violations()}) {
      for (const std::string& violation : *violations) {
        passed_ = false;
        transcript_ += "VIOLATION " + violation + "\n";
      }
    }
  }
  return ScenarioResult{transcript_, passed_};
}

}  // namespace

Result<ScenarioResult> RunScenario(std::string_view text) { return Runner().Run(text); }

}  // namespace hs::sim
