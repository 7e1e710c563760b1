#include "config/web_file.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <functional>
#include <system_error>

#include <fmt/format.h>
#include <sys/stat.h>

#include "config/yaml.h"

namespace ajar {

namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

constexpr std::size_t kLargestFile = 256 * 1024;
constexpr std::size_t kMostUsers = 1000;

// Go's name (IANA's) and OpenSSL's, of TLS 1.2; those of TLS 1.3 are always on, as in Go.
const Pairs kCiphers = {{"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"},
                        {"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"},
                        {"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"},
                        {"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE-RSA-AES256-GCM-SHA384"},
                        {"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"},
                        {"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-CHACHA20-POLY1305"},
                        {"TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", "ECDHE-ECDSA-AES128-SHA"},
                        {"TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "ECDHE-RSA-AES128-SHA"},
                        {"TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", "ECDHE-ECDSA-AES256-SHA"},
                        {"TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", "ECDHE-RSA-AES256-SHA"},
                        {"TLS_AES_128_GCM_SHA256", ""},
                        {"TLS_AES_256_GCM_SHA384", ""},
                        {"TLS_CHACHA20_POLY1305_SHA256", ""}};
const Pairs kCurves = {{"CurveP256", "P-256"}, {"CurveP384", "P-384"}, {"CurveP521", "P-521"}, {"X25519", "X25519"}};
const std::vector<std::pair<std::string, ClientAuth>> kClientAuths = {
    {"NoClientCert", ClientAuth::none},
    {"RequestClientCert", ClientAuth::request},
    {"RequireAnyClientCert", ClientAuth::require_any},
    {"RequireClientCert", ClientAuth::require_any},  // the format's older name
    {"VerifyClientCertIfGiven", ClientAuth::verify_if_given},
    {"RequireAndVerifyClientCert", ClientAuth::require_and_verify}};
const std::vector<std::string> kHeaders = {"Strict-Transport-Security", "X-Content-Type-Options", "X-Frame-Options",
                                           "X-XSS-Protection", "Content-Security-Policy"};

template <class T>
std::vector<std::string> names_of(const std::vector<std::pair<std::string, T>>& pairs) {
  std::vector<std::string> names;
  for (const auto& [name, value] : pairs) names.push_back(name);
  return names;
}

// What `name` stands for. Wrong with a suggestion.
template <class T>
T find_in(const std::vector<std::pair<std::string, T>>& pairs, std::string_view name) {
  const std::string found = read_one_of(name, names_of(pairs));
  return std::find_if(pairs.begin(), pairs.end(), [&](const auto& pair) { return pair.first == found; })->second;
}

bool has_control_characters(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) { return (c >= 0 && c < ' ') || c == 0x7f; });
}

// A map of the file while it is read: asking for a key makes it known, what nobody asked for is an error in the end.
class Map {
 public:
  Map(const YamlNode* node, std::string prefix, Errors& errors) : node_(node), prefix_(std::move(prefix)), errors_(errors) {}

