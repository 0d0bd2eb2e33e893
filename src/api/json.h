// Small helpers over Boost.JSON, for .cc files only: its headers are slow to compile.
#pragma once

#include <boost/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "core/types.h"

namespace hs {

namespace json = boost::json;

inline std::string Text(std::string_view text) { return std::string(text); }
inline json::string JsonText(std::string_view text) { return json::string(text.data(), text.size()); }

// Text of unknown origin may hold bytes that are no UTF-8, which JSON cannot carry: they become U+FFFD.
json::string SafeText(std::string_view text);

json::object EventJson(const Event& event);
json::array ShortagesJson(const std::vector<Shortage>& shortages);

}  // namespace hs
