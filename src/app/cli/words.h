// From the API's JSON to words for people. For .cc files of the CLI.
#pragma once

#include <string>
#include <string_view>

#include "api/json.h"

namespace hs {

// Throws CliError when a node sends something that is not JSON.
json::value ParseBody(const std::string& body);
std::string TextOf(const json::value& value);                  // lists are joined with commas, objects as k=v
std::string Word(const json::value& object, const char* key);  // empty when absent
// Rows of /v1/nodes as the table shows them: with the id where a name means several, and what is drained.
json::value NodesForPeople(json::value nodes);

std::string LocalTimeText(std::int64_t at_ms);    // 2026-11-22 08:15:02
std::string EventLine(const json::value& event);  // 08:15:02.120 replica.started web-3fa9c1de: cause
void PrintLine(std::string_view text);  // with a newline at its end; ends the program when stdout is closed

// To stderr as it is. Whoever reads it may be gone: then there is nobody to tell.
void PrintError(std::string_view text);

}  // namespace hs
