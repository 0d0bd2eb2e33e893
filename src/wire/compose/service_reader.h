// One entry of `services:` -> ServiceSpec. Internal to compose/.
#pragma once

#include <optional>

#include "wire/compose/reader.h"

namespace hs::compose {

struct ServiceResult {
  ServiceSpec spec;
  std::optional<BundleSource> bundle;
  // Where each thing that must be unique in the file was said.
  std::vector<std::pair<PublishedPort, Spot>> ports;
  std::optional<Spot> http;
};

// Problems are noted in `reader`; the result is meant only when there are none.
ServiceResult ReadService(Reader& reader, const std::string& name, const Spot& spot);

}  // namespace hs::compose
