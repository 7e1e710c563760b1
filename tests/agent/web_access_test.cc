// web.yml as clients meet it: TLS, passwords and limits of a server that listens on loopback.
#include <filesystem>
#include <fstream>
#include <thread>

#include <arpa/inet.h>
#include <crypt.h>
#include <gmock/gmock.h>
#include <httplib.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/agent_client.h"
#include "agent/canary_api.h"
#include "agent/web.h"
#include "tests/support/certificates.h"
#include "tests/support/made_up_agent.h"

namespace ajar {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::StartsWith;
using Steady = std::chrono::steady_clock;

std::string hash_of(const std::string& password) {
  crypt_data data{};
  return crypt_r(password.c_str(), "$2b$04$abcdefghijklmnopqrstuu", &data);
}

template <class Condition>
bool wait_until(std::chrono::milliseconds limit, Condition condition) {
  const auto until = Steady::now() + limit;
  while (!condition()) {
    if (Steady::now() > until) return false;
    std::this_thread::sleep_for(20ms);
  }
  return true;
}

class WebAccessTest : public testing::Test {
 protected:
  WebAccessTest() {
    agent.fill();
    std::string pattern = testing::TempDir() + "ajar-web-XXXXXX";
    folder = mkdtemp(pattern.data());
    agent.config->file = folder + "/ajar.toml";
    write("ca.pem", authority.certificate());
    put(authority.issue("ajar", "DNS:localhost,IP:127.0.0.1"));
  }
  ~WebAccessTest() override {
    web.reset();
    std::filesystem::remove_all(folder);
  }

  // In one step, so that nobody reads half of it.
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(folder + "/" + name + ".new") << text;
    std::filesystem::rename(folder + "/" + name + ".new", folder + "/" + name);
  }
  void put(const PemPair& pair) const {
    write("server.key", pair.key);
    write("server.pem", pair.certificate);
  }
  void start(const std::string& web_yml, WebState state) {
    write("web.yml", web_yml);
    WebConfig config;
    config.listen = {"127.0.0.1:0"};
    config.config_file = "web.yml";
    web = std::make_unique<Web>(std::move(state), config);
    port = AddressPort::parse(web->addresses().at(0))->port;
  }
  void start(const std::string& web_yml) { start(web_yml, agent.web_state()); }
  std::string tls(const std::string& more = "") const {
    return "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n" + more;
  }
  static std::string users() { return "basic_auth_users:\n  alice: " + hash_of("secret") + "\n"; }

  // Over TLS, with the server's certificate verified; `pair`: the client's own.
  httplib::Result secure(const std::string& path, const PemPair* pair = nullptr, const std::string& user = "") {
    std::unique_ptr<X509, void (*)(X509*)> certificate(nullptr, X509_free);
    std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)> key(nullptr, EVP_PKEY_free);
    if (pair != nullptr) {
      const std::unique_ptr<BIO, int (*)(BIO*)> a(BIO_new_mem_buf(pair->certificate.data(), -1), BIO_free);
      const std::unique_ptr<BIO, int (*)(BIO*)> b(BIO_new_mem_buf(pair->key.data(), -1), BIO_free);
      certificate.reset(PEM_read_bio_X509(a.get(), nullptr, nullptr, nullptr));
      key.reset(PEM_read_bio_PrivateKey(b.get(), nullptr, nullptr, nullptr));
    }
    httplib::SSLClient client("127.0.0.1", port, certificate.get(), key.get());
    client.set_ca_cert_path((folder + "/ca.pem").c_str());
    client.set_read_timeout(10);
    if (!user.empty()) client.set_basic_auth(user, "secret");
    return client.Get(path.c_str());
  }
  bool is_served(const PemPair* pair = nullptr) {
    const auto reply = secure("/-/healthy", pair);
    return reply && reply->status == 200;
  }
  httplib::Result plain(const std::string& path, httplib::Headers headers = {}) {
    httplib::Client client("127.0.0.1", port);
    client.set_read_timeout(10);
    return client.Get(path.c_str(), headers);
  }
  int login(const std::string& user, const std::string& password, const std::string& path = "/metrics") {
    httplib::Client client("127.0.0.1", port);
    client.set_basic_auth(user, password);
    const auto reply = client.Get(path.c_str());
    return reply ? reply->status : 0;
  }

  int connected() const {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    const timeval limit{20, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return fd;
  }
  // Sends bytes and returns all that comes until the server closes.
  std::string raw(const std::string& bytes) const {
    const int fd = connected();
    (void)send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    std::string answer;
    char buffer[4096];
    for (ssize_t n = 0; (n = recv(fd, buffer, sizeof buffer, 0)) > 0;) answer.append(buffer, static_cast<std::size_t>(n));
    close(fd);
    return answer;
  }
  // A handshake with at most that version: what was agreed on, 0 when nothing.
  int version_agreed(int most) const {
    const int fd = connected();
    const std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> context(SSL_CTX_new(TLS_client_method()), SSL_CTX_free);
    SSL_CTX_set_security_level(context.get(), 0);
    SSL_CTX_set_min_proto_version(context.get(), TLS1_VERSION);
    SSL_CTX_set_max_proto_version(context.get(), most);
    const std::unique_ptr<SSL, void (*)(SSL*)> ssl(SSL_new(context.get()), SSL_free);
    SSL_set_fd(ssl.get(), fd);
    const int agreed = SSL_connect(ssl.get()) == 1 ? SSL_version(ssl.get()) : 0;
    close(fd);
    return agreed;
  }

  TestAuthority authority{"test authority"};
  MadeUpAgent agent;
  std::string folder;
  std::unique_ptr<Web> web;
  std::uint16_t port = 0;
};

