// What a resolver may meet on the wire: forged, damaged, truncated, late and lost packets. Nothing but the true answer is ever
// believed; where it does not come, the question ends as a failure and never as "not listed".
#include <array>
#include <functional>
#include <map>

#include <arpa/inet.h>
#include <event2/event.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/dnsbl_resolver.h"
#include "agent/loop.h"

namespace ajar {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::AnyOf;
using testing::ElementsAre;
using testing::Ge;
using testing::IsEmpty;
using testing::Le;
using Outcome = DnsblReply::Outcome;

constexpr unsigned kA = 1, kCname = 5, kSoa = 6, kAaaa = 28, kChaos = 3;
const std::string kTrue = "127.0.0.2", kForged = "127.0.0.9";

Task<void> keep(DnsblDns& dns, std::string name, DnsblLookup& lookup) { lookup = co_await dns.ask(name, DnsType::a); }

std::string u16(unsigned value) { return {static_cast<char>(value >> 8), static_cast<char>(value & 255)}; }
std::string u32(std::uint32_t value) { return u16(value >> 16) + u16(value & 0xFFFF); }

std::string wire_name(const std::string& name) {
  std::string wire;
  for (std::size_t at = 0; at < name.size();) {
    const std::size_t dot = std::min(name.find('.', at), name.size());
    wire += static_cast<char>(dot - at) + name.substr(at, dot - at);
    at = dot + 1;
  }
  return wire + '\0';
}

std::string record(const std::string& owner, unsigned type, const std::string& data, unsigned klass = 1,
                   std::uint32_t ttl = 60) {
  return owner + u16(type) + u16(klass) + u32(ttl) + u16(static_cast<unsigned>(data.size())) + data;
}

std::string code_bytes(const std::string& address) {
  const IpAddress parsed = IpAddress::parse(address).value();
  return {reinterpret_cast<const char*>(parsed.bytes().data()), 4};
}

// A message, to be changed at will before it is sent.
struct Message {
  unsigned id = 0, flags = 0x8180, questions = 1;
  std::string question;  // name, type, class
  std::vector<std::string> answers, authorities;
  std::string bytes() const {
    std::string all = u16(id) + u16(flags) + u16(questions) + u16(static_cast<unsigned>(answers.size())) +
                      u16(static_cast<unsigned>(authorities.size())) + u16(0) + question;
    for (const std::string& one : answers) all += one;
    for (const std::string& one : authorities) all += one;
    return all;
  }
};

struct Question {
  std::string bytes;
  sockaddr_in peer{};
  std::string name;
  unsigned id() const {
    return static_cast<unsigned>(static_cast<unsigned char>(bytes[0]) << 8) | static_cast<unsigned char>(bytes[1]);
  }
  std::string section() const { return wire_name(name) + u16(kA) + u16(1); }
  // The answer to it with these codes; without: no such name.
  Message answer(const std::vector<std::string>& codes) const {
    Message message;
    message.id = id();
    message.question = section();
    if (codes.empty()) message.flags |= 3;
    for (const std::string& one : codes) message.answers.push_back(record(u16(0xC00C), kA, code_bytes(one)));
    return message;
  }
};

// A UDP port of 127.0.0.1 where every question goes to a function, and two other places that packets can be sent from: the same
// port of 127.0.0.2, and another port of 127.0.0.1. Nobody listens for TCP unless told.
class Responder {
 public:
  explicit Responder(Loop& loop) {
    main_ = open(0x7F000001, 0);
    sockaddr_in place{};
    socklen_t length = sizeof place;
    getsockname(main_, reinterpret_cast<sockaddr*>(&place), &length);
    port_ = ntohs(place.sin_port);
    other_address_ = open(0x7F000002, port_);
    other_port_ = open(0x7F000001, 0);
    event_ = event_new(loop.base(), main_, EV_READ | EV_PERSIST, &Responder::on_readable, this);
    event_add(event_, nullptr);
  }
  ~Responder() {
    event_free(event_);
    for (const int fd : {main_, other_address_, other_port_, tcp_}) {
      if (fd >= 0) close(fd);
    }
  }
  Responder(const Responder&) = delete;
  Responder& operator=(const Responder&) = delete;