  // The value; nullptr when it is not written, or has no value.
  const YamlNode* find(const std::string& key) {
    if (std::find(known_.begin(), known_.end(), key) == known_.end()) known_.push_back(key);
    if (node_ == nullptr) return nullptr;
    for (const auto& [name, value] : node_->entries) {
      if (name.text == key && value.kind != YamlNode::Kind::nothing) return &value;
    }
    return nullptr;
  }
  void wrong(Place place, std::string_view key, std::string_view message) {
    errors_.add(place, fmt::format("`{}{}` {}", prefix_, printable(key), message));
  }
  // The value, of that kind; else an error.
  const YamlNode* find(const std::string& key, YamlNode::Kind kind, std::string_view example) {
    const YamlNode* node = find(key);
    if (node == nullptr || node->kind == kind) return node;
    YamlNode wanted;
    wanted.kind = kind;
    wrong(node->place, key, fmt::format("must be {}, but this is {}: write {}", kind_of(wanted), kind_of(*node), example));
    return nullptr;
  }
  // Text on one line. `read` may throw Wrong.
  template <class T>
  void text(const std::string& key, T& into, const std::function<T(std::string_view)>& read) {
    const YamlNode* node = find(key, YamlNode::Kind::text, fmt::format("{}: VALUE", key));
    if (node != nullptr) value(key, *node, into, read);
  }
  template <class T>
  void list(const std::string& key, std::vector<T>& into, const std::function<T(std::string_view)>& read) {
    const YamlNode* node = find(key, YamlNode::Kind::list, fmt::format("{}: [VALUE, VALUE]", key));
    if (node == nullptr) return;
    for (const YamlNode& item : node->items) {
      if (item.kind != YamlNode::Kind::text) {
        wrong(item.place, key, fmt::format("must be a list of text, but there is {} in it", kind_of(item)));
        continue;
      }
      T one{};
      if (value(key, item, one, read)) into.push_back(std::move(one));
    }
  }
  Map sub(const std::string& key) {
    const YamlNode* node = find(key, YamlNode::Kind::map, fmt::format("{}: and its keys below it, indented", key));
    return {node, prefix_ + key + ".", errors_};
  }
  bool is_written() const { return node_ != nullptr && !node_->entries.empty(); }
  Place place() const { return node_ == nullptr ? Place{1, 1} : node_->place; }
  const std::vector<std::pair<YamlNode, YamlNode>>& entries() const {
    static const std::vector<std::pair<YamlNode, YamlNode>> none;
    return node_ == nullptr ? none : node_->entries;
  }

  void finish() {
    for (const auto& [name, value] : entries()) {
      if (std::find(known_.begin(), known_.end(), name.text) != known_.end()) continue;
      const auto meant = did_you_mean(name.text, known_);
      errors_.add(name.place, fmt::format("unknown key {}{}: {}", quote(name.text),
                                          prefix_.empty() ? "" : fmt::format(" in `{}`", prefix_.substr(0, prefix_.size() - 1)),
                                          meant ? fmt::format("did you mean `{}`?", *meant)
                                                : fmt::format("remove it, or write {}", join_or(known_))));
    }
  }

 private:
  template <class T>
  bool value(const std::string& key, const YamlNode& node, T& into, const std::function<T(std::string_view)>& read) {
    try {
      if (has_control_characters(node.text)) throw Wrong("has a control character in it: write it on one line");
      into = read(node.text);
      return true;
    } catch (const Wrong& error) {
      wrong(node.place, key, about(node.text, error.what()));
      return false;
    }
  }

  const YamlNode* node_;
  std::string prefix_;
  Errors& errors_;
  std::vector<std::string> known_;
};

// YAML 1.1, as the format has it.
bool read_flag(std::string_view text) {
  std::string word(text);
  for (char& c : word) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  if (word == "true" || word == "yes" || word == "on" || word == "y") return true;
  if (word == "false" || word == "no" || word == "off" || word == "n") return false;
  throw Wrong("is neither: write true or false");
}

int read_tls_version(std::string_view text) {
  if (text == "TLS12") return 12;
  if (text == "TLS13") return 13;
  if (text == "TLS10" || text == "TLS11") throw Wrong("is broken and not offered (RFC 8996): write TLS12 or TLS13");
  throw Wrong("is no version: write TLS12 or TLS13");
}

std::string read_text(std::string_view text) { return std::string(text); }

// KEY_file or KEY: a file, or the PEM text itself.
void read_pem(Map& map, const std::string& file_key, const std::string& text_key, PemSource& into) {
  const YamlNode* file = map.find(file_key, YamlNode::Kind::text, fmt::format("{}: NAME.pem", file_key));
  const YamlNode* text =
      map.find(text_key, YamlNode::Kind::text, fmt::format("{}: |, and the PEM text below it, indented", text_key));
  if (file != nullptr && text != nullptr) {
    map.wrong(text->place, text_key, fmt::format("and `{}` are both written: keep one", file_key));
    return;
  }
  const YamlNode* node = file != nullptr ? file : text;
  if (node == nullptr || node->text.empty()) return;
  into.line = node->place.line;
  into.column = node->place.column;
  if (text != nullptr) {
    into.text = text->text;
    if (into.text.find("-----BEGIN ") == std::string::npos) {
      map.wrong(node->place, text_key,
                fmt::format("is not PEM: write `{}: |` and below it, indented, the lines from -----BEGIN to -----END; a file's "
                            "name goes to `{}`",
                            text_key, file_key));
    }
  } else if (has_control_characters(file->text)) {
    map.wrong(node->place, file_key, fmt::format("is not the name of a file; PEM text itself goes to `{}`", text_key));
  } else {
    into.file = file->text;
  }
}

