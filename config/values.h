// One value of the file: from its text to what it means, or Wrong with what is wrong and what to write. No TOML here.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

#include "checks/ip_address.h"
#include "config/config.h"

namespace ajar {

// what() continues a sentence that begins with the key: "is not an address: write …".
class Wrong : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Control characters escaped, cut after about 100 bytes: what the operator wrote goes to a terminal and a log.
std::string printable(std::string_view text);
// The same in backticks.
std::string quote(std::string_view text);

// A DNS name as mail and TLS use it (RFC 1123 2.1; the underscore is tolerated, as resolvers do).
bool is_host_name(std::string_view name);

// Every reader throws Wrong. `text` never contains control characters (Section has refused them).
std::string read_words(std::string_view text);           // free text, may be empty
std::string read_vantage(std::string_view text);         // free text, not empty
std::string read_path(std::string_view text);            // not empty
std::string read_ehlo_name(std::string_view text);       // a host name or an address literal "[203.0.113.7]"; empty: not set
std::string read_host(std::string_view text);            // a DNS name, not an address; a final dot is dropped
std::string read_target_host(std::string_view text);     // the same; says where an address goes
std::string read_optional_host(std::string_view text);   // the same, or empty: not set
std::string read_mailbox(std::string_view text);         // "local@domain" (RFC 5321 4.1.2), without angle brackets
std::string read_contact(std::string_view text);         // "mailto:…" or "https://…"; empty: not set
std::string read_external_url(std::string_view text);    // http:// or https://; empty: not set
std::string read_remote(std::string_view text);          // https://, or http:// to loopback; empty: not set
std::string read_discovery_url(std::string_view text);   // https:// or http://, without a password
std::string read_discovery_file(std::string_view text);  // ends in .json, .yml or .yaml; one * in its last part
std::string read_service(std::string_view text);         // "_smtp._tcp.example.org" (RFC 2782)
std::string read_check(std::string_view text);           // of the catalogue
std::string read_target_check(std::string_view text);    // the same, or "dnsbl"
std::string read_listen(std::string_view text);          // "host:port", "[v6]:port", ":port"
std::string read_target_name(std::string_view text);     // letters, digits and . _ - only: it becomes a label and part of a URL
IpAddress read_target_address(std::string_view text);
IpAddress read_source_address(std::string_view text);
AddressPort read_listener(std::string_view text);    // an address and a port, 0.0.0.0 and [::] allowed
AddressPort read_advertised(std::string_view text);  // an address that somebody can connect to, and a port
PortRange read_port_range(std::string_view text);    // "50000-50015", none below 1024; empty: none
AddressPort read_resolver(std::string_view text);    // an address, and a port other than 53 behind it
std::string read_zone(std::string_view text);        // the name of a DNSBL, in small letters
Cidr read_network(std::string_view text);
Cidr read_scope(std::string_view text);           // a network, not wider than /8 or /29, not multicast
Cidr read_target_network(std::string_view text);  // a network that can be walked through

// "http://" to an address of this machine, or "https://": a secret may be sent there.
bool is_private_url(std::string_view url);
// Whether the whole of `network` lies in the scope, be it in several pieces.
bool in_scope(const std::vector<Cidr>& scope, const Cidr& network);
// What is wrong with `port` beside those that stand before it; empty when nothing is.
std::string port_problem(const Port& port, const std::vector<Port>& before, const CheckInfo& check);
// The name as Prometheus takes it for a label (letters, digits and _, no digit first); `name` itself when it is one.
std::string as_label(std::string_view name);

// An interval between probes: bounds that keep a slip from hammering a server, or from never asking it again.
inline constexpr Duration kShortestInterval = std::chrono::seconds(1);
inline constexpr Duration kLongestInterval = std::chrono::hours(24 * 30);

// The words that are allowed; anything else is Wrong with a suggestion.
std::string read_one_of(std::string_view text, const std::vector<std::string>& words);
// "`a`, `b` or `c`"
std::string join_or(const std::vector<std::string>& words);

}  // namespace ajar
