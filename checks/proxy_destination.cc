#include "checks/proxy_destination.h"

#include <algorithm>

#include <fmt/format.h>

namespace ajar {
namespace {

ProxyDestination literal(const AddressPort& place, CanaryKind kind) {
  const auto form = place.address.is_v4() ? ProxyDestination::Form::ipv4 : ProxyDestination::Form::ipv6;
  return {form, kind, place.address.to_string(), place.address, place.port};
}

void add(std::vector<ProxyDestination>& all, ProxyDestination one) {
  const auto same = [&](const ProxyDestination& other) {
    return other.form == one.form && other.port == one.port && other.kind == one.kind;
  };
  if (all.size() < kMaxDestinations && std::none_of(all.begin(), all.end(), same)) all.push_back(std::move(one));
}

void add_side(std::vector<ProxyDestination>& all, const Canary& canary, CanaryKind kind) {
  const std::string host = canary.host();
  for (const AddressPort& place : canary.advertised(kind)) {
    add(all, literal(place, kind));
    if (!host.empty()) add(all, {ProxyDestination::Form::name, kind, host, {}, place.port});
  }
}

}  // namespace

std::string ProxyDestination::name() const {
  const char* const word = form == Form::ipv4 ? "ipv4" : form == Form::ipv6 ? "ipv6" : "name";
  return fmt::format("{}:{}{}", word, port, kind == CanaryKind::smtp ? "/smtp" : "");
}

std::string ProxyDestination::authority() const {
  return (form == Form::ipv6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

std::string ProxyDestination::host_field() const {
  if (port != 80) return authority();
  return form == Form::ipv6 ? "[" + host + "]" : host;
}

std::vector<ProxyDestination> proxy_destinations(const Canary& canary) {
  std::vector<ProxyDestination> all;
  for (const CanaryKind kind : {CanaryKind::tcp, CanaryKind::smtp}) add_side(all, canary, kind);
  return all;
}

std::vector<ProxyDestination> datagram_destinations(const Canary& canary) {
  std::vector<ProxyDestination> all;
  add_side(all, canary, CanaryKind::udp);
  return all;
}

ProxyDestination impossible_destination(const ProxyDestination& like, const std::string& word) {
  return {ProxyDestination::Form::name, CanaryKind::tcp, word + ".invalid", {}, like.port};
}

}  // namespace ajar
