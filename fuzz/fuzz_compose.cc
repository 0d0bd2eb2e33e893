// Any text as a compose file: an error with a place, or a stack that the wire accepts.
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "wire/codec.h"
#include "wire/compose/compose.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const hs::ComposeOptions options{{{"TAG", "v1"}, {"EMPTY", ""}}, "shop"};
  const auto file = hs::ParseCompose({reinterpret_cast<const char*>(data), size}, "compose.yaml", options);
  if (!file) {
    HS_CHECK(file.error().message.starts_with("compose.yaml:"));
    return 0;
  }
  const auto back = hs::DecodeDocumentBody(hs::EncodeDocumentBody(hs::DocumentBody(file->stack)));
  HS_CHECK(back.has_value());
  HS_CHECK(std::get<hs::StackSpec>(*back) == file->stack);
  return 0;
}