void check_client_auth(Map& map, const WebTls& tls) {
  const bool verifies = tls.client_auth == ClientAuth::verify_if_given || tls.client_auth == ClientAuth::require_and_verify;
  const bool requires_one = tls.client_auth == ClientAuth::require_any || tls.client_auth == ClientAuth::require_and_verify;
  if (verifies && !tls.client_ca.is_set()) {
    map.wrong(
        map.place(), "client_ca_file",
        "is missing: client_auth_type verifies certificates, and this says by which authority; write client_ca_file: ca.pem");
  }
  const Place ca{tls.client_ca.line, tls.client_ca.column};
  if (tls.client_ca.is_set() && tls.client_auth == ClientAuth::none) {
    map.wrong(ca, "client_ca_file",
              "has no effect, since no client is asked for a certificate: write client_auth_type: RequireAndVerifyClientCert");
  }
  if (!tls.client_allowed_sans.empty() && !requires_one) {
    map.wrong(map.place(), "client_allowed_sans",
              "needs a certificate from every client: write client_auth_type: RequireAndVerifyClientCert");
  }
}

void read_tls(Map map, WebFile& out) {
  WebTls tls;
  read_pem(map, "cert_file", "cert", tls.certificate);
  read_pem(map, "key_file", "key", tls.key);
  read_pem(map, "client_ca_file", "client_ca", tls.client_ca);
  map.text<ClientAuth>("client_auth_type", tls.client_auth,
                       [](std::string_view text) { return text.empty() ? ClientAuth::none : find_in(kClientAuths, text); });
  map.list<std::string>("client_allowed_sans", tls.client_allowed_sans, read_text);
  map.text<int>("min_version", tls.min_version, read_tls_version);
  map.text<int>("max_version", tls.max_version, read_tls_version);
  map.list<std::string>("cipher_suites", tls.ciphers, [](std::string_view text) { return find_in(kCiphers, text); });
  map.list<std::string>("curve_preferences", tls.groups, [](std::string_view text) { return find_in(kCurves, text); });
  map.text<bool>("prefer_server_cipher_suites", tls.prefer_server_ciphers, read_flag);
  map.finish();
  if (!map.is_written()) return;
  if (!tls.certificate.is_set())
    map.wrong(map.place(), "cert_file",
              "is missing: write cert_file: server.pem, the certificate and those that lead to its authority");
  if (!tls.key.is_set())
    map.wrong(map.place(), "key_file", "is missing: write key_file: server.key, the key of the certificate");
  if (tls.min_version > tls.max_version) map.wrong(map.place(), "max_version", "is below min_version: write TLS13");
  // Suites of TLS 1.3 alone: nothing of TLS 1.2 is wanted.
  const bool listed = !tls.ciphers.empty();
  std::erase(tls.ciphers, "");
  if (listed && tls.ciphers.empty()) tls.min_version = 13;
  if (tls.min_version > tls.max_version)
    map.wrong(map.place(), "cipher_suites",
              "has none of TLS 1.2, the only version that max_version leaves: add one, or write max_version: TLS13");
  check_client_auth(map, tls);
  out.tls = std::move(tls);
}

void read_header(Map& map, const std::string& name, WebFile& out) {
  std::string value;
  const bool written =
      std::any_of(map.entries().begin(), map.entries().end(), [&](const auto& entry) { return entry.first.text == name; });
  map.text<std::string>(name, value, [&](std::string_view text) {
    std::string one(text);
    if (name == "X-Content-Type-Options" && one != "" && one != "nosniff") throw Wrong("is unknown to browsers: write nosniff");
    if (name == "X-Frame-Options" && one != "" && one != "deny" && one != "sameorigin")
      throw Wrong("is none of the two: write deny or sameorigin");
    return one;
  });
  if (written) out.headers[name] = value;
}

