#include "runtime/net/lan_socket.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <cstring>
#include <vector>

#include "runtime/net/lan_words.h"
#include "runtime/net/sockets.h"

namespace hs {
namespace {

using Descriptor = boost::asio::posix::stream_descriptor;
using ErrorCode = boost::system::error_code;

constexpr int kBite = 64;
constexpr auto kPause = std::chrono::milliseconds(50);

// Indices of interfaces, each once.
std::vector<int> InterfacesFor(const Endpoint& listen) {
  std::vector<int> found, loopback;
  ifaddrs* all = nullptr;
  if (::getifaddrs(&all) != 0) return found;
  for (const ifaddrs* entry = all; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr || entry->ifa_addr->sa_family != AF_INET) continue;
    if ((entry->ifa_flags & IFF_UP) == 0) continue;
    const int index = static_cast<int>(::if_nametoindex(entry->ifa_name));
    if (index == 0) continue;
    const bool local = (entry->ifa_flags & IFF_LOOPBACK) != 0;
    if (local) loopback.push_back(index);
    const bool wanted = listen.ip.IsUnspecified() ? !local && (entry->ifa_flags & IFF_MULTICAST) != 0
                        : listen.ip.IsLoopback()  ? local
                                                  : ToEndpoint(entry->ifa_addr).ip == listen.ip;
    if (wanted) found.push_back(index);
  }
  ::freeifaddrs(all);
  // A machine without a network: its own boxes find each other.
  if (found.empty() && listen.ip.IsUnspecified()) found = loopback;
  std::ranges::sort(found);
  found.erase(std::ranges::unique(found).begin(), found.end());
  return found;
}

int OpenUdp(const Endpoint& bound, bool shared) {
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  const int on = 1, off = 0;
  if (shared) {
    ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    // Else what others joined on interfaces of theirs would come here too.
    ::setsockopt(fd, IPPROTO_IP, IP_MULTICAST_ALL, &off, sizeof off);
  }
  const SocketAddress address = ToSocketAddress(bound, AF_INET);
  if (::bind(fd, address.get(), address.size) == 0) return fd;
  const int error = errno;
  ::close(fd);
  errno = error;
  return -1;
}

ip_mreqn Through(int interface) {
  ip_mreqn request{};
  std::memcpy(&request.imr_multiaddr, kLanGroup.ip.bytes.data() + 12, 4);
  request.imr_ifindex = interface;
  return request;
}

}  // namespace

class LanSocket::Impl : public std::enable_shared_from_this<LanSocket::Impl> {
 public:
  Impl(boost::asio::io_context& loop, int group_fd, int own_fd, Endpoint listen, Receiver receiver)
      : group_{Descriptor(loop, group_fd), boost::asio::steady_timer(loop)},
        own_{Descriptor(loop, own_fd), boost::asio::steady_timer(loop)},
        listen_(listen),
        receiver_(std::move(receiver)) {}

  void Start() {
    Wait(group_);
    Wait(own_);
  }

  void Close() {
    receiver_ = nullptr;
    for (Ear* ear : {&group_, &own_}) {
      ErrorCode ignored;
      ear->pause.cancel();
      ear->descriptor.close(ignored);
    }
  }

  // Where it has joined already, the kernel says so and nothing changes.
  std::vector<int> Join() {
    std::vector<int> interfaces = InterfacesFor(listen_);
    for (const int interface : interfaces) {
      const ip_mreqn request = Through(interface);
      ::setsockopt(group_.descriptor.native_handle(), IPPROTO_IP, IP_ADD_MEMBERSHIP, &request,
                   sizeof request);
    }
    return interfaces;
  }

  void Ask(std::string_view datagram) {
    for (const int interface : Join()) {
      const ip_mreqn request = Through(interface);
      if (::setsockopt(own_.descriptor.native_handle(), IPPROTO_IP, IP_MULTICAST_IF, &request,
                       sizeof request) == 0)
        Send(kLanGroup, datagram);
    }
  }

  // What is lost is asked again.
  void Send(const Endpoint& to, std::string_view datagram) {
    if (!to.ip.IsV4()) return;
    const SocketAddress address = ToSocketAddress(to, AF_INET);
    (void)!::sendto(own_.descriptor.native_handle(), datagram.data(), datagram.size(),
                    MSG_DONTWAIT | MSG_NOSIGNAL, address.get(), address.size);
  }

 private:
  struct Ear {
    Descriptor descriptor;
    boost::asio::steady_timer pause;
  };

  void Wait(Ear& ear) {
    ear.descriptor.async_wait(Descriptor::wait_read, [self = shared_from_this(), &ear](ErrorCode failure) {
      if (failure || !self->receiver_) return;
      if (self->Drain(ear.descriptor.native_handle()) < kBite) return self->Wait(ear);
      ear.pause.expires_after(kPause);
      ear.pause.async_wait([self, &ear](ErrorCode stopped) {
        if (!stopped && self->receiver_) self->Wait(ear);
      });
    });
  }

  int Drain(int fd) {
    char buffer[kLanWordMax + 1];
    for (int taken = 0; taken < kBite; ++taken) {
      SocketAddress from;
      from.size = sizeof from.storage;
      const ssize_t size = ::recvfrom(fd, buffer, sizeof buffer, MSG_DONTWAIT, from.get(), &from.size);
      if (size < 0) return taken;
      if (static_cast<std::size_t>(size) > kLanWordMax || !receiver_) continue;
      receiver_(ToEndpoint(from.get()), {buffer, static_cast<std::size_t>(size)});
    }
    return kBite;
  }

  Ear group_;  // hears questions
  Ear own_;    // asks, answers, and hears answers
  Endpoint listen_;
  Receiver receiver_;
};

Result<std::unique_ptr<LanSocket>> LanSocket::Open(boost::asio::io_context& loop, const Endpoint& listen,
                                                   Receiver receiver) {
  const auto fail = [](const std::string& why) {
    return Fail(Reaction::kRetryLater, "boxes on the local network cannot be found by asking: " + why);
  };
  const bool any = listen.ip.IsUnspecified();
  if (!any && !listen.ip.IsV4()) return fail("this node listens on IPv6 alone");
  const int group = OpenUdp(kLanGroup, true);
  if (group < 0) return fail(kLanGroup.ToString() + ": " + std::strerror(errno));
  const int own = OpenUdp({any ? IpAddress::V4(0, 0, 0, 0) : listen.ip, 0}, false);
  if (own < 0) {
    const int error = errno;
    ::close(group);
    return fail(std::strerror(error));
  }
  auto impl = std::make_shared<Impl>(loop, group, own, listen, std::move(receiver));
  impl->Join();
  impl->Start();
  return std::unique_ptr<LanSocket>(new LanSocket(std::move(impl)));
}
LanSocket::~LanSocket() { impl_->Close(); }
void LanSocket::Ask(std::string_view datagram) { impl_->Ask(datagram); }
void LanSocket::Answer(const Endpoint& to, std::string_view datagram) { impl_->Send(to, datagram); }
void LanSocket::Refresh() { impl_->Join(); }

}  // namespace hs
