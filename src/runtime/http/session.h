// One client's conversation, over any stream. Included by server.cc alone: Beast is slow to compile.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include "api/api.h"
#include "api/event_tail.h"
#include "runtime/http/collector.h"
#include "runtime/http/log_merge.h"
#include "runtime/http/regions.h"
#include "runtime/http/server.h"
#include "runtime/http/stream_queue.h"
#include "runtime/http/watchdog.h"

namespace hs {

namespace asio = boost::asio;
namespace http = boost::beast::http;
template <typename T>
using Task = asio::awaitable<T>;

// An answer that a callback gives, for a coroutine to wait on.
template <typename T>
class Pending {
 public:
  explicit Pending(asio::any_io_executor executor) : state_(std::make_shared<State>(std::move(executor))) {}
  auto Setter() const {
    return [state = state_](T value) {
      state->value = std::move(value);
      state->timer.cancel();
    };
  }
  Task<Result<T>> Wait(Duration wait, std::string what) {
    auto state = state_;
    boost::system::error_code code;
    state->timer.expires_after(wait);
    if (!state->value) co_await state->timer.async_wait(asio::redirect_error(asio::use_awaitable, code));
    if (!state->value) co_return Fail(Reaction::kRetryLater, std::move(what));
    co_return *std::move(state->value);
  }

 private:
  struct State {
    explicit State(asio::any_io_executor executor) : timer(std::move(executor)) {}
    asio::steady_timer timer;
    std::optional<T> value;
  };
  std::shared_ptr<State> state_;
};

struct Caller {
  std::optional<Who> who;  // proven by the connection itself
  bool is_node = false;
};

// Sends and receives for Session; one instantiation per kind of stream.
template <typename Stream>
class Session {
 public:
  Session(Stream& stream, ApiBackend& backend, const HttpLimits& limits, Caller caller,
          std::function<void()> close)
      : stream_(stream),
        backend_(backend),
        limits_(limits),
        caller_(std::move(caller)),
        watchdog_(stream.get_executor(), std::move(close)) {}

  Task<void> Run() {
    // Not as the loop's condition: g++ 12 compiles that into a trap.
    for (bool more = true; more;) more = co_await OneRequest();
  }

 private:
  using HeaderParser = http::request_parser<http::empty_body>;

  auto Use() { return asio::redirect_error(asio::use_awaitable, code_); }

  // False: the connection is done with.
  Task<bool> OneRequest() {
    is_head_ = false;  // of the request before: an error is answered in full
    HeaderParser parser;
    parser.header_limit(limits_.header_bytes);
    parser.body_limit(boost::none);
    watchdog_.Arm(limits_.header_wait);
    co_await http::async_read_header(stream_, buffer_, parser, Use());
    watchdog_.Disarm();
    if (code_) {
      if (IsMalformed(code_))
        co_await Refuse(code_ == http::error::header_limit ? 431 : 400, "malformed HTTP: " + code_.message());
      co_return false;
    }
    const auto& header = parser.get();
    version_ = header.version();
    keep_alive_ = header.keep_alive();
    is_head_ = header.method() == http::verb::head;
    ApiRequest request;
    request.method = std::string(header.method_string());
    const std::string target(header.target());
    const auto mark = target.find('?');
    request.path = target.substr(0, mark);
    if (mark != std::string::npos) request.query = target.substr(mark + 1);
    request.accept = std::string(header[http::field::accept]);
    SayWho(std::string(header[http::field::authorization]), request);
    // Nothing that a stranger may ask for takes a body: his would only lie in memory for as long as he likes.
    if (!request.who && !parser.is_done()) co_return co_await Dismiss(Handle(request, backend_.View()));
    if (HasStreamedBody(request.method, request.path)) co_return co_await Upload(parser, request);
    const bool whole = co_await ReadBody(parser, request);
    if (!whole) co_return false;
    co_return co_await Answer(request, Handle(request, backend_.View()));
  }

