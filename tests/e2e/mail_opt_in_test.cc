// What `ajar check` says about a real Postfix when it is asked the questions that are off by default. The probe comes from
// 127.66.0.1, a stranger.
#include <array>
#include <atomic>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/e2e/postfix.h"
#include "tests/e2e/process.h"

namespace ajar {
namespace {

using nlohmann::json;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr const char* kServer = "127.77.0.2";
constexpr const char* kCanary = "127.9.9.9";

struct Answer {
  json result;  // the one line of JSON; null when there was none
  std::string everything;
};

std::string said(const Answer& answer) {
  if (!answer.result.is_object()) return "no result";
  return answer.result.value("verdict", "?") + "/" + answer.result.value("reason", "?");
}

std::string variant(const Answer& answer, const std::string& name) {
  for (const json& one : answer.result.at("variants")) {
    if (one.value("name", "") == name) return one.value("verdict", "?");
  }
  return "not asked";
}

std::string evidence(const Answer& answer) {
  std::string text;
  for (const json& line : answer.result.at("transcript")) text += line.get<std::string>() + "\n";
  return text;
}

class RealPostfixByRequest : public testing::Test {
 protected:
  void SetUp() override {
    const std::string missing = Postfix::missing();
    if (!missing.empty()) GTEST_SKIP() << missing;
  }

  Answer ask(const std::string& check, const Postfix& postfix, const std::string& wait) {
    const TemporaryFolder folder;
    write_file(folder.file("ajar.toml"), R"(scope = ["127.0.0.0/8"]
[agent]
name = "probe.canary.test"
contact = "mailto:postmaster@canary.test"
source_addresses = ["127.66.0.1"]
reply_timeout = "3s"
probe_timeout = "90s"
[canary]
listen_smtp = [")" + canary_.to_string() + R"("]
advertise_smtp = [")" + canary_.to_string() + R"("]
mail_domain = "canary.test"
[[target]]
name = "mx"
address = ")" + server_.address.to_string() + R"("
mail_domains = ["target.test"]
checks = [")" + check + R"("]
ports.)" + check + " = [" + std::to_string(server_.port) +
                                             "]\n");
    Process run(
        {std::string(AJAR_BINARY_DIR) + "/ajar", "check", "--config", folder.file("ajar.toml"), "--json", "--wait", wait, "mx"},
        folder.path());
    const int code = run.wait(std::chrono::seconds(180)).value_or(-1);
    Answer answer;
    answer.everything = "exit " + std::to_string(code) + "\n" + run.out() + run.err() + postfix.log();
    answer.result = json::parse(run.out(), nullptr, false);
    return answer;
  }

