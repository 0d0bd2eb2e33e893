#include "runtime/crypto/certificates.h"

#include <openssl/ec.h>

#include "base/check.h"
#include "runtime/crypto/openssl_handles.h"
#include "runtime/crypto/primitives.h"

namespace hs {
namespace {

constexpr std::string_view kScheme = "homeostat://";

// OpenSSL keeps a queue of errors per thread; what is left in it would be blamed on the next TLS operation.
struct ErrorQueueGuard {
  ~ErrorQueueGuard() { ERR_clear_error(); }
};

KeyHandle ReadPrivateKey(std::string_view pem) {
  return KeyHandle(PEM_read_bio_PrivateKey(ReadOnlyBio(pem).get(), nullptr, nullptr, nullptr));
}
KeyHandle ReadPublicKey(std::string_view pem) {
  return KeyHandle(PEM_read_bio_PUBKEY(ReadOnlyBio(pem).get(), nullptr, nullptr, nullptr));
}
CertHandle ReadCertificate(std::string_view pem) {
  return CertHandle(PEM_read_bio_X509(ReadOnlyBio(pem).get(), nullptr, nullptr, nullptr));
}

std::string PemOf(X509* certificate) {
  BioHandle bio(BIO_new(BIO_s_mem()));
  HS_CHECK(PEM_write_bio_X509(bio.get(), certificate) == 1);
  return BytesOf(bio.get());
}
std::string PemOfPrivate(EVP_PKEY* key) {
  BioHandle bio(BIO_new(BIO_s_mem()));
  HS_CHECK(PEM_write_bio_PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1);
  return BytesOf(bio.get());
}

Digest DigestOfKey(EVP_PKEY* key) {
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key, &der);
  HS_CHECK(size > 0);
  const Digest digest = Sha256({reinterpret_cast<char*>(der), static_cast<std::size_t>(size)});
  OPENSSL_free(der);
  return digest;
}

void AddExtension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  HS_CHECK(extension != nullptr);
  HS_CHECK(X509_add_ext(certificate, extension, -1) == 1);
  X509_EXTENSION_free(extension);
}

CertHandle NewCertificate(EVP_PKEY* subject_key, const std::string& common_name, X509_NAME* issuer) {
  CertHandle certificate(X509_new());
  X509_set_version(certificate.get(), X509_VERSION_3);
  std::string serial = RandomBytes(16);
  serial[0] &= 0x7f;  // serial numbers are positive
  BIGNUM* number = BN_bin2bn(reinterpret_cast<const unsigned char*>(serial.data()), 16, nullptr);
  BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate.get()));
  BN_free(number);
  HS_CHECK(ASN1_TIME_set_string_X509(X509_getm_notBefore(certificate.get()), "19700101000000Z") == 1);
  HS_CHECK(ASN1_TIME_set_string_X509(X509_getm_notAfter(certificate.get()), "99991231235959Z") == 1);
  X509_NAME* name = X509_get_subject_name(certificate.get());
  HS_CHECK(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                      reinterpret_cast<const unsigned char*>(common_name.data()),
                                      static_cast<int>(common_name.size()), -1, 0) == 1);
  X509_set_issuer_name(certificate.get(), issuer ? issuer : name);
  X509_set_pubkey(certificate.get(), subject_key);
  return certificate;
}

// The URI of ours among the subject's alternative names.
std::optional<std::string> UriOf(X509* certificate) {
  auto* names =
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  std::optional<std::string> found;
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    if (name->type != GEN_URI) continue;
    const ASN1_IA5STRING* uri = name->d.uniformResourceIdentifier;
    std::string text(reinterpret_cast<const char*>(ASN1_STRING_get0_data(uri)),
                     static_cast<std::size_t>(ASN1_STRING_length(uri)));
    if (text.starts_with(kScheme)) found = std::move(text);
  }
  GENERAL_NAMES_free(names);
  return found;
}

}  // namespace

std::string GenerateKeyPem() {
  KeyHandle key(EVP_EC_gen("P-256"));
  HS_CHECK(key != nullptr);
  return PemOfPrivate(key.get());
}

Result<std::string> PublicKeyPemOf(std::string_view private_key_pem) {
  ErrorQueueGuard guard;
  KeyHandle key = ReadPrivateKey(private_key_pem);
  if (!key) return BadInput("not a private key in PEM form");
  BioHandle bio(BIO_new(BIO_s_mem()));
  HS_CHECK(PEM_write_bio_PUBKEY(bio.get(), key.get()) == 1);
  return BytesOf(bio.get());
}

