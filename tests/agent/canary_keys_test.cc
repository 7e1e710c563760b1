#include "agent/canary_keys.h"

#include <filesystem>
#include <fstream>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

namespace ajar {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

const std::string kSecret(32, 'k');
const Time kNow{std::chrono::seconds(1'800'000'000)};

TEST(CanaryKeys, TokenIsALocalPartAndALabel) {
  const CanaryKeys keys(kSecret);
  std::set<std::string> all;
  for (int i = 0; i < 100; ++i) {
    const std::string token = keys.mint(kNow, 5min);
    EXPECT_THAT(token, MatchesRegex("[a-z2-7]{32}"));
    EXPECT_EQ(keys.check(token, kNow), TokenState::valid);
    all.insert(token);
  }
  EXPECT_EQ(all.size(), 100U);
}

TEST(CanaryKeys, TokenExpires) {
  const CanaryKeys keys(kSecret);
  const std::string token = keys.mint(kNow, 120h);
  EXPECT_EQ(keys.check(token, kNow + 120h - 1ms), TokenState::valid);
  EXPECT_EQ(keys.check(token, kNow + 120h + 1min), TokenState::expired);
}

TEST(CanaryKeys, EveryChangeOfATokenIsBad) {
  const CanaryKeys keys(kSecret);
  const std::string token = keys.mint(kNow, 1h);
  for (std::size_t i = 0; i < token.size(); ++i) {
    std::string changed = token;
    changed[i] = changed[i] == 'a' ? 'b' : 'a';
    EXPECT_EQ(keys.check(changed, kNow), TokenState::bad) << i;
  }
  EXPECT_EQ(keys.check("", kNow), TokenState::bad);
  EXPECT_EQ(keys.check(token + "a", kNow), TokenState::bad);
  EXPECT_EQ(keys.check(token.substr(1), kNow), TokenState::bad);
  EXPECT_EQ(keys.check(std::string(32, '8'), kNow), TokenState::bad);
  EXPECT_EQ(keys.check(std::string(32, 'a'), kNow), TokenState::bad);
  EXPECT_EQ(CanaryKeys(std::string(32, 'o')).check(token, kNow), TokenState::bad);
}

TEST(CanaryKeys, ProofNeedsTheSecret) {
  const CanaryKeys keys(kSecret), others(std::string(32, 'o'));
  const std::string token = keys.mint(kNow, 1h);
  EXPECT_THAT(keys.proof(token), MatchesRegex("[0-9a-f]{32}"));
  EXPECT_EQ(keys.proof(token), CanaryKeys(kSecret).proof(token));
  EXPECT_NE(keys.proof(token), others.proof(token));
  EXPECT_NE(keys.proof(token), keys.proof(keys.mint(kNow, 1h)));
  EXPECT_EQ(keys.api_key().size(), 32U);
}

// RFC 4231 test case 2, FIPS 180 "abc".
TEST(CanaryKeys, HashesAreTheStandards) {
  EXPECT_EQ(to_hex(hmac_sha256("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(to_hex(sha256("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

class SecretFile : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "/secretXXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    file_ = folder_ + "/canary.secret";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  void write(const std::string& text, mode_t mode) const {
    std::ofstream(file_) << text;
    ::chmod(file_.c_str(), mode);
  }
  std::string refusal() const {
    try {
      CanaryKeys::load(file_);
    } catch (const SecretError& error) {
      return error.what();
    }
    return "";
  }
  std::string folder_, file_;
};

TEST_F(SecretFile, IsMadeOnceWithMode0600) {
  const std::string token = CanaryKeys::load(file_).mint(kNow, 1h);
  struct stat facts{};
  ASSERT_EQ(::stat(file_.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 07777U, 0600U);
  EXPECT_EQ(facts.st_size, 65);
  EXPECT_EQ(CanaryKeys::load(file_).check(token, kNow), TokenState::valid);
}

TEST_F(SecretFile, IsRefusedWhenOthersMayReadIt) {
  write(std::string(64, 'a') + "\n", 0640);
  EXPECT_THAT(refusal(), HasSubstr("chmod 600 " + file_));
  write(std::string(64, 'a') + "\n", 0604);
  EXPECT_THAT(refusal(), HasSubstr("mode 0604"));
}

TEST_F(SecretFile, IsRefusedWhenShortOrStrange) {
  write(std::string(62, 'a') + "\n", 0600);
  EXPECT_THAT(refusal(), HasSubstr("too short: 31 bytes"));
  write("", 0600);
  EXPECT_THAT(refusal(), HasSubstr("too short"));
  write(std::string(64, 'z') + "\n", 0600);
  EXPECT_THAT(refusal(), HasSubstr("hexadecimal"));
}

TEST_F(SecretFile, SaysWhatToDoWhenItCannotBeMade) {
  file_ = "/proc/missing/canary.secret";
  EXPECT_THAT(refusal(), HasSubstr("cannot be made"));
  file_ = folder_;
  EXPECT_THAT(refusal(), HasSubstr("is not a file"));
}

}  // namespace
}  // namespace ajar
