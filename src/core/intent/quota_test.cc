#include "core/intent/quota.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hs {
namespace {

using ::testing::HasSubstr;

DesiredService Service(const char* name, std::uint32_t minimum, std::uint32_t millicores = 0) {
  DesiredService service{.spec = {.name = name}};
  service.spec.reserve.cpu_millicores = millicores;
  service.spec.scale = ScaleSpec{.min = minimum, .max = 100};
  service.fixed = false;
  return service;
}

TEST(Quota, NamesWhatItIsAbout) {
  for (const char* good : {"services", "batch", "service.web"}) EXPECT_TRUE(IsQuotaSubject(good)) << good;
  for (const char* bad : {"", "web", "service.", "service./", "nodes"})
    EXPECT_FALSE(IsQuotaSubject(bad)) << bad;
}

TEST(Quota, RefusesMinimumsAboveItWithTheArithmetic) {
  const std::vector services{Service("api", 8, 500), Service("web", 4, 250)};
  const struct {
    QuotaDoc quota;
    const char* message;  // empty: fits
    const char* why;
  } rows[] = {
      {{"services", 12, 0, 0}, "", "exactly"},
      {{"services", 11, 0, 0},
       "quota services allows 11 replicas, but the minimums need 12 replicas (api 8 replicas + web 4 "
       "replicas)",
       "one too many"},
      {{"services", 0, 5000, 0}, "", "8 x 0.5 + 4 x 0.25 cores"},
      {{"services", 0, 4900, 0}, "allows 4.9 cores, but the minimums need 5 cores", "a little less"},
      {{"service.web", 3, 0, 0}, "quota service.web allows 3 replicas, but the minimums need 4 replicas", ""},
      {{"service.other", 1, 0, 0}, "", "nobody is concerned"},
      {{"batch", 1, 0, 0}, "", "services are not batch work"},
  };
  for (const auto& row : rows) {
    const auto fits = CheckQuotas(services, {row.quota});
    if (row.message[0] == '\0') {
      EXPECT_TRUE(fits) << row.why << ": " << fits.error().message;
    } else {
      ASSERT_FALSE(fits) << row.why;
      EXPECT_THAT(fits.error().message, HasSubstr(row.message));
    }
  }
}

TEST(Quota, CountsAFixedNumberAsTheMinimum) {
  DesiredService fixed = Service("web", 1);
  fixed.fixed = true;
  fixed.replicas = 7;
  EXPECT_FALSE(CheckQuotas({fixed}, {{"services", 6, 0, 0}}));
  EXPECT_TRUE(CheckQuotas({fixed}, {{"services", 7, 0, 0}}));
}

TEST(Quota, LooksAtWhatWouldBeThereAfterTheWrite) {
  ServiceSpec spec{.name = "web", .command = {"x"}, .replicas = 3};
  Documents documents;
  documents["stack/s/1"] = {"stack/s/1", {1, 0, {}}, StackSpec{"s", {spec}}, {}};
  EXPECT_FALSE(CheckQuotasAfter(documents, {{"quota/services", QuotaDoc{"services", 2, 0, 0}}}));
  EXPECT_TRUE(CheckQuotasAfter(documents, {{"quota/services", QuotaDoc{"services", 3, 0, 0}}}));
  documents["quota/services"] = {"quota/services", {2, 0, {}}, QuotaDoc{"services", 3, 0, 0}, {}};
  spec.replicas = 4;
  EXPECT_FALSE(CheckQuotasAfter(documents, {{"stack/s/2", StackSpec{"s", {spec}}}}));
  EXPECT_FALSE(CheckQuotasAfter(documents, {{"scale/web", ScaleOverride{"web", 4}}}));
  EXPECT_TRUE(CheckQuotasAfter(
      documents, {{"quota/services", std::monostate{}}, {"stack/s/2", StackSpec{"s", {spec}}}}));
}

}  // namespace
}  // namespace hs
