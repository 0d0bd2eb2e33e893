#include "runtime/sense/metric_reader.h"

#include <fmt/format.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <optional>
#include <utility>

#include "runtime/sense/prometheus.h"

namespace hs {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

constexpr Duration kTimeout = 800ms;
constexpr std::size_t kBodyMax = 1024 * 1024;
constexpr std::size_t kHeaderMax = 16 * 1024;
const IpAddress kLocalhost = IpAddress::V4(127, 0, 0, 1);

tcp::endpoint ToAsio(const Endpoint& address) {
  if (!address.ip.IsV4()) return {asio::ip::address_v6(address.ip.bytes), address.port};
  const auto& b = address.ip.bytes;
  return {asio::ip::address_v4({b[12], b[13], b[14], b[15]}), address.port};
}

}  // namespace

// One GET. Its answer is there from some moment on, at the latest after kTimeout.
class MetricReader::Question : public std::enable_shared_from_this<Question> {
 public:
  Question(asio::io_context& io, MetricTarget target)
      : target_(std::move(target)), socket_(io), timer_(io), address_(target_.address) {
    parser_.body_limit(kBodyMax);
    parser_.header_limit(kHeaderMax);
  }

  void Ask() {
    timer_.expires_after(kTimeout);
    timer_.async_wait([self = shared_from_this()](error_code error) {
      if (!error) self->Fails(fmt::format("no answer within {} ms", ToMs(kTimeout)));
    });
    Connect();
  }
  void Cancel() { End(BadInput("not asked to the end")); }

  // Where the question is still open: the agent was late, or it had less time than it may take.
  Result<double> answer() const {
    return answer_ ? *answer_ : Result<double>(BadInput("GET " + Place() + ": no answer yet"));
  }

 private:
  std::string Place() const { return fmt::format("http://{}{}", address_.ToString(), target_.path); }
  void Fails(const std::string& what) { End(BadInput(fmt::format("GET {}: {}", Place(), what))); }

  void End(Result<double> answer) {
    if (answer_) return;
    answer_ = std::move(answer);
    timer_.cancel();
    error_code ignored;
    socket_.close(ignored);
  }

  void Connect() {
    socket_.async_connect(ToAsio(address_), [self = shared_from_this()](error_code error) {
      if (self->answer_) return;
      if (error == asio::error::connection_refused && self->address_.ip != kLocalhost) {
        self->address_.ip = kLocalhost;
        error_code ignored;
        self->socket_.close(ignored);
        self->Connect();
      } else if (error) {
        self->Fails(error.message());
      } else {
        self->Send();
      }
    });
  }

  void Send() {
    request_.method(http::verb::get);
    request_.target(target_.path);
    request_.version(11);
    request_.set(http::field::host, address_.ToString());
    request_.set(http::field::user_agent, "homeostat-metrics");
    request_.set(http::field::accept, "text/plain; version=0.0.4");
    request_.set(http::field::connection, "close");
    http::async_write(socket_, request_, [self = shared_from_this()](error_code error, std::size_t) {
      if (self->answer_) return;
      if (error) return self->Fails(error.message());
      http::async_read(self->socket_, self->buffer_, self->parser_,
                       [self](error_code failure, std::size_t) { self->Read(failure); });
    });
  }

  void Read(error_code error) {
    if (answer_) return;
    if (error == http::error::body_limit) return Fails(fmt::format("more than {} bytes", kBodyMax));
    if (error) return Fails(error.message());
    if (parser_.get().result() != http::status::ok)
      return Fails(fmt::format("answered {}", parser_.get().result_int()));
    Result<double> value = FindMetric(parser_.get().body(), target_.metric);
    if (!value) return Fails(value.error().message);
    End(std::move(value));
  }

  MetricTarget target_;
  tcp::socket socket_;
  asio::steady_timer timer_;
  Endpoint address_;
  http::request<http::empty_body> request_;
  http::response_parser<http::string_body> parser_;
  boost::beast::flat_buffer buffer_{kBodyMax + kHeaderMax};
  std::optional<Result<double>> answer_;
};

MetricReader::~MetricReader() {
  for (auto& [replica, known] : known_) known.question->Cancel();
}

MetricReader::Round MetricReader::Next(const std::vector<MetricTarget>& targets) {
  std::map<std::string, ServiceLoad> sums;
  std::map<std::pair<std::string, ReplicaId>, std::string> problems;
  std::map<ReplicaId, Known> next;
  for (const MetricTarget& target : targets) {
    const auto found = known_.find(target.replica);
    // One asked for something else before has not been asked for this.
    if (found != known_.end() && found->second.target == target) {
      const Result<double> value = found->second.question->answer();
      if (value) {
        ServiceLoad& sum = sums[target.service];
        sum.service = target.service;
        sum.metric += static_cast<float>(*value);
        ++sum.metric_replicas;
      } else {
        problems.emplace(std::pair(target.service, target.replica), value.error().message);
      }
    }
    Known& asked = next[target.replica];
    asked = {target, std::make_shared<Question>(io_, target)};
    asked.question->Ask();
  }
  for (auto& [replica, known] : known_) known.question->Cancel();
  known_ = std::move(next);
  Round round;
  for (auto& [service, sum] : sums) round.loads.push_back(std::move(sum));
  for (auto& [key, reason] : problems) round.problems.push_back({key.first, key.second, std::move(reason)});
  return round;
}

}  // namespace hs