  AddressPort address() const { return {IpAddress::v4({127, 0, 0, 1}), port_}; }
  void send(const Question& to, const Message& message) const { write(main_, to, message.bytes()); }
  void send(const Question& to, const std::string& bytes) const { write(main_, to, bytes); }
  void send_from_other_address(const Question& to, const Message& message) const { write(other_address_, to, message.bytes()); }
  void send_from_other_port(const Question& to, const Message& message) const { write(other_port_, to, message.bytes()); }
  // TCP connections succeed, and nobody says a word.
  void listen_in_silence() {
    tcp_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const sockaddr_in place = place_of(0x7F000001, port_);
    ASSERT_EQ(bind(tcp_, reinterpret_cast<const sockaddr*>(&place), sizeof place), 0);
    ASSERT_EQ(listen(tcp_, 16), 0);
  }

  std::function<void(const Question&)> on_question;
  unsigned questions = 0;

 private:
  static sockaddr_in place_of(std::uint32_t address, std::uint16_t port) {
    sockaddr_in place{};
    place.sin_family = AF_INET;
    place.sin_port = htons(port);
    place.sin_addr.s_addr = htonl(address);
    return place;
  }
  static int open(std::uint32_t address, std::uint16_t port) {
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const sockaddr_in place = place_of(address, port);
    EXPECT_EQ(bind(fd, reinterpret_cast<const sockaddr*>(&place), sizeof place), 0);
    return fd;
  }
  static void write(int fd, const Question& to, const std::string& bytes) {
    sendto(fd, bytes.data(), bytes.size(), 0, reinterpret_cast<const sockaddr*>(&to.peer), sizeof to.peer);
  }
  // All that is there: on a busy machine a question a turn of the loop would be too slow.
  static void on_readable(evutil_socket_t fd, short, void* self) {
    std::array<char, 2048> buffer{};
    while (true) {
      Question question;
      socklen_t length = sizeof question.peer;
      const ssize_t got = recvfrom(fd, buffer.data(), buffer.size(), 0, reinterpret_cast<sockaddr*>(&question.peer), &length);
      if (got < 0) return;
      if (got >= 17)
        static_cast<Responder*>(self)->take(std::move(question), std::string(buffer.data(), static_cast<std::size_t>(got)));
    }
  }
  void take(Question question, std::string bytes) {
    question.bytes = std::move(bytes);
    for (std::size_t at = 12; question.bytes.at(at) != 0; at += 1U + static_cast<unsigned char>(question.bytes.at(at))) {
      question.name +=
          (question.name.empty() ? "" : ".") + question.bytes.substr(at + 1, static_cast<unsigned char>(question.bytes.at(at)));
    }
    ++questions;
    if (on_question) on_question(question);
  }

  std::uint16_t port_ = 0;
  int main_ = -1, other_address_ = -1, other_port_ = -1, tcp_ = -1;
  event* event_ = nullptr;
};

class DnsblWire : public testing::Test {
 protected:
  void SetUp() override { make(milliseconds(40), 2); }
  void make(milliseconds timeout, int tries) {
    DnsblResolverOptions options;
    options.servers = {responder_.address()};
    options.timeout = timeout;
    options.tries = tries;
    resolver_ = std::make_unique<DnsblResolver>(loop_, options);
  }
  DnsblLookup ask(const std::string& name = "2.0.0.127.bl.example") {
    DnsblLookup lookup;
    bool done = false, running = false;
    start(keep(*resolver_, name, lookup), [&] {
      done = true;
      if (running) loop_.stop();
    });
    running = true;
    if (!done) loop_.run();
    EXPECT_TRUE(done);
    return lookup;
  }
  // What is believed of a name of which the responder says this, every time.
  DnsblLookup ask_of(std::function<Message(const Question&)> say) {
    responder_.on_question = [this, say](const Question& question) { responder_.send(question, say(question)); };
    return ask();
  }

