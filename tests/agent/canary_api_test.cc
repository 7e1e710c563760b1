#include "agent/canary_api.h"

#include <atomic>
#include <map>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <nlohmann/json.hpp>

#include "agent/canary_remote.h"

namespace ajar {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

class FixedStatus : public CanaryStatus {
 public:
  CanaryHealth health(CanaryKind kind) const override {
    if (kind == CanaryKind::tcp) return {true, true, ""};
    if (kind == CanaryKind::smtp) return {true, false, "nobody listens"};
    return {};
  }
  std::vector<AddressPort> advertised(CanaryKind kind) const override {
    if (kind == CanaryKind::tcp) return {*AddressPort::parse("198.51.100.7:8025")};
    return {};
  }
};

class CanaryApiTest : public ::testing::Test {
 protected:
  void arrive(const std::string& token) {
    Arrival arrival;
    arrival.token = token;
    arrival.proof = true;
    log_.add(arrival);
  }
  ApiAnswer get(const std::string& path) { return ask("GET", path); }
  ApiAnswer ask(const std::string& method, const std::string& path) {
    return api_.answer(method, path, authorise(keys_, method, path, "", now_), "");
  }

  Time now_{1'800'000'000s};
  WallClock clock_ = [this] { return now_; };
  CanaryKeys keys_{std::string(32, 'k')};
  FixedStatus status_;
  ArrivalLog log_{"", clock_, 120h};
  std::atomic<int> free_ = 1;  // ports to lend
  std::atomic<int> released_ = 0;
  PortLender lender_{[this](const std::string&, bool v4, std::optional<IpAddress> asker) -> std::optional<AddressPort> {
                       if (free_ == 0) return std::nullopt;
                       --free_;
                       if (!v4) return AddressPort::parse("[2001:db8::7]:50000");
                       const bool own = asker == IpAddress::parse("198.51.100.7");
                       return AddressPort::parse(own ? "198.51.100.8:50000" : "198.51.100.7:50000");
                     },
                     [this](const std::string&) {
                       ++released_;
                       ++free_;
                     }};
  CanaryApi api_{keys_, status_, log_, clock_, lender_};
};

TEST_F(CanaryApiTest, AuthorisesForAMinute) {
  const std::string header = authorise(keys_, "GET", "/a?b=1", "", now_);
  EXPECT_THAT(header, ::testing::StartsWith("1800000000:"));
  EXPECT_TRUE(authorised(keys_, "GET", "/a?b=1", header, "", now_));
  EXPECT_TRUE(authorised(keys_, "GET", "/a?b=1", header, "", now_ + 60s));
  EXPECT_TRUE(authorised(keys_, "GET", "/a?b=1", header, "", now_ - 60s));
  EXPECT_FALSE(authorised(keys_, "GET", "/a?b=1", header, "", now_ + 61s));
  EXPECT_FALSE(authorised(keys_, "GET", "/a?b=1", header, "", now_ - 61s));
  EXPECT_FALSE(authorised(keys_, "POST", "/a?b=1", header, "", now_));
  EXPECT_FALSE(authorised(keys_, "GET", "/a?b=2", header, "", now_));
  EXPECT_FALSE(authorised(keys_, "GET", "/a?b=1", header, "x", now_));
  EXPECT_FALSE(authorised(CanaryKeys(std::string(32, 'o')), "GET", "/a?b=1", header, "", now_));
  for (const std::string bad : {"", ":", "1800000000", "1800000000:", "-1800000000:0", "x:0"}) {
    EXPECT_FALSE(authorised(keys_, "GET", "/a?b=1", bad, "", now_)) << bad;
  }
  EXPECT_FALSE(authorised(keys_, "GET", "/a?b=1", "1800000001" + header.substr(10), "", now_));
}

TEST_F(CanaryApiTest, GivesArrivalsAfterACursor) {
  arrive("one");
  arrive("two");
  const auto first = nlohmann::json::parse(get("/api/v1/arrivals?since=0&wait=0").body);
  ASSERT_EQ(first.at("data").size(), 2U);
  EXPECT_EQ(first.at("data")[1].at("token"), "two");
  EXPECT_EQ(first.at("cursor"), log_.last_id());
  const auto none = nlohmann::json::parse(get("/api/v1/arrivals?wait=0&since=" + std::to_string(log_.last_id())).body);
  EXPECT_TRUE(none.at("data").empty());
  EXPECT_EQ(none.at("cursor"), log_.last_id());
}

TEST_F(CanaryApiTest, SaysWhatIsUp) {
  const auto json = nlohmann::json::parse(get("/api/v1/canary").body);
  EXPECT_EQ(json.at("up").dump(), R"({"smtp":false,"tcp":true})");
  EXPECT_EQ(json.at("trouble").at("smtp"), "nobody listens");
  EXPECT_EQ(json.at("advertised").at("tcp")[0], "198.51.100.7:8025");
}

TEST_F(CanaryApiTest, RefusesTheRest) {
  arrive("secret-token");
  const ApiAnswer refused = api_.answer("GET", "/api/v1/arrivals?since=0", "", "");
  EXPECT_EQ(refused.status, 401);
  EXPECT_THAT(refused.body, ::testing::Not(HasSubstr("secret-token")));
  EXPECT_EQ(get("/api/v1/arrivals").status, 400);
  EXPECT_EQ(get("/api/v1/arrivals?since=-1").status, 400);
  EXPECT_EQ(get("/api/v1/arrivals?since=99999999999999999999").status, 400);
  EXPECT_EQ(get("/api/v1/other").status, 404);
  EXPECT_EQ(api_.answer("POST", "/api/v1/canary", authorise(keys_, "POST", "/api/v1/canary", "", now_), "").status, 405);
}

TEST_F(CanaryApiTest, LendsPorts) {
  const std::string token = keys_.mint(now_, 1h), query = "?token=" + token;
  EXPECT_EQ(ask("POST", kApiReserve + query + "&v4=0").body, R"({"address":"[2001:db8::7]:50000"})");
  EXPECT_EQ(ask("POST", kApiReserve + query + "&v4=1").body, R"({"address":null})");
  EXPECT_EQ(ask("POST", kApiRelease + query).body, "{}");
  EXPECT_EQ(ask("POST", kApiReserve + query + "&v4=1").body, R"({"address":"198.51.100.7:50000"})");
  for (const char* const asker : {"198.51.100.7", "198.51.100.9", "2001:db8::9"}) {
    ask("POST", kApiRelease + query);
    const bool own = std::string(asker) == "198.51.100.7";
    EXPECT_EQ(ask("POST", reserve_request(token, true, IpAddress::parse(asker))).body,
              own ? R"({"address":"198.51.100.8:50000"})" : R"({"address":"198.51.100.7:50000"})")
        << asker;
  }
  EXPECT_EQ(reserve_request("t", false, IpAddress::parse("2001:db8::9")), "/api/v1/reserve?token=t&v4=0&asker=2001:db8::9");
  EXPECT_EQ(reserve_request("t", true, std::nullopt), "/api/v1/reserve?token=t&v4=1");
  EXPECT_EQ(ask("GET", kApiReserve + query).status, 405);
  for (const std::string& bad : std::vector<std::string>{"", "?token=", "?token=abc", "?token=" + std::string(32, 'a')}) {
    EXPECT_EQ(ask("POST", kApiReserve + bad).status, 400) << bad;
  }
  EXPECT_EQ(ask("POST", kApiReserve + ("?token=" + keys_.mint(now_ - 2h, 1h))).status, 400);
  const CanaryApi none(keys_, status_, log_, clock_);
  const std::string path = kApiReserve + query;
  EXPECT_EQ(none.answer("POST", path, authorise(keys_, "POST", path, "", now_), "").body, R"({"address":null})");
  EXPECT_EQ(none.answer("POST", path, "", "").status, 401);
}

// An `ajar canary` on loopback, as its agent sees it.
class RemoteCanaryTest : public CanaryApiTest {
 protected:
  RemoteCanaryTest() {
    const auto handler = [this](const httplib::Request& request, httplib::Response& response) {
      const std::string auth = request.get_header_value(kApiAuthHeader);
      ApiAnswer answer = api_.answer(request.method, request.target, auth, request.body);
      if (forging_) answer.body.insert(answer.body.size() - 1, " ");
      response.status = answer.status;
      response.set_header(kApiAuthHeader, answer.auth);
      response.set_content(answer.body, "application/json");
    };
    server_.Get("/api/v1/.*", handler);
    server_.Post("/api/v1/.*", handler);
    port_ = server_.bind_to_any_port("127.0.0.1");
    thread_ = std::thread([this] { server_.listen_after_bind(); });
  }
  ~RemoteCanaryTest() override {
    server_.stop();
    thread_.join();
  }
  RemoteCanaryOptions options() {
    RemoteCanaryOptions options;
    options.url = "http://127.0.0.1:" + std::to_string(port_);
    options.now = clock_;
    options.poll_interval = 10ms;
    options.arrived = [this](const std::vector<Arrival>& arrivals, std::int64_t cursor) {
      arrived_.insert(arrived_.end(), arrivals.begin(), arrivals.end());
      cursor_ = cursor;
    };
    return options;
  }
  // Runs the loop until `done`, for 20 s at most.
  bool run_until(const std::function<bool()>& done) {
    bool reached = false;
    start(wait_for(done, reached), [this] { loop_.stop(); });
    loop_.run();
    return reached;
  }
  Task<void> wait_for(const std::function<bool()>& done, bool& reached) {
    const auto until = Steady::now() + 20s;
    while (Steady::now() < until) {
      reached = done();
      if (reached) co_return;
      co_await loop_.sleep_for(5ms);
    }
  }