  void SayWho(const std::string& authorization, ApiRequest& request) {
    request.who = caller_.who;
    constexpr std::string_view kBearer = "Bearer ";
    if (request.who || !authorization.starts_with(kBearer)) return;
    auto holder = backend_.Authorize(std::string_view(authorization).substr(kBearer.size()));
    if (!holder) {
      request.refused = holder.error().message;
    } else {
      request.who = *std::move(holder);
    }
  }

  static bool IsMalformed(const boost::system::error_code& code) {
    return code.category() == http::make_error_code(http::error::bad_method).category() &&
           code != http::error::end_of_stream && code != http::error::partial_message;
  }

  // An answer after which the connection closes, since what follows in it cannot be understood or is not
  // wanted.
  Task<bool> Refuse(int status, std::string message) {
    co_return co_await Dismiss(ErrorResponse(status, message));
  }
  Task<bool> Dismiss(ApiResult result) {
    keep_alive_ = false;
    const auto* response = std::get_if<ApiResponse>(&result);
    if (response == nullptr) co_return false;
    co_await Send(*response);
    co_return co_await Drain();
  }

  static bool Expects(const HeaderParser& parser) {
    return boost::beast::iequals(parser.get()[http::field::expect], "100-continue");
  }

  Task<bool> Continue(bool expected) {
    if (!expected) co_return true;
    static constexpr std::string_view kGoOn = "HTTP/1.1 100 Continue\r\n\r\n";
    co_await asio::async_write(stream_, asio::buffer(kGoOn), Use());
    co_return !code_;
  }

  Task<bool> ReadBody(HeaderParser& header, ApiRequest& request) {
    const auto length = header.content_length();
    if (length && *length > limits_.body_bytes) {
      co_return co_await Refuse(
          413, "the body is larger than " + std::to_string(limits_.body_bytes >> 20) + " MiB");
    }
    watchdog_.Arm(limits_.progress_wait);
    const bool open = co_await Continue(Expects(header));
    if (!open) co_return false;
    http::request_parser<http::string_body> parser(std::move(header));
    parser.body_limit(limits_.body_bytes);
    co_await http::async_read(stream_, buffer_, parser, Use());
    watchdog_.Disarm();
    if (code_ == http::error::body_limit) {
      co_return co_await Refuse(
          413, "the body is larger than " + std::to_string(limits_.body_bytes >> 20) + " MiB");
    }
    if (code_ && IsMalformed(code_)) co_return co_await Refuse(400, "malformed body: " + code_.message());
    if (code_) co_return false;
    request.body = std::move(parser.get().body());
    co_return true;
  }

  // PUT of a bundle: to a file, which the backend then checks and takes over.
  Task<bool> Upload(HeaderParser& header, const ApiRequest& request) {
    auto result = Handle(request, backend_.View());
    if (std::holds_alternative<ApiResponse>(result)) co_return co_await Dismiss(std::move(result));
    const auto* store = std::get_if<StoreBundleCommand>(&result);
    if (store == nullptr) co_return co_await Refuse(500, "this path takes no upload");
    const auto length = header.content_length();
    if (length && *length > limits_.bundle_bytes) co_return co_await Refuse(413, "the bundle is too large");
    const auto path = backend_.UploadPath(store->digest);
    const bool expected = Expects(header);
    http::request_parser<http::file_body> parser(std::move(header));
    parser.body_limit(limits_.bundle_bytes);
    boost::system::error_code opened;
    parser.get().body().open(path.c_str(), boost::beast::file_mode::write, opened);
    if (opened) co_return co_await Refuse(507, "cannot write a bundle here: " + opened.message());
    watchdog_.Arm(limits_.progress_wait);
    const bool open = co_await Continue(expected);
    if (!open) co_return false;
    while (!code_ && !parser.is_done()) {
      watchdog_.Arm(limits_.progress_wait);
      co_await http::async_read_some(stream_, buffer_, parser, Use());
    }
    watchdog_.Disarm();
    parser.get().body().close();
    if (code_) {
      std::error_code ignored;
      std::filesystem::remove(path, ignored);
      if (code_ == http::error::body_limit) co_return co_await Refuse(413, "the bundle is too large");
      if (code_.category() == boost::system::generic_category() ||
          code_.category() == boost::system::system_category()) {
        // Either the connection or the disk; the answer is lost on a broken connection anyway.
        co_return co_await Refuse(507, "the bundle could not be stored: " + code_.message());
      }
      co_return false;
    }
    Pending<Result<void>> done(stream_.get_executor());
    backend_.AdoptBundle(store->digest, path, done.Setter());
    const auto adopted = co_await done.Wait(std::chrono::minutes(2), "checking the bundle takes too long");
    if (!adopted) co_return co_await Send(ErrorResponse(adopted.error()));
    if (!*adopted) co_return co_await Send(ErrorResponse(adopted->error()));
    ApiResponse stored;  // named: g++ 12 destroys an aggregate twice that is a temporary of a co_await
    stored.body = "{\"stored\":\"" + store->digest.Hex() + "\"}";
    co_return co_await Send(std::move(stored));
  }

