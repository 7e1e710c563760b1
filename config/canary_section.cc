// [canary]: our own listeners, and what tested servers know of them.
#include <algorithm>

#include <fmt/format.h>

#include "config/sections.h"

namespace ajar {

namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

struct Listeners {
  std::string_view key;
  const std::vector<AddressPort>& addresses;
};

// Two TCP listeners that cannot both have their port: one address, or one of them every address of the family.
bool collide(const AddressPort& a, const AddressPort& b) {
  if (a.port != b.port || a.address.is_v4() != b.address.is_v4()) return false;
  return a.address == b.address || a.address.is_unspecified() || b.address.is_unspecified();
}

// Where in a list an address is written.
Place place_of_address(const Section& section, std::string_view key, const AddressPort& address) {
  if (const auto* elements = section.table().get_as<toml::array>(key)) {
    for (const toml::node& element : *elements) {
      const auto* text = element.as_string();
      if (text && AddressPort::parse(text->get()) == address) return place_of(element);
    }
  }
  return section.place(key);
}

// The pairs of lists in which one port would have two owners. TCP and TLS may share one: the first byte tells them apart.
void check_collisions(Section& section, const WebConfig& web, const CanaryConfig& canary) {
  std::vector<AddressPort> pages;
  for (const std::string& listen : web.listen) {
    const std::string text = listen.starts_with(':') ? "0.0.0.0" + listen : listen;
    if (const auto address = AddressPort::parse(text)) pages.push_back(*address);
  }
  const Listeners page{"web.listen", pages}, tcp{"listen_tcp", canary.listen_tcp}, tls{"listen_tls", canary.listen_tls},
      smtp{"listen_smtp", canary.listen_smtp};
  const std::pair<const Listeners&, const Listeners&> pairs[] = {
      {tcp, page}, {tls, page}, {smtp, page}, {smtp, tcp}, {smtp, tls}};
  for (const auto& [one, other] : pairs) {
    for (const AddressPort& a : one.addresses) {
      for (const AddressPort& b : other.addresses) {
        if (!collide(a, b)) continue;
        section.wrong(place_of_address(section, one.key, a), one.key,
                      about(a.to_string(),
                            fmt::format("has the port of `{}` in {}: give one of them another", b.to_string(), other.key)));
      }
    }
  }
}

// What is advertised must lead to a listener: here, or at the remote canary.
void check_advertised(Section& section, const CanaryConfig& canary) {
  if (!canary.remote.empty()) return;
  struct Kind {
    std::string_view name;
    const std::vector<AddressPort>&listen, &advertise;
    std::string_view example;
  };
  const Kind kinds[] = {{"tcp", canary.listen_tcp, canary.advertise_tcp, "0.0.0.0:8025"},
                        {"udp", canary.listen_udp, canary.advertise_udp, "0.0.0.0:8025"},
                        {"tls", canary.listen_tls, canary.advertise_tls, "0.0.0.0:8443"},
                        {"smtp", canary.listen_smtp, canary.advertise_smtp, "0.0.0.0:25"}};
  for (const Kind& kind : kinds) {
    const std::string key = fmt::format("advertise_{}", kind.name);
    const std::string listen = fmt::format("listen_{}", kind.name);
    const auto* written = section.table().get_as<toml::array>(listen);
    if (kind.advertise.empty() || !kind.listen.empty() || (written && !written->empty())) continue;
    section.wrong(
        section.place(key), key,
        fmt::format("leads nowhere, because {0} is empty: write {0} = [\"{1}\"], or set remote", listen, kind.example));
  }
  const auto* written = section.table().get_as<toml::array>("listen_smtp");
  if (!canary.mail_domain.empty() && canary.listen_smtp.empty() && !(written && !written->empty())) {
    section.wrong(
        section.place("mail_domain"), "mail_domain",
        "needs a listener for its mail, because listen_smtp is empty: write listen_smtp = [\"0.0.0.0:25\"], or set remote");
  }
}

}  // namespace

void read_canary(Section& section, const WebConfig& web, CanaryConfig& canary) {
  section.list("listen_tcp", canary.listen_tcp, read_listener);
  section.list("listen_udp", canary.listen_udp, read_listener);
  section.list("listen_tls", canary.listen_tls, read_listener);
  section.list("listen_smtp", canary.listen_smtp, read_listener);
  section.list("advertise_tcp", canary.advertise_tcp, read_advertised);
  section.list("advertise_udp", canary.advertise_udp, read_advertised);
  section.list("advertise_tls", canary.advertise_tls, read_advertised);
  section.list("advertise_smtp", canary.advertise_smtp, read_advertised);
  section.text("reserved_ports", canary.reserved_ports, read_port_range);
  section.text("host", canary.host, read_optional_host);
  section.text("mail_domain", canary.mail_domain, read_optional_host);
  section.text("resolver_name", canary.resolver_name, read_optional_host);
  section.list("resolver_answers", canary.resolver_answers, read_target_address);
  if (canary.resolver_name.empty() != canary.resolver_answers.empty()) {
    const std::string_view key = canary.resolver_name.empty() ? "resolver_answers" : "resolver_name";
    section.wrong(section.place(key), key,
                  "is one half: write resolver_name = \"www.example.net\" and resolver_answers = [\"198.51.100.7\"] together");
  }
  section.text("secret_file", canary.secret_file, read_path);
  const bool remote_right = section.text("remote", canary.remote, read_remote) || !section.has("remote");
  section.duration("delivery_timeout", canary.delivery_timeout, seconds(1), hours(24 * 7));
  section.duration("token_retention", canary.token_retention, seconds(1), hours(24 * 90));
  section.duration("message_interval", canary.message_interval, kShortestInterval, hours(24 * 90));
  check_collisions(section, web, canary);
  if (remote_right) check_advertised(section, canary);
  if (canary.token_retention < canary.delivery_timeout) {
    const std::string_view key = section.has("token_retention") ? "token_retention" : "delivery_timeout";
    section.wrong(
        section.place(key), key,
        fmt::format(
            "makes ajar forget a token (after {}) before its message is given up (after {}): write token_retention = \"{}\"",
            format_duration(canary.token_retention), format_duration(canary.delivery_timeout),
            format_duration(canary.delivery_timeout)));
  }
}

}  // namespace ajar