  const AddressPort server_{*IpAddress::parse(kServer), free_port(kServer)};
  const AddressPort canary_{*IpAddress::parse(kCanary), free_port(kCanary)};
};

// -- smtp_smuggling --

// Debian's Postfix as it is installed ends messages at a bare line feed, and carries nothing for us.
TEST_F(RealPostfixByRequest, EndsMessagesAtABareLineFeed) {
  const Postfix postfix("closed-reject", server_, canary_);
  const Answer answer = ask("smtp_smuggling", postfix, "1s");
  ASSERT_EQ(said(answer), "accepted/no_proof") << answer.everything;
  EXPECT_EQ(variant(answer, "lf.lf"), "accepted") << answer.everything;
  EXPECT_EQ(variant(answer, "lf.crlf"), "accepted");
  EXPECT_EQ(variant(answer, "cr.cr"), "closed");
  EXPECT_EQ(variant(answer, "crlf_nul.crlf"), "closed");
  EXPECT_THAT(answer.result.at("because").get<std::string>(), HasSubstr("<LF>.<LF>"));
}

TEST_F(RealPostfixByRequest, SmugglesToTheCanaryWhereItCarriesOurMail) {
  const Postfix postfix("open", server_, canary_);
  const Answer answer = ask("smtp_smuggling", postfix, "20s");
  ASSERT_EQ(said(answer), "open/message_delivered") << answer.everything;
  EXPECT_EQ(variant(answer, "lf.lf"), "open") << answer.everything;
  EXPECT_EQ(variant(answer, "cr.cr"), "closed");
  EXPECT_THAT(answer.result.at("exit_addresses").get<std::vector<std::string>>(), ElementsAre("127.0.0.1"));
}

// What its maker says closes the hole does, and nothing was delivered.
TEST_F(RealPostfixByRequest, EndsMessagesAtCrlfAloneOnceItIsToldTo) {
  for (const char* way : {"normalize", "reject"}) {
    const Postfix postfix("remedy", server_, canary_, std::string("smtpd_forbid_bare_newline = ") + way);
    const Answer answer = ask("smtp_smuggling", postfix, "1s");
    ASSERT_EQ(said(answer), "closed/refused") << way << "\n" << answer.everything;
    EXPECT_EQ(variant(answer, "lf.lf"), "closed");
    EXPECT_THAT(postfix.log(), Not(HasSubstr("status=sent"))) << way;
    EXPECT_THAT(postfix.log(), Not(HasSubstr("qmgr"))) << way;
  }
}

// -- backscatter --

TEST_F(RealPostfixByRequest, BouncesToTheForgedSender) {
  const Postfix postfix("remedy", server_, canary_, "local_recipient_maps =\nlocal_transport = local");
  const Answer answer = ask("backscatter", postfix, "20s");
  ASSERT_EQ(said(answer), "open/message_delivered") << answer.everything;
  EXPECT_EQ(variant(answer, "unknown_user"), "open");
  EXPECT_THAT(answer.result.at("exit_addresses").get<std::vector<std::string>>(), ElementsAre("127.0.0.1"));
}

TEST_F(RealPostfixByRequest, RefusesUnknownUsersAsInstalled) {
  const Postfix postfix("closed-reject", server_, canary_);
  const Answer answer = ask("backscatter", postfix, "1s");
  ASSERT_EQ(said(answer), "closed/refused") << answer.everything;
  EXPECT_THAT(evidence(answer), HasSubstr("550 5.1.1"));
  EXPECT_THAT(evidence(answer), HasSubstr("<x<token>@target.test>")) << answer.everything;
}

// Takes everybody, keeps or throws away, and writes to nobody.
TEST_F(RealPostfixByRequest, TakingForUnknownUsersIsAcceptedNeverOpen) {
  const Postfix postfix("catchall", server_, canary_);
  const Answer answer = ask("backscatter", postfix, "3s");
  ASSERT_EQ(said(answer), "accepted/token_pending") << answer.everything;
}

// -- smtp_auth_any --

// The daemon that Cyrus SASL asks about passwords, saying the same to everybody.
class FakeSaslauthd {
 public:
  FakeSaslauthd(const std::string& path, std::string answer) : answer_(std::move(answer)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) throw std::runtime_error("too long: " + path);
    path.copy(address.sun_path, path.size());
    fd_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 || listen(fd_, 8) != 0) {
      throw std::runtime_error("cannot listen at " + path);
    }
    std::filesystem::permissions(path, std::filesystem::perms::all);
    thread_ = std::thread([this] { serve(); });
  }
  ~FakeSaslauthd() {
    ended_ = true;
    thread_.join();
    close(fd_);
  }
  FakeSaslauthd(const FakeSaslauthd&) = delete;
  FakeSaslauthd& operator=(const FakeSaslauthd&) = delete;
  int asked() const { return asked_; }

 private:
  void serve() {
    while (!ended_) {
      pollfd waiting{fd_, POLLIN, 0};
      if (poll(&waiting, 1, 50) != 1) continue;
      const int peer = accept(fd_, nullptr, nullptr);
      if (peer < 0) continue;
      answer(peer);
      close(peer);
    }
  }
  // Name, password, service and realm, each after its length in two bytes; the answer likewise.
  void answer(int peer) {
    for (int i = 0; i < 4; ++i) {
      std::array<unsigned char, 2> length{};
      if (recv(peer, length.data(), 2, MSG_WAITALL) != 2) return;
      std::vector<char> text(static_cast<std::size_t>(length[0] << 8 | length[1]));
      if (!text.empty() && recv(peer, text.data(), text.size(), MSG_WAITALL) != static_cast<ssize_t>(text.size())) return;
    }
    ++asked_;
    const std::string reply = std::string(1, '\0') + static_cast<char>(answer_.size()) + answer_;
    if (send(peer, reply.data(), reply.size(), MSG_NOSIGNAL) < 0) return;
  }

