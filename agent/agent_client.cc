#include "agent/agent_client.h"

#include <cstring>
#include <map>

#include <fmt/format.h>
#include <httplib.h>
#include <nlohmann/json.hpp>

#include "agent/canary_api.h"
#include "agent/html.h"
#include "agent/json.h"
#include "agent/web_settings.h"

namespace ajar {

struct AgentClient::State {
  CanaryKeys keys;
  std::string address;
  std::string trouble;
  std::map<CanaryKind, CanaryHealth> health;
  std::map<CanaryKind, std::vector<AddressPort>> advertised;
  std::int64_t cursor = 0;
  // How it is asked: both in turn, until one is answered. With web.yml, which we may be unable to read, TLS comes first.
  std::vector<std::string> schemes;

  // What comes of one request; an error when nobody answers.
  httplib::Result send(const std::string& method, const std::string& path_query, const std::string& body,
                       const httplib::Headers& headers);
  // The answer's body; nullopt with `trouble` set.
  std::optional<std::string> ask(const std::string& method, const std::string& path_query, const std::string& body);
};

namespace {

// Where a listener of `web.listen` is reached from this machine.
std::string reachable(const WebConfig& web) {
  std::string listen = web.listen.empty() ? "127.0.0.1:9925" : web.listen.front();
  if (listen.starts_with(":")) return "127.0.0.1" + listen;
  if (listen.starts_with("0.0.0.0:")) return "127.0.0.1" + listen.substr(7);
  if (listen.starts_with("[::]:")) return "[::1]" + listen.substr(4);
  return listen;
}

}  // namespace

httplib::Result AgentClient::State::send(const std::string& method, const std::string& path_query, const std::string& body,
                                         const httplib::Headers& headers) {
  for (auto scheme = schemes.begin();; ++scheme) {
    httplib::Client client(*scheme + address);
    client.set_connection_timeout(2);
    client.set_read_timeout(5);
    client.set_write_timeout(5);
    client.enable_server_certificate_verification(false);
    if (SSL_CTX* context = client.ssl_context()) {
      const std::string protocol = static_cast<char>(std::strlen(kOwnProtocol)) + std::string(kOwnProtocol);
      SSL_CTX_set_alpn_protos(context, reinterpret_cast<const unsigned char*>(protocol.data()),
                              static_cast<unsigned>(protocol.size()));
    }
    httplib::Result result =
        method == "GET" ? client.Get(path_query, headers) : client.Post(path_query, headers, body, "application/json");
    if (result) schemes = {*scheme};
    // A handshake that failed has sent nothing: it may be asked in another way.
    if (result || result.error() != httplib::Error::SSLConnection || schemes.end() - scheme == 1) return result;
  }
}

std::optional<std::string> AgentClient::State::ask(const std::string& method, const std::string& path_query,
                                                   const std::string& body) {
  const std::string auth = authorise(keys, method, path_query, body, wall_now());
  const httplib::Headers headers = {{kApiAuthHeader, auth}};
  const httplib::Result result = send(method, path_query, body, headers);
  if (!result) {
    trouble = "no answer: " + httplib::to_string(result.error());
  } else if (result->status == 401) {
    trouble = "it refuses us: is canary.secret_file the one that the agent uses?";
  } else if (result->status != 200) {
    trouble = fmt::format("it answers {}", result->status);
  } else if (!equal_in_constant_time(result->get_header_value(kApiAuthHeader),
                                     authorise_answer(keys, auth, 200, result->body))) {
    trouble = "its answer is not authentic";
  } else {
    trouble.clear();
    return result->body;
  }
  return std::nullopt;
}

AgentClient::AgentClient(const WebConfig& web, CanaryKeys keys)
    : state_(std::make_unique<State>(State{keys, reachable(web), {}, {}, {}, 0, {"http://"}})) {
  if (!web.config_file.empty()) state_->schemes = {"https://", "http://"};
}

AgentClient::~AgentClient() = default;

bool AgentClient::refresh() {
  const auto body = state_->ask("GET", "/api/v1/canary", "");
  if (!body) return false;
  const auto json = nlohmann::json::parse(*body, nullptr, false);
  for (const CanaryKind kind : kCanaryKinds) {
    const std::string name(to_string(kind));
    if (!json.is_object() || !json.contains("up") || !json["up"].contains(name)) continue;
    const bool up = json["up"][name].get<bool>();
    state_->health[kind] = {true, up, up ? "" : json["trouble"].value(name, "")};
    state_->advertised[kind].clear();
    for (const auto& place : json["advertised"][name]) {
      if (const auto parsed = AddressPort::parse(place.get<std::string>())) state_->advertised[kind].push_back(*parsed);
    }
  }
  return true;
}

Permit AgentClient::ask_to_send(const Message& message) {
  const auto body = state_->ask("POST", "/api/v1/messages", serialise(message));
  if (!body) return Permit::canary_down;
  const auto json = nlohmann::json::parse(*body, nullptr, false);
  const int permit =
      json.is_object() ? json.value("permit", static_cast<int>(Permit::canary_down)) : static_cast<int>(Permit::canary_down);
  return permit >= 0 && permit <= static_cast<int>(Permit::no_mail_domain) ? static_cast<Permit>(permit) : Permit::canary_down;
}

AgentClient::Doubts AgentClient::doubts(const ResultKey& key) {
  Doubts doubts;
  const std::string path = fmt::format("/api/v1/results?doubts={}/{}/{}/{}/{}", key.address.to_string(), key.port,
                                       to_string(key.transport), key.check, key.target);
  const auto json = nlohmann::json::parse(state_->ask("GET", path, "").value_or("{}"), nullptr, false);
  if (!json.is_object() || !json.contains("must_ask") || !json.contains("retries")) return doubts;
  doubts.used_up_until = json.value("used_up_until", "");
  for (const auto& name : json["must_ask"]) doubts.must_ask.push_back(name.get<std::string>());
  for (const auto& one : json["retries"]) doubts.retries.push_back({one.at(0), one.at(1), one.at(2)});
  return doubts;
}

void AgentClient::not_sent(Message message) {
  message.expired = true;
  state_->ask("POST", "/api/v1/messages", serialise(message));
}

std::vector<Arrival> AgentClient::arrivals() {
  std::vector<Arrival> all;
  for (int page = 0; page < 100; ++page) {
    const auto body = state_->ask("GET", fmt::format("/api/v1/arrivals?since={}", state_->cursor), "");
    const auto json = nlohmann::json::parse(body.value_or("{}"), nullptr, false);
    if (!json.is_object() || !json.contains("data") || json["data"].empty()) break;
    for (const auto& one : json["data"]) all.push_back(parse_arrival(one.dump()));
    state_->cursor = json.value("cursor", state_->cursor);
  }
  return all;
}

bool AgentClient::store(const Record& record) {
  const auto body = state_->ask("POST", "/api/v1/results", serialise(record));
  if (!body) return false;
  const auto json = nlohmann::json::parse(*body, nullptr, false);
  if (json.is_object() && json.value("stored", false)) return true;
  state_->trouble = "it does not ask this itself, or has asked later";
  return false;
}

std::optional<ImportCounts> AgentClient::take_in(const std::vector<Suspicion>& suspicions) {
  const auto body = state_->ask("POST", "/api/v1/suspicions", serialise(suspicions));
  if (!body) return std::nullopt;
  try {
    return parse_import_counts(*body);
  } catch (const std::runtime_error& error) {
    state_->trouble = error.what();
    return std::nullopt;
  }
}

std::optional<std::string> AgentClient::notice(const std::string& target, const std::string& languages,
                                               const std::string& format) {
  return state_->ask("GET", fmt::format("/notices/{}?lang={}&format={}", url_encode(target), languages, format), "");
}

CanaryHealth AgentClient::health(CanaryKind kind) const {
  const auto found = state_->health.find(kind);
  return found == state_->health.end() ? CanaryHealth{} : found->second;
}

std::vector<AddressPort> AgentClient::advertised(CanaryKind kind) const {
  const auto found = state_->advertised.find(kind);
  return found == state_->advertised.end() ? std::vector<AddressPort>{} : found->second;
}

Task<std::optional<AddressPort>> AgentClient::reserve(std::string token, bool v4, std::optional<IpAddress> asker) const {
  const std::string path = reserve_request(token, v4, asker);
  const auto json = nlohmann::json::parse(state_->ask("POST", path, "").value_or("{}"), nullptr, false);
  if (!json.is_object() || !json.contains("address") || !json["address"].is_string()) co_return std::nullopt;
  co_return AddressPort::parse(json["address"].get<std::string>());
}

void AgentClient::release(const std::string& token) const {
  state_->ask("POST", fmt::format("{}?token={}", kApiRelease, token), "");
}

const std::string& AgentClient::address() const { return state_->address; }
const std::string& AgentClient::trouble() const { return state_->trouble; }

}  // namespace ajar
