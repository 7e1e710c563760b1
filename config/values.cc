// Names, URLs and words.
#include "config/values.h"

#include <algorithm>

#include <fmt/format.h>

namespace ajar {

namespace {

bool is_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

}  // namespace

bool is_host_name(std::string_view name) {
  if (name.empty() || name.size() > 253) return false;
  std::size_t label = 0;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const char c = name[i];
    if (c == '.') {
      if (label == 0 || name[i - 1] == '-') return false;
      label = 0;
      continue;
    }
    if (!is_alnum(c) && c != '-' && c != '_') return false;
    if (c == '-' && label == 0) return false;
    if (++label > 63) return false;
  }
  return label > 0 && name.back() != '-';
}

namespace {

bool visible_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c <= '~'; });
}

// "[203.0.113.7]", "[IPv6:2001:db8::7]" (RFC 5321 4.1.3).
bool is_address_literal(std::string_view text) {
  if (text.size() < 3 || text.front() != '[' || text.back() != ']') return false;
  text = text.substr(1, text.size() - 2);
  const bool v6 = text.starts_with("IPv6:");
  const auto address = IpAddress::parse(v6 ? text.substr(5) : text);
  return address && address->is_v4() != v6;
}

// Why `text` is not a host name, for the words of the error.
[[noreturn]] void refuse_host(std::string_view text) {
  if (text.find("://") != std::string_view::npos) {
    throw Wrong("is a URL: write the name alone, like \"mx1.example.org\"");
  }
  if (const std::size_t at = text.find('@'); at != std::string_view::npos && is_host_name(text.substr(at + 1))) {
    throw Wrong(fmt::format("is a mail address: write the name alone: \"{}\"", text.substr(at + 1)));
  }
  if (const std::size_t colon = text.rfind(':'); colon != std::string_view::npos && is_host_name(text.substr(0, colon))) {
    throw Wrong(fmt::format("has a port: write \"{}\" alone; the ports of a target stand in ports.smtp_relay = [25]",
                            text.substr(0, colon)));
  }
  if (std::any_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x80; })) {
    throw Wrong("is not an ASCII name: write its ASCII form, which begins with xn--");
  }
  throw Wrong("is not a host name: write letters, digits, - and dots, like \"mx1.example.org\"");
}

// The host of "scheme://host:port/path", without brackets; empty when there is none.
std::string_view host_of(std::string_view url, std::string_view scheme) {
  if (!url.starts_with(scheme)) return {};
  std::string_view authority = url.substr(scheme.size());
  authority = authority.substr(0, authority.find_first_of("/?#"));
  if (authority.find('@') != std::string_view::npos) return {};  // a password does not belong here
  if (authority.starts_with('[')) {
    const std::size_t end = authority.find(']');
    return end == std::string_view::npos ? std::string_view{} : authority.substr(1, end - 1);
  }
  return authority.substr(0, authority.find(':'));
}

// The port of the authority, when there is one, is a number from 1 to 65535.
bool good_port(std::string_view url, std::string_view scheme) {
  std::string_view authority = url.substr(scheme.size());
  authority = authority.substr(0, authority.find_first_of("/?#"));
  if (const std::size_t bracket = authority.find(']'); bracket != std::string_view::npos) authority.remove_prefix(bracket + 1);
  const std::size_t colon = authority.find(':');
  if (colon == std::string_view::npos) return true;
  const std::string_view port = authority.substr(colon + 1);
  return port.find('/') == std::string_view::npos && parse_port(port).has_value();
}

bool is_url(std::string_view text, std::string_view scheme) {
  const std::string_view host = host_of(text, scheme);
  return visible_ascii(text) && (is_host_name(host) || IpAddress::parse(host)) && good_port(text, scheme);
}

}  // namespace

std::string printable(std::string_view text) {
  constexpr std::size_t kMost = 100;
  std::string out;
  std::size_t taken = 0;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool continues = (byte & 0xC0U) == 0x80U;  // never cut inside a UTF-8 sequence
    if (taken >= kMost && !continues) {
      out += "…";
      break;
    }
    ++taken;
    if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return out;
}

std::string quote(std::string_view text) { return "`" + printable(text) + "`"; }

std::string read_words(std::string_view text) { return std::string(text); }

std::string read_vantage(std::string_view text) {
  if (text.empty()) throw Wrong("is empty: write where this agent looks from, like \"outside\"");
  return std::string(text);
}

std::string read_path(std::string_view text) {
  if (text.empty()) throw Wrong("is empty: write the path of a file");
  return std::string(text);
}

