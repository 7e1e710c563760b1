#include "checks/catalogue.h"

#include <array>

#include "checks/http_connect.h"
#include "checks/http_forward.h"
#include "checks/smtp_relay.h"
#include "checks/socks4.h"
#include "checks/socks5.h"

namespace ajar {
namespace {

constexpr std::array kMailPorts = {Port{25}, Port{587}, Port{2525}, Port{465, Transport::tcp, true}};

constexpr std::array kHttpPorts = {Port{80},
                                   Port{81},
                                   Port{3128},
                                   Port{6588},
                                   Port{8000},
                                   Port{8080},
                                   Port{8081},
                                   Port{8118},
                                   Port{8123},
                                   Port{8888},
                                   Port{443, Transport::tcp, true},
                                   Port{8443, Transport::tcp, true}};
constexpr std::array kSocksPorts = {Port{1080}, Port{1081}, Port{4145}, Port{9050}};

constexpr std::array kCatalogue = {
    CheckInfo{"smtp_relay", "Would it carry a stranger's mail?", "SMTP", kMailPorts, 1, true, smtp_relay},
    CheckInfo{"http_connect", "Would it tunnel for a stranger?", "HTTP", kHttpPorts, 2, true, http_connect},
    CheckInfo{"http_forward", "Would it fetch for a stranger?", "HTTP", kHttpPorts, 1, true, http_forward},
    CheckInfo{"socks4", "Would it connect for a stranger (SOCKS 4 and 4a)?", "SOCKS4", kSocksPorts, 1, true, socks4},
    CheckInfo{"socks5", "Would it connect for a stranger (SOCKS 5)?", "SOCKS5", kSocksPorts, 1, true, socks5},
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
