// web.yml: what is read, and what is said of what cannot be.
#include "config/web_file.h"

#include <filesystem>
#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ajar {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::string kHash = "$2y$10$Qm5lJw0Zr8uXcT3kVfY1hOkgwTBu5.CycYwTP8R6b627rj5SIm.Me";

std::vector<std::string> errors_of(const std::string& text) {
  const auto parsed = parse_web_file(text, "web.yml");
  std::vector<std::string> out;
  if (const auto* errors = std::get_if<std::vector<ConfigError>>(&parsed)) {
    for (const ConfigError& error : *errors) out.push_back(error.to_string());
  }
  return out;
}

WebFile right(const std::string& text) {
  const auto parsed = parse_web_file(text, "web.yml");
  for (const std::string& error : errors_of(text)) ADD_FAILURE() << error;
  return std::holds_alternative<WebFile>(parsed) ? std::get<WebFile>(parsed) : WebFile();
}

TEST(WebFile, Everything) {
  const WebFile file = right(R"(
tls_server_config:
  cert_file: server.pem
  key_file: /etc/ssl/private/server.key
  client_ca_file: "ca.pem"
  client_auth_type: RequireAndVerifyClientCert
  client_allowed_sans: [prometheus.example.net, 127.0.0.1]
  min_version: TLS12
  max_version: TLS13
  cipher_suites:
    - TLS_AES_128_GCM_SHA256
    - TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
  curve_preferences: [X25519, CurveP256]
  prefer_server_cipher_suites: no
http_server_config:
  http2: false
  headers:
    X-Frame-Options: deny
    Strict-Transport-Security: max-age=31536000
    Content-Security-Policy: ""
basic_auth_users:
  alice: )" + kHash + R"(
  bob: ')" + kHash + R"('
rate_limit:
  interval: 10ms
  burst: 20
auth_excluded_paths:
  - /-/healthy
  - /metrics
)");
  ASSERT_TRUE(file.tls);
  EXPECT_EQ(file.path(file.tls->certificate.file), "server.pem");
  EXPECT_EQ(file.tls->certificate.line, 3U);
  EXPECT_EQ(file.tls->key.file, "/etc/ssl/private/server.key");
  EXPECT_EQ(file.tls->client_auth, ClientAuth::require_and_verify);
  EXPECT_THAT(file.tls->client_allowed_sans, ElementsAre("prometheus.example.net", "127.0.0.1"));
  EXPECT_THAT(file.tls->ciphers, ElementsAre("ECDHE-RSA-AES128-GCM-SHA256"));
  EXPECT_THAT(file.tls->groups, ElementsAre("X25519", "P-256"));
  EXPECT_EQ(file.tls->min_version, 12);
  EXPECT_FALSE(file.tls->prefer_server_ciphers);
  EXPECT_EQ(file.headers.at("X-Frame-Options"), "deny");
  EXPECT_EQ(file.headers.at("Content-Security-Policy"), "");
  EXPECT_EQ(file.users.size(), 2U);
  EXPECT_EQ(file.users.at("bob"), kHash);
  EXPECT_EQ(file.rate_interval, Duration(10));
  EXPECT_EQ(file.rate_burst, 20U);
  EXPECT_THAT(file.open_paths, ElementsAre("/-/healthy", "/metrics"));
  EXPECT_THAT(file.warnings, testing::IsEmpty());
}

TEST(WebFile, NothingIsAskedFor) {
  for (const char* text :
       {"", "# nothing\n", "{}", "---\n", "tls_server_config:\nbasic_auth_users:\n", "tls_server_config: {}\n"}) {
    const WebFile file = right(text);
    EXPECT_FALSE(file.tls) << text;
    EXPECT_TRUE(file.users.empty()) << text;
  }
}

TEST(WebFile, OtherNamesOfTheFormat) {
  const auto with = [](const std::string& more) {
    return right("tls_server_config:\n  cert_file: a\n  key_file: b\n" + more).tls.value();
  };
  EXPECT_EQ(with("").client_auth, ClientAuth::none);
  EXPECT_EQ(with("  client_auth_type: \"\"\n").client_auth, ClientAuth::none);
  EXPECT_EQ(with("  client_auth_type: NoClientCert\n").client_auth, ClientAuth::none);
  EXPECT_EQ(with("  client_auth_type: RequestClientCert\n").client_auth, ClientAuth::request);
  EXPECT_EQ(with("  client_auth_type: RequireClientCert\n").client_auth, ClientAuth::require_any);
  EXPECT_EQ(with("  client_auth_type: RequireAnyClientCert\n").client_auth, ClientAuth::require_any);
  EXPECT_EQ(with("  client_auth_type: VerifyClientCertIfGiven\n  client_ca_file: ca\n").client_auth,
            ClientAuth::verify_if_given);
  EXPECT_EQ(with("  cipher_suites: [TLS_AES_128_GCM_SHA256]\n").min_version, 13) << "nothing of TLS 1.2 is wanted";
}

