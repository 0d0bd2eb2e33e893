// What to do instead of a key that Compose knows and we do not, or that was probably mistyped.
#include <fmt/core.h>

#include <algorithm>
#include <numeric>

#include "wire/compose/reader.h"

namespace hs::compose {
namespace {

struct Hint {
  std::string_view key;
  std::string_view text;
};

constexpr Hint kHints[] = {
    {"image", "needs a later release; use x-process with a bundle and a command"},
    {"build", "needs a later release; build first, and point x-process.bundle at the result"},
    {"entrypoint", "put the whole command into command"},
    {"volumes", "needs a later release; a replica has a directory of its own that ends with it"},
    {"networks", "services reach each other through $HOMEOSTAT_DOOR as <service>.internal"},
    {"network_mode", "replicas use their box's network"},
    {"links", "services reach each other through $HOMEOSTAT_DOOR as <service>.internal"},
    {"expose", "the app listens on $PORT"},
    {"depends_on", "all services start at once; let the app retry, or be unhealthy until it can serve"},
    {"restart", "replicas are always restarted"},
    {"env_file", "put the variables into environment, or use ${VAR} from the caller's"},
    {"scale", "use deploy.replicas"},
    {"container_name", "replicas are named <service>-<id>"},
    {"hostname", "replicas have their box's"},
    {"labels", "needs a later release"},
    {"logging", "output is kept in rotating files; see homeostat logs"},
    {"secrets", "needs a later release"},
    {"configs", "needs a later release; put the file into the bundle"},
    {"include", "needs a later release"},
    {"extends", "use a YAML anchor and <<"},
    {"profiles", "keep one file for each"},
    {"cpus", "use deploy.resources.reservations.cpus"},
    {"mem_limit", "use deploy.resources.limits.memory"},
    {"mem_reservation", "use deploy.resources.reservations.memory"},
    {"privileged", "replicas run as the agent's user, or as `user`"},
    {"update_config", "one replica at a time, new before old"},
    {"rollback_config", "a rollout stops at the first replica that does not get healthy"},
    {"restart_policy", "replicas are always restarted, with back-off to 60 s"},
    {"preferences", "replicas are spread over boxes and failure domains anyway"},
    {"max_replicas_per_node", "replicas are spread over boxes anyway"},
    {"mode", "only replicated services for now"},
    {"start_interval", "starting replicas are probed every 100 ms"},
    {"x-job", "needs a later release"},
    {"x-cron", "needs a later release"},
    {"x-survive", "needs a later release"},
};

// Levenshtein, for short words.
std::size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0]++;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replace = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({row[j] + 1, row[j + 1] + 1, replace});
    }
  }
  return row.back();
}

}  // namespace

std::string HintFor(std::string_view key, std::span<const Reader::Handler> handlers) {
  for (const Hint& hint : kHints) {
    if (hint.key == key) return std::string(hint.text);
  }
  if (key.size() > 40) return {};
  for (const Reader::Handler& handler : handlers) {
    if (EditDistance(key, handler.key) <= (handler.key.size() < 5 ? 1 : 2)) {
      return fmt::format("did you mean {}?", handler.key);
    }
  }
  return {};
}

}  // namespace hs::compose
