#include "agent/canary_api.h"

#include <charconv>
#include <future>
#include <memory>
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

// The value of `name` in a query of plain words; empty: it is not there.
std::string_view parameter(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), pair.size() + 1));
    if (pair.size() > name.size() && pair.starts_with(name) && pair[name.size()] == '=') return pair.substr(name.size() + 1);
  }
  return {};
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

std::string reserve_request(const std::string& token, bool v4, const std::optional<IpAddress>& asker) {
  std::string request = fmt::format("{}?token={}&v4={}", kApiReserve, token, v4 ? 1 : 0);
  if (asker) request += "&asker=" + asker->to_string();
  return request;
}

std::string authorise_answer(const CanaryKeys& keys, const std::string& request_header, int status, const std::string& body) {
  return to_hex(
      hmac_sha256(keys.api_key(), "answer\n" + request_header + "\n" + std::to_string(status) + "\n" + to_hex(sha256(body))));
}

ApiAnswer CanaryApi::get(const std::string& path, std::string_view query) const {
  if (path == "/api/v1/canary") return {200, status_json(status_).dump(-1, ' ', true), ""};
  if (path != "/api/v1/arrivals") return refuse(404, "no such resource");
  const std::optional<std::int64_t> since = number(parameter(query, "since"));
  if (!since) return refuse(400, "since=ID is missing");
  return {200, arrivals_json(arrivals_, *since).dump(-1, ' ', true), ""};
}

ApiAnswer CanaryApi::lend(const std::string& path, std::string_view query) const {
  const std::string token(parameter(query, "token"));
  if (keys_.check(token, now_()) != TokenState::valid) return refuse(400, "token=TOKEN is missing or none of ours");
  if (path == kApiRelease) {
    if (lender_.release) lender_.release(token);
    return {200, "{}", ""};
  }
  std::optional<AddressPort> place;
  const std::optional<IpAddress> asker = IpAddress::parse(std::string(parameter(query, "asker")));  // an older agent says none
  if (lender_.reserve) place = lender_.reserve(token, parameter(query, "v4") == "1", asker);
  nlohmann::ordered_json json = {{"address", nullptr}};
  if (place) json["address"] = place->to_string();
  return {200, json.dump(), ""};
}

// What was asked on a loop that has stopped is never answered: hence the bound.
PortLender lender_of(Loop& loop, CanaryServer& canary) {
  constexpr std::chrono::seconds kPatience{2};
  PortLender lender;
  lender.reserve = [&loop, &canary, kPatience](const std::string& token, bool v4,
                                               std::optional<IpAddress> asker) -> std::optional<AddressPort> {
    const auto promise = std::make_shared<std::promise<std::optional<AddressPort>>>();
    std::future<std::optional<AddressPort>> future = promise->get_future();
    loop.post([&canary, promise, token, v4, asker] { promise->set_value(canary.try_reserve(token, v4, asker)); });
    if (future.wait_for(kPatience) != std::future_status::ready) return std::nullopt;
    return future.get();
  };
  lender.release = [&loop, &canary](const std::string& token) { loop.post([&canary, token] { canary.release(token); }); };
  return lender;
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
  if (path == kApiReserve || path == kApiRelease) {
    answer = method == "POST" ? lend(path, query) : refuse(405, "only POST");
  } else {
    answer = method == "GET" ? get(path, query) : refuse(405, "only GET");
  }
  answer.auth = authorise_answer(keys_, auth, answer.status, answer.body);
  return answer;
}

}  // namespace ajar
