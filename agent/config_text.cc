// The configuration in its own notation, for /config: what is in force, not what was written.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include "agent/pages.h"

namespace ajar {
namespace {

// A basic string of TOML 1.0.
std::string quote(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7F) {
      out += fmt::format("\\u{:04X}", byte);
    } else {
      out += c;
    }
  }
  return out + '"';
}

// A key, bare where TOML allows it.
std::string key_text(const std::string& key) {
  const bool bare = !key.empty() && key.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") ==
                                        std::string::npos;
  return bare ? key : quote(key);
}

template <typename Items, typename Text>
std::string array(const Items& items, Text text) {
  std::string out;
  for (const auto& item : items) out += (out.empty() ? "" : ", ") + quote(text(item));
  return "[" + out + "]";
}

std::string strings(const std::vector<std::string>& items) {
  return array(items, [](const std::string& item) { return item; });
}

std::string duration(Duration value) { return quote(format_duration(value)); }

std::string inline_table(const std::map<std::string, std::string>& values) {
  std::string out;
  for (const auto& [key, value] : values)
    out += fmt::format("{}{} = {}", out.empty() ? " " : ", ", key_text(key), quote(value));
  return out.empty() ? "{}" : "{" + out + " }";
}

// The password of "https://user:password@host/", in whatever key it stands.
std::string without_password(const std::string& url) {
  const std::size_t scheme = url.find("://");
  const std::size_t at = url.find('@');
  if (scheme == std::string::npos || at == std::string::npos || at < scheme) return url;
  return url.substr(0, scheme + 3) + "<secret>" + url.substr(at);
}

