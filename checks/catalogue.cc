#include "checks/catalogue.h"

#include <array>

#include "checks/smtp_relay.h"

namespace ajar {
namespace {

constexpr std::array kMailPorts = {Port{25}, Port{587}, Port{2525}, Port{465, Transport::tcp, true}};

constexpr std::array kCatalogue = {
    CheckInfo{"smtp_relay", "Would it carry a stranger's mail?", kMailPorts, true, smtp_relay},
};

}  // namespace

std::span<const CheckInfo> catalogue() { return kCatalogue; }

const CheckInfo* find_check(std::string_view name) {
  for (const CheckInfo& check : kCatalogue) {
    if (check.name == name) return &check;
  }
  return nullptr;
}

}  // namespace ajar
