// What the operator writes, as plain structs, and the loader. Every error has file:line:column, what is wrong and what to
// write; all are reported at once.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "checks/catalogue.h"
#include "checks/ip_address.h"
#include "config/zones.h"

namespace ajar {

using Duration = std::chrono::milliseconds;

struct AgentConfig {
  std::string name;     // EHLO name; default: this machine's host name
  std::string contact;  // "mailto:sre@example.net"
  std::string vantage = "default";
  std::vector<IpAddress> source_addresses;
  Duration interval = std::chrono::hours(1);
  Duration full_matrix_interval = std::chrono::hours(24);
  Duration retry_interval = std::chrono::minutes(5);
  Duration sweep_interval = std::chrono::hours(24);  // of the ports of networks where nobody listens
  Duration connect_timeout = std::chrono::seconds(5);
  Duration reply_timeout = std::chrono::seconds(60);
  Duration probe_timeout = std::chrono::minutes(10);
  Duration reopen_within = std::chrono::hours(24);
  Duration case_retention = std::chrono::hours(24 * 400);
  Duration quarantine = std::chrono::hours(24 * 7);  // how long what crashed the agent twice is not asked
  unsigned concurrency = 1000;
  unsigned connections_per_second = 500;
  unsigned connections_per_second_per_address = 20;   // 0: no limit, of this and of the three that follow
  unsigned connections_per_second_per_network = 100;  // to one /24 or /64
  unsigned daily_connections_per_address = 100'000;   // in any 24 hours
  unsigned daily_bytes_per_address = 1'000'000'000;   // sent and received
  unsigned per_address = 1;
  unsigned threads = 1;
  std::string state = "ajar.db";  // path, relative to the configuration file's folder
  friend bool operator==(const AgentConfig&, const AgentConfig&) = default;
};

struct LogConfig {
  std::string level = "info";   // trace debug info warn error
  std::string format = "text";  // text | json
  friend bool operator==(const LogConfig&, const LogConfig&) = default;
};

struct WebConfig {
  std::vector<std::string> listen = {"127.0.0.1:9925"};  // "host:port", "[v6]:port", ":port"
  std::string external_url;
  std::string config_file;
  friend bool operator==(const WebConfig&, const WebConfig&) = default;
};

struct MetricsConfig {
  std::string detail = "auto";  // results | targets | auto
  friend bool operator==(const MetricsConfig&, const MetricsConfig&) = default;
};

// From one port to another, both among them.
struct PortRange {
  std::uint16_t first = 0, last = 0;  // 0: none
  bool empty() const { return first == 0; }
  friend bool operator==(const PortRange&, const PortRange&) = default;
};

struct CanaryConfig {
  std::vector<AddressPort> listen_tcp, listen_udp, listen_tls, listen_smtp;
  std::vector<AddressPort> advertise_tcp, advertise_udp, advertise_tls, advertise_smtp;
  PortRange reserved_ports{50000, 50015};  // lent to one question each, and open only meanwhile
  std::string host;
  std::string mail_domain;
  // What resolvers are asked for where `host` is empty, and the addresses that it has.
  std::string resolver_name;
  std::vector<IpAddress> resolver_answers;
  std::string secret_file = "canary.secret";  // path, relative to the configuration file's folder
  std::string remote;
  Duration delivery_timeout = std::chrono::minutes(15);
  Duration token_retention = std::chrono::hours(24 * 5);
  Duration message_interval = std::chrono::hours(24);
  friend bool operator==(const CanaryConfig&, const CanaryConfig&) = default;
};

// Exactly one of the four is set.
struct TargetPlace {
  std::string host;
  std::optional<IpAddress> address;
  std::optional<Cidr> network;
  std::string mx_of;
  friend bool operator==(const TargetPlace&, const TargetPlace&) = default;
};

struct TargetConfig {
  std::string name;
  TargetPlace place;
  std::vector<std::string> mail_domains;
  std::vector<std::string> control_recipients;
  std::vector<std::string> checks;                 // resolved, without "dnsbl": never empty unless written as []
  bool dnsbl = true;                               // whether public databases are asked about it: "dnsbl" among its checks
  std::map<std::string, std::vector<Port>> ports;  // by check: only what was written; others take the catalogue's
  std::map<std::string, Duration> intervals;       // by check: only what was written
  std::string owner;
  std::map<std::string, std::string> labels;
  bool paused = false;
  friend bool operator==(const TargetConfig&, const TargetConfig&) = default;
};

// Where targets are read from while the agent runs. Exactly one of file, url and dns_srv is set.
struct DiscoveryConfig {
  std::string name;     // unique; by default the pattern, the URL without its query, the service
  std::string file;     // file_sd: a path whose last part may hold one *; relative to the configuration's folder
  std::string url;      // http_sd
  std::string dns_srv;  // "_smtp._tcp.example.org"
  Duration refresh = std::chrono::minutes(1);  // of file: the second look, should the system not tell of a change
  // Of url alone. Paths, relative to the configuration file's folder; read at every request.
  Duration timeout = std::chrono::seconds(10);  // of the whole request
  std::string ca_file, cert_file, key_file;
  std::string username, password_file;  // basic_auth
  std::string bearer_token_file;
  // What an entry gets that does not say it itself.
  std::vector<std::string> checks;  // resolved, without "dnsbl"
  bool dnsbl = true;
  std::string owner;
  std::map<std::string, std::string> labels;
  bool ignore_ports = false;  // the ports of entries are those of an exporter
  friend bool operator==(const DiscoveryConfig&, const DiscoveryConfig&) = default;
};

struct ExemptionConfig {
  std::string target;
  std::string check;
  std::chrono::sys_days until;  // last day of validity, UTC
  std::string who;
  std::string why;
  friend bool operator==(const ExemptionConfig&, const ExemptionConfig&) = default;
};

// A database that is asked.
struct ZoneConfig {
  ZoneInfo info;         // of the catalogue, with what the file changes
  Duration interval{0};  // between two questions about one address
  std::string key_file;  // as written
  std::string key;       // secret; its content, once load_config has read it
  // The name below which questions are asked. With the key in it: for questions alone.
  std::string secret_zone() const { return key.empty() ? info.name : key + "." + info.name; }
  friend bool operator==(const ZoneConfig&, const ZoneConfig&) = default;
};

struct DnsblConfig {
  std::vector<AddressPort> resolvers;  // empty: those of this machine
  Duration interval = std::chrono::hours(1);
  bool lookup_private = false;            // also addresses that are not globally routable
  std::vector<ZoneConfig> zones;          // resolved, in the order of the catalogue, then of the file
  std::vector<std::string> accept_terms;  // names of zones
  friend bool operator==(const DnsblConfig&, const DnsblConfig&) = default;
};

struct ConfigError {
  std::string file;
  unsigned line = 0, column = 0;  // 0: no place in the file
  std::string message;            // "unknown key `scop`: did you mean `scope`?"
  std::string to_string() const;  // "ajar.toml:3:1: unknown key …"
  friend bool operator==(const ConfigError&, const ConfigError&) = default;
};

struct Config {
  std::string file;  // as given; empty for one made by `ajar check --scope`
  std::vector<Cidr> scope;
  AgentConfig agent;
  LogConfig log;
  WebConfig web;
  MetricsConfig metrics;
  CanaryConfig canary;
  std::vector<TargetConfig> targets;
  std::vector<DiscoveryConfig> discovery;
  std::vector<ExemptionConfig> exemptions;
  DnsblConfig dnsbl;
  std::vector<ConfigError> warnings;  // what is right and has no effect, for reasons that the operator may not know

