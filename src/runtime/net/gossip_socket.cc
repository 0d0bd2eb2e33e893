#include "runtime/net/gossip_socket.h"

#include <sys/socket.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include "runtime/net/sockets.h"

namespace hs {
namespace {

constexpr std::size_t kBatch = 8;
constexpr int kBatchesPerWake = 8;  // then others on the loop get their turn
constexpr std::size_t kBufferBytes = GossipSeal::kContentMax + GossipSeal::kOverheadBytes;

}  // namespace

class GossipSocket::Impl : public std::enable_shared_from_this<GossipSocket::Impl> {
 public:
  Impl(boost::asio::io_context& loop, int udp_fd, GossipSeal seal, Receiver receiver,
       std::function<void()> on_drained)
      : descriptor_(loop, udp_fd),
        family_(FamilyOf(LocalEndpoint(udp_fd))),
        seal_(std::move(seal)),
        receiver_(std::move(receiver)),
        on_drained_(std::move(on_drained)),
        buffer_(kBatch * kBufferBytes, '\0') {}

  void Wait() {
    descriptor_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                           [self = shared_from_this()](boost::system::error_code failure) {
                             if (failure || self->closed_) return;
                             self->Drain();
                             if (!self->closed_) self->Wait();
                           });
  }

  void Close() {
    closed_ = true;
    receiver_ = nullptr;
    boost::system::error_code ignored;
    descriptor_.close(ignored);
  }

  void Send(const Endpoint& to, std::string_view content) {
    if (content.size() > GossipSeal::kContentMax || !to) {
      ++counts_.not_sent;
      return;
    }
    seal_.Seal(content, datagram_);
    // An IPv4 socket cannot reach IPv6.
    const SocketAddress address = ToSocketAddress(to, family_);
    const bool reachable = family_ == AF_INET6 || to.ip.IsV4();
    const ssize_t sent = reachable ? ::sendto(descriptor_.native_handle(), datagram_.data(), datagram_.size(),
                                              MSG_DONTWAIT | MSG_NOSIGNAL, address.get(), address.size)
                                   : -1;
    if (sent < 0) {
      ++counts_.not_sent;
    } else {
      ++counts_.sent;
      counts_.sent_bytes += datagram_.size();
    }
  }

  GossipCounts counts() const {
    GossipCounts counts = counts_;
    counts.drops = seal_.drops();
    return counts;
  }

 private:
  void Drain() {
    for (int batch = 0; batch < kBatchesPerWake && !closed_; ++batch) {
      if (ReceiveBatch() < static_cast<int>(kBatch)) break;
    }
    if (on_drained_ && !closed_) on_drained_();
  }

  int ReceiveBatch() {
    std::array<mmsghdr, kBatch> messages{};
    std::array<iovec, kBatch> vectors{};
    std::array<sockaddr_storage, kBatch> senders;
    for (std::size_t i = 0; i < kBatch; ++i) {
      vectors[i] = {buffer_.data() + i * kBufferBytes, kBufferBytes};
      messages[i].msg_hdr.msg_iov = &vectors[i];
      messages[i].msg_hdr.msg_iovlen = 1;
      messages[i].msg_hdr.msg_name = &senders[i];
      messages[i].msg_hdr.msg_namelen = sizeof senders[i];
    }
    const int count = ::recvmmsg(descriptor_.native_handle(), messages.data(), kBatch, MSG_DONTWAIT, nullptr);
    for (int i = 0; i < count && !closed_; ++i) {
      const mmsghdr& message = messages[static_cast<std::size_t>(i)];
      if (message.msg_hdr.msg_flags & MSG_TRUNC) {
        seal_.CountOversized();
        continue;
      }
      const char* start = buffer_.data() + static_cast<std::size_t>(i) * kBufferBytes;
      const auto from = seal_.Open({start, message.msg_len}, content_);
      if (!from) continue;
      ++counts_.received;
      counts_.received_bytes += message.msg_len;
      receiver_(*from, ToEndpoint(reinterpret_cast<const sockaddr*>(&senders[static_cast<std::size_t>(i)])),
                content_);
    }
    return count;
  }

  boost::asio::posix::stream_descriptor descriptor_;
  int family_;
  GossipSeal seal_;
  Receiver receiver_;
  std::function<void()> on_drained_;
  std::string buffer_;
  std::string datagram_;
  std::string content_;
  GossipCounts counts_;
  bool closed_ = false;
};

GossipSocket::GossipSocket(boost::asio::io_context& loop, int udp_fd, GossipSeal seal, Receiver receiver,
                           std::function<void()> on_drained)
    : impl_(
          std::make_shared<Impl>(loop, udp_fd, std::move(seal), std::move(receiver), std::move(on_drained))) {
  impl_->Wait();
}
GossipSocket::~GossipSocket() { impl_->Close(); }
void GossipSocket::Send(const Endpoint& to, std::string_view content) { impl_->Send(to, content); }
GossipCounts GossipSocket::counts() const { return impl_->counts(); }

}  // namespace hs
