#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "runtime/net/link_connection.h"
#include "runtime/net/link_host.h"
#include "runtime/net/sockets.h"

namespace hs {
namespace {

using boost::asio::ip::tcp;
using ErrorCode = boost::system::error_code;

struct Attempt {
  explicit Attempt(boost::asio::io_context& loop) : socket(loop), timer(loop) {}
  tcp::socket socket;
  boost::asio::steady_timer timer;
  std::function<void(ConnectResult)> done;

  void Finish(ConnectResult result) {
    ErrorCode ignored;
    timer.cancel();
    socket.close(ignored);
    if (auto call = std::exchange(done, nullptr)) call(result);
  }
};

}  // namespace

void TryConnectTo(boost::asio::io_context& loop, const Endpoint& address, const Endpoint& source,
                  Duration timeout, std::function<void(ConnectResult)> done) {
  const auto attempt = std::make_shared<Attempt>(loop);
  attempt->done = std::move(done);
  ErrorCode failure;
  attempt->socket.open(address.ip.IsV4() ? tcp::v4() : tcp::v6(), failure);
  if (failure) {
    boost::asio::post(loop, [attempt] { attempt->Finish(ConnectResult::kTimeout); });
    return;
  }
  // Reset on close instead of a farewell: leaves nothing behind in TIME_WAIT on a box that probes often.
  attempt->socket.set_option(boost::asio::socket_base::linger(true, 0), failure);
  BindSource(attempt->socket.native_handle(), source, address);
  attempt->timer.expires_after(timeout);
  attempt->timer.async_wait([attempt](ErrorCode stopped) {
    if (!stopped) attempt->Finish(ConnectResult::kTimeout);
  });
  attempt->socket.async_connect(ToAsio(address), [attempt](ErrorCode connect_failure) {
    if (!connect_failure) return attempt->Finish(ConnectResult::kAccepted);
    const bool refused = LinkEndOf(connect_failure, false) == LinkEnd::kRefused ||
                         LinkEndOf(connect_failure, false) == LinkEnd::kReset;
    attempt->Finish(refused ? ConnectResult::kRefused : ConnectResult::kTimeout);
  });
}

}  // namespace hs
