// The server as clients meet it: on an ephemeral port of the loopback address.
#include "agent/web.h"

#include <atomic>
#include <future>
#include <thread>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <httplib.h>
#include <netinet/in.h>
#include <nlohmann/json.hpp>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include "tests/support/made_up_agent.h"

namespace ajar {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;
using Steady = std::chrono::steady_clock;

constexpr const char* kPrometheus =
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

class WebTest : public testing::Test {
 protected:
  WebTest() { agent.fill(); }

  void start(WebState state) {
    WebConfig config;
    config.listen = {"127.0.0.1:0"};
    web = std::make_unique<Web>(std::move(state), config);
    port = AddressPort::parse(web->addresses().at(0))->port;
  }
  void start() { start(agent.web_state()); }

  httplib::Result get(const std::string& path, httplib::Headers headers = {}) {
    httplib::Client client("127.0.0.1", port);
    client.set_decompress(false);
    client.set_read_timeout(10);
    return client.Get(path.c_str(), headers);
  }
  httplib::Result post(const std::string& path, httplib::Headers headers = {}, const std::string& body = "") {
    httplib::Client client("127.0.0.1", port);
    client.set_read_timeout(10);
    return client.Post(path.c_str(), headers, body, "application/json");
  }

  // As a form of a page holds it.
  std::string form_token() {
    const std::string page = get("/targets/mx1")->body;
    const std::string before = "name=token value=\"";
    const std::size_t at = page.find(before);
    EXPECT_NE(at, std::string::npos);
    return at == std::string::npos ? "" : page.substr(at + before.size(), 64);
  }

