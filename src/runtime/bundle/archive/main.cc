// homeostat-bundle pack DIRECTORY OUT_FILE | unpack TARGET_DIRECTORY < ARCHIVE
//
// A program of its own, so that neither libarchive's memory nor a hostile archive is ever inside the agent.
// Exit codes: 0 done; 1 the input is wrong; 2 the box failed (disk, memory). Errors: one line on standard
// error.
#include <clocale>
#include <cstdio>
#include <exception>
#include <string_view>

#include "runtime/bundle/archive/archive.h"

namespace {

int Report(const hs::Result<void>& result) {
  if (result) return 0;
  std::fprintf(stderr, "%s\n", result.error().message.c_str());
  return result.error().reaction == hs::Reaction::kFixInput ? 1 : 2;
}

}  // namespace

int main(int argc, char** argv) {
  std::setlocale(LC_CTYPE, "C.UTF-8");
  try {
    const std::string_view verb = argc > 1 ? argv[1] : "";
    if (verb == "pack" && argc == 4) return Report(hs::bundle::PackDirectory(argv[2], argv[3]));
    if (verb == "unpack" && argc == 3) return Report(hs::bundle::UnpackInto(0, argv[2]));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
  std::fprintf(stderr,
               "usage: homeostat-bundle pack DIRECTORY OUT_FILE | unpack TARGET_DIRECTORY < ARCHIVE\n");
  return 1;
}
