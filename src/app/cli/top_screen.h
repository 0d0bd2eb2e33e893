// What `homeostat top` shows, as text: pure, so that it can be looked at in a test.
//
// Intuition: a page that is laid out for the window it is given. Columns that do not fit are left out, the
// least telling first; rows that do not fit are counted in the last line of their table.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "api/json.h"

namespace hs {

struct TopPage {
  std::size_t columns = 80;
  std::optional<std::size_t> rows = 24;  // none: as many as there are
  bool color = false;
  std::string clock;    // what time it is, in words
  std::string problem;  // not empty: the node did not answer, and `top` is what it last said
};

// `top`: the answer to /v1/top. Lines without newlines, none wider than `columns`, at most `rows`. Text from
// the node holds no control characters here (Word cleans it).
std::vector<std::string> TopScreen(const json::value& top, const TopPage& page);

// 1.5k, 23M, 4.0G: at most 5 characters, powers of 1024.
std::string ShortBytes(double bytes);
// 0.25, 12.5, 1234, 56k: at most 5 characters.
std::string ShortNumber(double value);

}  // namespace hs
