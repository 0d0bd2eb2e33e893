// Any bytes from the network: refused, or accepted and then packed into what is accepted again, unchanged.
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "wire/codec.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto message = hs::DecodeGossip({reinterpret_cast<const char*>(data), size});
  if (!message) return 0;
  const auto again = hs::DecodeGossip(hs::EncodeGossip(*message));
  HS_CHECK(again && *again == *message);
  return 0;
}