  // The client may still be sending: closing at once would reset the connection and lose the answer.
  Task<bool> Drain() {
    boost::system::error_code ignored;
    stream_.lowest_layer().shutdown(asio::socket_base::shutdown_send, ignored);
    watchdog_.Arm(std::chrono::seconds(1));
    char bin[4096];
    for (int i = 0; i < 4096 && !code_; ++i) co_await stream_.async_read_some(asio::buffer(bin), Use());
    watchdog_.Disarm();
    co_return false;
  }

  Task<bool> Answer(const ApiRequest& request, ApiResult result) {
    if (const auto* response = std::get_if<ApiResponse>(&result)) co_return co_await Send(*response);
    if (const auto* write = std::get_if<WriteCommand>(&result)) co_return co_await Write(*write);
    if (auto* logs = std::get_if<ReadLogsCommand>(&result)) co_return co_await Logs(std::move(*logs));
    if (const auto* follow = std::get_if<FollowEventsCommand>(&result)) co_return co_await Events(*follow);
    if (const auto* bundle = std::get_if<SendBundleCommand>(&result)) co_return co_await SendBundle(*bundle);
    if (const auto* past = std::get_if<ReadHistoryCommand>(&result))
      co_return co_await Send(backend_.ReadHistory(*past));
    if (auto* ask = std::get_if<AskNodeCommand>(&result)) co_return co_await AskNode(std::move(*ask));
    if (const auto* ask = std::get_if<AskRegionsCommand>(&result))
      co_return co_await AskRegions(request, *ask);
    if (std::holds_alternative<SendReportsCommand>(result)) {
      ApiResponse reports;
      reports.body = EncodeReports(backend_.View());
      reports.content_type = "application/octet-stream";
      co_return co_await Send(std::move(reports));
    }
    if (std::holds_alternative<ShowJoinTokenCommand>(result)) {
      const auto token = backend_.JoinToken();
      // Not within the co_await: g++ 12 evaluates both branches there.
      ApiResponse shown = token ? JoinTokenShown(*token) : ErrorResponse(token.error());
      co_return co_await Send(std::move(shown));
    }
    if (const auto* leave = std::get_if<LeaveCommand>(&result)) {
      backend_.Leave(leave->at_once);
      co_return co_await Send(LeaveAccepted(*leave));
    }
    if (const auto* create = std::get_if<CreateTokenCommand>(&result)) {
      Pending<Result<MadeToken>> done(stream_.get_executor());
      backend_.CreateToken(*create, done.Setter());
      auto made = co_await done.Wait(limits_.write_wait, "the cluster did not acknowledge the token in time");
      if (!made) co_return co_await Send(ErrorResponse(made.error()));
      if (!*made) co_return co_await Send(ErrorResponse(made->error()));
      co_return co_await Send(TokenCreated((**made).id, (**made).text));
    }
    co_return co_await Send(ErrorResponse(500, "no answer is known to " + request.path));
  }