TEST_F(WebAccessTest, SpeaksTls) {
  start(
      tls("http_server_config:\n  headers:\n    Strict-Transport-Security: max-age=60\n    X-Frame-Options: deny\n"
          "    Content-Security-Policy: default-src 'none'\n"));
  EXPECT_EQ(web->scheme(), "https");
  const auto reply = secure("/metrics");
  ASSERT_TRUE(reply) << httplib::to_string(reply.error());
  EXPECT_EQ(reply->status, 200);
  EXPECT_THAT(reply->body, testing::ContainsRegex("\najar_tls_certificate_expiry_timestamp_seconds [12][0-9]{9}\n"));
  EXPECT_EQ(reply->get_header_value("Strict-Transport-Security"), "max-age=60");
  EXPECT_EQ(reply->get_header_value("X-Frame-Options"), "deny");
  EXPECT_EQ(reply->get_header_value_count("Content-Security-Policy"), 1U);
  EXPECT_EQ(reply->get_header_value("Content-Security-Policy"), "default-src 'none'");
  EXPECT_EQ(reply->get_header_value("X-Content-Type-Options"), "nosniff");
  EXPECT_EQ(version_agreed(TLS1_3_VERSION), TLS1_3_VERSION);
  EXPECT_EQ(version_agreed(TLS1_2_VERSION), TLS1_2_VERSION);
  EXPECT_EQ(version_agreed(TLS1_1_VERSION), 0);
  EXPECT_THAT(raw("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), testing::AllOf(StartsWith("HTTP/1.1 400"), HasSubstr("https://")));
}

TEST_F(WebAccessTest, OnlyOneVersionAndCipher) {
  start(tls(
      "  max_version: TLS12\n  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]\n  curve_preferences: [CurveP384]\n"));
  EXPECT_EQ(version_agreed(TLS1_3_VERSION), TLS1_2_VERSION);
  web.reset();
  start(tls("  min_version: TLS13\n"));
  EXPECT_EQ(version_agreed(TLS1_2_VERSION), 0);
}

TEST_F(WebAccessTest, HstsIsNotSentInClear) {
  start("http_server_config:\n  headers:\n    Strict-Transport-Security: max-age=60\n    X-Content-Type-Options: \"\"\n");
  const auto reply = plain("/");
  EXPECT_FALSE(reply->has_header("Strict-Transport-Security"));
  EXPECT_FALSE(reply->has_header("X-Content-Type-Options")) << "unset if blank";
}

TEST_F(WebAccessTest, ClientCertificates) {
  const TestAuthority other("somebody else");
  const PemPair good = authority.issue("prometheus", "DNS:prometheus.example.net,IP:192.0.2.7");
  const PemPair foreign = other.issue("prometheus", "DNS:prometheus.example.net");
  const PemPair expired = authority.issue("prometheus", "DNS:prometheus.example.net", -1);
  const PemPair another = authority.issue("grafana", "DNS:grafana.example.net,URI:https://prometheus.example.net");
  struct Expectation {
    const char* type;
    bool without, good, foreign, expired;
  };
  for (const Expectation& e :
       {Expectation{"NoClientCert", true, true, true, true}, Expectation{"RequestClientCert", true, true, true, true},
        Expectation{"RequireAnyClientCert", false, true, true, true}, Expectation{"RequireClientCert", false, true, true, true},
        Expectation{"VerifyClientCertIfGiven", true, true, false, false},
        Expectation{"RequireAndVerifyClientCert", false, true, false, false}}) {
    const std::string type = e.type;
    start(tls("  client_auth_type: " + type + (type == "NoClientCert" ? "\n" : "\n  client_ca_file: ca.pem\n")));
    EXPECT_EQ(is_served(), e.without) << type;
    EXPECT_EQ(is_served(&good), e.good) << type;
    EXPECT_EQ(is_served(&foreign), e.foreign) << type;
    EXPECT_EQ(is_served(&expired), e.expired) << type;
    web.reset();
  }
  for (const char* san : {"prometheus.example.net", "192.0.2.7"}) {
    start(tls("  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n  client_allowed_sans: [" +
              std::string(san) + "]\n"));
    EXPECT_TRUE(is_served(&good)) << san;
    EXPECT_FALSE(is_served(&another)) << san;
    EXPECT_FALSE(is_served(&foreign)) << san;
    EXPECT_FALSE(is_served()) << san;
    web.reset();
  }
}

TEST_F(WebAccessTest, ACertificateIsReplacedWhileItRuns) {
  start(tls());
  ASSERT_TRUE(is_served());
  const TestAuthority newer("newer authority");
  put(newer.issue("ajar", "IP:127.0.0.1"));
  write("ca.pem", newer.certificate());
  EXPECT_TRUE(wait_until(10s, [&] { return is_served(); }));
  // A broken one is not taken: the last good one stays.
  write("server.pem", "-----BEGIN CERTIFICATE-----\nbroken\n-----END CERTIFICATE-----\n");
  const auto until = Steady::now() + 2500ms;
  while (Steady::now() < until) ASSERT_TRUE(is_served());
  put(authority.issue("ajar", "IP:127.0.0.1"));
  write("ca.pem", authority.certificate());
  EXPECT_TRUE(wait_until(10s, [&] { return is_served(); }));
}

TEST_F(WebAccessTest, UsersAreReplacedWhileItRuns) {
  start(users());
  EXPECT_EQ(login("alice", "secret"), 200);
  EXPECT_EQ(login("bob", "secret"), 401);
  write("web.yml", "basic_auth_users:\n  bob: " + hash_of("secret") + "\n");
  EXPECT_TRUE(wait_until(10s, [&] { return login("bob", "secret") == 200; }));
  EXPECT_EQ(login("alice", "secret"), 401);
  // A file that asks for less may be one that is half written.
  for (const char* less : {"", "basic_auth_users: {}\n", "basic_auth_users:\n  bob: x\n"}) {
    write("web.yml", less);
    const auto until = Steady::now() + 1500ms;
    while (Steady::now() < until) ASSERT_EQ(plain("/metrics")->status, 401) << less;
  }
  write("web.yml", "");
  web->take_over(load_web_settings(folder + "/web.yml"));
  EXPECT_EQ(plain("/metrics")->status, 200) << "a reload is meant";
}

TEST_F(WebAccessTest, PasswordsRightAndWrong) {
  start(users());
  EXPECT_EQ(login("alice", "secret"), 200);
  for (const auto& [user, password] : std::vector<std::pair<std::string, std::string>>{{"alice", ""},
                                                                                       {"", "secret"},
                                                                                       {"", ""},
                                                                                       {"alice", std::string(5000, 'x')},
                                                                                       {std::string(5000, 'x'), "secret"},
                                                                                       {"alice", "secret "}}) {
    const int status = login(user, password);
    EXPECT_TRUE(status == 401 || status == 429 || status == 431) << user.substr(0, 9) << " " << password.substr(0, 9) << status;
  }
}

TEST_F(WebAccessTest, WhatIsNoLogin) {
  start(users());
  const auto missing = plain("/metrics");
  EXPECT_EQ(missing->status, 401);
  EXPECT_EQ(missing->get_header_value("WWW-Authenticate"), "Basic realm=\"ajar\"");
  EXPECT_EQ(missing->get_header_value("X-Content-Type-Options"), "nosniff");
  const std::string right = httplib::make_basic_authentication_header("alice", "secret").second;
  for (const std::string& header :
       {std::string("Basic"), std::string("Basic !!!!"), std::string("Bearer ") + right.substr(6), right + "AAAA"}) {
    EXPECT_EQ(plain("/metrics", {{"Authorization", header}})->status, 401) << header;
  }
  EXPECT_EQ(plain("/metrics", {{"Authorization", right}, {"Authorization", right}})->status, 400);
  EXPECT_EQ(plain("/metrics", {{"Authorization", right}})->status, 200);
  EXPECT_EQ(plain("/metrics", {{"authorization", right}})->status, 200);
  EXPECT_EQ(plain("/nothing")->status, 401);
  httplib::Client client("127.0.0.1", port);
  EXPECT_EQ(client.Head("/metrics")->status, 401);
  EXPECT_EQ(client.Delete("/metrics")->status, 401);
}

TEST_F(WebAccessTest, PathTricks) {
  start(users() + "auth_excluded_paths: [/metrics, /-/healthy]\n");
  const auto status = [&](const std::string& target) {
    return raw("GET " + target + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").substr(9, 3);
  };
  EXPECT_EQ(status("/metrics"), "200");
  EXPECT_EQ(status("/metrics?x=1"), "200");
  EXPECT_EQ(status("/%6detrics"), "200") << "the same path";
  for (const char* target : {"/metrics/..", "/metrics/../config", "/metrics/..%2fconfig", "//metrics", "/metrics//",
                             "/metrics/", "/./metrics", "/metrics.", "/METRICS", "/metrics%00", "/metrics%2f..%2fconfig",
                             "/-/healthy/../ready", "/config", "/-/healthy%3f", "/", "/config?/metrics", "/config#/metrics"}) {
    EXPECT_EQ(status(target), "401") << target;
  }
  // Other forms of a target: never another page without a password.
  for (const char* target : {"http://x/config", "http://x/metrics/../config", "*", "x:80"})
    EXPECT_NE(status(target), "200") << target;
  EXPECT_THAT(raw("POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"), StartsWith("HTTP/1.1 401"));
  EXPECT_THAT(raw("POST /-/pause HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"), StartsWith("HTTP/1.1 401"));
  EXPECT_FALSE(agent.ledger.paused());
}

TEST_F(WebAccessTest, ABodyWithoutAPasswordIsNotRead) {
  start(users());
  const std::string begin = "POST /-/pause HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n";
  const auto began = Steady::now();
  // Nothing of the body is sent; and what is sent is no next request.
  EXPECT_THAT(raw(begin), StartsWith("HTTP/1.1 401"));
  const std::string answer = raw(begin + "GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 401"));
  EXPECT_EQ(answer.find("HTTP/1.1", 1), std::string::npos);
  EXPECT_LT(Steady::now() - began, 4s);
}

TEST_F(WebAccessTest, HeadsAreBounded) {
  start(users());
  const std::string head = "GET /metrics HTTP/1.1\r\nHost: x\r\n";
  std::string many = head;
  for (int i = 0; i < 200; ++i) many += "X-" + std::to_string(i) + ": x\r\n";
  std::string large = head;
  for (int i = 0; i < 20; ++i) large += "X-" + std::to_string(i) + ": " + std::string(4000, 'x') + "\r\n";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {many + "\r\n", "431"},
      {large + "\r\n", "431"},
      {head + "X: " + std::string(9000, 'x') + "\r\n\r\n", "431"},
      {head + "X: " + std::string(100000, 'x'), "431"},
      {"GET /" + std::string(9000, 'x') + " HTTP/1.1\r\n\r\n", "414"},
      {head + "X : y\r\n\r\n", "400"},
      {head + " folded: y\r\n\r\n", "400"},
      {head + "X: a\nY: b\r\n\r\n", "400"},
      {head + "no colon\r\n\r\n", "400"},
      {head + std::string("X: a\0b\r\n\r\n", 10), "400"},
      {head + "Host: y\r\n\r\n", "400"},
      {"\r\n\r\n", "400"},
  };
  for (const auto& [request, status] : cases) {
    const std::string answer = raw(request);
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 " + status)) << request.substr(0, 70);
    EXPECT_THAT(answer, HasSubstr("X-Content-Type-Options: nosniff")) << status;
    EXPECT_EQ(answer.find("HTTP/1.1", 1), std::string::npos) << "the connection is closed";
  }
}

TEST_F(WebAccessTest, GuessingIsSlowedDownAndOthersAreNot) {
  start(users());
  ASSERT_EQ(login("alice", "secret"), 200);
  int throttled = 0;
  for (int i = 0; i < 20; ++i) throttled += login("alice", std::to_string(i)) == 429 ? 1 : 0;
  EXPECT_GE(throttled, 10);
  httplib::Client other("127.0.0.1", port);
  other.set_interface("127.0.0.2");
  other.set_basic_auth("alice", "secret");
  EXPECT_EQ(other.Get("/metrics")->status, 200);
}

TEST_F(WebAccessTest, TwoHundredIdleClientsDoNotHoldUpAScrape) {
  start(tls() + users());
  std::vector<int> idle;
  for (int i = 0; i < 200; ++i) {
    idle.push_back(connected());
    // A third says nothing, a third begins a handshake and stops, a third speaks no TLS.
    const std::string begun = i % 3 == 0 ? "" : i % 3 == 1 ? std::string("\x16\x03\x01\x02", 4) : "GET / HT";
    EXPECT_EQ(send(idle.back(), begun.data(), begun.size(), MSG_NOSIGNAL), static_cast<ssize_t>(begun.size()));
  }
  const auto began = Steady::now();
  const auto scrape = secure("/metrics", nullptr, "alice");
  ASSERT_TRUE(scrape) << httplib::to_string(scrape.error());
  EXPECT_EQ(scrape->status, 200);
  EXPECT_LT(Steady::now() - began, 10s);
  // Nobody stays in the handshake for ever.
  char byte = 0;
  for (const int fd : idle) {
    while (recv(fd, &byte, 1, 0) > 0) {
    }
    close(fd);
  }
  EXPECT_LT(Steady::now() - began, 19s);
}

// `ajar check` beside an agent that wants both a client certificate and a password.
TEST_F(WebAccessTest, OurOwnProgramsAreLetIn) {
  const CanaryKeys keys = CanaryKeys::random();
  WebState state = agent.web_state();
  std::vector<std::string> asked;
  state.internal_api = [&](const ApiRequest& request) {
    asked.push_back(request.path);
    if (!authorised(keys, request.method, request.target, request.auth, request.body, wall_now())) return ApiReply{401, "{}"};
    const std::string body = R"({"up":{"tcp":true},"trouble":{"tcp":""},"advertised":{"tcp":["198.51.100.7:8025"]}})";
    return ApiReply{200, body, "application/json", authorise_answer(keys, request.auth, 200, body)};
  };
  const auto ask = [&](const CanaryKeys& with) {
    WebConfig config;
    config.listen = {"127.0.0.1:" + std::to_string(port)};
    config.config_file = "web.yml";
    AgentClient client(config, with);
    return client.refresh() ? "" : client.trouble();
  };
  for (const std::string& more :
       {std::string("  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n"), std::string()}) {
    start(tls(more) + users(), state);
    EXPECT_EQ(ask(keys), "");
    EXPECT_THAT(ask(CanaryKeys::random()), HasSubstr("it refuses us"));
    web.reset();
  }
  start(users(), state);
  EXPECT_EQ(ask(keys), "") << "without TLS";
  EXPECT_EQ(plain("/api/v1/arrivals?since=0")->status, 401);
  const std::size_t before = asked.size();
  EXPECT_EQ(plain("/api/v1/suspicions", {{"Ajar-Auth", "1:00"}})->status, 401) << "a page, which no signature opens";
  EXPECT_EQ(plain("/metrics", {{"Ajar-Auth", "1:00"}})->status, 401);
  EXPECT_EQ(asked.size(), before);
  EXPECT_EQ(plain("/api/v1/results", {{"Ajar-Auth", "1:00"}})->status, 401);
  EXPECT_EQ(asked.size(), before + 1) << "the signature was looked at";
}

TEST_F(WebAccessTest, TheProtocolOfOurProgramsOpensNothingElse) {
  start(tls("  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n"));
  httplib::SSLClient client("127.0.0.1", port);
  client.enable_server_certificate_verification(false);
  const std::string protocol = "\x04" + std::string(kOwnProtocol);
  SSL_CTX_set_alpn_protos(client.ssl_context(), reinterpret_cast<const unsigned char*>(protocol.data()),
                          static_cast<unsigned>(protocol.size()));
  const auto reply = client.Get("/metrics");
  ASSERT_TRUE(reply) << httplib::to_string(reply.error());
  EXPECT_EQ(reply->status, 403);
}

TEST_F(WebAccessTest, APostUnderAForeignNameIsRefused) {
  start("");
  const auto post = [&](const std::string& host, const std::string& more = "") {
    return raw("POST /-/pause HTTP/1.1\r\nHost: " + host + "\r\n" + more + "Content-Length: 0\r\nConnection: close\r\n\r\n")
        .substr(9, 3);
  };
  EXPECT_EQ(post("rebound.evil.example:9925"), "421");
  EXPECT_EQ(post("rebound.evil.example", "Origin: http://rebound.evil.example\r\nSec-Fetch-Site: same-origin\r\n"), "421");
  EXPECT_FALSE(agent.ledger.paused());
  EXPECT_EQ(plain("/metrics", {{"Host", "prometheus.any.example"}})->status, 200) << "a scrape by any name";
  EXPECT_EQ(post("ajar.example.net"), "200") << "external_url";
  EXPECT_EQ(post("127.0.0.1:" + std::to_string(port)), "200");
}

TEST_F(WebAccessTest, WhatIsWrongIsSaidAtTheStart) {
  const auto trouble = [&](const std::string& web_yml) -> std::string {
    try {
      start(web_yml);
    } catch (const WebError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(
      trouble("tls_server_config:\n  cert_file: nothing.pem\n  key_file: server.key\n"),
      HasSubstr("/web.yml:2:14: `tls_server_config.cert_file` = `nothing.pem` cannot be read: No such file or directory"));
  EXPECT_THAT(trouble("tls_server_config:\n  cert_file: server.key\n  key_file: server.pem\n"),
              testing::AllOf(HasSubstr("cert_file` = `server.key` has no certificate in it"),
                             HasSubstr("key_file` = `server.pem` has no key in it")));
  write("other.key", authority.issue("x", "").key);
  EXPECT_THAT(trouble("tls_server_config:\n  cert_file: server.pem\n  key_file: other.key\n"),
              HasSubstr("is not the key of the certificate"));
  EXPECT_THAT(trouble("tls_server_config:\n  cert_file: .\n  key_file: server.key\n"), HasSubstr("is not a file"));
  EXPECT_THAT(trouble("x: 1\ny: 2\n"), testing::AllOf(HasSubstr("web.yml:1:1"), HasSubstr("web.yml:2:1")));
}

TEST_F(WebAccessTest, PagesShowNoSecrets) {
  agent.config->web.config_file = "web.yml";
  start(users());
  httplib::Client client("127.0.0.1", port);
  client.set_basic_auth("alice", "secret");
  const std::string page = client.Get("/config")->body;
  EXPECT_THAT(page, HasSubstr("config_file"));
  EXPECT_THAT(page, testing::Not(HasSubstr("$2b$")));
}

}  // namespace
}  // namespace ajar
