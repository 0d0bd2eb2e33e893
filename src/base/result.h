// Operating errors, classed by what the caller should do next.
#pragma once

#include <expected>
#include <string>
#include <utility>

namespace hs {

enum class Reaction {
  kFixInput,    // the caller sent something wrong; saying it again will not help
  kRetryLater,  // a passing state: busy, not enough members, still starting
  kReconnect,   // the link or file is gone; open it afresh
  kRefuse,      // not allowed: no key, revoked, another cluster
};

struct [[nodiscard]] Error {
  Reaction reaction = Reaction::kFixInput;
  // For people: what is wrong, where, and what to do. No trailing full stop or newline.
  std::string message;
};

template <typename T>
using Result = std::expected<T, Error>;

inline std::unexpected<Error> Fail(Reaction reaction, std::string message) {
  return std::unexpected(Error{reaction, std::move(message)});
}
inline std::unexpected<Error> BadInput(std::string message) {
  return Fail(Reaction::kFixInput, std::move(message));
}

}  // namespace hs
