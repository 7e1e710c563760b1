// Addresses, ports and networks: what is wrong with one, and which one was probably meant.
#include <charconv>

#include <fmt/format.h>

#include "config/values.h"

namespace ajar {

namespace {

constexpr unsigned kWidestV4 = 8;
constexpr unsigned kWidestV6 = 29;
constexpr unsigned kWidestSweptV6 = 104;  // 16 million addresses, as many as in an IPv4 /8

std::optional<unsigned> parse_length(std::string_view text) {
  unsigned length = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), length);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return length;
}

// Why `text` is not a network.
[[noreturn]] void refuse_network(std::string_view text) {
  constexpr std::string_view kExample = "write one like \"203.0.113.0/24\" or \"2001:db8:5::/48\"";
  const std::size_t slash = text.find('/');
  const auto address = IpAddress::parse(text.substr(0, slash));
  if (!address) throw Wrong(fmt::format("is not a network: {}", kExample));
  const unsigned longest = address->is_v4() ? 32 : 128;
  const auto length = slash == std::string_view::npos ? longest : parse_length(text.substr(slash + 1));
  if (!length || *length > longest) {
    if (address->is_v4() && text.find(':') != std::string_view::npos) {
      throw Wrong("is an IPv4 network in IPv6 clothes: write it as IPv4, like \"203.0.113.0/24\"");
    }
    throw Wrong(fmt::format("has no prefix length from 0 to {} after the /: {}", longest, kExample));
  }
  throw Wrong(fmt::format("has host bits set: write \"{}\" for the network, or \"{}\" for this one address",
                          Cidr(*address, *length).to_string(), address->to_string()));
}

// Why `text` is not an address.
[[noreturn]] void refuse_address(std::string_view text) {
  if (text.starts_with('[') && text.ends_with(']') && IpAddress::parse(text.substr(1, text.size() - 2))) {
    throw Wrong(fmt::format("has brackets: write \"{}\"", text.substr(1, text.size() - 2)));
  }
  if (const auto with_port = AddressPort::parse(text)) {
    throw Wrong(fmt::format("has a port: write \"{}\" here", with_port->address.to_string()));
  }
  if (text.find('%') != std::string_view::npos) throw Wrong("has a zone (%…), which is not supported: write the address alone");
  if (text.find('/') != std::string_view::npos) throw Wrong("is not a single address: write one like \"203.0.113.7\"");
  throw Wrong("is not an IP address: write one like \"203.0.113.7\" or \"2001:db8::7\"");
}

IpAddress read_address(std::string_view text) {
  const auto address = IpAddress::parse(text);
  if (!address) refuse_address(text);
  return *address;
}

// Why `text` is not an address and a port.
[[noreturn]] void refuse_address_port(std::string_view text) {
  if (const auto lone = IpAddress::parse(text)) {
    const std::size_t last = text.rfind(':');
    if (last != std::string_view::npos && last > 1 && IpAddress::parse(text.substr(0, last)) &&
        parse_port(text.substr(last + 1))) {
      throw Wrong(fmt::format("needs brackets around the IPv6 address: write \"[{}]:{}\"", text.substr(0, last),
                              text.substr(last + 1)));
    }
    throw Wrong(fmt::format("has no port: write \"{}\"", join_host_port(*lone, 8025)));
  }
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) {
    if (parse_port(text)) throw Wrong(fmt::format("has no address: write \"0.0.0.0:{0}\" or \"[::]:{0}\"", text));
    throw Wrong("is not an address and a port: write \"203.0.113.7:8025\" or \"[2001:db8::7]:8025\"");
  }
  const std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  const bool good_port = port.find('/') == std::string_view::npos && parse_port(port);
  if (!good_port) throw Wrong("has no port between 1 and 65535 after the colon: write it like \"203.0.113.7:8025\"");
  if (host.empty())
    throw Wrong(fmt::format("has no address: write \"0.0.0.0:{0}\" for every IPv4, \"[::]:{0}\" for every IPv6", port));
  if (const auto bare = IpAddress::parse(host); bare && !bare->is_v4()) {
    throw Wrong(fmt::format("needs brackets around the IPv6 address: write \"[{}]:{}\"", host, port));
  }
  throw Wrong(fmt::format("has a name where an address must stand: write it like \"203.0.113.7:{}\"", port));
}

AddressPort read_address_port(std::string_view text) {
  const auto both = AddressPort::parse(text);
  if (!both || both->port == 0) refuse_address_port(text);
  return *both;
}

}  // namespace

IpAddress read_target_address(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash != std::string_view::npos && IpAddress::parse(text.substr(0, slash))) {
    const auto network = Cidr::parse(text);
    if (network) throw Wrong(fmt::format("is a network: write network = \"{}\" instead of address", text));
    throw Wrong(fmt::format("is not a single address: write \"{}\"", text.substr(0, slash)));
  }
  if (is_host_name(text) && text.find_first_not_of("0123456789.") != std::string_view::npos) {
    throw Wrong(fmt::format("is a name: write host = \"{}\" instead of address", text));
  }
  const IpAddress address = read_address(text);
  if (address.is_unspecified() || address.is_multicast())
    throw Wrong("is not the address of a server: write one like \"203.0.113.7\"");
  return address;
}

IpAddress read_source_address(std::string_view text) {
  const IpAddress address = read_address(text);
  if (address.is_unspecified()) throw Wrong("means any address, which is the default: write source_addresses = []");
  if (address.is_multicast()) throw Wrong("is a multicast address: write an address of this machine");
  return address;
}

AddressPort read_listener(std::string_view text) {
  const AddressPort both = read_address_port(text);
  if (both.address.is_multicast()) throw Wrong("is a multicast address: write an address of this machine, or \"0.0.0.0\"");
  return both;
}

AddressPort read_advertised(std::string_view text) {
  const AddressPort both = read_address_port(text);
  if (both.address.is_unspecified() || both.address.is_multicast()) {
    throw Wrong("cannot be connected to: write the address by which the tested servers reach the canary");
  }
  return both;
}

AddressPort read_resolver(std::string_view text) {
  const auto lone = IpAddress::parse(text);
  const AddressPort both = lone ? AddressPort{*lone, 53} : read_address_port(text);
  if (both.address.is_unspecified() || both.address.is_multicast()) throw Wrong("is not the address of a DNS server");
  return both;
}

Cidr read_network(std::string_view text) {
  const auto network = Cidr::parse(text);
  if (!network) refuse_network(text);
  return *network;
}

Cidr read_scope(std::string_view text) {
  // The width first: to correct the host bits of a network that is too wide would be bad advice.
  const std::size_t slash = text.find('/');
  const auto address = IpAddress::parse(text.substr(0, slash));
  const auto length = slash == std::string_view::npos ? std::nullopt : parse_length(text.substr(slash + 1));
  if (address && address->is_multicast()) throw Wrong("is multicast, which is never probed: remove it");
  if (address && length) {
    const unsigned widest = address->is_v4() ? kWidestV4 : kWidestV6;
    if (*length < widest) throw Wrong(fmt::format("is wider than /{}: write the networks of your own servers", widest));
  }
  const Cidr network = read_network(text);
  if (network.first().is_unspecified()) throw Wrong("is no network of servers: write the networks of your own servers");
  return network;
}

Cidr read_target_network(std::string_view text) {
  const Cidr network = read_network(text);
  if (!network.first().is_v4() && network.length() < kWidestSweptV6) {
    throw Wrong(fmt::format("is too large to ask every address: write /{} or longer, or the hosts one by one", kWidestSweptV6));
  }
  return network;
}

}  // namespace ajar
