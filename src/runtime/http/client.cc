#include "runtime/http/client.h"

#include <fmt/format.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <utility>

#include "runtime/crypto/token.h"
#include "runtime/http/watchdog.h"
#include "runtime/net/tls.h"

namespace hs {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
template <typename T>
using Task = asio::awaitable<T>;
using UnixSocket = asio::local::stream_protocol::socket;
using boost::system::error_code;

constexpr std::size_t kErrorBodyMax = 1 << 20;

// What to do with each piece of a 200's body; false ends the call.
using TakePiece = std::function<Task<bool>(std::string_view)>;

asio::ip::tcp::endpoint ToAsio(const Endpoint& endpoint) {
  if (endpoint.ip.IsV4()) {
    asio::ip::address_v4::bytes_type v4;
    std::copy(endpoint.ip.bytes.begin() + 12, endpoint.ip.bytes.end(), v4.begin());
    return {asio::ip::address_v4(v4), endpoint.port};
  }
  return {asio::ip::address_v6(endpoint.ip.bytes), endpoint.port};
}

// One request and its answer on an established stream.
template <typename Stream>
class Exchange {
 public:
  Exchange(Stream& stream, Watchdog& watchdog, const HttpCall& call, std::string token, TakePiece take)
      : stream_(stream), watchdog_(watchdog), call_(call), token_(std::move(token)), take_(std::move(take)) {}

  Task<Result<HttpReply>> Run() {
    if (call_.body_file.empty()) {
      http::request<http::string_body> request;
      Fill(request);
      request.body() = call_.body;
      if (call_.method != "GET" && call_.method != "HEAD") request.prepare_payload();
      co_await Send(request);
    } else {
      http::request<http::file_body> request;
      Fill(request);
      error_code opened;
      request.body().open(call_.body_file.c_str(), boost::beast::file_mode::scan, opened);
      if (opened)
        co_return BadInput(fmt::format("cannot read {}: {}", call_.body_file.string(), opened.message()));
      request.prepare_payload();
      co_await Send(request);
    }
    // A server that refuses may answer before it took all; then the sending fails and the answer is there.
    co_return co_await Receive();
  }

 private:
  auto Use() { return asio::redirect_error(asio::use_awaitable, code_); }

  template <typename Request>
  void Fill(Request& request) {
    request.method_string(call_.method);
    request.target(call_.target);
    request.version(11);
    request.set(http::field::host, "homeostat");
    request.set(http::field::user_agent, "homeostat");
    if (!token_.empty()) request.set(http::field::authorization, "Bearer " + token_);
    request.keep_alive(false);
  }

  template <typename Request>
  Task<void> Send(Request& request) {
    http::request_serializer<typename Request::body_type> serializer(request);
    while (!code_ && !serializer.is_done()) {
      watchdog_.Arm(call_.silence_max);
      co_await http::async_write_some(stream_, serializer, Use());
    }
    watchdog_.Disarm();
  }

  Error Broken(const char* what) const {
    const std::string reason = watchdog_.bitten() ? "no answer in time" : code_.message();
    return Error{Reaction::kReconnect, fmt::format("{}: {}", what, reason)};
  }

  Task<Result<HttpReply>> Receive() {
    code_ = {};
    boost::beast::flat_buffer buffer;
    http::response_parser<http::buffer_body> parser;
    parser.body_limit(boost::none);
    parser.skip(call_.method == "HEAD");
    watchdog_.Arm(call_.silence_max);
    asio::steady_timer slow(stream_.get_executor(), call_.slow_after);
    if (call_.on_slow) {
      slow.async_wait([on_slow = call_.on_slow](error_code answered) {
        if (!answered) on_slow();
      });
    }
    co_await http::async_read_header(stream_, buffer, parser, Use());
    slow.cancel();
    if (code_) co_return std::unexpected(Broken("the connection broke before the answer"));
    HttpReply reply{.status = static_cast<int>(parser.get().result_int()), .body = {}};
    std::vector<char> piece(64 << 10);
    while (!parser.is_done()) {
      auto& body = parser.get().body();
      body.data = piece.data();
      body.size = piece.size();
      watchdog_.Arm(call_.silence_max);
      co_await http::async_read_some(stream_, buffer, parser, Use());
      if (code_ == http::error::need_buffer) code_ = {};
      if (code_) co_return std::unexpected(Broken("the connection broke within the answer"));
      const std::string_view bytes(piece.data(), piece.size() - parser.get().body().size);
      if (bytes.empty()) continue;
      watchdog_.Disarm();
      if (reply.status == 200 && take_) {
        const bool more = co_await take_(bytes);
        if (!more) break;
      } else if (take_ == nullptr || reply.body.size() < kErrorBodyMax) {
        reply.body += bytes;
      }
    }
    watchdog_.Disarm();
    co_return reply;
  }

