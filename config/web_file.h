// web.yml: TLS, passwords and headers of ajar's own web server, in the format of the Prometheus exporter-toolkit
// (docs/web-configuration.md there), so that one file serves every exporter of a host.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "config/config.h"

namespace ajar {

// Whether a client must show a certificate; the names of the format (Go's tls.ClientAuthType).
enum class ClientAuth { none, request, require_any, verify_if_given, require_and_verify };

// A certificate or key: in a file, or as text in web.yml itself.
struct PemSource {
  std::string file;  // relative to the folder of web.yml; empty: inline
  std::string text;  // PEM
  unsigned line = 0, column = 0;
  bool is_set() const { return !file.empty() || !text.empty(); }
  friend bool operator==(const PemSource&, const PemSource&) = default;
};

struct WebTls {
  PemSource certificate, key, client_ca;
  ClientAuth client_auth = ClientAuth::none;
  std::vector<std::string> client_allowed_sans;
  int min_version = 12, max_version = 13;  // TLS 1.2, TLS 1.3
  std::vector<std::string> ciphers;        // of TLS 1.2, in OpenSSL's words; empty: our own choice
  std::vector<std::string> groups;         // curves, in OpenSSL's words; empty: OpenSSL's choice
  bool prefer_server_ciphers = true;
  friend bool operator==(const WebTls&, const WebTls&) = default;
};

struct WebFile {
  std::string file;  // as given
  std::optional<WebTls> tls;
  std::map<std::string, std::string> headers;  // name as sent -> value; an empty one is not sent
  std::map<std::string, std::string> users;    // name -> bcrypt hash
  std::vector<std::string> open_paths;         // auth_excluded_paths: GET without a password
  Duration rate_interval{0};                   // one request in each; 0: not limited
  unsigned rate_burst = 0;
  std::vector<ConfigError> warnings;

  // A path of the file, made relative to the folder of web.yml.
  std::string path(const std::string& written) const;
  friend bool operator==(const WebFile&, const WebFile&) = default;
};

// The least and the most costly bcrypt that is taken: 2^4 and 2^15 rounds, under a millisecond and about two seconds.
inline constexpr int kLeastBcryptCost = 4, kMostBcryptCost = 15;
// A bcrypt hash as crypt(3) takes it; its cost, or nullopt.
std::optional<int> bcrypt_cost(std::string_view hash);

// The whole file, or every error in it (in order of appearance). load_web_file reads web.yml alone, not what it names.
std::variant<WebFile, std::vector<ConfigError>> load_web_file(const std::string& file);
std::variant<WebFile, std::vector<ConfigError>> parse_web_file(std::string_view text, const std::string& file);

}  // namespace ajar
