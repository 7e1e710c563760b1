// Discovery from a URL (Prometheus' http_sd).
#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <system_error>

#include <fmt/format.h>
#include <httplib.h>
#include <poll.h>

#include "agent/source_reader.h"
#include "agent/target_list.h"
#include "agent/version.h"
#include "config/values.h"

namespace ajar {
namespace {

using std::chrono::milliseconds;
using Steady = std::chrono::steady_clock;

constexpr int kMostRedirects = 3;
constexpr std::size_t kLongestSecret = 16384;

// No list was got; what() says why, printable.
class NoList : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// "https://host:8443" and "/path?query".
std::pair<std::string, std::string> split_url(const std::string& url) {
  const std::size_t slash = url.find_first_of("/?", url.find("://") + 3);
  std::string rest = slash == std::string::npos ? "/" : url.substr(slash);
  if (rest.front() == '?') rest.insert(rest.begin(), '/');
  return {url.substr(0, slash), rest};
}

// The only line of a file; what it holds is in no message.
std::string read_secret(const std::string& file, const char* key) {
  std::ifstream in(file, std::ios::binary);
  std::string text(kLongestSecret + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!in.is_open() || in.bad())
    throw NoList(fmt::format("{} {} cannot be read: {}", key, printable(file), std::generic_category().message(errno)));
  text.resize(static_cast<std::size_t>(in.gcount()));
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) text.pop_back();
  const bool line = std::none_of(text.begin(), text.end(), [](char c) { return (c >= 0 && c < ' ') || c == 0x7f; });
  if (text.empty() || text.size() > kLongestSecret || !line)
    throw NoList(fmt::format("{} {} is not one line of text", key, printable(file)));
  return text;
}

// application/json, with no other charset than UTF-8.
bool is_json(std::string type) {
  std::string plain;
  for (const char c : type) {
    if (c != ' ' && c != '"' && c != '\t') plain += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return plain == "application/json" || plain == "application/json;charset=utf-8" || plain == "application/json;";
}

class UrlReader : public SourceReader {
 public:
  UrlReader(const DiscoveryConfig& source, const Config& config) : source_(source), contact_(config.agent.contact) {
    const auto in_folder = [&](std::string& file) { file = config.path(file); };
    for (std::string* file :
         {&source_.ca_file, &source_.cert_file, &source_.key_file, &source_.password_file, &source_.bearer_token_file}) {
      in_folder(*file);
    }
  }

  SourceLook look() override {
    SourceLook out;
    out.complete = known_;
    try {
      std::optional<TargetGroups> groups = fetch();
      if (groups) out.groups = std::move(groups);
      out.complete = known_ = true;
    } catch (const NoList& why) {
      out.trouble = why.what();
    }
    return out;
  }

  void wait(int wake_fd, milliseconds span) override {
    pollfd wake{wake_fd, POLLIN, 0};
    poll(&wake, 1, static_cast<int>(std::min<std::int64_t>(span.count(), 3'600'000)));
  }

 private:
  struct Answer {
    int status = 0;
    std::string body, type, etag, location;
  };

  // nullopt: not modified.
  std::optional<TargetGroups> fetch() {
    const auto until = Steady::now() + source_.timeout;
    auto [origin, path] = split_url(source_.url);
    Answer answer;
    for (int redirects = 0;; ++redirects) {
      answer = get(origin, path, until);
      const bool moved =
          answer.status == 301 || answer.status == 302 || answer.status == 303 || answer.status == 307 || answer.status == 308;
      if (!moved) break;
      if (redirects == kMostRedirects) throw NoList("it redirects again and again");
      path = same_origin(origin, answer.location);
    }
    if (answer.status == 304 && known_ && !etag_.empty()) return std::nullopt;
    if (answer.status != 200) throw NoList(fmt::format("it answers {}", answer.status));
    if (!is_json(answer.type)) {
      throw NoList(fmt::format("its Content-Type is {}, not application/json", quote(answer.type)));
    }
    auto parsed = parse_json_targets(answer.body);
    if (const std::string* const wrong = std::get_if<std::string>(&parsed)) throw NoList("its list: " + *wrong);
    etag_ = answer.etag;
    return std::get<TargetGroups>(std::move(parsed));
  }

  // The path to go on with: a password is for the configured host alone, and so is the trust in its list.
  static std::string same_origin(const std::string& origin, const std::string& location) {
    if (location.starts_with('/') && !location.starts_with("//")) return location;
    if (location.find("://") != std::string::npos) {
      const auto [there, path] = split_url(location);
      if (there == origin) return path;
    }
    throw NoList(fmt::format("it redirects to {}, which is not followed: write that URL if it is right", quote(location)));
  }

  std::string user_agent() const { return fmt::format("ajar/{}{}", kVersion, contact_.empty() ? "" : " (+" + contact_ + ")"); }

  httplib::Headers headers(const std::string& authority) const {
    httplib::Headers headers = {
        {"Host", authority},
        {"Accept", "application/json"},
        {"User-Agent", user_agent()},
        {"X-Prometheus-Refresh-Interval-Seconds", fmt::format("{:g}", static_cast<double>(source_.refresh.count()) / 1000.0)}};
    if (!etag_.empty()) headers.emplace("If-None-Match", etag_);
    if (!source_.username.empty()) {
      const auto [name, value] =
          httplib::make_basic_authentication_header(source_.username, read_secret(source_.password_file, "password_file"));
      headers.emplace(name, value);
    }
    if (!source_.bearer_token_file.empty()) {
      headers.emplace("Authorization", "Bearer " + read_secret(source_.bearer_token_file, "bearer_token_file"));
    }
    return headers;
  }

  Answer get(const std::string& origin, const std::string& path, Steady::time_point until) const {
    const httplib::Headers asked = headers(origin.substr(origin.find("://") + 3));
    const std::unique_ptr<httplib::ClientImpl> made = make_client(origin);
    httplib::ClientImpl& client = *made;
    if (!client.is_valid()) throw NoList(client_trouble());
    const auto left = std::chrono::ceil<milliseconds>(until - Steady::now());
    if (left.count() <= 0) throw NoList("no answer in time");
    client.set_connection_timeout(left);
    client.set_read_timeout(left);
    client.set_write_timeout(left);
    client.set_keep_alive(false);
    client.set_follow_location(false);
    if (!source_.ca_file.empty()) client.set_ca_cert_path(source_.ca_file);
    client.enable_server_certificate_verification(true);
    Answer answer;
    std::string stopped;
    httplib::Request request;
    request.method = "GET";
    request.path = path;
    request.headers = asked;
    request.content_receiver = [&](const char* data, std::size_t length, std::uint64_t, std::uint64_t) {
      if (Steady::now() > until) stopped = "its answer did not come in time";
      if (answer.body.size() + length > kMaxTargetList)
        stopped = fmt::format("its answer is larger than {} MiB", kMaxTargetList >> 20);
      if (!stopped.empty()) return false;
      answer.body.append(data, length);
      return true;
    };
    const httplib::Result result = client.send(request);
    if (!stopped.empty()) throw NoList(stopped);
    if (!result) throw NoList(trouble_of(result, client));
    answer.status = result->status;
    answer.type = result->get_header_value("Content-Type");
    answer.etag = result->get_header_value("ETag");
    if (answer.etag.size() > 1024) answer.etag.clear();
    answer.location = result->get_header_value("Location");
    return answer;
  }

  // httplib's own reader of URLs does not know IPv6 addresses with letters.
  std::unique_ptr<httplib::ClientImpl> make_client(const std::string& origin) const {
    const bool tls = origin.starts_with("https://");
    const std::string authority = origin.substr(origin.find("://") + 3);
    const std::size_t bracket = authority.find(']');
    const std::size_t colon = authority.find(':', bracket == std::string::npos ? 0 : bracket);
    std::string host = authority.substr(0, colon);
    if (bracket != std::string::npos) host = authority.substr(1, bracket - 1);
    int port = tls ? 443 : 80;
    if (colon != std::string::npos) port = parse_port(authority.substr(colon + 1)).value_or(Port{}).number;
    if (tls) return std::make_unique<httplib::SSLClient>(host, port, source_.cert_file, source_.key_file);
    return std::make_unique<httplib::ClientImpl>(host, port);
  }

  std::string client_trouble() const {
    if (source_.cert_file.empty()) return "the URL cannot be asked";
    return fmt::format("cert_file {} or key_file {} cannot be read", printable(source_.cert_file), printable(source_.key_file));
  }

  std::string trouble_of(const httplib::Result& result, const httplib::ClientImpl& client) const {
    switch (result.error()) {
      case httplib::Error::Connection:
        return "no connection";
      case httplib::Error::Read:
        return "it does not answer, or not in time";
      case httplib::Error::SSLConnection:
        return "no TLS with it";
      case httplib::Error::SSLLoadingCerts:
        return source_.ca_file.empty() ? std::string("the certificates of this machine cannot be read")
                                       : fmt::format("ca_file {} cannot be read", printable(source_.ca_file));
      case httplib::Error::SSLServerVerification: {
        const auto* const tls = dynamic_cast<const httplib::SSLClient*>(&client);
        const long verified = tls != nullptr ? tls->get_openssl_verify_result() : X509_V_OK;
        return fmt::format(
            "its certificate does not verify{}",
            verified == X509_V_OK ? ": it is for another name" : std::string(": ") + X509_verify_cert_error_string(verified));
      }
      default:
        return "no answer: " + httplib::to_string(result.error());
    }
  }

  DiscoveryConfig source_;
  std::string contact_;
  std::string etag_;    // of the list that is known
  bool known_ = false;  // a good list came once
};

}  // namespace

std::unique_ptr<SourceReader> make_url_reader(const DiscoveryConfig& source, const Config& config) {
  return std::make_unique<UrlReader>(source, config);
}

std::unique_ptr<SourceReader> make_reader(const DiscoveryConfig& source, const Config& config, bool patient) {
  if (!source.url.empty()) return make_url_reader(source, config);
  return make_file_reader(config.path(source.file), patient);
}

}  // namespace ajar
