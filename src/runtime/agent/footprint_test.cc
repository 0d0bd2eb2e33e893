#include "runtime/agent/footprint.h"

#include <gtest/gtest.h>

#include <fstream>
#include <string>

namespace hs {
namespace {

long FileBackedKib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssFile:")) return std::stol(line.substr(8));
  }
  return -1;
}

TEST(FootprintTest, WhatOnlyTheStartNeededIsUnmappedAndTheProgramGoesOn) {
  const long before = FileBackedKib();
  GiveBackUnused();
  const long after = FileBackedKib();
  EXPECT_GT(before, 0);
  EXPECT_LT(after, before);
}

}  // namespace
}  // namespace hs
