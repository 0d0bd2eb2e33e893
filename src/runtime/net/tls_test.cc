#include "runtime/net/tls.h"

#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <memory>

#include "runtime/net/net_test_util.h"

namespace hs {
namespace {

using SslHandle = std::unique_ptr<SSL, decltype(&SSL_free)>;

// Of a handshake in memory with a client that offers these groups alone.
bool IsAgreedWith(const char* groups) {
  const auto ours = MakeTlsContext(TestCluster().Member(1)).value();
  const auto theirs = MakeJoinerContext();
  const SslHandle server(SSL_new(ours->native_handle()), SSL_free);
  const SslHandle client(SSL_new(theirs->native_handle()), SSL_free);
  EXPECT_EQ(SSL_set1_groups_list(client.get(), groups), 1);
  constexpr std::size_t kRoom = 1 << 16;
  BIO* server_end = nullptr;
  BIO* client_end = nullptr;
  BIO_new_bio_pair(&server_end, kRoom, &client_end, kRoom);
  SSL_set_bio(server.get(), server_end, server_end);
  SSL_set_bio(client.get(), client_end, client_end);
  SSL_set_accept_state(server.get());
  SSL_set_connect_state(client.get());
  for (int round = 0; round < 4; ++round) {
    SSL_do_handshake(client.get());
    SSL_do_handshake(server.get());
  }
  return SSL_is_init_finished(server.get()) != 0 && SSL_is_init_finished(client.get()) != 0;
}

TEST(Tls, AStrangersHelloCannotAskForCostlyArithmetic) {
  struct {
    const char* groups;
    bool agreed;
  } table[] = {
      {"X25519", true},       // ours
      {"P-256", true},        // of clients without it
      {"P-521:P-256", true},  // asked to choose again
      {"P-384", false},       // a millisecond
      {"P-521", false},       // half of one
      {"X448", false},        // a third
      {"ffdhe2048", false},   // two
      {"ffdhe8192", false},   // ninety
  };
  for (const auto& row : table) EXPECT_EQ(IsAgreedWith(row.groups), row.agreed) << row.groups;
}

}  // namespace
}  // namespace hs