  // Held here, or by some member by its own report.
  bool HasBundle(Digest digest) {
    if (backend_.BundleFile(digest)) return true;
    const NodeView view = backend_.View();
    for (const auto& [node, body] : view.reports) {
      const auto* report = body == nullptr ? nullptr : std::get_if<NodeReport>(body.get());
      if (report != nullptr && std::ranges::binary_search(report->bundles, digest)) return true;
    }
    return false;
  }

  Task<bool> Write(const WriteCommand& command) {
    for (const auto& digest : command.bundles) {
      if (HasBundle(digest)) continue;
      co_return co_await Send(ErrorResponse(
          409,
          "bundle " + digest.Hex() + " is on no node; PUT it to /v1/bundles/" + digest.Hex() + " first"));
    }
    Pending<Result<Stamp>> done(stream_.get_executor());
    backend_.Write(command.documents, done.Setter());
    auto stamp = co_await done.Wait(limits_.write_wait, "the cluster did not acknowledge the write in time");
    if (!stamp) co_return co_await Send(ErrorResponse(stamp.error()));
    if (!*stamp) co_return co_await Send(ErrorResponse(stamp->error()));
    co_return co_await Send(WriteDone(command, **stamp));
  }

  // A node that asks gets our own word: questions do not travel further.
  Task<bool> AskNode(AskNodeCommand command) {
    if (caller_.is_node) co_return co_await Send(std::move(command.own));
    Pending<std::string> done(stream_.get_executor());
    backend_.FetchFrom(command.node, command.target, std::make_shared<Collector>(done.Setter()));
    auto told = co_await done.Wait(limits_.ask_wait, "it does not answer in time");
    // Cut off on the way: half an object, or half a list.
    if (told && !told->empty() && told->ends_with(command.own.body.back()))
      command.own.body = *std::move(told);
    co_return co_await Send(std::move(command.own));
  }

  // All at once; those that do not answer in time are left out. A node that asks gets our own word.
  Task<bool> AskRegions(const ApiRequest& request, AskRegionsCommand command) {
    std::vector<Pending<std::string>> answers;
    for (const NodeId node : caller_.is_node ? std::vector<NodeId>{} : command.nodes) {
      answers.emplace_back(stream_.get_executor());
      backend_.FetchFrom(node, "/v1/reports", std::make_shared<Collector>(answers.back().Setter()));
    }
    std::vector<std::string> told;
    for (Pending<std::string>& answer : answers) {
      auto bytes = co_await answer.Wait(limits_.ask_wait, "it does not answer in time");
      if (bytes) told.push_back(*std::move(bytes));
    }
    NodeView view = backend_.View();
    for (const std::string& bytes : told) JoinReports(view, bytes);
    view.joined = true;
    ApiResult result = Handle(request, view);
    co_return co_await Answer(request, std::move(result));
  }

  Task<bool> Logs(ReadLogsCommand command) {
    auto queue = std::make_shared<StreamQueue>(stream_.get_executor());
    const bool follow = command.follow;
    auto merge = std::make_shared<LogMerge>(std::move(command), queue);
    merge->Start(backend_, backend_.View().self, caller_.is_node);
    asio::steady_timer limit(stream_.get_executor(), limits_.log_wait);
    if (!follow) {
      limit.async_wait([merge](const boost::system::error_code& code) {
        if (!code) merge->Finish();
      });
    }
    co_return co_await SendStream(queue, "application/x-ndjson", "\n", [] {});
  }

  Task<bool> Events(const FollowEventsCommand& command) {
    auto queue = std::make_shared<StreamQueue>(stream_.get_executor());
    EventTail tail(command.subject, command.since_ms);
    co_return co_await SendStream(queue, "text/event-stream", ": still here\n\n", [&] {
      if (queue->Full()) return;  // the reader is slow: they are still in the view later
      for (const auto& event : tail.Next(backend_.View())) queue->Write(ServerSentEvent(event));
    });
  }