  const std::string answer_;
  int fd_ = -1;
  std::atomic<bool> ended_ = false;
  std::atomic<int> asked_ = 0;
  std::thread thread_;
};

// Logins by Cyrus SASL, and where that asks about passwords.
class Sasl {
 public:
  explicit Sasl(std::string mechanisms = "PLAIN LOGIN") : mechanisms_(std::move(mechanisms)) {
    // smtpd comes there as postfix.
    using std::filesystem::perms;
    std::filesystem::permissions(
        folder_.path(), perms::owner_all | perms::group_read | perms::group_exec | perms::others_read | perms::others_exec);
  }
  std::string mux() const { return folder_.file("mux"); }
  std::string configuration() const {
    return "pwcheck_method: saslauthd\nsaslauthd_path: " + mux() + "\nmech_list: " + mechanisms_ + "\n";
  }
  static constexpr const char* kDirective = "smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = cyrus\nsmtpd_sasl_path = smtpd\n";

 private:
  TemporaryFolder folder_;
  std::string mechanisms_;
};

TEST_F(RealPostfixByRequest, TakesAnyPasswordAndSendsForIt) {
  for (const char* mechanism : {"PLAIN", "LOGIN"}) {
    const Sasl sasl(mechanism);
    const FakeSaslauthd yes(sasl.mux(), "OK");
    const Postfix postfix("submission-login", server_, canary_, Sasl::kDirective, sasl.configuration());
    const Answer answer = ask("smtp_auth_any", postfix, "20s");
    ASSERT_EQ(said(answer), "open/message_delivered") << mechanism << "\n" << answer.everything;
    EXPECT_EQ(answer.result.at("tls"), "starttls");
    EXPECT_EQ(yes.asked(), 1) << "one pair, never a second one";
    EXPECT_THAT(evidence(answer), HasSubstr("random"));
  }
}

TEST_F(RealPostfixByRequest, TakesAnyPasswordAndCarriesNothing) {
  const Sasl sasl;
  const FakeSaslauthd yes(sasl.mux(), "OK");
  const Postfix postfix("submission-login", server_, canary_,
                        std::string(Sasl::kDirective) + "smtpd_relay_restrictions = reject", sasl.configuration());
  const Answer answer = ask("smtp_auth_any", postfix, "1s");
  ASSERT_EQ(said(answer), "accepted/no_proof") << answer.everything;
  EXPECT_THAT(answer.result.at("observations").get<std::vector<std::string>>(), Contains(HasSubstr("Logged in")));
}

TEST_F(RealPostfixByRequest, RefusesARandomPassword) {
  const Sasl sasl;
  const FakeSaslauthd no(sasl.mux(), "NO");
  const Postfix postfix("submission-login", server_, canary_, Sasl::kDirective, sasl.configuration());
  const Answer answer = ask("smtp_auth_any", postfix, "1s");
  ASSERT_EQ(said(answer), "closed/refused") << answer.everything;
  EXPECT_EQ(answer.result.at("tls"), "starttls");
  EXPECT_THAT(evidence(answer), HasSubstr("535 5.7.8"));
  EXPECT_EQ(no.asked(), 1);
}

// Nobody answers for the passwords: that refuses nothing.
TEST_F(RealPostfixByRequest, LoginThatIsBrokenIsNeverClosed) {
  const Sasl sasl;
  const Postfix postfix("submission-login", server_, canary_, Sasl::kDirective, sasl.configuration());
  const Answer answer = ask("smtp_auth_any", postfix, "1s");
  ASSERT_TRUE(answer.result.is_object()) << answer.everything;
  EXPECT_EQ(answer.result.value("verdict", "?"), "unclear") << answer.everything;
}

TEST_F(RealPostfixByRequest, OffersNoLogin) {
  const Postfix postfix("closed", server_, canary_);
  const Answer answer = ask("smtp_auth_any", postfix, "1s");
  ASSERT_EQ(said(answer), "closed/refused") << answer.everything;
  EXPECT_THAT(answer.result.at("because").get<std::string>(), HasSubstr("no login"));
}

}  // namespace
}  // namespace ajar
