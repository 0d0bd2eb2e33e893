#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "runtime/crypto/identity.h"
#include "runtime/crypto/primitives.h"
#include "runtime/crypto/token.h"

namespace hs {
namespace {

using ::testing::HasSubstr;

class TempDir {
 public:
  TempDir() {
    std::string pattern = (std::filesystem::temp_directory_path() / "hs-crypto-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

TEST(Primitives, HkdfMatchesRfc5869TestCase1) {
  const std::string key(22, '\x0b');
  std::string salt, info;
  for (char c = 0; c <= 0x0c; ++c) salt.push_back(c);
  for (int c = 0xf0; c <= 0xf9; ++c) info.push_back(static_cast<char>(c));
  const std::string okm = HkdfSha256(key, salt, info, 42);
  EXPECT_EQ(HexOf(reinterpret_cast<const std::uint8_t*>(okm.data()), okm.size()),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
}

TEST(Primitives, Base64UrlTakesBackWhatItGaveAndNothingElse) {
  for (const std::string bytes : {"", "a", "ab", "abc", "\xff\xfe\xfd\xfc"}) {
    EXPECT_EQ(ParseBase64Url(Base64UrlOf(bytes)), bytes);
  }
  EXPECT_FALSE(ParseBase64Url("a+b=")) << "other alphabets";
  EXPECT_FALSE(ParseBase64Url("YR")) << "spare bits that are not zero";
  EXPECT_FALSE(ParseBase64Url("YWJjZ")) << "a lone character holds no byte";
}

TEST(Primitives, SealedBytesOpenOnlyUnderTheSameKeyNonceAndContextUnchanged) {
  const std::string key = RandomBytes(32), nonce = RandomBytes(12);
  AeadKey aead(key, 12);
  std::string sealed;
  aead.Seal(nonce, "context", "plain text", sealed);
  EXPECT_EQ(sealed.size(), 10 + 12u);
  std::string opened;
  ASSERT_TRUE(aead.Open(nonce, "context", sealed, opened));
  EXPECT_EQ(opened, "plain text");
  EXPECT_FALSE(aead.Open(RandomBytes(12), "context", sealed, opened));
  EXPECT_FALSE(aead.Open(nonce, "another", sealed, opened));
  EXPECT_FALSE(AeadKey(RandomBytes(32), 12).Open(nonce, "context", sealed, opened));
  for (std::size_t i = 0; i < sealed.size(); ++i) {
    std::string changed = sealed;
    changed[i] ^= 1;
    EXPECT_FALSE(aead.Open(nonce, "context", changed, opened)) << "byte " << i;
    EXPECT_TRUE(opened.empty());
  }
  EXPECT_FALSE(aead.Open(nonce, "context", "short", opened));
  EXPECT_TRUE(aead.Open(nonce, "context", sealed, opened)) << "failures leave the key usable";
}

TEST(Certificates, NodeCertificateNamesItsBearerAndIsSignedByItsOwnClusterOnly) {
  const ClusterId cluster = RandomClusterId();
  const Authority ours = CreateAuthority(cluster), theirs = CreateAuthority(RandomClusterId());
  const NewNode node = DrawNode();
  const auto certificate = IssueNodeCertificate(ours, cluster, node.node, node.public_key_pem);
  ASSERT_TRUE(certificate) << certificate.error().message;
  const auto read = ReadNodeCertificate(*certificate);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->cluster, cluster);
  EXPECT_EQ(read->node, node.node);
  EXPECT_EQ(read->public_key, PublicKeyDigest(node.public_key_pem));
  EXPECT_TRUE(VerifyCertificate(ours.certificate_pem, *certificate));
  EXPECT_FALSE(VerifyCertificate(theirs.certificate_pem, *certificate));
  EXPECT_FALSE(
      IssueNodeCertificate({ours.certificate_pem, theirs.key_pem}, cluster, node.node, node.public_key_pem));
  EXPECT_FALSE(IssueNodeCertificate(ours, cluster, node.node, "garbage"));
  EXPECT_FALSE(ReadNodeCertificate(ours.certificate_pem)) << "the CA is no node";
}

TEST(Token, ReadsBackAndSaysWhatIsWrongWithADamagedOne) {
  const JoinToken token = NewToken(FingerprintOf(CreateAuthority(RandomClusterId()).certificate_pem),
                                   {*Endpoint::Parse("10.0.0.1:7700"), *Endpoint::Parse("[fd00::1]:7701")});
  const std::string text = ToText(token);
  const auto read = ParseToken(text + "\n");
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(*read, token);

  EXPECT_THAT(ParseToken("hello").error().message, HasSubstr("no token"));
  for (std::size_t size = 4; size < text.size(); ++size) {
    const auto cut = ParseToken(text.substr(0, size));
    ASSERT_FALSE(cut) << size;
    EXPECT_THAT(cut.error().message, HasSubstr("cut short")) << size;
  }
  EXPECT_THAT(ParseToken(text + "A").error().message, HasSubstr("damaged"));
  for (std::size_t i = 4; i < text.size(); ++i) {
    std::string changed = text;
    changed[i] = changed[i] == 'x' ? 'y' : 'x';
    EXPECT_FALSE(ParseToken(changed)) << "character " << i;
  }
  EXPECT_THAT(ParseToken(text.substr(0, 9) + "!" + text.substr(10)).error().message,
              HasSubstr("character 10"));
}

TEST(Token, IsCheckedAgainstItsDocument) {
  const JoinToken token = NewToken({}, {});
  EXPECT_TRUE(CheckToken(DocumentOf(token, 0, false), token.secret, 1'000));
  EXPECT_TRUE(CheckToken(DocumentOf(token, 1'001, false), token.secret, 1'000));
  EXPECT_THAT(CheckToken(DocumentOf(token, 1'000, false), token.secret, 1'000).error().message,
              HasSubstr("expired"));
  EXPECT_THAT(CheckToken(std::nullopt, token.secret, 0).error().message, HasSubstr("revoked"));
  EXPECT_THAT(CheckToken(DocumentOf(token, 0, false), RandomBytes(16), 0).error().message,
              HasSubstr("wrong"));
}

TEST(Token, ForTheApiIsRefusedWithTheReasonAndWithoutTheSecretWithoutOne) {
  const auto ours = FingerprintOf(CreateAuthority(RandomClusterId()).certificate_pem);
  const JoinToken token = NewToken(ours, {});
  JoinToken guessed = token;
  guessed.secret = RandomBytes(JoinToken::kSecretBytes);
  const struct {
    const char* says;
    JoinToken token;
    std::optional<TokenDoc> document;
  } table[] = {
      {"another cluster", NewToken({}, {}), std::nullopt},
      {"not known here: wrong, revoked, or not heard of yet", token, std::nullopt},
      {"not known here: wrong, revoked, or not heard of yet", guessed, DocumentOf(token, 0, true)},
      // Its id alone tells nobody what kind it is, nor that it has ended.
      {"not known here: wrong, revoked, or not heard of yet", guessed, DocumentOf(token, 1'000, true)},
      {"not known here: wrong, revoked, or not heard of yet", guessed, DocumentOf(token, 0, false)},
      {"has expired", token, DocumentOf(token, 1'000, true)},
      {"for joining, not for the API", token, DocumentOf(token, 0, false)},
  };
  for (const auto& row : table) {
    const auto checked = CheckApiToken(row.token, ours, row.document, 1'000);
    ASSERT_FALSE(checked) << row.says;
    EXPECT_THAT(checked.error().message, HasSubstr(row.says));
  }
  EXPECT_TRUE(CheckApiToken(token, ours, DocumentOf(token, 1'001, true), 1'000));
}

TEST(DataDirTest, IsHeldByOneAndTheErrorNamesTheHolder) {
  TempDir temp;
  auto first = DataDir::Open(temp / "a/b");
  ASSERT_TRUE(first) << first.error().message;
  const auto second = DataDir::Open(temp / "a/b");
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().message, HasSubstr("in use by process " + std::to_string(::getpid())));
  { DataDir dropped = std::move(*first); }
  EXPECT_TRUE(DataDir::Open(temp / "a/b"));
}

TEST(DataDirTest, SaysClearlyWhatIsWrongWithAPath) {
  TempDir temp;
  std::ofstream(temp / "file") << "x";
  EXPECT_THAT(DataDir::Open(temp / "file").error().message, HasSubstr("Not a directory"));
  EXPECT_THAT(DataDir::Open("/proc/nothing").error().message, HasSubstr("/proc/nothing"));
}

TEST(DataDirTest, AFullDiskLeavesTheOldFileInPlace) {
  TempDir temp;
  auto directory = DataDir::Open(temp / "d");
  ASSERT_TRUE(directory);
  ASSERT_TRUE(directory->Write("x", "old"));
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  auto* handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit tiny{16, before.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &tiny);
  const auto written = directory->Write("x", std::string(100, 'n'));
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  ASSERT_FALSE(written);
  EXPECT_THAT(written.error().message, HasSubstr("/x: "));
  EXPECT_EQ(directory->Read("x"), "old");
  EXPECT_FALSE(directory->Has("x.new"));
}

TEST(IdentityTest, SurvivesReopenWithARaisedBootCounterAndPrivateFiles) {
  TempDir temp;
  const auto directory = DataDir::Open(temp / "d");
  ASSERT_TRUE(directory);
  EXPECT_FALSE(LoadIdentity(*directory).value()) << "an empty directory belongs to no cluster";
  const auto formed = FormCluster(*directory);
  ASSERT_TRUE(formed) << formed.error().message;
  EXPECT_EQ(formed->boot_counter, 1u);
  const auto loaded = LoadIdentity(*directory);
  ASSERT_TRUE(loaded) << loaded.error().message;
  ASSERT_TRUE(*loaded);
  EXPECT_EQ((*loaded)->boot_counter, 2u);
  EXPECT_EQ((*loaded)->node, formed->node);
  EXPECT_EQ((*loaded)->authority.key_pem, formed->authority.key_pem);
  EXPECT_NE((*loaded)->boot_id, formed->boot_id);
  EXPECT_EQ((**LoadIdentity(*directory)).boot_counter, 3u);
  EXPECT_EQ(directory->Read("ca.key")->find("PRIVATE"), std::string::npos) << "sealed";
  struct stat info {};
  for (const auto& entry : std::filesystem::directory_iterator(temp / "d")) {
    ::stat(entry.path().c_str(), &info);
    EXPECT_EQ(info.st_mode & 077, 0u) << entry.path();
  }
}

TEST(IdentityTest, DamageIsNoticedAndNamed) {
  for (const std::string name : {"identity", "node.key", "node.crt", "ca.crt", "ca.key", "gossip.key"}) {
    TempDir temp;
    const auto directory = DataDir::Open(temp / "d");
    ASSERT_TRUE(FormCluster(*directory));
    std::string bytes = directory->Read(name).value();
    bytes.resize(bytes.size() / 2);
    ASSERT_TRUE(directory->Write(name, bytes));
    const auto loaded = LoadIdentity(*directory);
    ASSERT_FALSE(loaded) << name;
    EXPECT_THAT(loaded.error().message, HasSubstr("damaged")) << name;
    EXPECT_THAT(loaded.error().message, HasSubstr(temp / "d")) << name;
  }
}

TEST(IdentityTest, AdmissionThatDoesNotFitIsRefusedBeforeAnythingIsWritten) {
  TempDir temp;
  const auto ours = DataDir::Open(temp / "a");
  const auto joiner = DataDir::Open(temp / "b");
  const Identity host = FormCluster(*ours).value();
  const NewNode self = DrawNode(), other = DrawNode();
  Admission admission{host.cluster,
                      *IssueNodeCertificate(host.authority, host.cluster, other.node, other.public_key_pem),
                      host.authority, host.gossip_secret};
  EXPECT_FALSE(StoreAdmission(*joiner, self, admission));
  EXPECT_FALSE(joiner->Has("node.key"));
  admission.node_certificate_pem =
      *IssueNodeCertificate(host.authority, host.cluster, self.node, self.public_key_pem);
  EXPECT_TRUE(StoreAdmission(*joiner, self, admission));
  const Identity renewed = RenewNode(*joiner, **LoadIdentity(*joiner)).value();
  EXPECT_NE(renewed.node, self.node);
  EXPECT_EQ((**LoadIdentity(*joiner)).node, renewed.node);
}

}  // namespace
}  // namespace hs
