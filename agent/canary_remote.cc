#include "agent/canary_remote.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <thread>

#include <fmt/format.h>
#include <httplib.h>
#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include "agent/canary_api.h"
#include "agent/json.h"
#include "agent/live_network.h"

namespace ajar {
namespace {

constexpr std::size_t kMaxAnswer = 8 * 1024 * 1024;

// The remote gives no right answer; what() says why.
class RemoteError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A request to lend a port, or to take one back. Under the state's mutex once it is queued.
struct PortRequest {
  std::string path_query;
  bool done = false;
  std::optional<AddressPort> place;
};

}  // namespace

struct RemoteCanary::State {
  State(Loop& on, CanaryKeys with, RemoteCanaryOptions how) : loop(on), keys(with), options(std::move(how)) {}

  Loop& loop;
  const CanaryKeys keys;
  RemoteCanaryOptions options;
  mutable std::mutex mutex;
  std::condition_variable wake;
  // Under mutex.
  bool stopping = false;
  bool finished = false;
  std::map<CanaryKind, CanaryHealth> health;
  std::map<CanaryKind, std::vector<AddressPort>> advertised;
  Steady::time_point last_answer = Steady::now();
  std::string trouble;
  std::deque<std::shared_ptr<PortRequest>> requests;

  nlohmann::json ask(httplib::Client& client, const std::string& method, const std::string& path_query) const;
  nlohmann::json get(httplib::Client& client, const std::string& path_query) const { return ask(client, "GET", path_query); }
  void prepare(httplib::Client& client) const;
  std::shared_ptr<PortRequest> request(std::string path_query);
  bool taken(const PortRequest& request) const;
  void serve_requests();
  void serve(PortRequest& request);
  void take_status(const nlohmann::json& json);
  bool take_arrivals(const std::shared_ptr<State>& self, const nlohmann::json& json, std::int64_t& cursor);
  void poll(const std::shared_ptr<State>& self);
  void run(const std::shared_ptr<State>& self);
};

nlohmann::json RemoteCanary::State::ask(httplib::Client& client, const std::string& method,
                                        const std::string& path_query) const {
  const std::string auth = authorise(keys, method, path_query, "", options.now());
  std::string body;
  httplib::Request request;
  request.method = method;
  request.path = path_query;
  request.headers = {{kApiAuthHeader, auth}};
  request.content_receiver = [&body](const char* data, std::size_t length, std::uint64_t, std::uint64_t) {
    if (body.size() + length > kMaxAnswer) return false;
    body.append(data, length);
    return true;
  };
  const auto result = client.send(request);
  if (!result) throw RemoteError("no answer: " + httplib::to_string(result.error()));
  if (result->status == 401) throw RemoteError("it refuses us: the canary secret or the clock differs between the two hosts");
  if (result->status != 200) throw RemoteError(fmt::format("it answers {}: is an ajar canary there?", result->status));
  if (!equal_in_constant_time(result->get_header_value(kApiAuthHeader), authorise_answer(keys, auth, result->status, body))) {
    throw RemoteError("its answer is not authentic: is an ajar canary with our secret there?");
  }
  return nlohmann::json::parse(body);
}

void RemoteCanary::State::take_status(const nlohmann::json& json) {
  const std::lock_guard lock(mutex);
  for (const CanaryKind kind : kCanaryKinds) {
    const std::string name(to_string(kind));
    health.erase(kind);
    advertised.erase(kind);
    if (!json.at("up").contains(name)) continue;
    const bool up = json.at("up").at(name).get<bool>();
    std::string why = up ? std::string() : escape(json.at("trouble").at(name).get<std::string>());
    health[kind] = {true, up, std::move(why)};
    for (const auto& place : json.at("advertised").at(name)) {
      const auto parsed = AddressPort::parse(place.get<std::string>());
      if (parsed) advertised[kind].push_back(*parsed);
    }
  }
  if (!trouble.empty()) spdlog::info("canary.remote {}: answers again", options.url);
  trouble.clear();
  last_answer = Steady::now();
}

// True: there may be more.
bool RemoteCanary::State::take_arrivals(const std::shared_ptr<State>& self, const nlohmann::json& json, std::int64_t& cursor) {
  std::vector<Arrival> arrivals;
  for (const auto& one : json.at("data")) arrivals.push_back(parse_arrival(one.dump()));
  const auto next = json.at("cursor").get<std::int64_t>();
  if (arrivals.empty() || next <= cursor) return false;
  cursor = next;
  const bool more = arrivals.size() >= kApiMostArrivals;
  const std::lock_guard lock(mutex);
  if (stopping) return false;
  loop.post([self, arrivals = std::move(arrivals), next] {
    {
      const std::lock_guard inner(self->mutex);
      if (self->stopping) return;
    }
    if (self->options.arrived) self->options.arrived(arrivals, next);
  });
  return more;
}

void RemoteCanary::State::prepare(httplib::Client& client) const {
  if (!client.is_valid()) throw RemoteError("not a URL that can be asked: write https://HOST:PORT");
  client.set_connection_timeout(2);
  client.set_read_timeout(2);
  client.set_write_timeout(2);
}

std::shared_ptr<PortRequest> RemoteCanary::State::request(std::string path_query) {
  constexpr std::size_t kMost = 1000;  // while the remote does not answer
  auto request = std::make_shared<PortRequest>();
  request->path_query = std::move(path_query);
  const std::lock_guard lock(mutex);
  if (stopping || requests.size() >= kMost) {
    request->done = true;
  } else {
    requests.push_back(request);
    wake.notify_all();
  }
  return request;
}

bool RemoteCanary::State::taken(const PortRequest& request) const {
  const std::lock_guard lock(mutex);
  return request.done;
}

void RemoteCanary::State::serve_requests() {
  for (;;) {
    std::shared_ptr<PortRequest> next;
    {
      const std::lock_guard lock(mutex);
      if (stopping || requests.empty()) return;
      next = requests.front();
      requests.pop_front();
    }
    serve(*next);
  }
}

void RemoteCanary::State::serve(PortRequest& request) {
  std::optional<AddressPort> place;
  try {
    httplib::Client client(options.url);
    prepare(client);
    const nlohmann::json json = ask(client, "POST", request.path_query);
    if (json.contains("address") && json["address"].is_string()) place = AddressPort::parse(json["address"].get<std::string>());
  } catch (const std::exception& error) {
    spdlog::warn("canary.remote {}: no port for a question: {}", options.url, escape(error.what()));
  }
  const std::lock_guard lock(mutex);
  request.place = place;
  request.done = true;
}

void RemoteCanary::State::poll(const std::shared_ptr<State>& self) {
  try {
    httplib::Client client(options.url);
    prepare(client);
    take_status(get(client, "/api/v1/canary"));
    bool more = true;
    for (int pages = 0; more && pages < 100; ++pages) {
      const nlohmann::json json = get(client, fmt::format("/api/v1/arrivals?since={}&wait=0", options.cursor));
      more = take_arrivals(self, json, options.cursor);
    }
  } catch (const std::exception& error) {
    const std::lock_guard lock(mutex);
    const std::string what = escape(error.what());
    if (trouble != what) spdlog::warn("canary.remote {}: {}", options.url, what);
    trouble = what;
  }
}

void RemoteCanary::State::run(const std::shared_ptr<State>& self) {
  for (;;) {
    poll(self);
    const auto next = Steady::now() + options.poll_interval;
    while (Steady::now() < next) {
      serve_requests();
      std::unique_lock lock(mutex);
      wake.wait_until(lock, next, [this] { return stopping || !requests.empty(); });
      if (stopping) break;
    }
    const std::lock_guard lock(mutex);
    if (stopping) break;
  }
  const std::lock_guard lock(mutex);
  finished = true;
  wake.notify_all();
}

// The thread is never joined: a name server or peer that hangs must not hold up the end of the agent. It holds its own share of
// the state and touches the loop only under the mutex and while not stopping.
RemoteCanary::RemoteCanary(Loop& loop, CanaryKeys keys, RemoteCanaryOptions options)
    : state_(std::make_shared<State>(loop, keys, std::move(options))) {
  std::thread([state = state_] { state->run(state); }).detach();
}

RemoteCanary::~RemoteCanary() {
  std::unique_lock lock(state_->mutex);
  state_->stopping = true;
  state_->wake.notify_all();
  state_->wake.wait_for(lock, std::chrono::seconds(3), [this] { return state_->finished; });
}

namespace {

// Asks again while all are lent, as long as CanaryServer::reserve() would wait.
Task<std::optional<AddressPort>> borrow(std::shared_ptr<RemoteCanary::State> state, Loop& loop, std::string path_query) {
  constexpr std::chrono::milliseconds kPatience{10'000}, kLook{20}, kAgain{500};
  const auto until = loop.now() + kPatience;
  while (loop.now() < until) {
    const std::shared_ptr<PortRequest> request = state->request(path_query);
    while (!state->taken(*request)) {
      const bool go_on = co_await loop.sleep_for(kLook);
      if (!go_on) co_return std::nullopt;
    }
    if (request->place) co_return request->place;
    const bool go_on = co_await loop.sleep_for(kAgain);
    if (!go_on) break;
  }
  co_return std::nullopt;
}

}  // namespace

Task<std::optional<AddressPort>> RemoteCanary::reserve(std::string token, bool v4, std::optional<IpAddress> asker) const {
  return borrow(state_, state_->loop, reserve_request(token, v4, asker));
}

void RemoteCanary::release(const std::string& token) const { state_->request(fmt::format("{}?token={}", kApiRelease, token)); }

CanaryHealth RemoteCanary::health(CanaryKind kind) const {
  const std::lock_guard lock(state_->mutex);
  if (Steady::now() - state_->last_answer > state_->options.down_after) {
    return {true, false, fmt::format("canary.remote {}: {}", state_->options.url, state_->trouble)};
  }
  const auto found = state_->health.find(kind);
  return found == state_->health.end() ? CanaryHealth{} : found->second;
}

std::vector<AddressPort> RemoteCanary::advertised(CanaryKind kind) const {
  const std::lock_guard lock(state_->mutex);
  const auto found = state_->advertised.find(kind);
  return found == state_->advertised.end() ? std::vector<AddressPort>{} : found->second;
}

}  // namespace ajar
