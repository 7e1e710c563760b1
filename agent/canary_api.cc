#include "agent/canary_api.h"

#include <charconv>
#include <optional>
#include <string_view>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "agent/json.h"

namespace ajar {
namespace {

std::int64_t seconds_of(Time time) { return std::chrono::floor<std::chrono::seconds>(time.time_since_epoch()).count(); }

std::string mac(const CanaryKeys& keys, const std::string& method, const std::string& path_query, const std::string& seconds,
                const std::string& body) {
  return to_hex(hmac_sha256(keys.api_key(), method + "\n" + path_query + "\n" + seconds + "\n" + to_hex(sha256(body))));
}

std::optional<std::int64_t> number(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

// The value of `name` in a query of plain numbers.
std::optional<std::int64_t> parameter(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), pair.size() + 1));
    if (pair.size() > name.size() && pair.starts_with(name) && pair[name.size()] == '=')
      return number(pair.substr(name.size() + 1));
  }
  return std::nullopt;
}

nlohmann::ordered_json arrivals_json(const ArrivalLog& log, std::int64_t since) {
  nlohmann::ordered_json data = nlohmann::ordered_json::array();
  std::int64_t cursor = since;
  for (const Arrival& arrival : log.since(since, kApiMostArrivals)) {
    data.push_back(to_json(arrival));
    cursor = arrival.id;
  }
  return {{"data", std::move(data)}, {"cursor", cursor}};
}

nlohmann::ordered_json status_json(const CanaryStatus& status) {
  nlohmann::ordered_json up = nlohmann::ordered_json::object(), trouble = up, advertised = up;
  for (const CanaryKind kind : kCanaryKinds) {
    const CanaryHealth health = status.health(kind);
    if (!health.measured) continue;
    const std::string name(to_string(kind));
    up[name] = health.up;
    trouble[name] = health.trouble;
    advertised[name] = nlohmann::ordered_json::array();
    for (const AddressPort& place : status.advertised(kind)) advertised[name].push_back(place.to_string());
  }
  return {{"up", std::move(up)}, {"trouble", std::move(trouble)}, {"advertised", std::move(advertised)}};
}

ApiAnswer refuse(int status, const std::string& why) { return {status, nlohmann::ordered_json{{"error", why}}.dump(), ""}; }

}  // namespace

std::string authorise(const CanaryKeys& keys, const std::string& method, const std::string& path_query, const std::string& body,
                      Time now) {
  const std::string seconds = std::to_string(seconds_of(now));
  return seconds + ":" + mac(keys, method, path_query, seconds, body);
}

bool authorised(const CanaryKeys& keys, const std::string& method, const std::string& path_query, const std::string& header,
                const std::string& body, Time now) {
  const auto colon = header.find(':');
  if (colon == std::string::npos) return false;
  const std::string seconds = header.substr(0, colon);
  const std::optional<std::int64_t> said = number(seconds);
  if (!said || !equal_in_constant_time(header.substr(colon + 1), mac(keys, method, path_query, seconds, body))) return false;
  const std::int64_t here = seconds_of(now);
  return *said <= here + kApiTolerance.count() && *said >= here - kApiTolerance.count();
}

std::string authorise_answer(const CanaryKeys& keys, const std::string& request_header, int status, const std::string& body) {
  return to_hex(
      hmac_sha256(keys.api_key(), "answer\n" + request_header + "\n" + std::to_string(status) + "\n" + to_hex(sha256(body))));
}

ApiAnswer CanaryApi::answer(const std::string& method, const std::string& path_query, const std::string& auth,
                            const std::string& body) const {
  if (!authorised(keys_, method, path_query, auth, body, now_())) {
    return refuse(401, "Ajar-Auth is missing or wrong: the same canary secret and a right clock are needed on both hosts");
  }
  const auto mark = path_query.find('?');
  const std::string path = path_query.substr(0, mark);
  const std::string_view query = mark == std::string::npos ? std::string_view() : std::string_view(path_query).substr(mark + 1);
  ApiAnswer answer;
  if (method != "GET") {
    answer = refuse(405, "only GET");
  } else if (path == "/api/v1/arrivals") {
    const std::optional<std::int64_t> since = parameter(query, "since");
    answer =
        since ? ApiAnswer{200, arrivals_json(arrivals_, *since).dump(-1, ' ', true), ""} : refuse(400, "since=ID is missing");
  } else if (path == "/api/v1/canary") {
    answer.body = status_json(status_).dump(-1, ' ', true);
  } else {
    answer = refuse(404, "no such resource");
  }
  answer.auth = authorise_answer(keys_, auth, answer.status, answer.body);
  return answer;
}

}  // namespace ajar
