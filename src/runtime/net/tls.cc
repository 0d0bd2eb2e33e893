#include "runtime/net/tls.h"

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <cstring>

#include "runtime/crypto/openssl_handles.h"
#include "runtime/crypto/token.h"

namespace hs {
namespace {

std::string PemOf(X509* certificate) {
  BioHandle bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(bio.get(), certificate);
  return BytesOf(bio.get());
}

// Chooses the client's first protocol that is one of ours. A client that offers only others is refused.
int SelectAlpn(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* offered,
               unsigned size, void*) {
  for (unsigned at = 0; at < size && at + offered[at] < size; at += 1u + offered[at]) {
    const std::string_view protocol(reinterpret_cast<const char*>(offered + at + 1), offered[at]);
    constexpr std::array kOurs{kAlpnLink, kAlpnJoin, kAlpnHttp, kAlpnRelay, kAlpnLine};
    if (std::ranges::find(kOurs, protocol) == kOurs.end()) continue;
    *out = offered + at + 1;
    *out_size = offered[at];
    return SSL_TLSEXT_ERR_OK;
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

// Sessions are never resumed: links live long, and tickets and caches would only cost memory.
void Configure(TlsContext& context) {
  SSL_CTX* raw = context.native_handle();
  SSL_CTX_set_min_proto_version(raw, TLS1_3_VERSION);
  // Only what is quick: by default a stranger's first packet may ask for ffdhe8192, which holds the one
  // thread for 90 ms.
  SSL_CTX_set1_groups_list(raw, "X25519:P-256");
  SSL_CTX_set_mode(
      raw, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(raw, 0);
  SSL_CTX_set_options(raw, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
}

}  // namespace

Result<std::shared_ptr<TlsContext>> MakeTlsContext(const Identity& identity) {
  try {
    auto context = std::make_shared<TlsContext>(TlsContext::tls);
    Configure(*context);
    context->use_certificate_chain(
        boost::asio::buffer(identity.node_certificate_pem + identity.authority.certificate_pem));
    context->use_private_key(boost::asio::buffer(identity.node_key_pem), TlsContext::pem);
    context->add_certificate_authority(boost::asio::buffer(identity.authority.certificate_pem));
    SSL_CTX* raw = context->native_handle();
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(raw), X509_V_FLAG_NO_CHECK_TIME);
    context->set_verify_mode(boost::asio::ssl::verify_peer);
    // Tells browsers that only a node's certificate is wanted, so that they do not ask people for one.
    CertHandle ca(
        PEM_read_bio_X509(ReadOnlyBio(identity.authority.certificate_pem).get(), nullptr, nullptr, nullptr));
    if (ca) SSL_CTX_add_client_CA(raw, ca.get());
    SSL_CTX_set_alpn_select_cb(raw, SelectAlpn, nullptr);
    return context;
  } catch (const boost::system::system_error& failure) {
    return BadInput(std::string("the node's key and certificate cannot be used for TLS: ") + failure.what());
  }
}

std::shared_ptr<TlsContext> MakeJoinerContext() {
  auto context = std::make_shared<TlsContext>(TlsContext::tls);
  Configure(*context);
  context->set_verify_mode(boost::asio::ssl::verify_none);
  return context;
}

void OfferAlpn(TlsStream& stream, std::string_view protocol) {
  std::string wire(1, static_cast<char>(protocol.size()));
  wire += protocol;
  SSL_set_alpn_protos(stream.native_handle(), reinterpret_cast<const unsigned char*>(wire.data()),
                      static_cast<unsigned>(wire.size()));
}

std::string_view AgreedAlpn(TlsStream& stream) {
  const unsigned char* data = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(stream.native_handle(), &data, &size);
  return {reinterpret_cast<const char*>(data), size};
}

std::optional<NodeCertificate> PeerOf(TlsStream& stream, ClusterId cluster) {
  SSL* ssl = stream.native_handle();
  CertHandle certificate(SSL_get1_peer_certificate(ssl));
  if (!certificate || SSL_get_verify_result(ssl) != X509_V_OK) return std::nullopt;
  const auto read = ReadNodeCertificate(PemOf(certificate.get()));
  if (!read || read->cluster != cluster) return std::nullopt;
  return *read;
}

bool ServerMatches(TlsStream& stream, const CaFingerprint& fingerprint) {
  SSL* ssl = stream.native_handle();
  CertHandle certificate(SSL_get1_peer_certificate(ssl));
  STACK_OF(X509)* chain = SSL_get_peer_cert_chain(ssl);
  if (!certificate || !chain) return false;
  for (int i = 0; i < sk_X509_num(chain); ++i) {
    const std::string pem = PemOf(sk_X509_value(chain, i));
    if (FingerprintOf(pem) == fingerprint) return VerifyCertificate(pem, PemOf(certificate.get()));
  }
  return false;
}

}  // namespace hs
