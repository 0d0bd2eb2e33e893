#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "api/stack_json.h"
#include "app/cli/compose_file.h"
#include "app/cli/verbs.h"
#include "app/cli/words.h"
#include "runtime/bundle/bundle.h"
#include "wire/compose/compose.h"

namespace hs {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::seconds kShortHolds{2};  // two of the longest pauses between plans
// Doors serve another port, or say why not, some 200 ms after the deploy. None says that it is about to.
constexpr std::chrono::seconds kDoorsSettle{1};
constexpr std::chrono::seconds kDoorsHold{2};  // what doors said of the revision before is on its way out

struct DeployFlags {
  std::string file;
  std::string name;
  bool no_wait = false;
  std::string timeout = "5m";
};

// A directory for packing that goes away by itself.
class ScratchDir {
 public:
  ScratchDir() {
    std::string pattern = (fs::temp_directory_path() / "homeostat-deploy-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr)
      throw CliError("cannot make a directory under " + fs::temp_directory_path().string());
    path_ = pattern;
  }
  ~ScratchDir() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  ScratchDir(const ScratchDir&) = delete;
  ScratchDir& operator=(const ScratchDir&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

fs::path ComposePath(const DeployFlags& flags) {
  if (!flags.file.empty()) return flags.file;
  for (const char* name : {"compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"}) {
    if (fs::exists(name)) return name;
  }
  throw CliError("no compose.yaml here; name one with -f FILE");
}

ComposeFile ReadCompose(const fs::path& path) {
  auto compose = ReadComposeFile(path);
  if (!compose) throw CliError(compose.error().message);
  return *std::move(compose);
}

// Packs every bundle before anything is sent, so that a missing one changes nothing. Digest to packed file.
std::map<Digest, fs::path> PackAll(const fs::path& base, const fs::path& scratch, ComposeFile& compose) {
  std::map<Digest, fs::path> packed;
  std::map<fs::path, Digest> done;
  for (auto& service : compose.stack.services) {
    const auto source = compose.bundles.find(service.name);
    if (source == compose.bundles.end()) continue;
    const fs::path directory = (base / source->second.directory).lexically_normal();
    const auto known = done.find(directory);
    if (known != done.end()) {
      service.bundle = known->second;
      continue;
    }
    const auto bundle = PackBundle(directory, scratch / fmt::format("{}.tar.zst", done.size()));
    if (!bundle) throw CliError(fmt::format("{}: {}", source->second.place, bundle.error().message));
    service.bundle = bundle->digest;
    packed.emplace(bundle->digest, bundle->path);
    done.emplace(directory, bundle->digest);
  }
  return packed;
}

void Upload(CliContext& context, const std::map<Digest, fs::path>& packed) {
  for (const auto& [digest, path] : packed) {
    HttpCall call;
    call.target = "/v1/bundles/" + digest.Hex();
    call.method = "HEAD";
    const auto held = context.Raw(call).status;
    if (held == 200) continue;
    call.method = "PUT";
    call.body_file = path;
    call.silence_max = std::chrono::minutes(2);
    const auto reply = context.Raw(call);
    if (reply.status != 200)
      throw CliError(fmt::format("uploading bundle {}: {}", digest.Short(), ErrorText(reply)));
  }
}

// On a terminal the lines are written over; elsewhere each is written when it changes.
class ProgressPrinter {
 public:
  explicit ProgressPrinter(bool silent) : silent_(silent), terminal_(::isatty(STDERR_FILENO) != 0) {}
  void Show(const std::vector<std::string>& lines) {
    if (silent_ || lines == shown_) return;
    if (terminal_ && !shown_.empty()) PrintError(fmt::format("\033[{}A\033[J", shown_.size()));
    for (const auto& line : lines) {
      const bool is_new = std::find(shown_.begin(), shown_.end(), line) == shown_.end();
      if (terminal_ || is_new) PrintError(fmt::format("{}\n", line));
    }
    shown_ = lines;
  }

 private:
  bool silent_;
  bool terminal_;
  std::vector<std::string> shown_;
};

// How long it must have been healthy before what is said of the doors counts.
std::chrono::seconds HoldOf(const json::value& progress) {
  if (!progress.at("warnings").as_array().empty()) return kDoorsHold;
  const auto* published = progress.as_object().if_contains("published");  // an older node does not say
  return published != nullptr && published->as_bool() ? kDoorsSettle : std::chrono::seconds(0);
}

struct Ending {
  int exit_code = 0;
  std::string reason;
  std::vector<std::string> warnings{};
};

Ending AwaitHealthy(CliContext& context, const std::string& stack, const std::string& stamp,
                    std::int64_t timeout_s) {
  ProgressPrinter printer(context.options.json);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(timeout_s);
  const std::string target = "/v1/stacks/" + PercentEncode(stack) + "/progress?stamp=" + PercentEncode(stamp);
  auto broken_since = std::chrono::steady_clock::time_point::max();
  auto short_since = broken_since;
  auto healthy_since = broken_since;
  while (true) {
    const auto now = std::chrono::steady_clock::now();
    try {
      const auto progress = ParseBody(context.Get(target));
      broken_since = std::chrono::steady_clock::time_point::max();
      std::vector<std::string> lines;
      for (const auto& line : progress.at("lines").as_array()) lines.push_back(TextOf(line));
      printer.Show(lines);
      const bool healthy = progress.at("done").as_bool();
      healthy_since = healthy ? std::min(healthy_since, now) : std::chrono::steady_clock::time_point::max();
      if (healthy && (now - healthy_since >= HoldOf(progress) || now > deadline)) {
        Ending ending;
        for (const auto& warning : progress.at("warnings").as_array())
          ending.warnings.push_back(TextOf(warning));
        if (progress.at("doorless").as_bool()) {
          ending.exit_code = 1;
          ending.reason = stack + " is healthy, but nobody can reach it: no door of the cluster works";
        }
        return ending;
      }
      if (progress.at("failed").as_bool()) return {1, Word(progress, "reason")};
      // What the controller said before it saw this revision is about an earlier one, so it has to hold.
      short_since = progress.at("short").as_bool() ? std::min(short_since, now)
                                                   : std::chrono::steady_clock::time_point::max();
      if (progress.at("short").as_bool() && now - short_since > kShortHolds) {
        if (progress.at("stopped").as_bool()) return {1, Word(progress, "reason")};
        return {2, "accepted, but cannot be placed now: " + Word(progress, "reason")};
      }
    } catch (const CliError& error) {
      // The deploy itself is written; an agent that restarts meanwhile must not end the wait.
      broken_since = std::min(broken_since, now);
      if (now - broken_since > std::chrono::seconds(10))
        throw CliError(
            stack + " was accepted and goes on, but the node that was asked says no more: " + error.what());
    }
    if (now > deadline) {
      return {1, fmt::format("{} is not healthy after {} s; it is tried further: homeostat why {}", stack,
                             timeout_s, stack)};
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(150));
  }
}

void Deploy(CliContext& context, const DeployFlags& flags) {
  const auto timeout = ParseSpan(flags.timeout);
  if (!timeout) throw CliError("--timeout: " + timeout.error().message);
  const fs::path path = ComposePath(flags);
  ComposeFile compose = ReadCompose(path);
  if (!flags.name.empty()) compose.stack.name = flags.name;
  for (const auto& warning : compose.warnings) PrintError(fmt::format("homeostat: {}\n", warning));
  const ScratchDir scratch;
  const auto packed = PackAll(fs::absolute(path).parent_path(), scratch.path(), compose);
  Upload(context, packed);
  const std::string& name = compose.stack.name;
  const std::string body =
      context.Call("PUT", "/v1/stacks/" + PercentEncode(name), StackToJson(compose.stack));
  const auto written = ParseBody(body);
  if (!context.options.json) PrintError(fmt::format("{}\n", Word(written, "note")));
  if (!flags.no_wait) {
    const Ending ending = AwaitHealthy(context, name, Word(written, "stamp"), *timeout);
    context.exit_code = ending.exit_code;
    for (const auto& warning : ending.warnings) PrintError(fmt::format("homeostat: {}\n", warning));
    if (ending.exit_code != 0) PrintError(fmt::format("homeostat: {}\n", ending.reason));
  }
  if (context.options.json) PrintLine(body);
  if (!context.options.json && context.exit_code == 0 && !flags.no_wait) PrintLine(name + " is healthy");
}

}  // namespace

void AddDeployVerb(CLI::App& app, CliContext& context) {
  auto* deploy = app.add_subcommand("deploy", "Run what a compose.yaml says, and wait until it is healthy");
  auto flags = std::make_shared<DeployFlags>();
  deploy->add_option("-f,--file,FILE", flags->file, "the compose file; without it, compose.yaml here");
  deploy->add_option("--name", flags->name, "the stack's name; without it, the file's or its directory's");
  deploy->add_flag("--no-wait", flags->no_wait, "return as soon as the cluster has it");
  deploy->add_option("--timeout", flags->timeout, "how long to wait")->capture_default_str();
  deploy->callback([&context, flags] { Deploy(context, *flags); });
}

}  // namespace hs
