#include "sim/scale.h"

#include "sim/scale_world.h"

namespace hs::sim {
namespace {

constexpr Duration kStartWithin = 1s;
constexpr std::size_t kHints = 3;
constexpr Duration kCalm = 120s;  // from convergence until the quiet time: late news dies down
constexpr double kKilledShare = 0.3;

std::string Words(const char* what, const std::optional<Duration>& took) {
  return std::string(what) + (took ? " after " + std::to_string(ToMs(*took)) + " ms" : ": not converged");
}

}  // namespace

ScaleResult RunScale(const ScaleOptions& options) {
  ScaleWorld world(options.nodes, options.tunables, options.seed, options.parts, options.together);
  const auto cpu = [&] { return options.cpu_seconds ? options.cpu_seconds() : 0.0; };
  const auto say = [&](const std::string& words) {
    if (options.say) options.say(words);
  };
  const auto agreed = [&] {
    return world.RunUntil([&] { return world.AllAgree(); }, options.converge_within);
  };
  ScaleResult result;
  result.nodes = options.nodes;

  world.StartAll(kStartWithin, kHints);
  world.RunFor(kStartWithin);
  result.joined = agreed();
  say(Words("all know all", result.joined));

  world.set_loss(options.loss);
  world.RunFor(kCalm);
  // Time and bytes each get half: encoding every message to weigh it takes longer than deciding about it.
  // Time is that of one thread.
  const Duration half = options.steady_for / 2;
  const double shares = static_cast<double>(options.nodes) * ToSeconds(half);
  const std::uint64_t accused_before = world.counts().accused;
  world.Alone(true);
  const double cpu_before = cpu();
  world.RunFor(half);
  result.steady_cpu_us = (cpu() - cpu_before) * 1e6 / shares;
  world.Alone(false);
  world.Count(true);
  world.RunFor(half);
  world.Count(false);
  result.steady_bytes = static_cast<double>(world.counts().bytes) / shares;
  result.steady_messages = static_cast<double>(world.counts().messages) / shares;
  result.accused = world.counts().accused - accused_before;
  say("steady: " + std::to_string(static_cast<long>(result.steady_bytes)) + " bytes per node and second");

  auto up = world.Up();
  world.prng().Shuffle(up);
  const auto dying = static_cast<std::size_t>(kKilledShare * static_cast<double>(up.size()));
  for (std::size_t i = 0; i < dying; ++i) i % 2 == 0 ? world.Kill(up[i]) : world.PowerOff(up[i]);
  result.killed = agreed();
  say(Words("the living know who died", result.killed));

  std::vector<std::uint8_t> sides(options.nodes, 0);
  up = world.Up();
  world.prng().Shuffle(up);
  for (std::size_t i = 0; i < up.size() / 2; ++i) sides[up[i]] = 1;
  world.Cut(sides);
  result.parted = agreed();
  say(Words("each half knows itself alone", result.parted));
  world.Cut(std::vector<std::uint8_t>(options.nodes, 0));
  result.healed = agreed();
  say(Words("the halves know each other again", result.healed));

  result.steps = world.counts().steps;
  result.digest = world.digest() ^ world.prng().Next();
  return result;
}

}  // namespace hs::sim
