#include "app/cli/cli.h"
#include "app/own_verbs.h"

int main(int argc, char** argv) {
  return hs::RunCli(argc, argv, [](CLI::App& app, int& exit_code) {
    hs::AddUpVerb(app, exit_code);
    hs::AddSimVerb(app, exit_code);
  });
}
