// The command line: every verb that asks a running node. `up` and other verbs that are no client are added by
// main.
//
// Exit codes: 0 done, 1 error, 2 accepted but not placeable now. Errors are one line on stderr, `homeostat:
// ...`, and say what to do. With --json, stdout holds what the API answered and nothing else.
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace hs {

// Adds verbs of its own to `app`; their callbacks leave the exit code in `exit_code`.
using AddVerbs = std::function<void(CLI::App& app, int& exit_code)>;

int RunCli(int argc, char** argv, const AddVerbs& more = {});

}  // namespace hs
