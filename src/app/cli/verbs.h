// The verbs, in groups. Each function adds its verbs to the app; their callbacks throw CliError.
#pragma once

#include <CLI/App.hpp>

#include "app/cli/context.h"

namespace hs {

void AddShowVerbs(CLI::App& app, CliContext& context);    // ls ps nodes status why inspect version
void AddStreamVerbs(CLI::App& app, CliContext& context);  // logs events
void AddChangeVerbs(CLI::App& app, CliContext& context);  // scale rm drain leave quota token
void AddSizeVerb(CLI::App& app, CliContext& context);
void AddTopVerb(CLI::App& app, CliContext& context);
void AddNodeVerbs(CLI::App& nodes, CliContext& context);  // nodes rm
void AddDeployVerb(CLI::App& app, CliContext& context);

}  // namespace hs
