// Passwords, paths and guessing, without a socket.
#include "agent/access.h"

#include <atomic>
#include <future>

#include <crypt.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ajar {
namespace {

using std::chrono::seconds;
using Result = Logins::Result;

// "test", of the format's own documentation.
const std::string kHash = "$2y$10$Qm5lJw0Zr8uXcT3kVfY1hO6vNxrsFsbBebydjMKnvI2ynJguBFMQK";

std::string hash_of(const std::string& password, int cost = 4) {
  crypt_data data{};
  const std::string salt = "$2b$0" + std::to_string(cost) + "$abcdefghijklmnopqrstuu";
  return crypt_r(password.c_str(), salt.c_str(), &data);
}

std::string basic(const std::string& pair) {
  static const char* const kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out = "Basic ";
  for (std::size_t i = 0; i < pair.size(); i += 3) {
    unsigned block = 0;
    for (std::size_t j = 0; j < 3; ++j)
      block = block << 8 | (i + j < pair.size() ? static_cast<unsigned char>(pair[i + j]) : 0U);
    for (std::size_t j = 0; j < 4; ++j) out += i + j > pair.size() ? '=' : kAlphabet[block >> (18 - 6 * j) & 63];
  }
  return out;
}

TEST(ParseBasic, RightAndWrong) {
  const auto login = parse_basic(basic("alice:se:cret"));
  ASSERT_TRUE(login);
  EXPECT_EQ(login->user, "alice");
  EXPECT_EQ(login->password, "se:cret");
  EXPECT_TRUE(parse_basic("bAsIc   " + basic("a:b").substr(6) + "  "));
  EXPECT_EQ(parse_basic(basic(":"))->user, "");
  EXPECT_EQ(parse_basic(basic(std::string("a:\0b", 4)))->password, std::string("\0b", 2));
  for (const char* wrong :
       {"", " ", "Basic", "Basic ", "Basic  ", "Bearer YTpi", "Basic YTpi=", "Basic YT=i", "Basic YTp",
        "Basic ====", "Basic YT pi", "Basic YTpi\t", "Basic YQ==" /* "a" */, "BasicYTpi", "Basic Y\xc3\xa9pi", "Basic ="}) {
    EXPECT_FALSE(parse_basic(wrong)) << wrong;
  }
}

TEST(Bcrypt, Matches) {
  EXPECT_TRUE(bcrypt_matches("test", kHash));
  EXPECT_FALSE(bcrypt_matches("tesT", kHash));
  EXPECT_FALSE(bcrypt_matches("", kHash));
  EXPECT_FALSE(bcrypt_matches(std::string("test\0", 5), kHash)) << "crypt(3) would not see what follows";
  const std::string hash = hash_of("secret");
  EXPECT_TRUE(bcrypt_matches("secret", hash));
  std::string y = hash;
  y[2] = 'y';
  EXPECT_TRUE(bcrypt_matches("secret", y));
  y[2] = 'a';
  EXPECT_TRUE(bcrypt_matches("secret", y));
  EXPECT_FALSE(bcrypt_matches(std::string(600, 'x'), hash));
  EXPECT_FALSE(bcrypt_matches("x", "x"));
  EXPECT_FALSE(bcrypt_matches("x", ""));
}

class LoginsTest : public testing::Test {
 protected:
  Result check(const std::string& user, const std::string& password, const std::string& address = "192.0.2.1") {
    last = logins.check(users, {user, password}, address);
    return last.result;
  }
  void fail(unsigned times, const std::string& address = "192.0.2.1") {
    for (unsigned i = 0; i < times; ++i) check("alice", "wrong" + std::to_string(count++), address);
  }

  // Not bcrypt's, which takes its time.
  static std::string hash_of(const std::string& password) { return "hash of " + password; }