void read_http(Map map, WebFile& out) {
  bool http2 = false;
  Place place;
  if (const YamlNode* node = map.find("http2")) place = node->place;
  map.text<bool>("http2", http2, read_flag);
  if (http2)
    out.warnings.push_back({out.file, place.line, place.column,
                            "`http_server_config.http2` has no effect: ajar speaks HTTP/1.1, which every client does"});
  Map headers = map.sub("headers");
  for (const std::string& name : kHeaders) read_header(headers, name, out);
  headers.finish();
  map.finish();
}

std::string read_hash(std::string_view hash) {
  const std::optional<int> cost = bcrypt_cost(hash);
  if (!cost)
    throw Wrong(
        "is not a bcrypt hash: write what `htpasswd -nBC 10 NAME` prints after the colon, like \"$2y$10$…\" (60 characters)");
  if (*cost < kLeastBcryptCost || *cost > kMostBcryptCost)
    throw Wrong(fmt::format("has cost {}: write a hash of cost 10 to {}; each further one doubles the time that a login takes",
                            *cost, kMostBcryptCost));
  return std::string(hash);
}

void read_users(Map map, Errors& errors, WebFile& out) {
  for (const auto& [name, hash] : map.entries()) {
    // Neither name nor hash is repeated: it may be a password that was put in the wrong place.
    const auto wrong = [&errors](Place place, std::string_view message) {
      errors.add(place, fmt::format("`basic_auth_users` {}", message));
    };
    if (name.text.empty() || name.text.size() > 255 || name.text.find(':') != std::string::npos ||
        has_control_characters(name.text)) {
      wrong(name.place, "has a name that cannot log in: 1 to 255 characters, without a colon (RFC 7617)");
    } else if (hash.kind != YamlNode::Kind::text) {
      wrong(name.place, fmt::format("has no hash for {}: write {}: \"$2y$10$…\", which `htpasswd -nBC 10` makes",
                                    quote(name.text), printable(name.text)));
    } else {
      try {
        const std::string right = read_hash(hash.text);
        if (*bcrypt_cost(right) < 10)
          out.warnings.push_back({out.file, hash.place.line, hash.place.column,
                                  fmt::format("`basic_auth_users` {}: a hash of cost {} is quickly guessed by who gets hold of "
                                              "this file: 10 or more is better",
                                              quote(name.text), *bcrypt_cost(right))});
        out.users.emplace(name.text, right);
      } catch (const Wrong& error) {
        wrong(hash.place, fmt::format("{} {}", quote(name.text), error.what()));
      }
    }
  }
  if (map.entries().size() > kMostUsers)
    errors.add(
        map.place(),
        fmt::format("`basic_auth_users` has more than {} users: for so many, use client certificates or a proxy", kMostUsers));
}

// As the server compares it: decoded, without what a client could write in two ways.
std::string read_open_path(std::string_view text) {
  std::string path(text);
  if (!path.starts_with('/')) throw Wrong("is no path: write it like /-/healthy");
  if (path.find_first_of("?#%*\\") != std::string::npos)
    throw Wrong("must be one plain path, like /metrics: without ? # % * or \\");
  const std::string slashed = path + "/";
  for (const char* odd : {"//", "/./", "/../"}) {
    if (path != "/" && slashed.find(odd) != std::string::npos &&
        !(std::string_view(odd) == "//" && path.ends_with('/') && path.find("//") == std::string::npos)) {
      throw Wrong("is not in its simplest form: write it without //, /./ and /../");
    }
  }
  return path;
}

Duration read_rate_interval(std::string_view text) {
  if (text == "0" || text == "0s") return Duration(0);
  if (const auto duration = parse_duration(text)) return *duration;
  int milliseconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), milliseconds);
  if (error == std::errc() && std::string_view(end, static_cast<std::size_t>(text.data() + text.size() - end)) == "ms" &&
      milliseconds > 0)
    return Duration(milliseconds);
  throw Wrong("is not a duration: write it like 10ms or 1s; 0 for no limit");
}

unsigned read_burst(std::string_view text) {
  unsigned burst = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), burst);
  if (error != std::errc() || end != text.data() + text.size() || burst > 1'000'000)
    throw Wrong("is not a whole number up to 1000000");
  return burst;
}

