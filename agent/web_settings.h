// web.yml in force: read, checked, with its certificates loaded; taken anew while the agent runs when a file changes.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <openssl/ssl.h>

#include "agent/time.h"
#include "config/web_file.h"

namespace ajar {

// Immutable. Whoever uses `tls` keeps the whole object: the context refers to `file`.
struct WebSettings {
  WebFile file;
  std::shared_ptr<SSL_CTX> tls;  // nullptr: plain HTTP
  std::optional<Time> expiry;    // of the certificate; nullopt: without TLS
};

struct LoadedWebSettings {
  std::shared_ptr<const WebSettings> settings;  // nullptr: see errors
  std::vector<ConfigError> errors;              // in order of appearance
  std::vector<std::string> paths;               // files that were read
  std::string stamp;                            // of these, as they were before they were read
};

// Reads web.yml and what it names; `file` empty: neither TLS nor passwords. TLS 1.2 at least, no compression, renegotiation
// or resumption.
LoadedWebSettings load_web_settings(const std::string& file);

// The protocol (ALPN) by which our own programs on this machine are let in where clients must have a certificate: they may
// only make requests that are signed with the canary secret.
inline constexpr const char* kOwnProtocol = "ajar";
// Whether the connection was let in so.
bool is_own_client(const SSL* ssl);

// Any thread.
class LiveWebSettings {
 public:
  using Steady = std::chrono::steady_clock;
  static constexpr std::chrono::seconds kLookAgain{1};

  explicit LiveWebSettings(std::string file, LoadedWebSettings loaded, std::function<Steady::time_point()> now = Steady::now);

  // What is in force. Looks at the files at most once in kLookAgain. What is broken is said in the log and changes nothing;
  // nor does a file that takes protection away (no TLS, no users, no client certificates): it may be half written. That takes
  // take_over().
  std::shared_ptr<const WebSettings> current();
  // Puts settings that were loaded right in force.
  void take_over(LoadedWebSettings loaded);

 private:
  void look();

  const std::string file_;
  const std::function<Steady::time_point()> now_;
  std::mutex looking_;  // held by the one that reads files
  std::mutex mutex_;
  std::shared_ptr<const WebSettings> settings_;
  std::vector<std::string> paths_;  // of the last attempt
  std::string stamp_;
  Steady::time_point next_look_;
};

}  // namespace ajar
