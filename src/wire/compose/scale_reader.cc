#include "wire/compose/scale_reader.h"

#include <fmt/core.h>

#include <charconv>
#include <cmath>

#include "wire/names.h"

namespace hs::compose {
namespace {

constexpr std::int64_t kReplicasMax = 100'000;

class ScaleReader {
 public:
  explicit ScaleReader(Reader& reader) : reader_(reader) {}

  std::optional<ScaleSpec> Read(const Spot& spot) {
    std::optional<std::int64_t> min, max;
    std::optional<Spot> max_spot;
    const Reader::Handler handlers[] = {
        {"min", [&](const Spot& at) { min = Whole(at); }},
        {"max",
         [&](const Spot& at) {
           max_spot = at;
           max = Whole(at);
         }},
        {"target", [&](const Spot& at) { Target(at); }},
        {"strict",
         [&](const Spot& at) {
           if (const auto strict = reader_.Bool(at)) scale_.strict = *strict;
         }},
    };
    reader_.Keys(spot, handlers);
    if (spot.node->kind != YamlNode::Kind::kMap) return std::nullopt;
    if (!max_spot) Wrong(spot, "has no max; without one it could take every box");
    if (min && max && *min > *max) Wrong(*max_spot, fmt::format("max {} is below min {}", *max, *min));
    if (!good_) return std::nullopt;
    scale_.min = static_cast<std::uint32_t>(min.value_or(1));
    scale_.max = static_cast<std::uint32_t>(max.value_or(1));
    return scale_;
  }

 private:
  void Wrong(const Spot& spot, std::string_view why) {
    good_ = false;
    reader_.Problem(spot, why);
  }

  std::optional<std::int64_t> Whole(const Spot& spot) {
    const auto value = reader_.Integer(spot, 1, kReplicasMax);
    if (!value) good_ = false;
    return value;
  }

  // 8, 0.5 or 60%.
  void Value(const Spot& spot) {
    const auto text = reader_.NonEmpty(spot);
    if (!text) {
      good_ = false;
      return;
    }
    const bool percent = text->ends_with('%');
    const char* const end = text->data() + text->size() - (percent ? 1 : 0);
    double number = 0;
    const auto [last, failure] = std::from_chars(text->data(), end, number);
    if (failure != std::errc() || last != end || !std::isfinite(number) || number <= 0)
      return Wrong(spot, fmt::format("\"{}\" is not a number above 0", *text));
    scale_.value = percent ? number / 100 : number;
  }

  void Target(const Spot& spot) {
    if (spot.node->kind != YamlNode::Kind::kMap) {
      const auto text = reader_.NonEmpty(spot);
      if (!text) {
        good_ = false;
      } else if (*text != "automatic") {
        Wrong(spot, fmt::format("\"{}\" is not a target; automatic, {{in-flight: N}}, {{cpu: N%}} and "
                                "{{metric: NAME, value: N}} are",
                                *text));
      }
      return;
    }
    int kinds = 0;
    bool value_given = false, path_given = false;
    const auto simple = [&](ScaleTarget target) {
      return [this, &kinds, target](const Spot& at) {
        ++kinds;
        scale_.target = target;
        Value(at);
      };
    };
    const Reader::Handler handlers[] = {
        {"in-flight", simple(ScaleTarget::kInFlight)},
        {"cpu", simple(ScaleTarget::kCpu)},
        {"metric",
         [&](const Spot& at) {
           ++kinds;
           scale_.target = ScaleTarget::kMetric;
           const auto name = reader_.NonEmpty(at);
           if (!name || !IsWord(*name, "_:", 253) || (name->front() >= '0' && name->front() <= '9'))
             return Wrong(at, "is not the name of a metric in Prometheus' text format");
           scale_.metric = *name;
         }},
        {"value",
         [&](const Spot& at) {
           value_given = true;
           Value(at);
         }},
        {"path",
         [&](const Spot& at) {
           path_given = true;
           const auto path = reader_.NonEmpty(at);
           if (!path || !path->starts_with('/') || !IsLine(*path, 4096) || path->find(' ') != path->npos)
             return Wrong(at, "must be a path that begins with / and has no spaces");
           scale_.metric_path = *path;
         }},
    };
    reader_.Keys(spot, handlers);
    if (kinds != 1) return Wrong(spot, "needs one of in-flight, cpu or metric");
    const bool metric = scale_.target == ScaleTarget::kMetric;
    if (metric && !value_given) return Wrong(spot, "needs a value: how much of the metric one replica takes");
    if (!metric && (value_given || path_given)) return Wrong(spot, "value and path belong to a metric");
    if (scale_.target == ScaleTarget::kCpu && scale_.value > 64)
      return Wrong(spot, "cpu is a share of what a replica reserves, such as 70% or 0.7");
  }

  Reader& reader_;
  ScaleSpec scale_;
  bool good_ = true;
};

}  // namespace

std::optional<ScaleSpec> ReadScale(Reader& reader, const Spot& spot) {
  return ScaleReader(reader).Read(spot);
}

Singleton ReadSingleton(Reader& reader, const Spot& spot) {
  const auto text = reader.NonEmpty(spot);
  if (!text) return Singleton::kNone;
  if (*text == "run-both") return Singleton::kRunBoth;
  if (*text == "pause") return Singleton::kPause;
  if (*text == "fence") {
    reader.Problem(
        spot,
        "fence is not supported yet: at most one across a cut needs agreement, which comes with etcd "
        "in a later release; pause stops it in the smaller part, but the two may overlap while the cut "
        "is being noticed");
  } else {
    reader.Problem(spot, fmt::format("\"{}\" is not run-both or pause", *text));
  }
  return Singleton::kNone;
}

void CheckSingleton(Reader& reader, const Spot& spot, const ServiceSpec& spec, bool replicas_given) {
  if (spec.singleton == Singleton::kNone) return;
  if (spec.scale) return reader.Problem(spot, "does not go with x-scale: a singleton is one replica");
  if (replicas_given && spec.replicas != 1)
    reader.Problem(spot, fmt::format("is one replica, but deploy.replicas is {}", spec.replicas));
}

}  // namespace hs::compose