  int connected() const {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    const timeval limit{10, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return fd;
  }
  // Sends bytes and returns the head of the answer; empty when the server closes without one, or is silent for long.
  std::string raw(const std::string& bytes) const {
    const int fd = connected();
    (void)send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    std::string answer;
    char buffer[4096];
    while (answer.find("\r\n\r\n") == std::string::npos) {
      const ssize_t n = recv(fd, buffer, sizeof buffer, 0);
      if (n <= 0) break;
      answer.append(buffer, static_cast<std::size_t>(n));
    }
    close(fd);
    return answer;
  }

  MadeUpAgent agent;
  std::unique_ptr<Web> web;
  std::uint16_t port = 0;
};

std::string gunzip(const std::string& compressed) {
  z_stream z{};
  EXPECT_EQ(inflateInit2(&z, 15 + 16), Z_OK);
  std::string out(4 * 1024 * 1024, '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(compressed.data()));
  z.avail_in = static_cast<uInt>(compressed.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(inflate(&z, Z_FINISH), Z_STREAM_END);
  out.resize(z.total_out);
  inflateEnd(&z);
  return out;
}

TEST_F(WebTest, MetricsInBothFormatsPlainAndCompressed) {
  start();
  const auto text = get("/metrics");
  ASSERT_TRUE(text);
  EXPECT_EQ(text->status, 200);
  EXPECT_EQ(text->get_header_value("Content-Type"), "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_THAT(text->body, HasSubstr("ajar_exposure_level{target=\"mx1\",address=\"203.0.113.5\",port=\"25\",transport=\"tcp\","
                                    "check=\"smtp_relay\"} 4\n"));
  const auto open = get("/metrics", {{"Accept", kPrometheus}, {"Accept-Encoding", "gzip, br"}});
  ASSERT_TRUE(open);
  EXPECT_EQ(open->get_header_value("Content-Type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
  EXPECT_EQ(open->get_header_value("Content-Encoding"), "gzip");
  EXPECT_EQ(open->get_header_value("Content-Length"), std::to_string(open->body.size()));
  const std::string page = gunzip(open->body);
  EXPECT_THAT(page, HasSubstr("# {probe_id=\"00000000000000a1\"} 1.234"));
  EXPECT_THAT(page, testing::EndsWith("# EOF\n"));
}

// The page is kept compressed: whoever does not take it so gets the same text, whole or in part.
TEST_F(WebTest, TheSamePageForWhoTakesNoGzip) {
  TargetConfig many = agent.target("many", "many.example.org", "netops");
  agent.add(std::move(many), {});
  for (int i = 0; i < 3000; ++i) {
    Record record =
        agent.record("many", fmt::format("203.0.{}.{}", i / 250, i % 250), 25, Verdict::closed, Reason::refused, 1min);
    agent.ledger.apply(record);
  }
  agent.ledger.flush();
  start();
  const auto without_process = [](std::string text) { return text.substr(0, text.find("# HELP process_")); };
  const auto packed = get("/metrics", {{"Accept-Encoding", "gzip"}});
  const auto plain = get("/metrics", {{"Accept-Encoding", "identity"}});
  ASSERT_TRUE(packed);
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->get_header_value("Content-Encoding"), "");
  EXPECT_EQ(plain->get_header_value("Content-Length"), std::to_string(plain->body.size()));
  EXPECT_GT(plain->body.size(), 1'000'000U);
  EXPECT_LT(packed->body.size(), plain->body.size() / 5);
  EXPECT_EQ(without_process(gunzip(packed->body)), without_process(plain->body));
}

TEST_F(WebTest, AScrapeSeesWhatHappenedBeforeIt) {
  start();
  for (int i = 1; i <= 20; ++i) {
    agent.metrics.in_flight(+1);
    ASSERT_THAT(get("/metrics")->body, HasSubstr("\najar_probes_in_flight " + std::to_string(i) + "\n"));
  }
  agent.ledger.set_paused(true);
  agent.ledger.flush();
  EXPECT_THAT(get("/metrics")->body, HasSubstr("\najar_paused 1\n"));
}

TEST_F(WebTest, TwoHundredIdleClientsDoNotHoldUpAScrape) {
  start();
  std::vector<int> idle;
  for (int i = 0; i < 200; ++i) {
    idle.push_back(connected());
    // Half of them have begun a request that never ends.
    if (i % 2 == 0) {
      EXPECT_EQ(send(idle.back(), "GET / HT", 8, MSG_NOSIGNAL), 8);
    }
  }
  const Steady::time_point began = Steady::now();
  const auto scrape = get("/metrics", {{"Accept-Encoding", "gzip"}});
  ASSERT_TRUE(scrape);
  EXPECT_EQ(scrape->status, 200);
  EXPECT_LT(Steady::now() - began, 5s);
  for (const int fd : idle) close(fd);
}

TEST_F(WebTest, StopsSoonThoughClientsLinger) {
  start();
  std::vector<int> idle;
  for (int i = 0; i < 20; ++i) {
    idle.push_back(connected());
    EXPECT_EQ(send(idle.back(), "POST /-/pause HTTP/1.1\r\nContent-Length: 9\r\n\r\n", 46, MSG_NOSIGNAL), 46);
  }
  ASSERT_TRUE(get("/-/healthy"));
  const Steady::time_point began = Steady::now();
  web->stop();
  EXPECT_LT(Steady::now() - began, 4s);
  EXPECT_FALSE(get("/-/healthy"));
  web.reset();
  EXPECT_FALSE(agent.ledger.paused());
  for (const int fd : idle) close(fd);
}

TEST_F(WebTest, MalformedRequests) {
  start();
  const std::string host = "Host: localhost\r\n";
  const std::vector<std::string> requests = {
      std::string("\r\n\r\n"),
      std::string("GET\r\n\r\n"),
      std::string("\x16\x03\x01\x02\x00\x01\x00", 7),
      std::string(100000, 'A'),
      "GET / HTTP/9.9\r\n" + host + "\r\n",
      "GET /" + std::string(9000, 'a') + " HTTP/1.1\r\n" + host + "\r\n",
      "GET /%zz%00%ff HTTP/1.1\r\n" + host + "\r\n",
      "GET /targets/%0a%0d HTTP/1.1\r\n" + host + "\r\n",
      "GET / HTTP/1.1\r\n" + host + "Range: bytes=0-1,0-1,5-2,x\r\n\r\n",
      "GET / HTTP/1.1\r\n" + host + "X: " + std::string(20000, 'x') + "\r\n\r\n",
      "POST /-/pause HTTP/1.1\r\n" + host + "Content-Length: banana\r\n\r\n",
      "POST /-/pause HTTP/1.1\r\n" + host + "Content-Length: 0\r\nContent-Length: 44\r\n\r\n",
      "POST /-/pause HTTP/1.1\r\n" + host + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "POST /-/pause HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
      "GET / HTTP/1.1\r\n" + host + "Content-Length: 44\r\n\r\nPOST /-/pause HTTP/1.1\r\nHost: localhost\r\n\r\n",
      "HEAD / HTTP/1.1\r\n" + host + "Content-Length: 44\r\n\r\nPOST /-/pause HTTP/1.1\r\nHost: localhost\r\n\r\n",
      "POST /nothing HTTP/1.1\r\n" + host + "Content-Length: 44\r\n\r\nPOST /-/pause HTTP/1.1\r\nHost: localhost\r\n\r\n",
      "POST /-/reload HTTP/1.1\r\n" + host +
          "Origin: http://evil.example\r\nContent-Length: 44\r\n\r\nPOST /-/pause HTTP/1.1\r\nHost: localhost\r\n\r\n"};
  // Some wait for more of the request until their time is over: all at once.
  std::vector<std::future<std::string>> answers;
  for (const std::string& request : requests) answers.push_back(std::async(std::launch::async, [&] { return raw(request); }));
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const std::string answer = answers[i].get();
    EXPECT_THAT(answer, testing::AnyOf("", testing::StartsWith("HTTP/1.1 "))) << requests[i].substr(0, 60);
    EXPECT_THAT(answer, Not(testing::StartsWith("HTTP/1.1 500"))) << requests[i].substr(0, 60);
  }
  EXPECT_FALSE(agent.ledger.paused()) << "what follows a refused request is no request";
  EXPECT_THAT(raw("GET /" + std::string(8000, 'a') + " HTTP/1.1\r\n" + host + "\r\n"), testing::StartsWith("HTTP/1.1 414"));
  EXPECT_THAT(raw("GET / HTTP/1.1\r\n" + host + "Range: bytes=0-10,0-10,0-10\r\n\r\n"), testing::StartsWith("HTTP/1.1 200"));
  // The server is as well as before.
  EXPECT_EQ(get("/-/healthy")->status, 200);
  EXPECT_EQ(get("/metrics")->status, 200);
}

TEST_F(WebTest, ABodyIsBounded) {
  WebState state = agent.web_state();
  std::atomic<int> asked = 0;
  state.internal_api = [&](const ApiRequest&) {
    ++asked;
    return ApiReply{};
  };
  start(std::move(state));
  const auto reply = post("/api/v1/results", {{"Ajar-Auth", "x"}}, std::string(Web::kMaxBody + 1, 'x'));
  EXPECT_TRUE(!reply || reply->status == 413);
  EXPECT_EQ(asked, 0);
  EXPECT_EQ(post("/api/v1/results", {{"Ajar-Auth", "x"}}, std::string(1000000, 'x'))->status, 200);
  EXPECT_EQ(asked, 1);
}

TEST_F(WebTest, APostWithoutLengthHasNoBody) {
  start();
  const int fd = connected();
  const std::string request = "POST /-/pause HTTP/1.1\r\nHost: localhost\r\n\r\n";
  ASSERT_EQ(send(fd, request.data(), request.size(), MSG_NOSIGNAL), static_cast<ssize_t>(request.size()));
  const Steady::time_point began = Steady::now();
  char buffer[64] = {};
  ASSERT_GT(recv(fd, buffer, sizeof buffer - 1, 0), 15);
  EXPECT_LT(Steady::now() - began, 1500ms);
  EXPECT_THAT(std::string(buffer), testing::StartsWith("HTTP/1.1 200"));
  EXPECT_TRUE(agent.ledger.paused());
  close(fd);
}

TEST_F(WebTest, StatusCodes) {
  start();
  EXPECT_EQ(get("/nothing")->status, 404);
  EXPECT_EQ(get("/targets/nobody")->status, 404);
  EXPECT_EQ(get("/exposures/none")->status, 404);
  EXPECT_EQ(get("/runbooks/AjarNothing")->status, 404);
  EXPECT_EQ(get("/runbooks/../AjarDoorOpen")->status, 404);
  EXPECT_EQ(get("/runbooks/AjarDoorOpen.md")->status, 404);
  EXPECT_EQ(get("/runbooks/AjarDoorOpen")->status, 200);
  EXPECT_EQ(post("/runbooks/AjarDoorOpen")->status, 405);
  EXPECT_EQ(get("/probe?target=nobody")->status, 404);
  EXPECT_EQ(get("/probe?target=mx1&check=smtp_delay")->status, 400);
  EXPECT_EQ(get("/api/v1/results?verdict=maybe")->status, 400);
  EXPECT_EQ(get("/api/v1/results?target=nobody")->status, 404);
  EXPECT_EQ(get("/api/v1/exposures?state=ajar")->status, 400);
  EXPECT_EQ(get("/api/v1/arrivals")->status, 404);
  EXPECT_EQ(post("/probe?target=nobody")->status, 404);
  EXPECT_EQ(post("/probe?target=mx1&check=nope")->status, 400);
  EXPECT_EQ(post("/probe?target=mx1")->status, 202);
  const auto wrong = get("/-/reload");
  EXPECT_EQ(wrong->status, 405);
  EXPECT_EQ(wrong->get_header_value("Allow"), "POST");
  EXPECT_EQ(post("/metrics")->status, 405);
  httplib::Client client("127.0.0.1", port);
  EXPECT_EQ(client.Delete("/metrics")->status, 405);
  EXPECT_EQ(client.Head("/metrics")->status, 200);
}

TEST_F(WebTest, SecurityHeaders) {
  start();
  const auto page = get("/");
  EXPECT_THAT(page->get_header_value("Content-Security-Policy"), testing::StartsWith("default-src 'self'; object-src 'none'"));
  EXPECT_EQ(page->get_header_value("X-Content-Type-Options"), "nosniff");
  EXPECT_EQ(get("/nothing")->get_header_value("X-Content-Type-Options"), "nosniff");
  EXPECT_EQ(page->get_header_value("Cache-Control"), "no-store");
  const auto style = get("/static/ajar.css");
  EXPECT_EQ(style->get_header_value_count("Cache-Control"), 1U);
  EXPECT_EQ(style->get_header_value("Cache-Control"), "no-cache");
  EXPECT_EQ(style->get_header_value("Content-Type"), "text/css; charset=utf-8");
  EXPECT_EQ(page->get_header_value("Referrer-Policy"), "same-origin") << "no-referrer makes browsers post with Origin: null";
}

TEST_F(WebTest, APostFromAnotherOriginIsRefused) {
  start();
  const std::string host = "127.0.0.1:" + std::to_string(port);
  EXPECT_EQ(post("/-/pause", {{"Origin", "https://evil.example"}})->status, 403);
  EXPECT_EQ(post("/-/pause", {{"Origin", "null"}})->status, 403);
  EXPECT_EQ(post("/-/pause", {{"Origin", "http://127.0.0.1:1"}})->status, 403);
  EXPECT_EQ(post("/-/pause", {{"Sec-Fetch-Site", "cross-site"}})->status, 403);
  EXPECT_FALSE(agent.ledger.paused());
  const std::string token = "token=" + form_token();
  EXPECT_EQ(post("/-/pause", {{"Origin", "http://" + host}}, token)->status, 200);
  EXPECT_TRUE(agent.ledger.paused());
  EXPECT_EQ(post("/-/resume", {{"Origin", "https://ajar.example.net"}}, token)->status, 200) << "external_url";
  EXPECT_FALSE(agent.ledger.paused());
  EXPECT_EQ(post("/-/pause")->status, 200) << "curl";
}

// A browser must send what only a page of ours holds, whatever it says of where it comes from.
TEST_F(WebTest, AFormNeedsItsToken) {
  start();
  const std::string host = "http://127.0.0.1:" + std::to_string(port);
  httplib::Client client("127.0.0.1", port);
  const auto form = [&](const char* path, const std::string& body) {
    return client.Post(path, {{"Accept", "text/html"}}, body, "application/x-www-form-urlencoded");
  };
  EXPECT_EQ(form("/-/pause", "")->status, 403);
  EXPECT_EQ(form("/-/pause", "token=")->status, 403);
  EXPECT_EQ(form("/-/pause", "token=" + std::string(64, '0'))->status, 403);
  EXPECT_EQ(client.Post("/-/pause", "x", "text/plain")->status, 403);
  EXPECT_EQ(post("/-/pause", {{"Origin", host}})->status, 403);
  EXPECT_EQ(post("/-/pause", {{"Sec-Fetch-Site", "same-origin"}})->status, 403);
  EXPECT_FALSE(agent.ledger.paused());
  const std::string token = form_token();
  EXPECT_EQ(form("/-/pause", "other=1&token=" + token)->status, 200);
  EXPECT_TRUE(agent.ledger.paused());
  agent.now += 1h;
  EXPECT_EQ(form("/-/resume", "token=" + token)->status, 200) << "an hour later it is still good";
  agent.now += 1h;
  const auto old = form("/-/pause", "token=" + token);
  EXPECT_EQ(old->status, 403);
  EXPECT_THAT(old->body, HasSubstr("load the page again"));
  EXPECT_FALSE(agent.ledger.paused());
  const auto asked = form("/probe?target=mx1&check=smtp_relay&exposure=00ff", "token=" + form_token());
  EXPECT_EQ(asked->status, 303);
  EXPECT_THAT(asked->get_header_value("Location"), testing::StartsWith("/exposures/00ff?after="));
}

TEST_F(WebTest, ProbeReloadAndReady) {
  WebState state = agent.web_state();
  std::atomic<bool> ready = false;
  state.ready = [&] { return ready.load(); };
  state.reload = [] { return std::optional<std::string>("ajar.toml:3:1: unknown key `scop`: did you mean `scope`?"); };
  std::atomic<bool> used_up_today = false;
  state.probe_now = [&](const std::string& target, const std::optional<std::string>& check) {
    EXPECT_EQ(target, "mx1");
    if (used_up_today) return ProbeNow::used_up;
    return check ? ProbeNow::accepted : ProbeNow::limited;
  };
  start(std::move(state));
  EXPECT_EQ(get("/-/healthy")->status, 200);
  EXPECT_EQ(get("/-/ready")->status, 503);
  EXPECT_EQ(post("/probe?target=mx1")->status, 503);
  ready = true;
  EXPECT_EQ(get("/-/ready")->status, 200);
  EXPECT_EQ(post("/probe?target=mx1")->status, 429);
  EXPECT_EQ(post("/probe?target=mx1&check=smtp_relay")->status, 202);
  used_up_today = true;
  const auto used_up = post("/probe?target=mx1&check=smtp_relay");
  used_up_today = false;
  EXPECT_EQ(used_up->status, 429);
  EXPECT_THAT(used_up->body, HasSubstr("agent.daily_connections_per_address"));
  EXPECT_EQ(used_up->get_header_value("Retry-After"), "3600");
  const auto browser = post("/probe?target=mx1&check=smtp_relay", {{"Accept", "text/html"}});
  EXPECT_EQ(browser->status, 303);
  EXPECT_EQ(browser->get_header_value("Location"), "/targets/mx1?after=1767323045678");
  const auto reload = post("/-/reload");
  EXPECT_EQ(reload->status, 400);
  EXPECT_THAT(reload->body, HasSubstr("did you mean `scope`?"));
}

TEST_F(WebTest, ProbeResultsAreOfOneTarget) {
  start();
  const auto page = get("/probe?target=mx2");
  EXPECT_EQ(page->status, 200);
  EXPECT_THAT(page->body, HasSubstr("ajar_exposure_level{target=\"mx2\",address=\"203.0.113.6\""));
  EXPECT_THAT(page->body, Not(HasSubstr("mx1")));
  EXPECT_THAT(get("/probe?target=mx2&check=smtp_relay", {{"Accept", kPrometheus}})->body, testing::EndsWith("# EOF\n"));
}

TEST_F(WebTest, Api) {
  start();
  using Json = nlohmann::json;
  const Json results = Json::parse(get("/api/v1/results")->body);
  EXPECT_THAT(results.at("data"), testing::SizeIs(7));
  for (const Json& result : results.at("data")) EXPECT_EQ(result.at("last_probe"), result.at("started"));
  const Json open = Json::parse(get("/api/v1/results?target=mx1&check=smtp_relay&verdict=open")->body).at("data");
  ASSERT_THAT(open, testing::SizeIs(1));
  EXPECT_EQ(open[0].at("kind"), "result");
  EXPECT_EQ(open[0].at("address"), "203.0.113.5");
  EXPECT_EQ(Json::parse(get("/api/v1/results?target=mx1&verdict=closed")->body).at("data"), Json::array());
  // A probe that finds the same again leaves no record of its own, and is said beside the one that stands for it.
  const auto mx2 = [&] { return Json::parse(get("/api/v1/results?target=mx2&check=smtp_relay")->body).at("data").at(1); };
  const Json before = mx2();
  EXPECT_EQ(before.at("address"), "203.0.113.6");
  agent.probe(agent.record("mx2", "203.0.113.6", 25, Verdict::closed, Reason::refused, std::chrono::milliseconds(1)));
  const Json after = mx2();
  EXPECT_EQ(after.at("started"), before.at("started"));
  EXPECT_GT(after.at("last_probe"), before.at("last_probe"));
  const Json exposures = Json::parse(get("/api/v1/exposures?state=open")->body).at("data");
  ASSERT_THAT(exposures, testing::SizeIs(2));
  EXPECT_EQ(Json::parse(get("/api/v1/exposures?state=retired")->body).at("data"), Json::array());
  const Json targets = Json::parse(get("/api/v1/targets")->body).at("data");
  ASSERT_THAT(targets, testing::SizeIs(4));
  EXPECT_EQ(targets[0], Json::parse(R"({"kind":"target","name":"mx1","host":"mx1.example.org","addresses":["203.0.113.5"],
    "owner":"mail-team","labels":{"site":"zrh"},"checks":["smtp_relay","dnsbl"],"level":4,"paused":false,"swept":null})"));
}

TEST_F(WebTest, ApiOfListings) {
  start();
  using Json = nlohmann::json;
  EXPECT_EQ(Json::parse(get("/api/v1/listings")->body).at("data"), Json::array());
  agent.fill_zones();
  const Json all = Json::parse(get("/api/v1/listings")->body).at("data");
  ASSERT_THAT(all, testing::SizeIs(4));
  EXPECT_EQ(all[0], Json::parse(R"({"kind":"listing","target":"mx1","address":"203.0.113.5","zone":"bl.example",
    "state":"healthy","listed":true,"codes":["127.0.0.9"],"meanings":["open HTTP proxy"],
    "text":"see https://bl.example/?ip=203.0.113.5 <b>","checked":"2026-01-02T03:01:05.678Z"})"));
  EXPECT_EQ(all[3], Json::parse(R"({"kind":"listing","target":"mx2","address":"203.0.113.6","zone":"broken.example",
    "state":"timeout","listed":null,"codes":[],"meanings":[],"text":null,"checked":null})"));
  EXPECT_THAT(Json::parse(get("/api/v1/listings?target=mx2")->body).at("data"), testing::SizeIs(2));
}

TEST_F(WebTest, InternalApiGetsItsRequestsWhole) {
  WebState state = agent.web_state();
  std::vector<ApiRequest> seen;
  state.internal_api = [&](const ApiRequest& request) {
    seen.push_back(request);
    return ApiReply{418, "{}"};
  };
  start(std::move(state));
  EXPECT_EQ(get("/api/v1/arrivals?after=5&x=%20", {{"Ajar-Auth", "secret"}})->status, 418);
  EXPECT_EQ(post("/api/v1/results", {{"Ajar-Auth", "secret"}}, "{\"a\":1}")->status, 418);
  EXPECT_EQ(get("/api/v1/results", {{"Ajar-Auth", "secret"}})->status, 418);
  EXPECT_EQ(get("/api/v1/results")->status, 200) << "without it: the public one";
  ASSERT_THAT(seen, testing::SizeIs(3));
  EXPECT_EQ(seen[0].method, "GET");
  EXPECT_EQ(seen[0].path, "/api/v1/arrivals");
  EXPECT_EQ(seen[0].query, "after=5&x=%20");
  EXPECT_EQ(seen[0].target, "/api/v1/arrivals?after=5&x=%20");
  EXPECT_EQ(seen[0].auth, "secret");
  EXPECT_EQ(seen[1].body, "{\"a\":1}");
}

TEST_F(WebTest, SeveralAddressesAndTheirErrors) {
  WebConfig config;
  config.listen = {"127.0.0.1:0", "127.0.0.2:0"};
  web = std::make_unique<Web>(agent.web_state(), config);
  for (const std::string& address : web->addresses()) {
    const AddressPort where = *AddressPort::parse(address);
    httplib::Client client(where.address.to_string(), where.port);
    EXPECT_EQ(client.Get("/-/healthy")->status, 200) << address;
  }
  // Taken: said, and the other address is let go.
  const auto refusal = [&](std::vector<std::string> listen, const std::string& file = "") {
    WebConfig bad;
    bad.listen = std::move(listen);
    bad.config_file = file;
    try {
      const Web second(agent.web_state(), bad);
    } catch (const WebError& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  EXPECT_THAT(refusal({"127.0.0.3:0", web->addresses()[0]}), HasSubstr("Address already in use"));
  EXPECT_THAT(refusal({"nonsense"}), HasSubstr("web.listen"));
  EXPECT_THAT(refusal({"::1:99"}), HasSubstr("[v6]:port"));
  EXPECT_THAT(refusal({"127.0.0.1:70000"}), HasSubstr("web.listen"));
  EXPECT_THAT(refusal({"127.0.0.1:0"}, "web.yml"), HasSubstr("web.config_file"));
}

}  // namespace
}  // namespace ajar