  Loop loop_;
  Responder responder_{loop_};
  std::unique_ptr<DnsblResolver> resolver_;
};

std::vector<std::string> codes(const DnsblLookup& lookup) {
  std::vector<std::string> list;
  for (const IpAddress& address : lookup.reply.addresses) list.push_back(address.to_string());
  return list;
}

// What somebody may send who is not the server, or the server by mistake.
struct Forgery {
  const char* what;
  std::optional<Outcome> ends;  // the question, as a failure: it comes from the right place, with the right number and question
  std::function<void(const Responder&, const Question&)> send;
};

Forgery changed(const char* what, std::optional<Outcome> ends, std::function<void(Message&, const Question&)> change) {
  return {what, ends, [change](const Responder& responder, const Question& question) {
            for (const bool listed : {true, false}) {  // neither is to be believed
              Message message = question.answer(listed ? std::vector{kForged} : std::vector<std::string>());
              change(message, question);
              responder.send(question, message);
            }
          }};
}

std::vector<Forgery> forgeries() {
  const auto of_question = [](std::string name, unsigned type, unsigned klass) {
    return [=](Message& message, const Question& question) {
      message.question = wire_name(name.empty() ? question.name : name) + u16(type) + u16(klass);
    };
  };
  return {
      changed("another id", std::nullopt, [](Message& message, const Question&) { message.id ^= 1U; }),
      changed("another name", std::nullopt, of_question("3.0.0.127.bl.example", kA, 1)),
      changed("a name below", std::nullopt, of_question("x.2.0.0.127.bl.example", kA, 1)),
      changed("another type", std::nullopt, of_question("", kAaaa, 1)),
      changed("another class", std::nullopt, of_question("", kA, kChaos)),
      changed("no question", std::nullopt,
              [](Message& message, const Question&) {
                message.questions = 0;
                message.question.clear();
              }),
      changed("two questions", std::nullopt,
              [](Message& message, const Question& question) {
                message.questions = 2;
                message.question += question.section();
              }),
      changed("a question that is not there", std::nullopt,
              [](Message& message, const Question&) { message.question.clear(); }),
      changed("a question that points to itself", std::nullopt,
              [](Message& message, const Question&) { message.question = u16(0xC00C) + u16(kA) + u16(1); }),
      changed("a query", Outcome::servfail, [](Message& message, const Question&) { message.flags &= 0x7FFFU; }),
      {"from another address", std::nullopt,
       [](const Responder& responder, const Question& question) {
         responder.send_from_other_address(question, question.answer({kForged}));
         responder.send_from_other_address(question, question.answer({}));
       }},
      {"from another port", std::nullopt,
       [](const Responder& responder, const Question& question) {
         responder.send_from_other_port(question, question.answer({kForged}));
         responder.send_from_other_port(question, question.answer({}));
       }},
      {"half a header", std::nullopt,
       [](const Responder& responder, const Question& question) { responder.send(question, question.bytes.substr(0, 7)); }},
      {"nothing", std::nullopt,
       [](const Responder& responder, const Question& question) { responder.send(question, std::string()); }},
      {"our own question", Outcome::servfail,
       [](const Responder& responder, const Question& question) { responder.send(question, question.bytes); }},
      {"cut within a record", Outcome::servfail,
       [](const Responder& responder, const Question& question) {
         const std::string bytes = question.answer({kForged}).bytes();
         responder.send(question, bytes.substr(0, bytes.size() - 2));
       }},
  };
}

TEST_F(DnsblWire, TheTrueAnswerWinsOverForgeries) {
  for (const Forgery& forgery : forgeries()) {
    for (const bool listed : {true, false}) {
      responder_.on_question = [&](const Question& question) {
        forgery.send(responder_, question);
        responder_.send(question, question.answer(listed ? std::vector{kTrue} : std::vector<std::string>()));
      };
      const DnsblLookup lookup = ask();
      if (forgery.ends) {
        EXPECT_EQ(lookup.reply.outcome, *forgery.ends) << forgery.what;
      } else {
        EXPECT_EQ(lookup.reply.outcome, listed ? Outcome::answered : Outcome::no_such_name) << forgery.what;
        EXPECT_EQ(codes(lookup), listed ? std::vector{kTrue} : std::vector<std::string>()) << forgery.what;
      }
    }
  }
}

TEST_F(DnsblWire, ForgeriesAloneAreNoAnswer) {
  for (const Forgery& forgery : forgeries()) {
    responder_.on_question = [&](const Question& question) { forgery.send(responder_, question); };
    const DnsblLookup lookup = ask();
    EXPECT_EQ(lookup.reply.outcome, forgery.ends.value_or(Outcome::timeout)) << forgery.what;
    EXPECT_THAT(codes(lookup), IsEmpty()) << forgery.what;
    EXPECT_EQ(lookup.ttl, std::nullopt) << forgery.what;
  }
}

// Of the right server, number and question, with records that do not answer it.
TEST_F(DnsblWire, RecordsOfAnotherKindAreNoAnswer) {
  const std::string self = u16(0xC00C);
  const std::vector<std::pair<const char*, std::string>> strange = {
      {"class", record(self, kA, code_bytes(kForged), kChaos)},
      {"type", record(self, kAaaa, std::string(16, '\x7F'))},
      {"owner", record(wire_name("3.0.0.127.bl.example"), kA, code_bytes(kForged))},
      {"length", record(self, kA, code_bytes(kForged) + "x")},
      {"owner that points to itself", record(u16(0xC000 + 12 + 22 + 4), kA, code_bytes(kForged))},
      {"owner that points forward", record(u16(0xC0FF), kA, code_bytes(kForged))},
      {"alias that points to itself", record(self, kCname, u16(0xC000 + 12 + 22 + 4 + 12))},
      {"two aliases that point to each other",
       record(self, kCname, u16(0xC000 + 12 + 22 + 4 + 14)) + record(self, kCname, u16(0xC000 + 12 + 22 + 4 + 12))},
  };
  for (const auto& [what, bytes] : strange) {
    for (const unsigned rcode : {0U, 3U}) {
      const DnsblLookup lookup = ask_of([&](const Question& question) {
        Message message = question.answer({kTrue});
        message.answers = {bytes};
        message.flags |= rcode;
        return message;
      });
      EXPECT_EQ(lookup.reply.outcome, Outcome::servfail) << what << " " << rcode;
      EXPECT_THAT(codes(lookup), IsEmpty()) << what << " " << rcode;
    }
    // Beside the true one they do no harm, unless the message cannot be read.
    const DnsblLookup lookup = ask_of([&](const Question& question) {
      Message message = question.answer({kTrue});
      message.answers.insert(message.answers.begin(), bytes);
      return message;
    });
    EXPECT_THAT(codes(lookup), AnyOf(ElementsAre(kTrue), IsEmpty())) << what;
    EXPECT_THAT(lookup.reply.outcome, AnyOf(Outcome::answered, Outcome::servfail)) << what;
  }
}

TEST_F(DnsblWire, TruncatedAndNobodyAtTheTcpPort) {
  for (const std::vector<std::string>& part : {std::vector<std::string>(), {kForged}}) {
    const DnsblLookup lookup = ask_of([&](const Question& question) {
      Message message = question.answer(part);
      message.flags |= 0x0200U;
      return message;
    });
    EXPECT_EQ(lookup.reply.outcome, Outcome::timeout);
    EXPECT_THAT(codes(lookup), IsEmpty());
  }
}

TEST_F(DnsblWire, TruncatedAndSilenceByTcp) {
  responder_.listen_in_silence();
  const DnsblLookup lookup = ask_of([&](const Question& question) {
    Message message = question.answer({kForged});
    message.flags |= 0x0200U;
    return message;
  });
  EXPECT_EQ(lookup.reply.outcome, Outcome::timeout);
  EXPECT_THAT(codes(lookup), IsEmpty());
}

TEST_F(DnsblWire, ChainsOfAliases) {
  // All in one answer, in any order.
  const auto chain = [&](std::size_t length) {
    return ask_of([length](const Question& question) {
      Message message = question.answer({});
      message.flags = 0x8180;
      message.answers.push_back(record(wire_name(fmt::format("n{}.bl.example", length)), kA, code_bytes(kTrue)));
      for (std::size_t i = length; i > 0; --i) {
        const std::string from = i == 1 ? question.name : fmt::format("n{}.bl.example", i - 1);
        message.answers.push_back(record(wire_name(from), kCname, wire_name(fmt::format("n{}.bl.example", i))));
      }
      return message;
    });
  };
  EXPECT_THAT(codes(chain(1)), ElementsAre(kTrue));
  EXPECT_THAT(codes(chain(kMaxDnsAliases)), ElementsAre(kTrue));
  EXPECT_EQ(chain(kMaxDnsAliases + 1).reply.outcome, Outcome::servfail);
  // A ring in one answer.
  const DnsblLookup ring = ask_of([](const Question& question) {
    Message message = question.answer({kForged});
    message.answers = {record(u16(0xC00C), kCname, wire_name("b.bl.example")),
                       record(wire_name("b.bl.example"), kCname, u16(0xC00C))};
    return message;
  });
  EXPECT_EQ(ring.reply.outcome, Outcome::servfail);
  // A ring, and an endless chain, of which every answer holds one step.
  for (const bool endless : {false, true}) {
    const unsigned before = responder_.questions;
    const DnsblLookup lookup = ask_of([&](const Question& question) {
      const std::string next = endless ? fmt::format("n{}.bl.example", responder_.questions)
                                       : (question.name == "b.bl.example" ? "a.bl.example" : "b.bl.example");
      Message message = question.answer({kForged});
      message.answers = {record(u16(0xC00C), kCname, wire_name(next))};
      return message;
    });
    EXPECT_EQ(lookup.reply.outcome, Outcome::servfail);
    EXPECT_THAT(responder_.questions - before, Le(20U));
  }
}

TEST_F(DnsblWire, TheCaseOfANameMeansNothing) {
  const DnsblLookup lookup = ask_of([](const Question& question) {
    Message message = question.answer({});
    message.flags = 0x8180;
    message.question = wire_name("2.0.0.127.bL.eXaMPLe") + u16(kA) + u16(1);
    message.answers = {record(wire_name("2.0.0.127.BL.EXAMPLE"), kA, code_bytes(kTrue))};
    return message;
  });
  EXPECT_THAT(codes(lookup), ElementsAre(kTrue));
}

TEST_F(DnsblWire, ATtlOfZeroHoldsForNow) {
  const DnsblLookup listed = ask_of([](const Question& question) {
    Message message = question.answer({});
    message.flags = 0x8180;
    message.answers = {record(u16(0xC00C), kA, code_bytes(kTrue), 1, 0)};
    return message;
  });
  EXPECT_EQ(listed.ttl, seconds(0));
  const auto soa = [](std::uint32_t ttl, std::uint32_t minimum) {
    return record(wire_name("bl.example"), kSoa,
                  wire_name("ns.bl.example") + wire_name("box.bl.example") + u32(1) + u32(2) + u32(3) + u32(4) + u32(minimum),
                  1, ttl);
  };
  for (const auto& [ttl, minimum] : std::vector<std::pair<std::uint32_t, std::uint32_t>>{{0, 60}, {60, 0}, {0x80000000, 60}}) {
    const DnsblLookup unlisted = ask_of([&](const Question& question) {
      Message message = question.answer({});
      message.authorities = {soa(ttl, minimum)};
      return message;
    });
    EXPECT_EQ(unlisted.reply.outcome, Outcome::no_such_name);
    EXPECT_EQ(unlisted.ttl, seconds(0)) << ttl << " " << minimum;
  }
}

// It comes when nobody waits for it any more, and the same question is asked anew.
TEST_F(DnsblWire, ALateAnswerIsNotTakenForThatOfALaterQuestion) {
  make(milliseconds(40), 1);
  std::optional<Question> late;
  responder_.on_question = [&](const Question& question) { late = question; };
  EXPECT_EQ(ask().reply.outcome, Outcome::timeout);
  ASSERT_TRUE(late);
  const Question first = *late;
  responder_.on_question = [&](const Question& question) {
    if (question.id() != first.id()) responder_.send(question, first.answer({kForged}));
    responder_.send(question, question.answer({kTrue}));
  };
  EXPECT_THAT(codes(ask()), ElementsAre(kTrue));
}

// One packet of ten is lost on its way there, and one of ten on its way back.
TEST_F(DnsblWire, NoQuestionIsLostWithTheirPackets) {
  constexpr std::size_t kQuestions = 2000, kAtOnce = 50;
  make(milliseconds(100), DnsblResolverOptions().tries);
  const auto drop = [](const std::string& name, unsigned attempt, unsigned direction) {
    std::uint32_t hash = 2166136261U;  // FNV-1a: the same packets in every run
    for (const char c : fmt::format("{} {} {}", name, attempt, direction))
      hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
    return (hash >> 8) % 10 == 0;
  };
  const auto is_listed = [](std::size_t i) { return i % 3 == 0; };
  std::map<std::string, unsigned> attempts;
  unsigned dropped = 0;
  responder_.on_question = [&](const Question& question) {
    const unsigned attempt = attempts[question.name]++;
    if (drop(question.name, attempt, 0) || drop(question.name, attempt, 1)) {
      ++dropped;
      return;
    }
    const std::size_t i = std::stoul(question.name.substr(1));
    responder_.send(question, question.answer(is_listed(i) ? std::vector{kTrue} : std::vector<std::string>()));
  };
  std::vector<DnsblLookup> lookups(kQuestions);
  std::size_t begun = 0, ended = 0;
  bool running = false;
  std::function<void()> next = [&] {
    if (begun == kQuestions) return;
    const std::size_t i = begun++;
    start(keep(*resolver_, fmt::format("n{}.bl.example", i), lookups[i]), [&] {
      if (++ended == kQuestions && running) return loop_.stop();
      next();
    });
  };
  for (std::size_t i = 0; i < kAtOnce; ++i) next();
  running = true;
  loop_.run();
  ASSERT_EQ(ended, kQuestions);
  for (std::size_t i = 0; i < kQuestions; ++i) {
    EXPECT_EQ(lookups[i].reply.outcome, is_listed(i) ? Outcome::answered : Outcome::no_such_name) << i;
    EXPECT_EQ(codes(lookups[i]), is_listed(i) ? std::vector{kTrue} : std::vector<std::string>()) << i;
  }
  EXPECT_THAT(dropped, Ge(kQuestions / 10));  // the loss was there
}

}  // namespace
}  // namespace ajar
