// What the tests of links and joins share: identities of one cluster, nodes on loopback, waiting for a
// condition.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "runtime/crypto/primitives.h"
#include "runtime/net/link_host.h"
#include "runtime/net/sockets.h"

namespace hs {

struct TestCluster {
  ClusterId id = RandomClusterId();
  Authority authority = CreateAuthority(id);
  std::string secret = RandomBytes(32);

  Identity Member(std::uint8_t number, const std::string& key_pem = GenerateKeyPem()) const {
    Identity identity;
    identity.cluster = id;
    identity.node.bytes[0] = number;
    identity.boot_counter = 1;
    identity.boot_id = RandomBootId();
    identity.node_key_pem = key_pem;
    identity.node_certificate_pem =
        IssueNodeCertificate(authority, id, identity.node, PublicKeyPemOf(identity.node_key_pem).value())
            .value();
    identity.authority = authority;
    identity.gossip_secret = secret;
    return identity;
  }
};

inline const char* NameOf(LinkEnd end) {
  constexpr const char* kNames[] = {"closed", "reset", "refused", "timeout", "denied"};
  return kNames[static_cast<int>(end)];
}

// A link host that writes down what it is told: "up 2", "down 2 reset", "2: text".
struct TestNode {
  TestNode(boost::asio::io_context& loop, Identity who, LinkHostConfig config = {},
           LinkHostHandlers handlers = {}, Endpoint listen = {IpAddress::V4(127, 0, 0, 1), 0})
      : identity(std::move(who)) {
    const ListenSockets sockets = Listen(listen).value();
    ::close(sockets.udp);
    endpoint = sockets.endpoint;
    config.tcp_fd = sockets.tcp;
    config.listen = endpoint;
    const auto number = [](NodeId node) { return std::to_string(node.bytes[0]); };
    handlers.up = [this, number](NodeId peer) { events.push_back("up " + number(peer)); };
    handlers.down = [this, number](NodeId peer, LinkEnd end) {
      events.push_back("down " + number(peer) + " " + NameOf(end));
    };
    handlers.received = [this, number](NodeId from, std::string_view message) {
      events.push_back(number(from) + ": " + std::string(message.substr(0, 20)));
      received_bytes += message.size();
    };
    host = LinkHost::Start(loop, identity, config, std::move(handlers)).value();
  }

  NodeId id() const { return identity.node; }
  bool Saw(const std::string& event) const { return Times(event) > 0; }
  long Times(const std::string& event) const { return std::count(events.begin(), events.end(), event); }
  void Send(const TestNode& to, std::string_view message) { host->Send(to.id(), to.endpoint, message); }

  Identity identity;
  Endpoint endpoint;
  std::vector<std::string> events;
  std::size_t received_bytes = 0;
  std::unique_ptr<LinkHost> host;
};

// Runs the loop until it holds; false when the deadline passed first.
inline bool RunUntil(boost::asio::io_context& loop, const std::function<bool()>& holds,
                     std::chrono::seconds patience = std::chrono::seconds(30)) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (!holds()) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    loop.restart();
    loop.run_one_for(std::chrono::milliseconds(200));
  }
  return true;
}

}  // namespace hs