class Writer {
 public:
  void section(std::string_view header) { text_ += fmt::format("{}{}\n", text_.empty() ? "" : "\n", header); }
  void put(std::string_view key, std::string_view value) { text_ += fmt::format("{} = {}\n", key, value); }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

void put_agent(Writer& out, const AgentConfig& agent) {
  out.section("[agent]");
  out.put("name", quote(agent.name));
  out.put("contact", quote(agent.contact));
  out.put("vantage", quote(agent.vantage));
  out.put("source_addresses", array(agent.source_addresses, [](const IpAddress& a) { return a.to_string(); }));
  out.put("interval", duration(agent.interval));
  out.put("full_matrix_interval", duration(agent.full_matrix_interval));
  out.put("retry_interval", duration(agent.retry_interval));
  out.put("sweep_interval", duration(agent.sweep_interval));
  out.put("connect_timeout", duration(agent.connect_timeout));
  out.put("reply_timeout", duration(agent.reply_timeout));
  out.put("probe_timeout", duration(agent.probe_timeout));
  out.put("reopen_within", duration(agent.reopen_within));
  out.put("case_retention", duration(agent.case_retention));
  out.put("quarantine", duration(agent.quarantine));
  out.put("concurrency", fmt::to_string(agent.concurrency));
  out.put("connections_per_second", fmt::to_string(agent.connections_per_second));
  out.put("connections_per_second_per_address", fmt::to_string(agent.connections_per_second_per_address));
  out.put("connections_per_second_per_network", fmt::to_string(agent.connections_per_second_per_network));
  out.put("daily_connections_per_address", fmt::to_string(agent.daily_connections_per_address));
  out.put("daily_bytes_per_address", fmt::to_string(agent.daily_bytes_per_address));
  out.put("per_address", fmt::to_string(agent.per_address));
  out.put("threads", fmt::to_string(agent.threads));
  out.put("state", quote(agent.state));
}

void put_canary(Writer& out, const CanaryConfig& canary) {
  const auto addresses = [](const std::vector<AddressPort>& list) {
    return array(list, [](const AddressPort& a) { return a.to_string(); });
  };
  out.section("[canary]");
  out.put("listen_tcp", addresses(canary.listen_tcp));
  out.put("listen_udp", addresses(canary.listen_udp));
  out.put("listen_tls", addresses(canary.listen_tls));
  out.put("listen_smtp", addresses(canary.listen_smtp));
  out.put("advertise_tcp", addresses(canary.advertise_tcp));
  out.put("advertise_udp", addresses(canary.advertise_udp));
  out.put("advertise_tls", addresses(canary.advertise_tls));
  out.put("advertise_smtp", addresses(canary.advertise_smtp));
  const PortRange& ports = canary.reserved_ports;
  out.put("reserved_ports", quote(ports.empty() ? "" : fmt::format("{}-{}", ports.first, ports.last)));
  out.put("host", quote(canary.host));
  out.put("mail_domain", quote(canary.mail_domain));
  out.put("resolver_name", quote(canary.resolver_name));
  out.put("resolver_answers", array(canary.resolver_answers, [](const IpAddress& a) { return a.to_string(); }));
  out.put("secret_file", "\"<secret>\"");
  out.put("remote", quote(without_password(canary.remote)));
  out.put("delivery_timeout", duration(canary.delivery_timeout));
  out.put("token_retention", duration(canary.token_retention));
  out.put("message_interval", duration(canary.message_interval));
}

// Zones as they are in force. A key is in no line: only where its file is.
void put_dnsbl(Writer& out, const DnsblConfig& dnsbl) {
  out.section("[dnsbl]");
  out.put("resolvers", array(dnsbl.resolvers, [](const AddressPort& a) { return a.to_string(); }));
  out.put("interval", duration(dnsbl.interval));
  out.put("lookup_private", dnsbl.lookup_private ? "true" : "false");
  out.put("accept_terms", strings(dnsbl.accept_terms));
  out.put("zones", array(dnsbl.zones, [](const ZoneConfig& zone) { return zone.info.name; }));
  for (const ZoneConfig& zone : dnsbl.zones) {
    const ZoneInfo* known = find_zone(zone.info.name);
    if (known != nullptr && *known == zone.info && zone.key_file.empty() && zone.interval == dnsbl.interval) continue;
    out.section("[[dnsbl.zone]]");
    out.put("name", quote(zone.info.name));
    out.put("query", zone.info.domain ? "\"domain\"" : "\"ip\"");
    out.put("ipv6", zone.info.ipv6 ? "true" : "false");
    out.put("test_points", zone.info.test_points ? "\"rfc5782\"" : "\"none\"");
    out.put("tier", quote(to_string(zone.info.rules.tier)));
    out.put("interval", duration(zone.interval));
    if (!zone.key_file.empty()) out.put("key_file", quote(zone.key_file));
    std::string codes;
    for (const CodeRule& rule : zone.info.rules.codes) {
      codes += fmt::format("{} {} = {}", codes.empty() ? "" : ",", quote(rule.pattern.text()), quote(rule.meaning));
    }
    out.put("codes", fmt::format("{{{} }}", codes));
  }
}

void put_target(Writer& out, const Config& config, const TargetConfig& target) {
  out.section("[[target]]");
  out.put("name", quote(target.name));
  const char* kind = !target.place.host.empty() ? "host"
                     : target.place.address     ? "address"
                     : target.place.network     ? "network"
                                                : "mx_of";
  out.put(kind, quote(place_text(target.place)));
  if (!target.mail_domains.empty()) out.put("mail_domains", strings(target.mail_domains));
  if (!target.control_recipients.empty()) out.put("control_recipients", strings(target.control_recipients));
  std::vector<std::string> checks = target.checks;
  if (target.dnsbl) checks.emplace_back("dnsbl");
  out.put("checks", strings(checks));
  for (const std::string& check : target.checks) {
    out.put("ports." + check, array(config.ports(target, check), [](const Port& port) { return format_port(port); }));
    out.put("intervals." + check, duration(config.interval(target, check)));
  }
  out.put("owner", quote(target.owner));
  out.put("labels", inline_table(target.labels));
  out.put("paused", target.paused ? "true" : "false");
}

// What stands behind the ? of a URL may be a key.
std::string without_query(const std::string& url) {
  const std::size_t query = url.find('?');
  return query == std::string::npos ? url : url.substr(0, query) + "?<secret>";
}

void put_discovery(Writer& out, const DiscoveryConfig& source) {
  out.section("[[discovery]]");
  out.put("name", quote(source.name));
  if (!source.file.empty()) out.put("file", quote(source.file));
  if (!source.dns_srv.empty()) out.put("dns_srv", quote(source.dns_srv));
  if (source.dns_srv.empty()) out.put("refresh", duration(source.refresh));
  if (!source.url.empty()) {
    out.put("url", quote(without_query(source.url)));
    out.put("timeout", duration(source.timeout));
    const std::pair<const char*, const std::string&> files[] = {{"ca_file", source.ca_file},
                                                                {"cert_file", source.cert_file},
                                                                {"key_file", source.key_file},
                                                                {"bearer_token_file", source.bearer_token_file}};
    for (const auto& [key, file] : files) {
      if (!file.empty()) out.put(key, quote(file));
    }
    if (!source.username.empty()) {
      out.put("basic_auth", inline_table({{"username", source.username}, {"password_file", source.password_file}}));
    }
  }
  std::vector<std::string> checks = source.checks;
  if (source.dnsbl) checks.emplace_back("dnsbl");
  out.put("checks", strings(checks));
  out.put("owner", quote(source.owner));
  out.put("labels", inline_table(source.labels));
  out.put("ignore_ports", source.ignore_ports ? "true" : "false");
}

}  // namespace

std::string config_text(const Config& config) {
  Writer out;
  out.put("scope", array(config.scope, [](const Cidr& network) { return network.to_string(); }));
  put_agent(out, config.agent);
  out.section("[log]");
  out.put("level", quote(config.log.level));
  out.put("format", quote(config.log.format));
  out.section("[web]");
  out.put("listen", strings(config.web.listen));
  out.put("external_url", quote(without_password(config.web.external_url)));
  out.put("config_file", quote(config.web.config_file));
  out.section("[metrics]");
  out.put("detail", quote(config.metrics.detail));
  put_canary(out, config.canary);
  for (const TargetConfig& target : config.targets) put_target(out, config, target);
  for (const DiscoveryConfig& source : config.discovery) put_discovery(out, source);
  put_dnsbl(out, config.dnsbl);
  for (const ExemptionConfig& exemption : config.exemptions) {
    out.section("[[exemption]]");
    out.put("target", quote(exemption.target));
    out.put("check", quote(exemption.check));
    out.put("until", fmt::format("{:%Y-%m-%d}", fmt::gmtime(std::chrono::system_clock::to_time_t(exemption.until))));
    out.put("who", quote(exemption.who));
    out.put("why", quote(exemption.why));
  }
  return out.take();
}

}  // namespace ajar
