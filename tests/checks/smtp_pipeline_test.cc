// smtp_relay where EHLO offers PIPELINING: whatever a server is like, it comes to the same as one command at a time.
#include "checks/smtp_pipeline.h"

#include <algorithm>
#include <deque>
#include <map>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checks/smtp_relay.h"
#include "tests/support/transcript_case.h"

namespace ajar {
namespace {

// A mail server that answers a command as another one did when it was asked one command at a time, offers PIPELINING, and knows
// the order of a transaction (RFC 5321 3.3): 503 for what is out of it. An answer that was heard once is given again.
class ReplayNetwork : public Network {
 public:
  explicit ReplayNetwork(const std::vector<Exchange>& heard) {
    std::string recipient;
    bool tls = false;
    for (const Exchange& one : heard) {
      if (one.command == "connect") tls = false;
      if (one.command.starts_with("RCPT ")) recipient = one.command;
      answers_[key(one.command, recipient, tls)].push_back(one);
      if (one.command == "TLS") tls = true;
    }
  }
  Task<std::unique_ptr<Link>> dial(const IpAddress& address, std::uint16_t port, TlsMode tls) override;
  Task<std::unique_ptr<Datagrams>> dial_udp(const IpAddress&, std::uint16_t) override {
    throw LinkError(Reason::internal_error, "no datagrams here");
  }
  int batches = 0;                      // writes with several commands
  int most_refusals = 0, most_odd = 0;  // of a connection, what was said after QUIT or for RSET left out

 private:
  friend class ReplayLink;
  static std::string key(const std::string& command, const std::string& recipient, bool tls) {
    return (tls ? "TLS " : "") + (command == "DATA" || command == "." ? command + " " + recipient : command);
  }
  Exchange next(const std::string& command, const std::string& recipient, bool tls) {
    const auto found = answers_.find(key(command, recipient, tls));
    if (found == answers_.end()) return {command, "451 4.3.0 nobody asked that before\r\n", Exchange::End::none, {}, {}};
    Exchange answer = found->second.front();
    if (found->second.size() > 1) found->second.pop_front();
    return answer;
  }

  std::map<std::string, std::deque<Exchange>> answers_;
};

class ReplayLink : public Link {
 public:
  ReplayLink(ReplayNetwork& network, std::string greeting, Exchange::End end)
      : Link(network.transcript()), network_(network), ready_(std::move(greeting)), end_(end) {}
  Task<void> be_implicit() { co_await start_tls(); }

 private:
  void hear_command(const std::string& line) {
    if (in_message_ && line != ".") return;
    in_message_ = false;
    if (line.starts_with("RCPT ")) recipient_ = line;
    const bool mail = line.starts_with("MAIL ");
    const bool rcpt = line.starts_with("RCPT ");
    Exchange answer{line, "503 5.5.1 out of order\r\n", Exchange::End::none, {}, {}};
    if (!(mail && in_mail_) && !(rcpt && !in_mail_)) answer = network_.next(line, recipient_, encrypted_);
    const bool granted = answer.answer.starts_with("2");
    if (line.starts_with("EHLO ") && granted) offer(answer.answer);
    if (mail && granted) in_mail_ = true;
    if ((line == "RSET" || line == "." || line.starts_with("EHLO ")) && granted) in_mail_ = false;
    if (answer.answer.starts_with("354")) in_message_ = true;
    count(line, answer.answer);
    ready_ += answer.answer;
    end_ = answer.end;
    alert_ = answer.alert;
  }
  static void offer(std::string& answer) {
    const std::size_t end = answer.find("\r\n");
    if (answer[3] == ' ') {
      answer[3] = '-';
      answer.insert(end + 2, "250 PIPELINING\r\n");
    } else {
      answer.insert(end + 2, "250-PIPELINING\r\n");
    }
  }
  void count(const std::string& line, const std::string& answer) {
    if (answer.empty() || answer.front() < '4' || line == "RSET" || line == "QUIT") return;
    network_.most_refusals = std::max(network_.most_refusals, ++refusals_);
    if (is_odd_syntax(std::stoi(answer.substr(0, 3)))) network_.most_odd = std::max(network_.most_odd, ++odd_);
  }

