// Any bytes from a link: refused, or accepted and then packed into what is accepted again, with the same
// bytes.
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "wire/codec.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto message = hs::DecodeLinkMessage({reinterpret_cast<const char*>(data), size});
  if (!message) return 0;
  const std::string bytes = hs::EncodeLinkMessage(*message);
  const auto again = hs::DecodeLinkMessage(bytes);
  HS_CHECK(again && hs::EncodeLinkMessage(*again) == bytes);
  return 0;
}
