#include "agent/canary_main.h"

#include <charconv>
#include <csignal>
#include <cstdio>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <httplib.h>
#include <spdlog/spdlog.h>

#include "agent/canary_api.h"
#include "agent/canary_server.h"

namespace ajar {
namespace {

// "127.0.0.1:9925", "[::1]:9925", ":9925".
std::pair<std::string, int> host_and_port(const std::string& text) {
  const auto colon = text.rfind(':');
  int port = -1;
  if (colon != std::string::npos) {
    const auto [end, error] = std::from_chars(text.data() + colon + 1, text.data() + text.size(), port);
    if (error != std::errc() || end != text.data() + text.size() || port > 65535) port = -1;
  }
  if (port < 0) throw CanaryError(fmt::format("web.listen {}: write HOST:PORT, [ADDRESS]:PORT or :PORT", text));
  std::string host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  return {host.empty() ? "0.0.0.0" : host, port};
}

// The API on every address of web.listen; stops when destroyed.
class ApiServers {
 public:
  ApiServers(const std::vector<std::string>& listen, const CanaryApi& api) {
    for (const std::string& place : listen) add(place, api);
  }
  ~ApiServers() {
    for (const auto& server : servers_) server->stop();
    for (std::thread& thread : threads_) thread.join();
  }

 private:
  void add(const std::string& place, const CanaryApi& api) {
    const auto [host, port] = host_and_port(place);
    auto server = std::make_unique<httplib::Server>();
    server->new_task_queue = [] { return new httplib::ThreadPool(16); };
    server->set_keep_alive_timeout(1);
    server->set_read_timeout(2);
    server->set_write_timeout(2);
    server->set_payload_max_length(1024);
    const auto handler = [&api](const httplib::Request& request, httplib::Response& response) {
      const ApiAnswer answer =
          api.answer(request.method, request.target, request.get_header_value(kApiAuthHeader), request.body);
      response.status = answer.status;
      if (!answer.auth.empty()) response.set_header(kApiAuthHeader, answer.auth);
      response.set_header("Cache-Control", "no-store");
      response.set_content(answer.body, "application/json");
    };
    server->Get("/-/healthy",
                [](const httplib::Request&, httplib::Response& response) { response.set_content("ok\n", "text/plain"); });
    server->Get("/api/v1/.*", handler);
    server->Post("/api/v1/.*", handler);
    // Without SO_REUSEPORT, httplib's default: a port that is taken must be noticed.
    server->set_socket_options([](socket_t socket) {
      const int on = 1;
      ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    });
    if (!server->bind_to_port(host, port)) {
      throw CanaryError(
          fmt::format("web.listen {}: cannot listen there: is another program there (ss -ltnp), or not an address of this "
                      "machine, or a port below 1024?",
                      place));
    }
    threads_.emplace_back([raw = server.get()] { raw->listen_after_bind(); });
    servers_.push_back(std::move(server));
  }

  std::vector<std::unique_ptr<httplib::Server>> servers_;
  std::vector<std::thread> threads_;
};

void serve(const Config& config) {
  const std::string secret = config.path(config.canary.secret_file);
  const CanaryKeys keys = CanaryKeys::load(secret);
  Loop loop;
  CanaryServerOptions options;
  options.config = config.canary;
  options.agent_name = config.agent.name;
  options.contact = config.agent.contact;
  options.arrivals_file = secret + ".arrivals";
  CanaryServer canary(loop, keys, options);
  const CanaryApi api(keys, canary, canary.arrivals(), wall_now, lender_of(loop, canary));
  const ApiServers servers(config.web.listen, api);
  if (!config.web.config_file.empty())
    spdlog::warn("web.config_file is not used by `ajar canary`: the canary secret guards its API");
  for (const int signal : {SIGTERM, SIGINT}) {
    loop.on_signal(signal, [&loop] {
      loop.shut_down();
      loop.stop();
    });
  }
  for (const CanaryKind kind : kCanaryKinds) {
    for (const AddressPort& place : canary.listening(kind))
      spdlog::info("canary: {} on {}", to_string(kind), place.to_string());
  }
  loop.run();
  spdlog::info("canary: stopped");
}

}  // namespace

int run_canary(const Config& config) {
  std::signal(SIGPIPE, SIG_IGN);
  try {
    serve(config);
    return 0;
  } catch (const SecretError& error) {
    fmt::print(stderr, "ajar: {}\n", error.what());
  } catch (const CanaryError& error) {
    fmt::print(stderr, "ajar: {}\n", error.what());
  } catch (const ArrivalLogError& error) {
    fmt::print(stderr, "ajar: {}\n", error.what());
  }
  return 3;
}

}  // namespace ajar