std::string read_ehlo_name(std::string_view text) {
  if (text.empty() || is_address_literal(text)) return std::string(text);
  if (const auto address = IpAddress::parse(text)) {
    throw Wrong(
        fmt::format("is a bare address, which EHLO does not take: write \"{}\", or better a host name", address->literal()));
  }
  return read_host(text);
}

std::string read_host(std::string_view text) {
  const std::string_view name = text.ends_with('.') ? text.substr(0, text.size() - 1) : text;
  if (IpAddress::parse(name)) throw Wrong("is an address, not a name: write a name like \"mx1.example.org\"");
  if (!is_host_name(name)) refuse_host(name);
  return std::string(name);
}

std::string read_target_host(std::string_view text) {
  if (IpAddress::parse(text)) throw Wrong(fmt::format("is an address: write address = \"{}\" instead of host", text));
  return read_host(text);
}

std::string read_optional_host(std::string_view text) { return text.empty() ? std::string() : read_host(text); }

std::string read_mailbox(std::string_view text) {
  constexpr std::string_view kExample = "write local@domain, like \"sre@example.org\"";
  const std::size_t at = text.rfind('@');
  if (at == std::string_view::npos) throw Wrong(fmt::format("has no @: {}", kExample));
  if (text.find_first_of("<>") != std::string_view::npos) throw Wrong("has angle brackets: write local@domain without them");
  const std::string_view local = text.substr(0, at);
  const std::string_view domain = text.substr(at + 1);
  if (local.empty() || local.size() > 64 || !visible_ascii(local)) {
    throw Wrong(fmt::format("has no usable part before the @: {}", kExample));
  }
  if (!is_host_name(domain) && !is_address_literal(domain)) throw Wrong(fmt::format("has no domain after the @: {}", kExample));
  return std::string(text);
}

std::string read_contact(std::string_view text) {
  if (text.empty()) return {};
  constexpr std::string_view kMailto = "mailto:";
  if (text.starts_with(kMailto)) {
    const std::string_view rest = text.substr(kMailto.size());
    read_mailbox(rest.substr(0, rest.find('?')));
    if (!visible_ascii(text)) throw Wrong("has a space or a letter outside ASCII: write it percent-encoded, like %20");
    return std::string(text);
  }
  if (is_url(text, "https://")) return std::string(text);
  if (text.find('@') != std::string_view::npos && text.find(':') == std::string_view::npos) {
    throw Wrong(fmt::format("lacks the scheme: write \"mailto:{}\"", text));
  }
  throw Wrong("is not a way to reach you: write \"mailto:sre@example.net\" or \"https://example.net/probes\"");
}

std::string read_external_url(std::string_view text) {
  if (text.empty() || is_url(text, "https://") || is_url(text, "http://")) return std::string(text);
  throw Wrong("is not a URL: write the address that people open, like \"https://ajar.example.net/\"");
}

std::string read_remote(std::string_view text) {
  if (text.empty() || is_url(text, "https://")) return std::string(text);
  if (is_url(text, "http://")) {
    const auto address = IpAddress::parse(host_of(text, "http://"));
    if (address && address->is_loopback()) return std::string(text);
    throw Wrong(fmt::format("is not encrypted: write \"https{}\"", text.substr(4)));
  }
  throw Wrong("is not a URL: write the address of the other canary, like \"https://canary.example.net:8443\"");
}

bool is_private_url(std::string_view url) {
  if (url.starts_with("https://")) return true;
  const auto address = IpAddress::parse(host_of(url, "http://"));
  return address && address->is_loopback();
}

std::string read_discovery_url(std::string_view text) {
  const std::size_t scheme = text.find("://");
  const std::string_view rest = scheme == std::string_view::npos ? text : text.substr(scheme + 3);
  if (rest.substr(0, rest.find_first_of("/?#")).find('@') != std::string_view::npos) {
    throw Wrong("has a password: write basic_auth = { username = \"…\", password_file = \"…\" } below it");
  }
  if (text.find('#') != std::string_view::npos) throw Wrong("has a fragment, which no server sees: remove # and what follows");
  if (is_url(text, "https://") || is_url(text, "http://")) return std::string(text);
  throw Wrong("is not a URL: write the address of the list, like \"https://cmdb.example.net/targets\"");
}

