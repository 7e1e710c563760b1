// [[discovery]]: where targets are read from while the agent runs.
#include <map>

#include <fmt/format.h>

#include "config/sections.h"

namespace ajar {

namespace {

constexpr std::size_t kMostSources = 100;  // each is a series of some metrics, and each url a thread
constexpr std::size_t kLongestName = 100;
constexpr Duration kShortestRefresh = std::chrono::seconds(1), kLongestRefresh = std::chrono::hours(24);

// Exactly one of file, url and dns_srv; its key, or empty.
std::string read_source(Section& section, DiscoveryConfig& source) {
  section.text("file", source.file, read_discovery_file);
  section.text("url", source.url, read_discovery_url);
  section.text("dns_srv", source.dns_srv, read_service);
  std::string first;
  for (const char* key : {"file", "url", "dns_srv"}) {
    if (!section.has(key)) continue;
    if (!first.empty()) {
      section.wrong(section.place(key), key,
                    fmt::format("says again where targets are read from, beside `{}`: keep one, and write another "
                                "[[discovery]] for the other",
                                first));
    }
    if (first.empty()) first = key;
  }
  if (first.empty()) {
    section.errors().add(section.place(),
                         "[[discovery]] does not say where targets are read from: write file = \"targets/*.json\", or url or "
                         "dns_srv");
  }
  return first;
}

void read_credentials(Section& section, DiscoveryConfig& source) {
  section.text("ca_file", source.ca_file, read_words);
  section.text("cert_file", source.cert_file, read_words);
  section.text("key_file", source.key_file, read_words);
  section.text("bearer_token_file", source.bearer_token_file, read_words);
  Section basic = named_values(section, "basic_auth", "basic_auth = { username = \"ajar\", password_file = \"sd.password\" }");
  basic.text("username", source.username, read_words);
  basic.text("password_file", source.password_file, read_words);
  basic.finish();
  const auto pair = [&](const char* one, bool has_one, const char* other, bool has_other) {
    if (has_one && !has_other) section.wrong(section.place(one), one, fmt::format("needs `{}`: write it too", other));
  };
  pair("cert_file", !source.cert_file.empty(), "key_file", !source.key_file.empty());
  pair("key_file", !source.key_file.empty(), "cert_file", !source.cert_file.empty());
  if (source.username.empty() != source.password_file.empty()) {
    section.wrong(section.place("basic_auth"), "basic_auth", "needs `username` and `password_file`: write both");
  }
  if (source.username.find(':') != std::string::npos) {
    section.wrong(section.place("basic_auth"), "basic_auth", "has a username with a colon, which HTTP cannot say (RFC 7617 2)");
  }
  if (!source.bearer_token_file.empty() && !source.username.empty()) {
    section.wrong(section.place("bearer_token_file"), "bearer_token_file", "stands beside `basic_auth`: keep one of the two");
  }
  const bool secret = !source.bearer_token_file.empty() || !source.password_file.empty();
  if (secret && !source.url.empty() && !is_private_url(source.url)) {
    section.wrong(
        section.place("url"), "url",
        about(source.url, fmt::format("would be sent a password that everybody on the way can read: write \"https{}\"",
                                      source.url.substr(4))));
  }
}

// What is written and means nothing for this kind of source.
void refuse_useless(Section& section, const std::string& kind) {
  const auto refuse = [&](const char* key, std::string_view why) {
    if (section.has(key)) section.wrong(section.place(key), key, fmt::format("has no effect: {}; remove the line", why));
  };
  if (kind.empty()) return;
  if (kind == "dns_srv") refuse("refresh", "the DNS says how long its answer holds");
  if (kind == "url") return;
  for (const char* key : {"timeout", "ca_file", "cert_file", "key_file", "basic_auth", "bearer_token_file"}) {
    refuse(key, "it is for `url`");
  }
}

std::string usual_name(const DiscoveryConfig& source) {
  if (!source.file.empty()) return source.file;
  if (!source.dns_srv.empty()) return source.dns_srv;
  return source.url.substr(0, source.url.find('?'));  // what follows may be a secret
}

void read_one(Section& section, DiscoveryConfig& source) {
  const std::string kind = read_source(section, source);
  section.text("name", source.name, read_words);
  section.duration("refresh", source.refresh, kShortestRefresh, kLongestRefresh);
  section.duration("timeout", source.timeout, std::chrono::milliseconds(100), std::chrono::minutes(5));
  read_credentials(section, source);
  refuse_useless(section, kind);
  read_checks(section, source.checks, source.dnsbl);
  section.text("owner", source.owner, read_words);
  Section labels = named_values(section, "labels", "labels = { site = \"zrh\" }");
  read_labels(labels, source.labels);
  section.flag("ignore_ports", source.ignore_ports);
  if (section.has("name") && (source.name.empty() || source.name.size() > kLongestName)) {
    section.wrong(section.place("name"), "name",
                  fmt::format("must have 1 to {} bytes: it is a label of metrics", kLongestName));
  }
  if (source.name.empty()) source.name = usual_name(source);
  if (source.name.size() > kLongestName && !section.has("name")) {
    section.errors().add(section.place(), fmt::format("[[discovery]] needs a short `name`, which is a label of metrics: {} is "
                                                      "longer than {} bytes",
                                                      quote(source.name), kLongestName));
  }
}

}  // namespace

void read_discovery(std::vector<Section>& sections, Config& config) {
  std::map<std::string, unsigned> lines;
  for (Section& section : sections) {
    DiscoveryConfig& source = config.discovery.emplace_back();
    read_one(section, source);
    if (config.discovery.size() == kMostSources + 1) {
      section.errors().add(section.place(),
                           fmt::format("more than {} [[discovery]]: write one with a * for several files", kMostSources));
    }
    if (source.name.empty()) continue;
    const auto [first, fresh] = lines.emplace(source.name, section.place().line);
    if (fresh) continue;
    section.errors().add(section.place(),
                         fmt::format("[[discovery]] {} is there in line {} too: remove one, or give it a `name`",
                                     quote(source.name), first->second));
  }
}

}  // namespace ajar