Authority CreateAuthority(ClusterId cluster) {
  KeyHandle key(EVP_EC_gen("P-256"));
  HS_CHECK(key != nullptr);
  CertHandle certificate = NewCertificate(key.get(), "homeostat " + cluster.Short(), nullptr);
  X509* raw = certificate.get();
  AddExtension(raw, raw, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
  AddExtension(raw, raw, NID_key_usage, "critical,keyCertSign,cRLSign");
  AddExtension(raw, raw, NID_subject_key_identifier, "hash");
  AddExtension(raw, raw, NID_subject_alt_name, "URI:" + std::string(kScheme) + cluster.Hex());
  HS_CHECK(X509_sign(raw, key.get(), EVP_sha256()) > 0);
  return {PemOf(raw), PemOfPrivate(key.get())};
}

Result<std::string> IssueNodeCertificate(const Authority& authority, ClusterId cluster, NodeId node,
                                         std::string_view public_key_pem) {
  ErrorQueueGuard guard;
  CertHandle ca = ReadCertificate(authority.certificate_pem);
  KeyHandle ca_key = ReadPrivateKey(authority.key_pem);
  if (!ca || !ca_key || X509_check_private_key(ca.get(), ca_key.get()) != 1) {
    return BadInput("the cluster's CA key does not fit its certificate");
  }
  KeyHandle key = ReadPublicKey(public_key_pem);
  if (!key || EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_EC || EVP_PKEY_get_bits(key.get()) != 256) {
    return BadInput("the node's public key is not a P-256 key in PEM form");
  }
  CertHandle certificate = NewCertificate(key.get(), node.Hex(), X509_get_subject_name(ca.get()));
  X509* raw = certificate.get();
  AddExtension(raw, ca.get(), NID_basic_constraints, "critical,CA:FALSE");
  AddExtension(raw, ca.get(), NID_key_usage, "critical,digitalSignature");
  AddExtension(raw, ca.get(), NID_ext_key_usage, "serverAuth,clientAuth");
  AddExtension(raw, ca.get(), NID_subject_key_identifier, "hash");
  AddExtension(raw, ca.get(), NID_authority_key_identifier, "keyid");
  AddExtension(raw, ca.get(), NID_subject_alt_name,
               "URI:" + std::string(kScheme) + cluster.Hex() + "/" + node.Hex() + ",DNS:" + node.Hex());
  HS_CHECK(X509_sign(raw, ca_key.get(), EVP_sha256()) > 0);
  return PemOf(raw);
}

Result<NodeCertificate> ReadNodeCertificate(std::string_view certificate_pem) {
  ErrorQueueGuard guard;
  CertHandle certificate = ReadCertificate(certificate_pem);
  if (!certificate) return BadInput("not a certificate in PEM form");
  const auto uri = UriOf(certificate.get());
  if (!uri) return BadInput("the certificate is not a homeostat node's: it has no homeostat:// name");
  const std::string_view names = std::string_view(*uri).substr(kScheme.size());
  const auto slash = names.find('/');
  if (slash == std::string_view::npos) return BadInput("the certificate names no node");
  const auto cluster = ClusterId::FromHex(names.substr(0, slash));
  const auto node = NodeId::FromHex(names.substr(slash + 1));
  if (!cluster || !node || !*node) return BadInput("the certificate's name '" + *uri + "' cannot be read");
  return NodeCertificate{*cluster, *node, DigestOfKey(X509_get0_pubkey(certificate.get()))};
}

bool VerifyCertificate(std::string_view ca_certificate_pem, std::string_view certificate_pem) {
  ErrorQueueGuard guard;
  CertHandle ca = ReadCertificate(ca_certificate_pem);
  CertHandle certificate = ReadCertificate(certificate_pem);
  if (!ca || !certificate) return false;
  StoreHandle store(X509_STORE_new());
  X509_STORE_add_cert(store.get(), ca.get());
  X509_STORE_set_flags(store.get(), X509_V_FLAG_NO_CHECK_TIME);
  StoreContextHandle context(X509_STORE_CTX_new());
  X509_STORE_CTX_init(context.get(), store.get(), certificate.get(), nullptr);
  return X509_verify_cert(context.get()) == 1;
}

Digest CertificateDigest(std::string_view certificate_pem) {
  ErrorQueueGuard guard;
  CertHandle certificate = ReadCertificate(certificate_pem);
  Digest digest;
  unsigned size = 0;
  if (certificate) X509_digest(certificate.get(), EVP_sha256(), digest.bytes.data(), &size);
  return digest;
}

Result<Digest> PublicKeyDigest(std::string_view public_key_pem) {
  ErrorQueueGuard guard;
  KeyHandle key = ReadPublicKey(public_key_pem);
  if (!key) return BadInput("not a public key in PEM form");
  return DigestOfKey(key.get());
}

}  // namespace hs