  Stream& stream_;
  Watchdog& watchdog_;
  const HttpCall& call_;
  std::string token_;
  TakePiece take_;
  error_code code_;
};

Task<Result<HttpReply>> CallUnix(UnixTarget target, const HttpCall& call, TakePiece take) {
  UnixSocket socket(co_await asio::this_coro::executor);
  Watchdog watchdog(socket.get_executor(), [&socket] {
    error_code ignored;
    socket.close(ignored);
  });
  error_code code;
  const std::string path = target.socket.string();
  if (path.size() >= sizeof(sockaddr_un::sun_path))
    co_return BadInput("the path " + path + " is too long for a Unix socket");
  watchdog.Arm(call.connect_wait);
  co_await socket.async_connect(asio::local::stream_protocol::endpoint(path),
                                asio::redirect_error(asio::use_awaitable, code));
  watchdog.Disarm();
  if (code) {
    co_return Fail(
        Reaction::kReconnect,
        fmt::format("no agent answers at {} ({}); is 'homeostat up' running with this data directory? "
                    "Use --data DIR or --addr IP:PORT to name another",
                    path, code.message()));
  }
  Exchange<UnixSocket> exchange(socket, watchdog, call, "", std::move(take));
  co_return co_await exchange.Run();
}

struct TlsAim {
  std::shared_ptr<asio::ssl::context> context;
  std::function<bool(TlsStream&)> is_wanted;
  Endpoint address;
  std::string token;
};

Task<Result<HttpReply>> CallTls(TlsAim aim, const HttpCall& call, TakePiece take) {
  TlsStream stream(co_await asio::this_coro::executor, *aim.context);
  Watchdog watchdog(stream.get_executor(), [&stream] {
    error_code ignored;
    stream.lowest_layer().close(ignored);
  });
  error_code code;
  const std::string where = aim.address.ToString();
  watchdog.Arm(call.connect_wait);
  co_await stream.lowest_layer().async_connect(ToAsio(aim.address),
                                               asio::redirect_error(asio::use_awaitable, code));
  if (code) {
    const std::string reason = watchdog.bitten() ? "no answer" : code.message();
    co_return Fail(Reaction::kReconnect, fmt::format("no agent answers at {} ({})", where, reason));
  }
  OfferAlpn(stream, kAlpnHttp);
  co_await stream.async_handshake(asio::ssl::stream_base::client,
                                  asio::redirect_error(asio::use_awaitable, code));
  watchdog.Disarm();
  if (code) co_return Fail(Reaction::kReconnect, fmt::format("no TLS with {}: {}", where, code.message()));
  if (!aim.is_wanted(stream)) {
    co_return Fail(Reaction::kRefuse,
                   fmt::format("{} belongs to another cluster than the token; nothing was sent", where));
  }
  Exchange<TlsStream> exchange(stream, watchdog, call, aim.token, std::move(take));
  co_return co_await exchange.Run();
}

Result<TlsAim> AimOf(const TlsTarget& target) {
  TlsAim aim{MakeJoinerContext(), {}, target.address, target.token};
  if (target.insecure) {
    aim.is_wanted = [](TlsStream&) { return true; };
    return aim;
  }
  if (target.token.empty()) {
    return BadInput(
        "over the network a token is needed: set HOMEOSTAT_TOKEN to one from 'homeostat token create --api'");
  }
  const auto token = ParseToken(target.token);
  if (!token) return BadInput("HOMEOSTAT_TOKEN: " + token.error().message);
  aim.is_wanted = [ca = token->ca](TlsStream& stream) { return ServerMatches(stream, ca); };
  return aim;
}

Result<HttpReply> Block(const HttpTarget& target, const HttpCall& call, TakePiece take) {
  try {
    asio::io_context loop(1);
    Result<HttpReply> reply = Fail(Reaction::kRetryLater, "the call was not made");
    std::exception_ptr thrown;
    const auto keep = [&](std::exception_ptr e, Result<HttpReply> got) {
      thrown = e;
      reply = std::move(got);
    };
    if (const auto* local = std::get_if<UnixTarget>(&target)) {
      asio::co_spawn(loop, CallUnix(*local, call, std::move(take)), keep);
    } else {
      auto aim = AimOf(std::get<TlsTarget>(target));
      if (!aim) return std::unexpected(aim.error());
      asio::co_spawn(loop, CallTls(*std::move(aim), call, std::move(take)), keep);
    }
    loop.run();
    if (thrown) std::rethrow_exception(thrown);
    return reply;
  } catch (const std::exception& e) {
    return Fail(Reaction::kRetryLater, fmt::format("the call failed: {}", e.what()));
  }
}

// Waits until the sink has room again.
Task<void> AwaitRoom(std::shared_ptr<ByteSink> sink) {
  auto timer = std::make_shared<asio::steady_timer>(co_await asio::this_coro::executor);
  timer->expires_after(std::chrono::seconds(60));
  auto roomy = std::make_shared<bool>(false);
  sink->OnRoom([timer, roomy] {
    *roomy = true;
    timer->cancel();
  });
  error_code ignored;
  if (!*roomy) co_await timer->async_wait(asio::redirect_error(asio::use_awaitable, ignored));
}

Task<void> Fetch(TlsAim aim, HttpCall call, std::shared_ptr<ByteSink> sink) {
  TakePiece take = [sink](std::string_view bytes) -> Task<bool> {
    if (!sink->Write(bytes)) co_return false;
    if (sink->Full()) co_await AwaitRoom(sink);
    co_return true;
  };
  (void)co_await CallTls(std::move(aim), call, std::move(take));
  sink->End();
}

}  // namespace

Result<HttpReply> CallHttp(const HttpTarget& target, const HttpCall& call) {
  return Block(target, call, nullptr);
}

Result<HttpReply> StreamHttp(const HttpTarget& target, const HttpCall& call,
                             const std::function<bool(std::string_view)>& on_bytes) {
  return Block(target, call,
               [&on_bytes](std::string_view bytes) -> Task<bool> { co_return on_bytes(bytes); });
}

void FetchFromNode(asio::any_io_executor executor, std::shared_ptr<asio::ssl::context> context,
                   std::function<bool(TlsStream&)> is_wanted, Endpoint address, std::string target,
                   std::shared_ptr<ByteSink> sink) {
  HttpCall call;
  call.target = std::move(target);
  asio::co_spawn(executor,
                 Fetch({std::move(context), std::move(is_wanted), address, ""}, std::move(call), sink),
                 [sink](std::exception_ptr thrown) {
                   if (thrown) sink->End();
                 });
}

}  // namespace hs