  std::map<std::string, std::string> users = {{"alice", hash_of("secret")}, {"bob", hash_of("other")}};
  Logins::Steady::time_point now = Logins::Steady::now();
  unsigned runs = 0, count = 0;
  Logins logins{[this] { return now; },
                [this](const std::string& password, const std::string& hash) {
                  ++runs;
                  return hash == hash_of(password);
                }};
  Logins::Answer last{};
};

TEST_F(LoginsTest, RightWrongAndUnknown) {
  EXPECT_EQ(check("alice", "secret"), Result::right);
  EXPECT_EQ(check("alice", "other"), Result::wrong) << "bob's";
  EXPECT_EQ(check("carol", "secret"), Result::wrong);
  EXPECT_EQ(check("carol", "other"), Result::wrong);
  EXPECT_EQ(check("", ""), Result::wrong);
  EXPECT_EQ(check("Alice", "secret"), Result::wrong);
}

TEST_F(LoginsTest, AnUnknownNameCostsWhatAWrongPasswordDoes) {
  check("alice", "wrong");
  EXPECT_EQ(runs, 1U);
  check("carol", "wrong");
  EXPECT_EQ(runs, 2U);
  check("carol", "secret", "192.0.2.2");
  EXPECT_EQ(runs, 3U) << "even with a password that somebody has";
  check("carol", "secret", "192.0.2.2");
  check("alice", "wrong");
  EXPECT_EQ(runs, 3U) << "both are remembered";
}

TEST_F(LoginsTest, ARightLoginIsHashedOnce) {
  for (int i = 0; i < 10; ++i) EXPECT_EQ(check("alice", "secret", "192.0.2." + std::to_string(i)), Result::right);
  EXPECT_EQ(runs, 1U);
  users["alice"] = hash_of("new");
  EXPECT_EQ(check("alice", "secret"), Result::wrong) << "the old password after a change";
  EXPECT_EQ(check("alice", "new"), Result::right);
  users.erase("alice");
  EXPECT_EQ(check("alice", "new"), Result::wrong) << "a user who is gone";
  EXPECT_EQ(check("alice", "other"), Result::wrong) << "asked with bob's hash, and remembered";
  users["alice"] = hash_of("other");
  EXPECT_EQ(check("alice", "other"), Result::right) << "but not for a user who has that hash";
}

TEST_F(LoginsTest, WhoGuessesWaits) {
  fail(Logins::kFreeFailures);
  EXPECT_EQ(last.result, Result::wrong);
  const unsigned before = runs;
  EXPECT_EQ(check("alice", "secret"), Result::later) << "a right one too: its answer would tell";
  EXPECT_EQ(last.retry_after, seconds(1));
  EXPECT_EQ(runs, before);
  seconds wait{1};
  for (int i = 0; i < 10; ++i) {
    now += wait;
    fail(1);
    EXPECT_EQ(last.result, Result::wrong);
    EXPECT_EQ(check("alice", "secret"), Result::later);
    wait = std::min(2 * wait, Logins::kLongestWait);
    EXPECT_EQ(last.retry_after, wait);
  }
  now += wait;
  EXPECT_EQ(check("alice", "secret"), Result::right);
  fail(Logins::kFreeFailures - 1);
  EXPECT_EQ(check("bob", "other"), Result::right) << "a right login begins anew";
}

TEST_F(LoginsTest, OthersAreNotAffected) {
  EXPECT_EQ(check("alice", "secret", "192.0.2.9"), Result::right);
  for (int i = 0; i < 5000; ++i) fail(1, "198.51." + std::to_string(i / 250) + "." + std::to_string(i % 250));
  fail(50, "192.0.2.1");
  EXPECT_EQ(check("alice", "secret", "192.0.2.9"), Result::right) << "remembered";
  EXPECT_EQ(check("bob", "other", "192.0.2.10"), Result::right) << "new";
}

TEST_F(LoginsTest, TheSameMistakeAgainIsNoGuess) {
  for (int i = 0; i < 100; ++i) EXPECT_EQ(check("alice", "old password"), Result::wrong);
  EXPECT_EQ(runs, 1U);
  EXPECT_EQ(check("alice", "secret"), Result::right);
}

TEST_F(LoginsTest, ANetworkOfIpv6IsOne) {
  for (unsigned i = 0; i < Logins::kFreeFailures; ++i) fail(1, "2001:db8::" + std::to_string(i));
  EXPECT_EQ(check("alice", "secret", "2001:db8::ffff"), Result::later);
  EXPECT_EQ(check("alice", "secret", "2001:db8:0:1::1"), Result::right);
}

TEST_F(LoginsTest, FailuresAreForgotten) {
  fail(Logins::kFreeFailures - 1);
  now += Logins::kForget + seconds(1);
  fail(Logins::kFreeFailures - 1);
  EXPECT_EQ(check("alice", "secret"), Result::right);
}

// However many guess at once, one bcrypt runs, few wait, and a login that is remembered does not wait at all.
TEST(Logins, GuessingDoesNotStarveOthers) {
  std::atomic<int> running = 0, most = 0;
  std::promise<void> go_on;
  const std::shared_future<void> gate = go_on.get_future().share();
  std::atomic<bool> hold = false;
  Logins logins(Logins::Steady::now, [&](const std::string& password, const std::string& hash) {
    most = std::max(most.load(), ++running);
    if (hold) gate.wait();
    const bool right = bcrypt_matches(password, hash);
    --running;
    return right;
  });
  const std::map<std::string, std::string> users = {{"alice", hash_of("secret")}};
  ASSERT_EQ(logins.check(users, {"alice", "secret"}, "192.0.2.1").result, Result::right);
  hold = true;
  std::atomic<int> later = 0;
  std::vector<std::future<void>> guesses;
  for (int i = 0; i < 60; ++i) {
    guesses.push_back(std::async(std::launch::async, [&, i] {
      const Logins::Answer answer = logins.check(users, {"alice", std::to_string(i)}, "198.51.100." + std::to_string(i / 3));
      if (answer.result == Result::later) ++later;
    }));
  }
  while (running == 0) std::this_thread::yield();
  EXPECT_EQ(logins.check(users, {"alice", "secret"}, "192.0.2.1").result, Result::right);
  while (later < 60 - static_cast<int>(Logins::kMostWaiting)) std::this_thread::yield();
  go_on.set_value();
  for (auto& guess : guesses) guess.get();
  EXPECT_EQ(most, static_cast<int>(Logins::kMostRuns));
}

class AccessTest : public testing::Test {
 protected:
  AccessTest() { file.users = {{"alice", hash_of("secret")}}; }
  int status(AccessRequest request) {
    const auto refused = access.refuse(file, request);
    reply = refused.value_or(SiteReply{});
    return refused ? refused->status : 200;
  }
  int get(const std::string& path, std::vector<std::string> authorizations = {}) {
    return status({.method = "GET", .path = path, .address = "192.0.2.1", .authorizations = std::move(authorizations)});
  }

