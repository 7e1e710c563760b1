// ftp_bounce against the transcripts of tests/transcripts/ftp_bounce, and the codec of FTP by tables.
#include "checks/wire/ftp.h"

#include <cstdlib>
#include <fstream>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checks/ftp_bounce.h"
#include "tests/support/transcript_case.h"

namespace ajar {
namespace {

Subject example_ftp() {
  Subject subject = example_subject();
  subject.target = "ftp1";
  subject.host = "ftp.example.org";
  subject.port = 21;
  subject.mail_domains.clear();
  return subject;
}

// AJAR_SEED_DIR=FOLDER: what the server said becomes a seed of fuzz/ftp_bounce.cc (which says how it is written).
void write_seed(const std::string& file, const std::vector<std::string>& transcript) {
  const char* folder = std::getenv("AJAR_SEED_DIR");
  if (folder == nullptr) return;
  const Script script = Script::load(file);
  unsigned shape = 0;
  if (script.first("subject.full_matrix") == "true") shape |= 1;
  if (!script.all("canary.saw").empty()) shape |= 2;
  if (!script.all("network.source").empty()) shape |= 64;
  std::string seed(1, static_cast<char>(shape));
  bool first = true;
  for (const std::string& line : transcript) {
    if (line.starts_with("# connect") && !std::exchange(first, false)) seed += "\x02\n";
    if (line.starts_with("S: ")) seed += line.substr(3) + "\r\n";
  }
  std::ofstream(std::string(folder) + "/ftp_bounce-" + stem(file), std::ios::binary) << seed;
}

class FtpTranscript : public testing::TestWithParam<std::string> {};

TEST_P(FtpTranscript, GivesItsVerdict) {
  const std::vector<std::string> transcript = expect_transcript(GetParam(), ftp_bounce, example_ftp());
  write_seed(GetParam(), transcript);
}

INSTANTIATE_TEST_SUITE_P(Of, FtpTranscript, testing::ValuesIn(transcripts_of("ftp_bounce")),
                         [](const auto& one) { return stem(one.param); });

TEST(FtpTranscripts, CoverVerdictsAndReasons) {
  const std::set<std::string> wanted = {"open/token_returned",
                                        "accepted/no_proof",
                                        "accepted/canary_unreachable",
                                        "closed/refused",
                                        "closed/auth_required",
                                        "closed/other_protocol",
                                        "unclear/refused",
                                        "unclear/greylisted",
                                        "unclear/source_blocked",
                                        "unclear/canary_unreachable",
                                        "unclear/hung_up",
                                        "unclear/timeout",
                                        "unclear/tls_failed",
                                        "unclear/protocol_error",
                                        "throws/hung_up",
                                        "throws/timeout",
                                        "throws/nobody_listens",
                                        "throws/protocol_error"};
  const std::vector<std::string> covered = expectations_of("ftp_bounce");
  EXPECT_EQ(std::set<std::string>(covered.begin(), covered.end()), wanted);
}

TEST(FtpBounce, PasswordSaysWhomToAsk) {
  Subject subject = example_ftp();
  subject.contact.clear();
  ScriptedNetwork network(
      Script::parse("S: 220 x\nC: USER anonymous\nS: 331 .\nC: PASS ajar@probe.example.net\nS: 530 no\n"
                    "C: QUIT\nS: 221 bye\n"));
  FixedCanary canary;
  EXPECT_EQ(run_now(ftp_bounce(network, canary, subject)).reason, Reason::auth_required);
  EXPECT_THAT(network.complaints(), testing::IsEmpty());
}

// Our canary is told, so that it may lend a port elsewhere.
TEST(FtpBounce, SaysWhereItAsksFrom) {
  ScriptedNetwork network(
      Script::parse("# network.source: 198.51.100.7\nS*: connect => 220 x\nS*: USER => 230 in\nS*: PORT => 500 no\n"
                    "S*: QUIT => 221 bye\n"));
  FixedCanary canary;
  canary.reserved = {*AddressPort::parse("198.51.100.8:50000")};
  EXPECT_EQ(run_now(ftp_bounce(network, canary, example_ftp())).reason, Reason::refused);
  EXPECT_THAT(canary.askers, testing::ElementsAre(IpAddress::parse("198.51.100.7")));
}

// The steps that the reader says, and the reply in the end: "code|line|line".
std::string replied(const std::vector<std::string>& lines) {
  FtpReplyReader reader;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const FtpReplyReader::Step step = reader.take(lines[i]);
    if (step == FtpReplyReader::Step::bad) return "bad at " + std::to_string(i);
    if (step == FtpReplyReader::Step::more) continue;
    if (i + 1 < lines.size()) return "done at " + std::to_string(i);
    const FtpReply reply = reader.take_reply();
    std::string all = std::to_string(reply.code);
    for (const std::string& line : reply.lines) all += "|" + line;
    return all;
  }
  return "more";
}

TEST(Ftp, Replies) {
  EXPECT_EQ(replied({"220 ready"}), "220|ready");
  EXPECT_EQ(replied({"220"}), "220|");
  EXPECT_EQ(replied({"220 "}), "220|");
  EXPECT_EQ(replied({"150 going on"}), "150|going on");
  EXPECT_EQ(replied({"220-a", "220 b"}), "220|a|b");
  EXPECT_EQ(replied({"220-a", "b", "", " 220 c", "230 d", "220-e", "220"}), "220|a|b|| 220 c|230 d|e|");
  EXPECT_EQ(replied({"220-a", "2200"}), "more");
  EXPECT_EQ(replied({"220 a", "220 b"}), "done at 0");
  for (const char* bad : {"", "2", "22", "220x", "620 x", "020 x", "SSH-2.0", "2 0 x", "220\tx", "-20 x"}) {
    EXPECT_EQ(replied({bad}), "bad at 0") << bad;
  }
  EXPECT_EQ(replied({"220 " + std::string(600, 'x')}), "220|" + std::string(FtpReplyReader::kMaxText, 'x'));
  EXPECT_EQ(replied(std::vector<std::string>(FtpReplyReader::kMaxLines + 1, "220-x")), "bad at 500");
}

TEST(Ftp, ReplyText) {
  EXPECT_EQ((FtpReply{220, {"a", "", "b"}}).text(), "a b");
  EXPECT_EQ((FtpReply{220, {""}}).text(), "");
  EXPECT_EQ((FtpReply{226, {""}}).kind(), 2);
}

const AddressPort kV4 = *AddressPort::parse("198.51.100.7:50000");
const AddressPort kV6 = *AddressPort::parse("[2001:db8::7]:50000");

TEST(Ftp, Arguments) {
  EXPECT_EQ(ftp_port_argument(kV4), "198,51,100,7,195,80");
  EXPECT_EQ(ftp_port_argument({kV4.address, 80}), "198,51,100,7,0,80");
  EXPECT_EQ(ftp_eprt_argument(kV4), "|1|198.51.100.7|50000|");
  EXPECT_EQ(ftp_eprt_argument(kV6), "|2|2001:db8::7|50000|");
  EXPECT_EQ(parse_ftp_port(ftp_port_argument(kV4)), kV4);
  EXPECT_EQ(parse_ftp_port(" 198,51,100,7,195,80 "), kV4);
  for (const AddressPort& place : {kV4, kV6}) EXPECT_EQ(parse_ftp_eprt(ftp_eprt_argument(place)), place);
  EXPECT_EQ(parse_ftp_eprt("!1!198.51.100.7!50000!"), kV4);
}

TEST(Ftp, ArgumentsThatAreNone) {
  for (const char* none : {"", "1", "1,2,3,4,5", "1,2,3,4,5,6,7", "1,2,3,4,5,256", "1,2,3,4,5,", "a,b,c,d,e,f", "1.2.3.4,5,6",
                           "-1,2,3,4,5,6", "99999999999,2,3,4,5,6", "1,2,3,4,5,6x"}) {
    EXPECT_EQ(parse_ftp_port(none), std::nullopt) << none;
  }
  for (const char* none : {"", "|", "|||", "||||", "|1|198.51.100.7|50000", "|2|198.51.100.7|50000|", "|1|2001:db8::7|50000|",
                           "|1|198.51.100.7|65536|", "|1|198.51.100.7||", "|1|198.51.100.7|5x|", "|3|198.51.100.7|5|",
                           "|1|198.51.100.7|50000|x"}) {
    EXPECT_EQ(parse_ftp_eprt(none), std::nullopt) << none;
  }
}

struct Words {
  int code;
  const char* text;
  const char* says;  // "tls", "us", "busy", "address": all that it is about
};

class FtpWords : public testing::TestWithParam<Words> {};

TEST_P(FtpWords, AreAbout) {
  const FtpReply reply{GetParam().code, {GetParam().text}};
  std::string about;
  const auto add = [&](bool is, const char* what) {
    if (is) about += (about.empty() ? "" : " ") + std::string(what);
  };
  add(ftp_wants_tls(reply), "tls");
  add(ftp_refuses_our_address(reply), "us");
  add(ftp_is_busy(reply), "busy");
  add(ftp_refuses_address(reply), "address");
  EXPECT_EQ(about, GetParam().says) << GetParam().text;
}

INSTANTIATE_TEST_SUITE_P(
    Of, FtpWords,
    testing::Values(Words{530, "Anonymous sessions must use encryption.", "tls"},
                    Words{530, "Anonymous sessions may not use encryption.", ""},
                    Words{550, "SSL/TLS required on the control channel", "tls"}, Words{503, "Use AUTH first.", "tls"},
                    Words{421, "Sorry, cleartext sessions and weak ciphers are not accepted on this server.", "tls"},
                    Words{534, "Policy", "tls"}, Words{230, "TLS is spoken here", ""}, Words{530, "What a hassle", ""},
                    Words{530, "Login incorrect.", ""}, Words{530, "Access denied from your address", "us"},
                    Words{530, "Access from your IP is banned.", "us"},
                    Words{421, "There are too many connections from your internet address.", "busy"},
                    Words{530, "Sorry, the maximum number of allowed clients (0) already connected.", "busy"},
                    Words{500, "Illegal PORT command.", "address"},
                    Words{500, "I won't open a connection to 198.51.100.7 (only to 203.0.113.1)", "address"},
                    Words{425, "Security: Bad IP connecting.", "address"}, Words{500, "Possible bounce attack", "address"},
                    Words{501, "Rejected data connection to foreign address 198.51.100.7:50000.", "address"},
                    Words{421, "Rejected command, requested IP address does not match control connection IP.", "address"},
                    Words{522, "Data connections must be encrypted.", "tls"}, Words{425, "Failed to establish connection.", ""},
                    Words{425, "Can't build data connection: refused", ""},
                    Words{200, "PORT command successful. Consider using PASV.", ""},
                    Words{503, "Use PORT or PASV first.", "address"}));

TEST(Ftp, MailServersGreetAlike) {
  EXPECT_TRUE(greets_as_mail_server({220, {"mx.example.org ESMTP Postfix"}}));
  EXPECT_TRUE(greets_as_mail_server({220, {"ftp.example.org ESMTP"}}));
  EXPECT_FALSE(greets_as_mail_server({220, {"smtp.example.org FTP server ready"}}));
  EXPECT_FALSE(greets_as_mail_server({220, {"smtp.example.org"}}));
  EXPECT_FALSE(greets_as_mail_server({220, {"(vsFTPd 3.0.3)"}}));
  EXPECT_TRUE(answers_as_mail_server({502, {"5.5.2 Error: command not recognized"}}));
  EXPECT_FALSE(answers_as_mail_server({530, {"Please login with USER and PASS."}}));
  EXPECT_FALSE(answers_as_mail_server({230, {"2.0.0 in"}}));
}

}  // namespace
}  // namespace ajar
