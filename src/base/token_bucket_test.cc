#include "base/token_bucket.h"

#include <gtest/gtest.h>

namespace hs {
namespace {

constexpr Time kStart = Time{} + 1h;

TEST(TokenBucketTest, ABurstAndThenAPace) {
  TokenBucket bucket(10, 4);
  EXPECT_EQ(bucket.Take(kStart, 8), 8u);
  EXPECT_EQ(bucket.Take(kStart, 8), 2u);
  EXPECT_EQ(bucket.Take(kStart + 1ms), 0u);
  EXPECT_EQ(bucket.Take(kStart + 1s, 100), 4u);
  EXPECT_EQ(bucket.Take(kStart + 1h, 100), 10u) << "no more than the burst";
}

TEST(TokenBucketTest, PartsOfATokenAreKept) {
  TokenBucket bucket(1, 1);
  bucket.Take(kStart);
  std::size_t taken = 0;
  for (int ms = 300; ms <= 3000; ms += 300) taken += bucket.Take(kStart + ms * 1ms);
  EXPECT_EQ(taken, 2u) << "at 1.2 s, and at 2.1 s, since 0.2 were left";
}

TEST(TokenBucketTest, WhatIsGivenBackCountsUpToTheBurst) {
  TokenBucket bucket(3, 1);
  EXPECT_EQ(bucket.Take(kStart, 3), 3u);
  bucket.GiveBack(2);
  EXPECT_EQ(bucket.Take(kStart, 3), 2u);
  bucket.GiveBack(50);
  EXPECT_EQ(bucket.Take(kStart, 50), 3u);
}

TEST(TokenBucketTest, AShareOfThePaceAndAClockThatStepsBack) {
  TokenBucket bucket(8, 8);
  bucket.Take(kStart, 8);
  EXPECT_EQ(bucket.Take(kStart + 1s, 8, 0.25), 2u);
  EXPECT_EQ(bucket.Take(kStart, 8), 0u);
  EXPECT_EQ(bucket.Take(kStart + 1s, 8), 0u) << "that second was paid for already";
}

}  // namespace
}  // namespace hs