  Task<std::size_t> read_some(std::string& into, std::size_t) override {
    if (ready_.empty() && alert_) throw LinkError(*alert_);
    if (ready_.empty() && end_ != Exchange::End::hang_up) throw LinkError(Reason::timeout, "silence");
    into += ready_;
    co_return std::exchange(ready_, {}).size();
  }
  void read_now(std::string& into, std::size_t) override { into += std::exchange(ready_, {}); }
  Task<void> write_all(std::string bytes) override {
    if (end_ == Exchange::End::hang_up && ready_.empty()) throw LinkError(Reason::hung_up, "the server has hung up");
    int lines = 0;
    for (std::size_t begin = 0, end = 0; (end = bytes.find("\r\n", begin)) != std::string::npos; begin = end + 2) {
      lines += !in_message_;
      if (end_ == Exchange::End::none) hear_command(bytes.substr(begin, end - begin));
    }
    if (lines > 1) ++network_.batches;
    co_return;
  }
  Task<void> handshake(const TlsHello&) override {
    const Exchange answer = network_.next("TLS", {}, false);
    if (answer.failure) throw LinkError(*answer.failure);
    ready_ += answer.answer;
    end_ = answer.end;
    alert_ = answer.alert;
    in_mail_ = false;
    encrypted_ = true;
    co_return;
  }

