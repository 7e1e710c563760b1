// The HTTP server: pages, metrics, the JSON API and the few things that may be asked of a running agent (contract: HTTP).
//
// Guards, because cpp-httplib gives each connection a thread: threads as they are needed, up to kMaxConnections; short waits
// for a silent client, in a TLS handshake too (WebConnection); a page is compressed once for all who ask at the same time;
// nothing here waits for the loop thread longer than a callback of WebState does.
//
// With web.config_file (web.yml) it speaks TLS and asks for passwords: agent/web_settings loads, agent/access decides.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "agent/ledger.h"
#include "agent/metrics.h"
#include "agent/target_view.h"
#include "agent/web_settings.h"

namespace ajar {

struct DiscoveryView;
struct ZonesView;

// A request of one ajar to another: arrivals of a remote canary, results that `ajar check` stores.
struct ApiRequest {
  std::string method;  // "GET", "POST"
  std::string path;    // "/api/v1/arrivals", decoded
  std::string query;   // as sent, without '?'
  std::string target;  // path and query exactly as sent: what a signature covers
  std::string auth;    // the Ajar-Auth header; may be empty
  std::string body;
};

struct ApiReply {
  int status = 200;
  std::string body;
  std::string content_type = "application/json";
  std::string auth = {};  // its Ajar-Auth header, where it is authenticated
};

// What POST /probe came to.
enum class ProbeNow { accepted, limited, unknown, used_up };

// The agent as the server sees it. Every function may be called from any thread, several at once, and must return soon. The
// referred objects outlive the Web.
struct WebState {
  const Ledger& ledger;
  Metrics& metrics;
  std::function<std::shared_ptr<const Config>()> config;        // the one in force
  std::function<std::shared_ptr<const TargetViews>()> targets;  // declared and discovered, in order; never null
  std::function<bool()> ready;
  // Loads the configuration again: nullopt, or every error as text.
  std::function<std::optional<std::string>()> reload;
  std::function<void(bool)> set_paused;
  // Runs the checks of a target (or one) now. Limits its own rate.
  std::function<ProbeNow(const std::string& target, const std::optional<std::string>& check)> probe_now;
  // Answers /api/v1/{arrivals,canary,messages}, a POST of /api/v1/{results,suspicions}, and /api/v1/results with an Ajar-Auth
  // header; checks the authentication itself. Absent: 404.
  std::function<ApiReply(const ApiRequest&)> internal_api;
  WallClock now = wall_now;
  // What public databases say; absent or nullptr: none is asked.
  std::function<std::shared_ptr<const ZonesView>()> zones = {};
  // What the sources of targets say; absent or nullptr: there are none.
  std::function<std::shared_ptr<const DiscoveryView>()> discovery = {};
};

// An address cannot be listened on, or the configuration asks for what this server cannot do. what() names the key and the
// remedy.
class WebError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Web {
 public:
  static constexpr std::size_t kMaxConnections = 512;
  static constexpr std::size_t kMaxBody = 4 * 1024 * 1024;

  // Listens on every address of `config`, or on none: WebError. Serves from then on, on its own threads. SIGPIPE is ignored
  // from here on. web.config_file is read relative to the configuration's folder.
  Web(WebState state, const WebConfig& config);
  // Stops. No callback runs after it.
  ~Web();
  Web(const Web&) = delete;
  Web& operator=(const Web&) = delete;

  // Stops listening; requests that run end within about two seconds, later ones are refused. May be called twice.
  void stop();
  // Where it listens, with the ports that the kernel chose for port 0: "127.0.0.1:9925".
  std::vector<std::string> addresses() const;
  // "http", or "https" where web.yml has TLS.
  std::string scheme() const;
  // Puts a web.yml that was loaded right in force, whatever it takes away.
  void take_over(LoadedWebSettings loaded);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace ajar