  WebFile file;
  Logins::Steady::time_point now = Logins::Steady::now();
  Access access{[this] { return now; }};
  SiteReply reply;
};

TEST_F(AccessTest, WithoutUsersAllMayAsk) {
  file.users.clear();
  EXPECT_EQ(get("/"), 200);
  EXPECT_EQ(status({.method = "POST", .path = "/-/pause", .address = "192.0.2.1", .authorizations = {}}), 200);
}

TEST_F(AccessTest, WithUsersAPasswordIsNeeded) {
  EXPECT_EQ(get("/metrics"), 401);
  EXPECT_THAT(reply.headers, testing::Contains(testing::Pair("WWW-Authenticate", "Basic realm=\"ajar\"")));
  EXPECT_EQ(get("/metrics", {basic("alice:secret")}), 200);
  EXPECT_EQ(get("/metrics", {basic("alice:wrong")}), 401);
  EXPECT_EQ(get("/metrics", {"Bearer x"}), 401);
  EXPECT_EQ(get("/metrics", {basic("alice:secret"), basic("alice:secret")}), 400);
  EXPECT_EQ(get("/nothing"), 401) << "what is there is nobody's business";
  EXPECT_EQ(status({.method = "DELETE", .path = "/", .address = "192.0.2.1", .authorizations = {}}), 401);
}

TEST_F(AccessTest, OpenPathsAreExact) {
  file.open_paths = {"/metrics", "/-/healthy"};
  EXPECT_EQ(get("/metrics"), 200);
  EXPECT_EQ(status({.method = "HEAD", .path = "/metrics", .address = "192.0.2.1", .authorizations = {}}), 200);
  for (const char* other : {"/metrics/", "/metrics/..", "/metrics/../config", "//metrics", "/./metrics", "/Metrics",
                            "/metrics.", "/metrics ", "/metric", "/metrics%00", "metrics", "/-/healthy/../ready", "/", ""}) {
    EXPECT_EQ(get(other), 401) << other;
  }
  EXPECT_EQ(get(std::string("/metrics\0", 9)), 401);
  EXPECT_EQ(status({.method = "POST", .path = "/metrics", .address = "192.0.2.1", .authorizations = {}}), 401);
}

TEST_F(AccessTest, SignedRequestsProveThemselves) {
  AccessRequest request{
      .method = "POST", .path = "/api/v1/results", .address = "192.0.2.1", .authorizations = {}, .is_signed = true};
  EXPECT_EQ(status(request), 200);
  request.own_client = true;
  EXPECT_EQ(status(request), 200);
  request.is_signed = false;
  request.authorizations = {basic("alice:secret")};
  EXPECT_EQ(status(request), 403) << "let in without a certificate: for signed requests alone";
}

TEST_F(AccessTest, TooManyLogins) {
  for (int i = 0; i < 10; ++i) get("/", {basic("alice:" + std::to_string(i))});
  EXPECT_EQ(reply.status, 429);
  EXPECT_THAT(reply.headers, testing::Contains(testing::Pair("Retry-After", "1")));
  EXPECT_EQ(get("/"), 401) << "to be asked for a password is no guess";
}

TEST_F(AccessTest, RateLimit) {
  file.users.clear();
  file.rate_interval = Duration(1000);
  file.rate_burst = 3;
  EXPECT_EQ(get("/"), 200);
  EXPECT_EQ(get("/"), 200);
  EXPECT_EQ(get("/"), 200);
  EXPECT_EQ(get("/"), 429);
  now += seconds(1);
  EXPECT_EQ(get("/"), 200);
  EXPECT_EQ(get("/"), 429);
  now += seconds(60);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(get("/"), 200);
  EXPECT_EQ(get("/"), 429);
}

TEST(IsOwnHost, AddressesAndOurNames) {
  Config config;
  config.agent.name = "probe.example.net";
  config.web.external_url = "https://user@Ajar.Example.net:444/x";
  config.web.listen = {"web.example.net:9925"};
  for (const char* own :
       {"", "127.0.0.1", "127.0.0.1:9925", "[::1]:9925", "[2001:db8::1]", "192.0.2.7:80", "localhost", "LocalHost:9925",
        "localhost.", "probe.example.net:9925", "ajar.example.net", "ajar.example.net.:444", "web.example.net:9925"}) {
    EXPECT_TRUE(is_own_host(own, config)) << own;
  }
  for (const char* other :
       {"evil.example", "evil.example:9925", "localhost.evil.example", "127.0.0.1.evil.example", "0x7f000001", "127.1", "[::1",
        "[::1].evil.example", "user@evil.example", " localhost", "localhost:9925:1"}) {
    EXPECT_FALSE(is_own_host(other, config)) << other;
  }
}

}  // namespace
}  // namespace ajar