void read_rate(Map map, WebFile& out) {
  map.text<Duration>("interval", out.rate_interval, read_rate_interval);
  map.text<unsigned>("burst", out.rate_burst, read_burst);
  map.finish();
  if (out.rate_interval.count() > 0 && out.rate_burst == 0)
    map.wrong(map.place(), "burst", "is missing or 0, so that nothing would be answered: write burst: 20");
}

void read_file(const YamlNode& document, Errors& errors, WebFile& out) {
  if (document.kind == YamlNode::Kind::text || document.kind == YamlNode::Kind::list) {
    errors.add(document.place, fmt::format("must be keys and values, but this is {}: write `tls_server_config:` or "
                                           "`basic_auth_users:`, and below it what belongs there",
                                           kind_of(document)));
    return;
  }
  Map top(&document, "", errors);
  read_tls(top.sub("tls_server_config"), out);
  read_http(top.sub("http_server_config"), out);
  read_users(top.sub("basic_auth_users"), errors, out);
  read_rate(top.sub("rate_limit"), out);
  Place paths;
  if (const YamlNode* node = top.find("auth_excluded_paths")) paths = node->place;
  top.list<std::string>("auth_excluded_paths", out.open_paths, read_open_path);
  if (!out.open_paths.empty() && out.users.empty() && errors.empty())
    out.warnings.push_back({out.file, paths.line, paths.column,
                            "`auth_excluded_paths` has no effect without `basic_auth_users`: nothing asks for a password"});
  top.finish();
}

}  // namespace

std::string WebFile::path(const std::string& written) const {
  const std::size_t slash = file.rfind('/');
  if (written.empty() || written.front() == '/' || slash == std::string::npos) return written;
  return file.substr(0, slash + 1) + written;
}

std::optional<int> bcrypt_cost(std::string_view hash) {
  constexpr std::string_view kAlphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
  if (hash.size() != 60 || !(hash.starts_with("$2a$") || hash.starts_with("$2b$") || hash.starts_with("$2y$")) ||
      hash[6] != '$')
    return std::nullopt;
  int cost = 0;
  const auto [end, error] = std::from_chars(hash.data() + 4, hash.data() + 6, cost);
  if (error != std::errc() || end != hash.data() + 6 || hash[4] == '-') return std::nullopt;
  if (hash.substr(7).find_first_not_of(kAlphabet) != std::string_view::npos) return std::nullopt;
  return cost;
}

std::variant<WebFile, std::vector<ConfigError>> parse_web_file(std::string_view text, const std::string& file) {
  Errors errors(file);
  WebFile out;
  out.file = file;
  if (text.size() > kLargestFile) {
    errors.add({1, 1}, "is larger than 256 KiB: is it a web.yml?");
  } else if (const std::optional<YamlNode> document = parse_yaml(text, errors)) {
    read_file(*document, errors, out);
  }
  if (!errors.empty()) return errors.take();
  return out;
}

std::variant<WebFile, std::vector<ConfigError>> load_web_file(const std::string& file) {
  errno = 0;
  std::ifstream in(file, std::ios::binary);
  std::string text;
  std::array<char, 16384> block{};
  while (in && text.size() <= kLargestFile) {
    in.read(block.data(), block.size());
    text.append(block.data(), static_cast<std::size_t>(in.gcount()));
  }
  if (!in.eof() && text.size() <= kLargestFile) {
    const int reason = errno != 0 ? errno : EIO;
    return std::vector<ConfigError>{{file, 0, 0,
                                     fmt::format("cannot be read: {}; web.config_file names it: correct that, or make the file "
                                                 "readable for the user that ajar runs as",
                                                 std::generic_category().message(reason))}};
  }
  auto parsed = parse_web_file(text, file);
  struct stat status{};
  if (auto* right = std::get_if<WebFile>(&parsed);
      right != nullptr && stat(file.c_str(), &status) == 0 && (status.st_mode & S_IROTH) != 0) {
    const bool secret = !right->users.empty() || (right->tls && !right->tls->key.text.empty());
    if (secret)
      right->warnings.push_back(
          {file, 0, 0, fmt::format("can be read by every user of this machine, with the secrets in it: chmod o-r {}", file)});
  }
  return parsed;
}

}  // namespace ajar