  // The interval of one check of one target.
  Duration interval(const TargetConfig& target, const std::string& check) const;
  // The ports of one check of one target.
  std::vector<Port> ports(const TargetConfig& target, const std::string& check) const;
  const TargetConfig* find_target(std::string_view name) const;
  // A path of the file, made relative to the configuration file's folder.
  std::string path(const std::string& written) const;
  friend bool operator==(const Config&, const Config&) = default;
};

// The whole configuration, or every error in it (in order of appearance).
// load_config also reads the files of keys; parse_config reads nothing.
std::variant<Config, std::vector<ConfigError>> load_config(const std::string& file);
std::variant<Config, std::vector<ConfigError>> parse_config(std::string_view text, const std::string& file);

// "500ms", "30s", "1h30m", "7d"; nullopt for anything else, overflow, or under 100ms.
std::optional<Duration> parse_duration(std::string_view text);
std::string format_duration(Duration duration);  // the shortest form that parses back: "1h30m"
// "25", "465/tls", "3478/udp", "3478/tcp".
std::optional<Port> parse_port(std::string_view text);
std::string format_port(const Port& port);
// The closest of `words` to `word`, when near enough to be a typing error.
std::optional<std::string> did_you_mean(std::string_view word, const std::vector<std::string>& words);

}  // namespace ajar
