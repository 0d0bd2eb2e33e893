// Answers without an end: logs of all nodes, followed logs and events; readers that leave or do not read.
#include <gtest/gtest.h>

#include <chrono>

#include "runtime/http/http_fixture_test.h"

namespace hs {
namespace {

using HttpStreamTest = HttpFixture;

TEST_F(HttpStreamTest, LogsOfAllNodesAreMergedByTimeAndCutToTheLastLines) {
  Start();
  const auto reply = Ask("GET", "/v1/logs/web?n=2");
  EXPECT_EQ(reply->body,
            "{\"at_ms\":20,\"replica\":\"web-00000002\",\"line\":\"second, of n2\"}\n"
            "{\"at_ms\":30,\"replica\":\"web-00000001\",\"line\":\"third of n1\"}\n");
  OnLoop([&] { EXPECT_EQ(backend_->fetched, "02020202/v1/logs/web-00000002?n=2&since_ms=0"); });
}

TEST_F(HttpStreamTest, AFollowedLogGoesOnUntilTheReaderLeavesAndTheWriterIsTold) {
  Start();
  std::string got;
  HttpCall call;
  call.target = "/v1/logs/web-00000001?follow=1";
  const auto reply = StreamHttp(UnixTarget{socket_}, call, [&](std::string_view bytes) {
    got += bytes;
    if (got.find("third") != std::string::npos && got.find("later") == std::string::npos) {
      boost::asio::post(loop_, [this] { backend_->follower->Line(40, "later"); });
    }
    return got.find("later") == std::string::npos;
  });
  ASSERT_TRUE(reply) << reply.error().message;
  EXPECT_NE(got.find("later"), std::string::npos);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  while (!backend_->gone && std::chrono::steady_clock::now() < deadline) OnLoop([] {});
  EXPECT_TRUE(backend_->gone) << "heartbeats find out that nobody reads";
}

TEST_F(HttpStreamTest, AReaderThatDoesNotReadMakesTheWriterPause) {
  Start();
  const int fd = Connect();
  const std::string ask = "GET /v1/logs/web-00000001?follow=1 HTTP/1.1\r\n\r\n";
  ASSERT_GT(::send(fd, ask.data(), ask.size(), MSG_NOSIGNAL), 0);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  bool full = false;
  while (!full && std::chrono::steady_clock::now() < deadline) {
    OnLoop([&] {
      if (backend_->follower == nullptr) return;
      for (int i = 0; i < 100 && !backend_->follower->Full(); ++i)
        backend_->follower->Line(50, std::string(1000, 'x'));
      full = backend_->follower->Full();
    });
  }
  EXPECT_TRUE(full);
  while (!backend_->gone && std::chrono::steady_clock::now() < deadline) OnLoop([] {});
  EXPECT_TRUE(backend_->gone) << "after progress_wait without progress the reader is cut off";
  ::close(fd);
}

TEST_F(HttpStreamTest, EventsStreamAsTheyHappen) {
  Start();
  std::string got;
  HttpCall call;
  call.target = "/v1/events?follow=1";
  std::atomic<bool> added = false;
  const auto reply = StreamHttp(UnixTarget{socket_}, call, [&](std::string_view bytes) {
    got += bytes;  // the heartbeat comes first
    if (!added.exchange(true)) {
      boost::asio::post(loop_, [this] {
        backend_->view.events.push_back(
            std::make_shared<const RecordBody>(Event{1, TestNode(1), "plan.start", "web", "because"}));
      });
    }
    return got.find("because") == std::string::npos;
  });
  ASSERT_TRUE(reply) << reply.error().message;
  EXPECT_NE(got.find("data: {\"at_ms\":1,"), std::string::npos) << got;
}

}  // namespace
}  // namespace hs
