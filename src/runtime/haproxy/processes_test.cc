#include "runtime/haproxy/processes.h"

#include <gtest/gtest.h>

namespace hs {
namespace {

TEST(HaproxyProcesses, TheMastersListIsRead) {
  const auto processes = ParseProcesses(
      "#<PID>          <type>          <reloads>       <uptime>        <version>\n"
      "6870            master          3 [failed: 2]   0d00h00m33s     2.6.12\n# workers\n"
      "7187            worker          2               0d00h00m11s     2.6.12\n# old workers\n"
      "7100            worker          3               0d00h00m21s     2.6.12\n# programs\n\n");
  ASSERT_TRUE(processes);
  EXPECT_EQ(processes->master, 6870);
  EXPECT_EQ(processes->reloads, 3u);
  EXPECT_EQ(processes->failed, 2u);
  EXPECT_EQ(processes->worker, 7187);
  EXPECT_EQ(processes->old_workers, std::vector<pid_t>{7100});
}

TEST(HaproxyProcesses, AMasterWithoutAWorkerServesNobody) {
  EXPECT_FALSE(ParseProcesses("6870 master 0 [failed: 0] 0d 2.6\n# workers\n# programs\n"));
  EXPECT_FALSE(ParseProcesses(""));
}

TEST(HaproxyProcesses, OnlyAlertsAreTold) {
  EXPECT_EQ(AlertsOf("[NOTICE]   (1) : haproxy version is 2.6\n[ALERT]    (1) : config : no file\n[ALERT] "
                     "(1) : fatal\n"),
            "config : no file | fatal");
}

}  // namespace
}  // namespace hs