TEST(WebFile, PemInTheFile) {
  const WebFile file = right(
      "tls_server_config:\n  cert: |\n    -----BEGIN CERTIFICATE-----\n    AA==\n    -----END CERTIFICATE-----\n"
      "  key: |\n    -----BEGIN PRIVATE KEY-----\n    AA==\n    -----END PRIVATE KEY-----\n");
  EXPECT_EQ(file.tls->certificate.text, "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n");
}

TEST(WebFile, PathsAreRelativeToItsFolder) {
  WebFile file;
  file.file = "/etc/ajar/web.yml";
  EXPECT_EQ(file.path("server.pem"), "/etc/ajar/server.pem");
  EXPECT_EQ(file.path("/x/server.pem"), "/x/server.pem");
  EXPECT_EQ(file.path(""), "");
}

struct Case {
  const char* text;
  std::vector<std::string> errors;
};

class WebFileErrors : public testing::TestWithParam<Case> {};

TEST_P(WebFileErrors, SayWhereWhatAndWhatToWrite) { EXPECT_EQ(errors_of(GetParam().text), GetParam().errors); }

INSTANTIATE_TEST_SUITE_P(
    All, WebFileErrors,
    testing::Values(
        Case{"tls_server_conf:\n  cert_file: a\nusers: {}\n",
             {"web.yml:1:1: unknown key `tls_server_conf`: did you mean `tls_server_config`?",
              "web.yml:3:1: unknown key `users`: remove it, or write `tls_server_config`, `http_server_config`, "
              "`basic_auth_users`, `rate_limit` or `auth_excluded_paths`"}},
        Case{"tls_server_config:\n  cert_file: a\n  cert_fille: b\n",
             {"web.yml:2:3: `tls_server_config.key_file` is missing: write key_file: server.key, the key of the certificate",
              "web.yml:3:3: unknown key `cert_fille` in `tls_server_config`: did you mean `cert_file`?"}},
        Case{"tls_server_config: {cert_file: a, key_file: b, min_version: TLS11}\n",
             {"web.yml:1:61: `tls_server_config.min_version` = `TLS11` is broken and not offered (RFC 8996): write TLS12 or "
              "TLS13"}},
        Case{"tls_server_config: {cert_file: a, key_file: b, client_auth_type: RequireAndVerifyClientCerts}\n",
             {"web.yml:1:66: `tls_server_config.client_auth_type` = `RequireAndVerifyClientCerts` is not known: did you mean "
              "`RequireAndVerifyClientCert`?"}},
        Case{"basic_auth_users:\n  alice: secret\n  bob: $2y$31$Qm5lJw0Zr8uXcT3kVfY1hOkgwTBu5.CycYwTP8R6b627rj5SIm.Me\n  "
             "\"a:b\": x\n  carol:\n",
             {"web.yml:2:10: `basic_auth_users` `alice` is not a bcrypt hash: write what `htpasswd -nBC 10 NAME` prints after "
              "the "
              "colon, like \"$2y$10$…\" (60 characters)",
              "web.yml:3:8: `basic_auth_users` `bob` has cost 31: write a hash of cost 10 to 15; each further one doubles the "
              "time "
              "that a login takes",
              "web.yml:4:3: `basic_auth_users` has a name that cannot log in: 1 to 255 characters, without a colon (RFC 7617)",
              "web.yml:5:3: `basic_auth_users` has no hash for `carol`: write carol: \"$2y$10$…\", which `htpasswd -nBC 10` "
              "makes"}},
        Case{
            "basic_auth_users: [alice]\n",
            {"web.yml:1:19: `basic_auth_users` must be a map (key: value), but this is a list: write basic_auth_users: and its "
             "keys below it, indented"}},
        Case{"auth_excluded_paths: [metrics, /a//b, \"/a/../b\", /%2e, /metrics/, /]\n",
             {"web.yml:1:23: `auth_excluded_paths` = `metrics` is no path: write it like /-/healthy",
              "web.yml:1:32: `auth_excluded_paths` = `/a//b` is not in its simplest form: write it without //, /./ and /../",
              "web.yml:1:39: `auth_excluded_paths` = `/a/../b` is not in its simplest form: write it without //, /./ and /../",
              "web.yml:1:50: `auth_excluded_paths` = `/%2e` must be one plain path, like /metrics: without ? # % * or \\"}},
        Case{"http_server_config:\n  http2: perhaps\n  headers:\n    X-Powered-By: ajar\n    X-Frame-Options: none\n",
             {"web.yml:2:10: `http_server_config.http2` = `perhaps` is neither: write true or false",
              "web.yml:4:5: unknown key `X-Powered-By` in `http_server_config.headers`: remove it, or write "
              "`Strict-Transport-Security`, `X-Content-Type-Options`, `X-Frame-Options`, `X-XSS-Protection` or "
              "`Content-Security-Policy`",
              "web.yml:5:22: `http_server_config.headers.X-Frame-Options` = `none` is none of the two: write deny or "
              "sameorigin"}},
        Case{"basic_auth_users: {}\nbasic_auth_users: {}\n",
             {"web.yml:2:1: `basic_auth_users` is there twice, first in line 1: keep one"}},
        Case{
            "- tls_server_config\n",
            {"web.yml:1:1: must be keys and values, but this is a list: write `tls_server_config:` or `basic_auth_users:`, and "
             "below it what belongs there"}}));