  Loop loop_;
  httplib::Server server_;
  int port_ = 0;
  std::thread thread_;
  std::atomic<bool> forging_ = false;
  std::vector<Arrival> arrived_;
  std::int64_t cursor_ = 0;
};

TEST_F(RemoteCanaryTest, BringsStateAndArrivals) {
  arrive("before");
  RemoteCanary remote(loop_, keys_, options());
  EXPECT_TRUE(run_until([&] { return arrived_.size() == 1; }));
  EXPECT_EQ(cursor_, log_.last_id());
  EXPECT_TRUE(remote.health(CanaryKind::tcp).up);
  EXPECT_FALSE(remote.health(CanaryKind::smtp).up);
  EXPECT_TRUE(remote.health(CanaryKind::smtp).measured);
  EXPECT_EQ(remote.health(CanaryKind::smtp).trouble, "nobody listens");
  EXPECT_FALSE(remote.health(CanaryKind::udp).measured);
  EXPECT_EQ(remote.advertised(CanaryKind::tcp), std::vector<AddressPort>{*AddressPort::parse("198.51.100.7:8025")});
  arrive("after");
  EXPECT_TRUE(run_until([&] { return arrived_.size() == 2; }));
  EXPECT_EQ(arrived_[1].token, "after");
}

TEST_F(RemoteCanaryTest, BorrowsPorts) {
  RemoteCanaryOptions mine = options();
  mine.poll_interval = 60s;  // the thread is woken for it
  RemoteCanary remote(loop_, keys_, mine);
  const std::string token = keys_.mint(now_, 1h);
  std::vector<std::optional<AddressPort>> borrowed;
  const auto borrow = [&](bool v4) {
    struct Borrow {
      static Task<void> run(RemoteCanary& canary, std::string token, bool v4, std::vector<std::optional<AddressPort>>& into) {
        const std::optional<IpAddress> asker = IpAddress::parse("198.51.100.7");
        const std::optional<AddressPort> place = co_await canary.reserve(std::move(token), v4, asker);
        into.push_back(place);
      }
    };
    start(Borrow::run(remote, token, v4, borrowed));
  };
  borrow(true);
  EXPECT_TRUE(run_until([&] { return borrowed.size() == 1; }));
  EXPECT_EQ(borrowed[0], AddressPort::parse("198.51.100.8:50000"));  // not at the asker's
  borrow(false);                                                     // all are lent: it waits for one
  remote.release(token);
  EXPECT_TRUE(run_until([&] { return borrowed.size() == 2; }));
  EXPECT_EQ(borrowed[1], AddressPort::parse("[2001:db8::7]:50000"));
  EXPECT_EQ(released_, 1);
}

TEST_F(RemoteCanaryTest, FetchesPageAfterPage) {
  for (std::size_t i = 0; i < 2 * kApiMostArrivals + 1; ++i) arrive("t" + std::to_string(i));
  RemoteCanary remote(loop_, keys_, options());
  EXPECT_TRUE(run_until([&] { return arrived_.size() == 2 * kApiMostArrivals + 1; }));
  EXPECT_EQ(cursor_, log_.last_id());
}

TEST_F(RemoteCanaryTest, IsDownAfterABoundedTime) {
  RemoteCanaryOptions mine = options();
  mine.down_after = 50ms;
  mine.url = "http://127.0.0.1:1";
  RemoteCanary remote(loop_, keys_, mine);
  EXPECT_TRUE(run_until([&] { return remote.health(CanaryKind::tcp).measured; }));
  EXPECT_FALSE(remote.health(CanaryKind::tcp).up);
  EXPECT_TRUE(run_until([&] { return remote.health(CanaryKind::tcp).trouble.find("no answer") != std::string::npos; }));
}

TEST_F(RemoteCanaryTest, BelievesNoForgedAnswer) {
  forging_ = true;
  arrive("forged");
  RemoteCanaryOptions mine = options();
  mine.down_after = 50ms;
  RemoteCanary remote(loop_, keys_, mine);
  EXPECT_TRUE(run_until([&] { return remote.health(CanaryKind::tcp).trouble.find("not authentic") != std::string::npos; }));
  EXPECT_TRUE(arrived_.empty());
}

TEST_F(RemoteCanaryTest, SaysWhenTheSecretsDiffer) {
  RemoteCanaryOptions mine = options();
  mine.down_after = 50ms;
  RemoteCanary remote(loop_, CanaryKeys(std::string(32, 'o')), mine);
  EXPECT_TRUE(run_until([&] { return remote.health(CanaryKind::tcp).trouble.find("it refuses us") != std::string::npos; }));
}

}  // namespace
}  // namespace ajar