  // Chunks until the queue ends. `poll` is called now and then to fill it.
  template <typename Poll>
  Task<bool> SendStream(std::shared_ptr<StreamQueue> queue, std::string type, std::string heartbeat,
                        Poll poll) {
    struct Closer {
      std::shared_ptr<StreamQueue> queue;
      ~Closer() { queue->Close(); }
    } closer{queue};
    http::response<http::empty_body> response(http::status::ok, version_);
    response.set(http::field::content_type, type);
    response.set(http::field::cache_control, "no-store");
    response.keep_alive(keep_alive_);
    response.chunked(true);
    http::response_serializer<http::empty_body> serializer(response);
    watchdog_.Arm(limits_.progress_wait);
    co_await http::async_write_header(stream_, serializer, Use());
    auto silent_since = std::chrono::steady_clock::now();
    while (!code_) {
      poll();
      if (queue->empty() && queue->ended()) break;
      std::string bytes = queue->Take();
      if (bytes.empty() && std::chrono::steady_clock::now() - silent_since > limits_.heartbeat)
        bytes = heartbeat;
      if (bytes.empty()) {
        boost::system::error_code woken;
        queue->wake().expires_after(limits_.event_poll);
        co_await queue->wake().async_wait(asio::redirect_error(asio::use_awaitable, woken));
        continue;
      }
      silent_since = std::chrono::steady_clock::now();
      watchdog_.Arm(limits_.progress_wait);
      co_await asio::async_write(stream_, http::make_chunk(asio::buffer(bytes)), Use());
      watchdog_.Disarm();
    }
    if (code_) co_return false;
    watchdog_.Arm(limits_.progress_wait);
    co_await asio::async_write(stream_, http::make_chunk_last(), Use());
    watchdog_.Disarm();
    co_return !code_ && keep_alive_;
  }

  Task<bool> SendBundle(const SendBundleCommand& command) {
    const auto path = backend_.BundleFile(command.digest);
    if (!path)
      co_return co_await Send(ErrorResponse(404, "bundle " + command.digest.Short() + " is not held here"));
    http::response<http::file_body> response(http::status::ok, version_);
    boost::system::error_code opened;
    response.body().open(path->c_str(), boost::beast::file_mode::scan, opened);
    if (opened) co_return co_await Send(ErrorResponse(404, "the bundle cannot be read: " + opened.message()));
    response.set(http::field::content_type, "application/octet-stream");
    response.keep_alive(keep_alive_);
    response.prepare_payload();
    http::response_serializer<http::file_body> serializer(response);
    serializer.split(command.head_only);
    while (!code_ && !(command.head_only ? serializer.is_header_done() : serializer.is_done())) {
      watchdog_.Arm(limits_.progress_wait);
      co_await http::async_write_some(stream_, serializer, Use());
    }
    watchdog_.Disarm();
    co_return !code_ && keep_alive_;
  }

  Task<bool> Send(ApiResponse answer) {
    http::response<http::string_body> response(static_cast<http::status>(answer.status), version_);
    response.set(http::field::content_type, answer.content_type);
    response.set(http::field::cache_control, "no-store");
    if (answer.status == 401) response.set(http::field::www_authenticate, "Bearer");
    if (answer.status == 503) response.set(http::field::retry_after, "1");
    response.keep_alive(keep_alive_);
    response.body() = std::move(answer.body);
    response.prepare_payload();
    http::response_serializer<http::string_body> serializer(response);
    code_ = {};
    watchdog_.Arm(limits_.progress_wait);
    if (is_head_) {
      co_await http::async_write_header(stream_, serializer, Use());
    } else {
      co_await http::async_write(stream_, serializer, Use());
    }
    watchdog_.Disarm();
    co_return !code_ && keep_alive_;
  }

  Stream& stream_;
  ApiBackend& backend_;
  const HttpLimits& limits_;
  Caller caller_;
  Watchdog watchdog_;
  boost::beast::flat_buffer buffer_;
  boost::system::error_code code_;
  unsigned version_ = 11;
  bool keep_alive_ = true;
  bool is_head_ = false;
};

}  // namespace hs