std::string read_discovery_file(std::string_view text) {
  const std::size_t slash = text.rfind('/');
  const std::string_view name = slash == std::string_view::npos ? text : text.substr(slash + 1);
  const bool known = name.ends_with(".json") || name.ends_with(".yml") || name.ends_with(".yaml");
  if (!known) throw Wrong("does not end in .json, .yml or .yaml, which says how it is read: write \"targets/*.json\"");
  if (text.substr(0, text.size() - name.size()).find('*') != std::string_view::npos) {
    throw Wrong("has a * in the name of a folder: write it in the name of the file alone, like \"targets/*.json\"");
  }
  if (std::count(name.begin(), name.end(), '*') > 1) throw Wrong("has more than one *: write one, like \"targets/*.json\"");
  return std::string(text);
}

std::string read_service(std::string_view text) {
  std::string name = read_host(text);
  const std::size_t dot = name.find('.');
  const bool service = name.starts_with('_') && dot != std::string::npos && name[dot + 1] == '_';
  if (!service) throw Wrong("is not the name of a service: write \"_smtp._tcp.example.org\"");
  return name;
}

PortRange read_port_range(std::string_view text) {
  constexpr std::uint16_t kLeast = 1024;  // servers send no data to a port of the system (RFC 2577 3)
  constexpr int kMost = 1000;
  if (text.empty()) return {};
  const std::size_t hyphen = text.find('-');
  const auto first = parse_port(text.substr(0, hyphen));
  const auto last = hyphen == std::string_view::npos ? first : parse_port(text.substr(hyphen + 1));
  const bool plain = text.find('/') == std::string_view::npos;
  if (!first || !last || !plain || first->number > last->number) {
    throw Wrong("is not a range of ports: write \"50000-50015\"");
  }
  if (first->number < kLeast) throw Wrong("has ports below 1024, to which servers send nothing: write \"50000-50015\"");
  if (last->number - first->number >= kMost) {
    throw Wrong(fmt::format("has more than {} ports: write \"{}-{}\"", kMost, first->number, first->number + 15));
  }
  return {first->number, last->number};
}

std::string read_listen(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  const std::string_view host = text.substr(0, colon);
  if (colon == std::string_view::npos) {
    const auto lone = IpAddress::parse(text);
    if (parse_port(text))
      throw Wrong(fmt::format("has no colon: write \"127.0.0.1:{0}\", or \":{0}\" for every address", text));
    throw Wrong(fmt::format("has no port: write \"{}:9925\"", lone || is_host_name(text) ? text : "127.0.0.1"));
  }
  const auto v6 = IpAddress::parse(text);
  if (v6 && !v6->is_v4()) throw Wrong(fmt::format("is an address without a port: write \"[{}]:9925\"", text));
  const auto port = parse_port(text.substr(colon + 1));
  if (!port || text.substr(colon + 1).find('/') != std::string_view::npos) {
    throw Wrong(fmt::format("has no port between 1 and 65535 after the colon: write \"{}:9925\"", host));
  }
  if (host.empty() || is_host_name(host) || AddressPort::parse(text)) return std::string(text);
  throw Wrong("has no host before the port: write \"127.0.0.1:9925\", \"[::1]:9925\" or \":9925\"");
}

std::string read_target_name(std::string_view text) {
  const auto allowed = [](char c) { return is_alnum(c) || c == '.' || c == '_' || c == '-'; };
  if (!text.empty() && text.size() <= 100 && std::all_of(text.begin(), text.end(), allowed)) return std::string(text);
  if (text.empty()) throw Wrong("is empty: write a name that is unique in this file, like \"mx1\"");
  if (text.size() > 100) throw Wrong("is longer than 100 characters: write a shorter one, it is a label of every metric");
  throw Wrong("has other characters than letters, digits, `.`, `_` and `-`: write only these, it is part of a URL");
}

std::string read_zone(std::string_view text) {
  if (const std::string problem = zone_problem(text); !problem.empty()) throw Wrong(problem);
  std::string zone(text);
  for (char& c : zone) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return zone;
}

std::string join_or(const std::vector<std::string>& words) {
  std::string out;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) out += i + 1 == words.size() ? " or " : ", ";
    out += fmt::format("`{}`", words[i]);
  }
  return out;
}

std::string read_one_of(std::string_view text, const std::vector<std::string>& words) {
  if (std::find(words.begin(), words.end(), text) != words.end()) return std::string(text);
  const auto near = did_you_mean(text, words);
  if (near) throw Wrong(fmt::format("is not known: did you mean `{}`?", *near));
  throw Wrong(fmt::format("is not known: write {}", join_or(words)));
}

}  // namespace ajar
