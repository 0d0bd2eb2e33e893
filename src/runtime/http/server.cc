#include "runtime/http/server.h"

#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/local/stream_protocol.hpp>
#include <map>

#include "runtime/http/session.h"
#include "runtime/net/connection_shares.h"
#include "runtime/net/sockets.h"

namespace hs {

using UnixSocket = asio::local::stream_protocol::socket;

class HttpServer::Impl : public std::enable_shared_from_this<HttpServer::Impl> {
 public:
  Impl(asio::any_io_executor executor, ApiBackend& backend, HttpLimits limits)
      : executor_(std::move(executor)),
        backend_(backend),
        limits_(limits),
        shares_(limits.connections, limits.connections_per_source) {}

  Result<void> ListenUnix(const std::filesystem::path& path) {
    const std::string name = path.string();
    if (name.size() >= sizeof(sockaddr_un::sun_path)) {
      return BadInput("the path " + name +
                      " is too long for a Unix socket (at most 107 characters); use a shorter --data");
    }
    boost::system::error_code code;
    const asio::local::stream_protocol::endpoint endpoint(name);
    UnixSocket probe(executor_);
    probe.connect(endpoint, code);
    if (!code) return Fail(Reaction::kRefuse, "another agent already answers at " + name);
    ::unlink(name.c_str());
    auto acceptor = std::make_unique<asio::local::stream_protocol::acceptor>(executor_);
    acceptor->open(endpoint.protocol(), code);
    if (!code) acceptor->bind(endpoint, code);
    // Nobody can connect before listen(), so that there is no moment with other rights.
    if (!code && ::chmod(name.c_str(), 0600) != 0) code = {errno, boost::system::system_category()};
    if (!code) acceptor->listen(asio::socket_base::max_listen_connections, code);
    if (code) {
      ::unlink(name.c_str());
      return Fail(Reaction::kFixInput, "cannot listen on " + name + ": " + code.message());
    }
    acceptor_ = std::move(acceptor);
    unix_path_ = name;
    Accept();
    return {};
  }

  Result<bool> KeepUnix() {
    std::error_code unknown;
    if (stopped_ || !acceptor_ || std::filesystem::exists(unix_path_, unknown)) return false;
    if (auto made = ListenUnix(unix_path_); !made) return std::unexpected(made.error());
    return true;
  }

  template <typename Stream>
  void Serve(Stream stream, Caller caller, const ConnectionSource& source) {
    if (stopped_ || !shares_.Take(source)) return;  // dropping it closes it
    auto shared = std::make_shared<Stream>(std::move(stream));
    const std::uint64_t id = ++last_id_;
    auto close = [weak = std::weak_ptr<Stream>(shared)] {
      if (const auto live = weak.lock()) {
        boost::system::error_code ignored;
        live->lowest_layer().close(ignored);
      }
    };
    open_.emplace(id, close);
    asio::co_spawn(executor_, Converse(shared_from_this(), shared, std::move(caller), std::move(close)),
                   [self = shared_from_this(), id, source](std::exception_ptr) {
                     self->open_.erase(id);
                     self->shares_.Give(source);
                   });
  }

  void Stop() {
    stopped_ = true;
    boost::system::error_code ignored;
    if (acceptor_) {
      acceptor_->close(ignored);
      ::unlink(unix_path_.c_str());
      acceptor_.reset();
    }
    const auto open = open_;
    for (const auto& [id, close] : open) close();
  }

  std::size_t connections() const { return open_.size(); }

 private:
  // Everything that may throw (memory, a library) ends this one conversation and no more.
  template <typename Stream>
  static Task<void> Converse(std::shared_ptr<Impl> self, std::shared_ptr<Stream> stream, Caller caller,
                             std::function<void()> close) {
    Session<Stream> session(*stream, self->backend_, self->limits_, std::move(caller), std::move(close));
    co_await session.Run();
    boost::system::error_code ignored;
    stream->lowest_layer().shutdown(asio::socket_base::shutdown_both, ignored);
    stream->lowest_layer().close(ignored);
  }

  void Accept() {
    acceptor_->async_accept(
        [self = shared_from_this()](const boost::system::error_code& code, UnixSocket socket) {
          if (self->stopped_ || code == asio::error::operation_aborted) return;
          if (!code) {
            self->Serve(std::move(socket), Caller{Who{"the box's own user", true}, false}, OwnUser{});
            return self->Accept();
          }
          // Out of descriptors or memory: that passes, and asking again at once would spin.
          self->retry_.expires_after(std::chrono::milliseconds(100));
          self->retry_.async_wait([self](const boost::system::error_code& cancelled) {
            if (!cancelled && !self->stopped_) self->Accept();
          });
        });
  }

  asio::any_io_executor executor_;
  ApiBackend& backend_;
  HttpLimits limits_;
  ConnectionShares shares_;
  std::unique_ptr<asio::local::stream_protocol::acceptor> acceptor_;
  asio::steady_timer retry_{executor_};
  std::string unix_path_;
  std::map<std::uint64_t, std::function<void()>> open_;  // how to close each
  std::uint64_t last_id_ = 0;
  bool stopped_ = false;
};

HttpServer::HttpServer(asio::any_io_executor executor, ApiBackend& backend, HttpLimits limits)
    : impl_(std::make_shared<Impl>(std::move(executor), backend, limits)) {}

HttpServer::~HttpServer() { Stop(); }

Result<void> HttpServer::ListenUnix(const std::filesystem::path& path) { return impl_->ListenUnix(path); }

Result<bool> HttpServer::KeepUnix() { return impl_->KeepUnix(); }

void HttpServer::ServeTls(TlsStream&& stream, std::optional<NodeId> peer) {
  Caller caller;
  // Nodes read each other's logs and bundles; what they write goes over their links.
  if (peer) caller = {Who{"node " + peer->Short(), false}, true};
  if (peer) return impl_->Serve(std::move(stream), std::move(caller), *peer);
  boost::system::error_code failure;
  const auto remote = stream.lowest_layer().remote_endpoint(failure);
  if (failure) return;  // it has gone
  impl_->Serve(std::move(stream), std::move(caller), ToEndpoint(remote.data()).ip);
}

std::size_t HttpServer::connections() const { return impl_->connections(); }

void HttpServer::Stop() { impl_->Stop(); }

}  // namespace hs
