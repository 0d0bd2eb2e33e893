#include "core/control/sizes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hs {
namespace {

ShareRequest Want(std::int64_t min, std::int64_t demand, std::int64_t max, std::uint64_t cores) {
  return {"web", 500, min, demand, max, WorkClass::kServices, cores * 1000, 0};
}
std::vector<NamedBox> Boxes(std::vector<std::uint64_t> cores) {
  std::vector<NamedBox> boxes;
  for (std::size_t i = 0; i < cores.size(); ++i)
    boxes.push_back({"box-" + std::to_string(i), {cores[i] * 1000, 1}});
  return boxes;
}

TEST(Sizes, Table) {
  struct Case {
    const char* why;
    ShareRequest request;
    std::vector<std::uint64_t> boxes;
    std::int64_t minimum, demand, maximum, short_by;
    std::vector<std::string> unplug;
  };
  const Case cases[] = {
      {"4 replicas of 1 core in boxes of 2: two boxes, and one more to lose; demand 6 needs 3, 12 need 6",
       Want(4, 6, 12, 1),
       {2, 2, 2, 2},
       3,
       3,
       6,
       0,
       {"box-3"}},
      {"too few boxes: short by what the demand needs more", Want(1, 10, 10, 1), {2, 2}, 2, 5, 5, 3, {}},
      {"one box survives no loss", Want(1, 1, 1, 1), {2}, 2, 1, 1, 1, {}},
      {"the smallest boxes go first, and only as many as leave one to lose",
       Want(1, 2, 8, 1),
       {8, 1, 8, 2},
       2,
       1,
       1,
       0,
       {"box-1", "box-3"}},
      {"a replica larger than any box fits no number of them", Want(1, 1, 1, 4), {2, 2}, 0, 0, 0, 0, {}},
      {"the largest box is the one whose loss is feared", Want(3, 3, 3, 1), {4, 1, 1}, 4, 1, 1, 1, {}},
  };
  for (const Case& c : cases) {
    const Sizes sizes = ComputeSizes({c.request}, Boxes(c.boxes));
    EXPECT_EQ(sizes.minimum, c.minimum) << c.why;
    EXPECT_EQ(sizes.demand, c.demand) << c.why;
    EXPECT_EQ(sizes.maximum, c.maximum) << c.why;
    EXPECT_EQ(sizes.short_by, c.short_by) << c.why;
    EXPECT_EQ(sizes.unplug, c.unplug) << c.why;
  }
}

TEST(Sizes, NoBoxesNoAnswer) { EXPECT_EQ(ComputeSizes({Want(1, 1, 1, 1)}, {}).minimum, 0); }

}  // namespace
}  // namespace hs