TEST(WebFile, WhatIsNotYaml) {
  EXPECT_THAT(errors_of("a: b: c\n"), ElementsAre(testing::StartsWith("web.yml:1:")));
  EXPECT_THAT(errors_of("a: &x 1\nb: *x\n"), ElementsAre(HasSubstr("anchors (&) and aliases (*) are not taken")));
  EXPECT_THAT(errors_of("a: !!int 1\n"), ElementsAre(HasSubstr("tags (!) are not taken")));
  EXPECT_THAT(errors_of("{}\n---\n{}\n"), ElementsAre(HasSubstr("a second document")));
  EXPECT_THAT(errors_of(std::string("a: b\0", 5)), ElementsAre(HasSubstr("NUL")));
  EXPECT_THAT(errors_of("? [a]\n: b\n"), ElementsAre(HasSubstr("a key must be text")));
  EXPECT_THAT(errors_of("a: " + std::string(100, '[') + std::string(100, ']')), ElementsAre(HasSubstr("nested too deeply")));
  EXPECT_THAT(errors_of(std::string(300000, '#')), ElementsAre(HasSubstr("larger than 256 KiB")));
}

TEST(WebFile, WhatHasNoEffectIsAWarning) {
  EXPECT_THAT(right("auth_excluded_paths: [/metrics]\n").warnings.at(0).to_string(),
              HasSubstr("has no effect without `basic_auth_users`"));
  EXPECT_THAT(right("http_server_config: {http2: true}\n").warnings.at(0).to_string(), HasSubstr("ajar speaks HTTP/1.1"));
  EXPECT_THAT(
      right("basic_auth_users: {a: $2y$04$Qm5lJw0Zr8uXcT3kVfY1hOkgwTBu5.CycYwTP8R6b627rj5SIm.Me}\n").warnings.at(0).to_string(),
      HasSubstr("quickly guessed"));
}

TEST(WebFile, BcryptCost) {
  EXPECT_EQ(bcrypt_cost(kHash), 10);
  for (const std::string& wrong : {std::string(), kHash + "x", "$2x" + kHash.substr(3), "$5$" + kHash.substr(3),
                                   "$2y$-1" + kHash.substr(6), "$2y$1a" + kHash.substr(6), kHash.substr(0, 59) + ":"}) {
    EXPECT_FALSE(bcrypt_cost(wrong)) << wrong;
  }
}

TEST(WebFile, TheExampleIsCommentedOutAndRightWithoutIts) {
  const std::string path = AJAR_SOURCE_DIR "/config/web.yml";
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  EXPECT_FALSE(right(text.str()).tls);
  // "#key:" and "#  key:" are examples, "# Words" is a comment.
  std::string uncommented;
  for (std::string line; std::getline(text, line);) {
    if (line.size() > 2 && line[0] == '#' && (line[1] != ' ' || line[2] == ' ')) line.erase(0, 1);
    uncommented += line + "\n";
  }
  const WebFile file = right(uncommented);
  ASSERT_TRUE(file.tls) << uncommented;
  EXPECT_FALSE(file.users.empty());
  EXPECT_FALSE(file.open_paths.empty());
  EXPECT_GT(file.rate_burst, 0U);
  EXPECT_EQ(file.headers.size(), 5U);
}

TEST(WebFile, AFileThatIsNotThere) {
  const auto loaded = load_web_file("/nowhere/web.yml");
  ASSERT_TRUE(std::holds_alternative<std::vector<ConfigError>>(loaded));
  EXPECT_THAT(std::get<std::vector<ConfigError>>(loaded).at(0).to_string(),
              HasSubstr("/nowhere/web.yml: cannot be read: No such file"));
}

}  // namespace
}  // namespace ajar
