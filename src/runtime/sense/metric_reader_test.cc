// Against small servers on loopback.
#include "runtime/sense/metric_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <list>

namespace hs {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// Answers every connection with the same bytes; with none it keeps the connection and says nothing.
class Answers {
 public:
  Answers(asio::io_context& io, std::string bytes)
      : bytes_(std::move(bytes)), acceptor_(io, {asio::ip::address_v4::loopback(), 0}) {
    Accept();
  }
  Endpoint endpoint() const { return {IpAddress::V4(127, 0, 0, 1), acceptor_.local_endpoint().port()}; }
  int asked() const { return static_cast<int>(sockets_.size()); }

 private:
  void Accept() {
    acceptor_.async_accept([this](boost::system::error_code error, tcp::socket socket) {
      if (error) return;
      tcp::socket& kept = sockets_.emplace_back(std::move(socket));
      if (!bytes_.empty()) {
        boost::system::error_code ignored;
        asio::write(kept, asio::buffer(bytes_), ignored);
        kept.shutdown(tcp::socket::shutdown_send, ignored);
      }
      Accept();
    });
  }
  std::string bytes_;
  tcp::acceptor acceptor_;
  std::list<tcp::socket> sockets_;
};

std::string Http(const std::string& body, const std::string& status = "200 OK") {
  return "HTTP/1.1 " + status + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

MetricTarget Target(std::uint64_t replica, const Endpoint& at, const std::string& service = "mail") {
  return {ReplicaId{replica}, service, at, "queue", "/metrics"};
}

struct Clerk {
  asio::io_context io;
  MetricReader reader{io};
  MetricReader::Round Next(const std::vector<MetricTarget>& targets, Duration wait = 1s) {
    MetricReader::Round round = reader.Next(targets);
    io.restart();
    io.run_for(std::chrono::duration_cast<std::chrono::nanoseconds>(wait));
    return round;
  }
};

TEST(MetricReader, AddsUpWhatTheReplicasOfAServiceTell) {
  Clerk clerk;
  Answers one(clerk.io, Http("queue 3\n")), two(clerk.io, Http("queue 4\n")),
      other(clerk.io, Http("queue 9\n"));
  const std::vector<MetricTarget> targets = {Target(1, one.endpoint()), Target(2, two.endpoint()),
                                             Target(3, other.endpoint(), "pdf")};
  const auto first = clerk.Next(targets, 100ms);
  EXPECT_THAT(first.loads, IsEmpty()) << "nobody was asked yet";
  EXPECT_THAT(first.problems, IsEmpty());
  const auto second = clerk.Next(targets, 100ms);
  EXPECT_THAT(second.problems, IsEmpty());
  ASSERT_THAT(second.loads, SizeIs(2));
  EXPECT_EQ(second.loads[0].service, "mail");
  EXPECT_EQ(second.loads[0].metric, 7);
  EXPECT_EQ(second.loads[0].metric_replicas, 2u);
  EXPECT_EQ(second.loads[1].metric, 9);
  EXPECT_EQ(one.asked(), 2) << "once a round";
}

TEST(MetricReader, WhateverIsNoNumberIsAProblemInWords) {
  const struct {
    std::string answer;
    const char* says;
  } kRows[] = {
      {Http("queue NaN\n"), "/metrics: queue is 'NaN', which is no number from 0 up"},
      {Http("<html>hello</html>"), "/metrics: there is no metric queue"},
      {Http(""), "/metrics: the answer is empty"},
      {Http("queue 3\n", "500 Oops"), "/metrics: answered 500"},
      {"queue 3\n", "/metrics: "},  // not HTTP
      {"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nqueue 3\n", "/metrics: "},
      {Http(std::string(1100 * 1024, '#') + "\nqueue 3\n"), "/metrics: more than 1048576 bytes"},
      {"HTTP/1.1 200 OK\r\nX: " + std::string(20000, 'x') + "\r\n\r\nqueue 3\n", "/metrics: "},
      {"", "/metrics: no answer within 800 ms"},  // hangs
  };
  for (const auto& row : kRows) {
    Clerk clerk;
    Answers app(clerk.io, row.answer);
    clerk.Next({Target(1, app.endpoint())});
    const auto round = clerk.Next({Target(1, app.endpoint())}, 0ms);
    EXPECT_THAT(round.loads, IsEmpty()) << row.says;
    ASSERT_THAT(round.problems, SizeIs(1)) << row.says;
    EXPECT_EQ(round.problems[0].service, "mail");
    EXPECT_THAT(round.problems[0].reason, HasSubstr(row.says));
  }
}

TEST(MetricReader, APortThatRefusesIsAProblemAndOneOnLoopbackIsFound) {
  Clerk clerk;
  Answers app(clerk.io, Http("queue 3\n"));
  Endpoint elsewhere = app.endpoint();
  elsewhere.ip = IpAddress::V4(127, 0, 0, 77);  // nobody listens there
  const Endpoint nobody{IpAddress::V4(127, 0, 0, 1), 1};
  const std::vector<MetricTarget> targets = {Target(1, elsewhere), Target(2, nobody)};
  clerk.Next(targets, 100ms);
  const auto round = clerk.Next(targets, 0ms);
  ASSERT_THAT(round.loads, SizeIs(1));
  EXPECT_EQ(round.loads[0].metric_replicas, 1u);
  ASSERT_THAT(round.problems, SizeIs(1));
  EXPECT_EQ(round.problems[0].replica, ReplicaId{2});
  EXPECT_THAT(round.problems[0].reason, HasSubstr("refused"));
}

TEST(MetricReader, AnAnswerToAnotherQuestionDoesNotCount) {
  Clerk clerk;
  Answers app(clerk.io, Http("queue 3\nother 5\n"));
  MetricTarget target = Target(1, app.endpoint());
  clerk.Next({target}, 100ms);
  target.metric = "other";
  const auto asked_anew = clerk.Next({target}, 100ms);
  EXPECT_THAT(asked_anew.loads, IsEmpty());
  EXPECT_THAT(asked_anew.problems, IsEmpty());
  EXPECT_EQ(clerk.Next({target}, 0ms).loads.at(0).metric, 5);
}

}  // namespace
}  // namespace hs
