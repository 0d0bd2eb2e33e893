#include "base/shared_value.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace hs {
namespace {

TEST(SharedValueTest, CopiesAreTheSameUntilOneIsEdited) {
  SharedValue<std::string> first(std::string("a text too long to be kept in place"));
  SharedValue<std::string> second = first;
  EXPECT_TRUE(first.Is(second));
  EXPECT_EQ(&*first, &*second);
  second.Edit() += "!";
  EXPECT_FALSE(first.Is(second));
  EXPECT_EQ(*first, "a text too long to be kept in place");
  EXPECT_EQ(*second, "a text too long to be kept in place!");
  const std::string* alone = &*second;
  second.Edit() += "!";
  EXPECT_EQ(alone, &*second) << "nobody else held it";
}

TEST(SharedValueTest, NoneReadsAsTheDefault) {
  SharedValue<std::vector<int>> none;
  EXPECT_FALSE(none);
  EXPECT_TRUE(none->empty());
  EXPECT_EQ(none, SharedValue<std::vector<int>>(std::vector<int>{}));
  none.Edit().push_back(7);
  EXPECT_TRUE(none);
  EXPECT_EQ(*none, std::vector<int>{7});
  EXPECT_TRUE(SharedValue<std::vector<int>>()->empty());
}

TEST(SharedValueTest, EqualsByValueAndLivesAsLongAsItsLastHolder) {
  auto* first = new SharedValue<std::string>(std::string("equal"));
  const SharedValue<std::string> other(std::string("equal"));
  SharedValue<std::string> kept;
  kept = *first;
  EXPECT_EQ(kept, other);
  EXPECT_FALSE(kept.Is(other));
  delete first;
  EXPECT_EQ(*kept, "equal");
  SharedValue<std::string>& itself = kept;
  kept = itself;
  EXPECT_EQ(*kept, "equal");
  SharedValue<std::string> moved = std::move(kept);
  EXPECT_FALSE(kept);
  EXPECT_EQ(*moved, "equal");
}

}  // namespace
}  // namespace hs