  ReplayNetwork& network_;
  std::string ready_;
  std::string recipient_;
  Exchange::End end_;
  std::optional<LinkError> alert_;
  bool in_mail_ = false, in_message_ = false, encrypted_ = false;
  int refusals_ = 0, odd_ = 0;
};

Task<std::unique_ptr<Link>> ReplayNetwork::dial(const IpAddress&, std::uint16_t, TlsMode tls) {
  const Exchange answer = next("connect", {}, false);
  if (answer.failure) throw LinkError(*answer.failure);
  transcript().note("connect");
  auto link = std::make_unique<ReplayLink>(*this, answer.answer, answer.end);
  if (tls == TlsMode::implicit) {
    co_await link->be_implicit();
  }
  co_return std::unique_ptr<Link>(std::move(link));
}

std::string shown(const Variant& variant) {
  return variant.name + " " + std::string(to_string(variant.verdict)) + "/" + std::string(to_string(variant.reason)) + " " +
         std::to_string(variant.code.value_or(0)) + " " + variant.reply.value_or("no reply");
}

// All that a finding says, in lines.
std::vector<std::string> shown(const Finding& finding) {
  std::vector<std::string> lines = {
      std::string(to_string(finding.verdict)) + "/" + std::string(to_string(finding.reason)) + " " + finding.because,
      "tls " + std::string(to_string(finding.tls)) + (finding.whole ? " whole " : " in part ") + finding.spoken};
  for (const Variant& variant : finding.variants) lines.push_back(shown(variant));
  for (const Retry& retry : finding.retries)
    lines.push_back("retry " + retry.variant + " " + retry.token + " " + retry.sender_token);
  for (const std::string& fact : finding.observations) lines.push_back(fact);
  return lines;
}

struct Visit {
  std::vector<std::string> finding;
  FixedCanary canary;
};

Visit visit(const Script& script, Network& network) {
  Visit visit;
  Subject subject = example_subject();
  apply_headers(script, subject, visit.canary);
  try {
    const Finding finding = run_now(smtp_relay(network, visit.canary, subject));
    visit.finding = shown(finding);
  } catch (const LinkError& error) {
    visit.finding = {"throws " + std::string(to_string(error.reason()))};
  }
  return visit;
}

std::string whole(const Transcript& transcript) {
  std::string text;
  for (const std::string& line : transcript.lines()) text += line + "\n";
  return text;
}

void take_back_offer(std::string& reply) {
  if (const std::size_t at = reply.find("PIPELINING"); at != std::string::npos) reply.replace(at, 10, "8BITMIME");
}

// What the server of a transcript does when it is asked one command at a time, because it offers nothing else.
std::vector<Exchange> heard_one_by_one(const Script& script, Visit& serial) {
  Script without_offer = script;
  for (Script::Rule& rule : without_offer.rules) std::for_each(rule.reply.begin(), rule.reply.end(), take_back_offer);
  ScriptedNetwork network(without_offer);
  serial = visit(script, network);
  return network.exchanges();
}

// Where its EHLO offers it, the transcript is about pipelining itself.
std::vector<std::string> serial_transcripts() {
  std::vector<std::string> files = transcripts_of("smtp_relay");
  std::erase_if(files, [](const std::string& file) { return stem(file).starts_with("pipelined_"); });
  return files;
}

class SmtpPipelining : public testing::TestWithParam<std::string> {};

TEST_P(SmtpPipelining, ComesToTheSame) {
  const Script script = Script::load(GetParam());
  Visit serial;
  ReplayNetwork network(heard_one_by_one(script, serial));
  const Visit pipelined = visit(script, network);
  EXPECT_EQ(pipelined.finding, serial.finding) << whole(network.transcript());
  EXPECT_EQ(pipelined.canary.asked.size(), serial.canary.asked.size()) << whole(network.transcript());
  EXPECT_EQ(pipelined.canary.unsent.size(), serial.canary.unsent.size());
  EXPECT_LE(network.most_refusals, SmtpSession::kMaxRefusals) << whole(network.transcript());
  EXPECT_LE(network.most_odd, SmtpSession::kMaxOddSyntax) << whole(network.transcript());
}

INSTANTIATE_TEST_SUITE_P(Of, SmtpPipelining, testing::ValuesIn(serial_transcripts()),
                         [](const auto& file) { return stem(file.param); });

// The replay is about something: most servers that are asked about mail are asked in batches, in far fewer round trips.
TEST(SmtpPipeliningReplay, IsOfBatches) {
  int servers = 0, batches = 0;
  for (const std::string& file : serial_transcripts()) {
    const Script script = Script::load(file);
    Visit serial;
    const std::vector<Exchange> heard = heard_one_by_one(script, serial);
    const auto is_rcpt = [](const Exchange& one) { return one.command.starts_with("RCPT ") && !one.answer.empty(); };
    const auto is_helo = [](const Exchange& one) { return one.command.starts_with("HELO "); };
    if (std::none_of(heard.begin(), heard.end(), is_rcpt) || std::any_of(heard.begin(), heard.end(), is_helo)) continue;
    ReplayNetwork network(heard);
    const Visit pipelined = visit(script, network);
    ++servers;
    batches += network.batches;
    EXPECT_GT(network.batches, 0) << file;
  }
  EXPECT_GT(servers, 70);
  EXPECT_GT(batches, 3 * servers);
}

struct Counted {
  int writes = 0, refusals = 0, odd = 0;  // the last two: the most of a connection
  int connections = 0;
  Finding finding;
  std::string transcript;
};

// Asks with the full matrix a server of rules.
Counted count(const std::string& rules, bool full = true) {
  FixedCanary canary;
  Subject subject = example_subject();
  subject.full_matrix = full;
  ScriptedNetwork network(Script::parse(rules));
  Counted counted;
  counted.finding = run_now(smtp_relay(network, canary, subject));
  int refusals = 0, odd = 0;
  bool server = true;
  for (const std::string& line : network.transcript().lines()) {
    if (line.starts_with("# connect ")) refusals = odd = 0;
    if (line.starts_with("C: ") && std::exchange(server, false)) ++counted.writes;
    if (!line.starts_with("S: ")) continue;
    server = true;
    refusals += line[3] >= '4';
    odd += is_odd_syntax(std::stoi(line.substr(3)));
    counted.refusals = std::max(counted.refusals, refusals);
    counted.odd = std::max(counted.odd, odd);
  }
  counted.connections = network.dials();
  counted.transcript = whole(network.transcript());
  return counted;
}

const std::string kOffer = "S*: EHLO => 250-mx.example.org | 250 PIPELINING\n";
const std::string kNoOffer = "S*: EHLO => 250 mx.example.org\n";

TEST(SmtpPipeliningPoliteness, RefusalsStayWithinTheLimit) {
  const std::string greets = "S*: connect => 220 mx\n", quits = "S*: QUIT => 221 bye\n";
  const std::string takes_postmaster = "S*: RCPT TO:<postmaster => 250 ok\n";
  for (const std::string& temper : {
           std::string("S*: RCPT => 554 no\n"),                                 // closed
           std::string("S*: RCPT TO:<\"* => 501 what?\nS*: RCPT => 554 no\n"),  // … and strict
           std::string("S*: RCPT => 501 what?\n"),
           std::string("S*: MAIL => 550 no\nS*: RCPT => 503 MAIL first\n"),
           std::string("S*: MAIL => 500 what?\nS*: RCPT => 500 what?\n"),
           std::string("S*: MAIL FROM:<> => 501 what?\nS*: RCPT => 503 MAIL first\n"),
           std::string("S*: MAIL FROM:<postmaster* => 550 no\nS*: RCPT => 554 no\n"),
           std::string("S*: RSET => 502 what?\nS*: RCPT => 554 no\n"),
           std::string("S*: RCPT => 450 greylisted\n"),
       }) {
    SCOPED_TRACE(temper);
    const std::string rest = takes_postmaster + temper + quits + "S*: * => 250 ok\n";
    const Counted serial = count(greets + kNoOffer + rest);
    const Counted pipelined = count(greets + kOffer + rest);
    EXPECT_LE(pipelined.refusals, SmtpSession::kMaxRefusals + 1) << pipelined.transcript;  // + RSET
    EXPECT_LE(pipelined.odd, std::max(SmtpSession::kMaxOddSyntax, serial.odd)) << pipelined.transcript;
    EXPECT_LE(pipelined.refusals, std::max(SmtpSession::kMaxRefusals, serial.refusals)) << pipelined.transcript;
    EXPECT_EQ(shown(pipelined.finding), shown(serial.finding)) << pipelined.transcript;
  }
}

// A server that changes its mind in the middle of a batch is asked no more than Postfix bears before it hangs up.
TEST(SmtpPipeliningPoliteness, BoundsWhatATurncoatRefuses) {
  for (int at = 2; at < 30; ++at) {
    const std::string from = "/" + std::to_string(at) + " => 550 go away\n";
    const Counted counted = count("S*: connect => 220 mx\n" + kOffer + "S*: QUIT => 221 bye\nS*: MAIL" + from + "S*: RCPT" +
                                  from + "S*: RSET" + from + "S*: RCPT => 554 no\nS*: * => 250 ok\n");
    EXPECT_LT(counted.refusals, SmtpSession::kHangUpRefusals) << counted.transcript;
  }
}

// 200 ms a round trip: what a visit to a closed server takes, in round trips.
TEST(SmtpPipeliningSpeed, TakesFewRoundTrips) {
  const std::string rest = "S*: RCPT TO:<postmaster => 250 ok\nS*: RCPT => 554 no\nS*: QUIT => 221 bye\nS*: * => 250 ok\n";
  for (const bool full : {false, true}) {
    const Counted serial = count("S*: connect => 220 mx\n" + kNoOffer + rest, full);
    const Counted pipelined = count("S*: connect => 220 mx\n" + kOffer + rest, full);
    EXPECT_EQ(shown(pipelined.finding), shown(serial.finding));
    EXPECT_EQ(pipelined.connections, serial.connections);
    EXPECT_LE(pipelined.writes, full ? serial.writes / 3 : 6) << pipelined.transcript;
    RecordProperty(full ? "full" : "core", pipelined.writes);
  }
}

}  // namespace
}  // namespace ajar
