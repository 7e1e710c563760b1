#include "checks/catalogue.h"

#include <array>

#include "checks/backscatter.h"
#include "checks/ftp_bounce.h"
#include "checks/http2_connect.h"
#include "checks/http_connect.h"
#include "checks/http_forward.h"
#include "checks/open_resolver.h"
#include "checks/smtp_auth_any.h"
#include "checks/smtp_relay.h"
#include "checks/smtp_smuggling.h"
#include "checks/sni_proxy.h"
#include "checks/socks4.h"
#include "checks/socks5.h"
#include "checks/socks5_udp.h"
#include "checks/telnet_proxy.h"
#include "checks/turn_relay.h"

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

constexpr std::array kTurnPorts = {Port{3478, Transport::udp}, Port{3478}, Port{5349, Transport::tcp, true}};
constexpr std::array kTelnetPorts = {Port{23}};
constexpr std::array kFtpPorts = {Port{21}};
constexpr std::array kSniPorts = {Port{443}, Port{8443}};
constexpr std::array kHttp2Ports = {Port{443, Transport::tcp, true}, Port{8443, Transport::tcp, true}, Port{8080}};
constexpr std::array kSocksUdpPorts = {Port{1080}};
constexpr std::array kDnsPorts = {Port{53, Transport::udp}, Port{53}};
constexpr std::array kMailExchangePorts = {Port{25}};
constexpr std::array kAuthPorts = {Port{25}, Port{587}, Port{465, Transport::tcp, true}};

// A Binding request without attributes (RFC 8489 5, 14.3): "what is my address?" The transaction is nobody's.
constexpr char kBinding[] =
    "\x00\x01\x00\x00"
    "\x21\x12\xA4\x42"
    "ajar.knocks.";
// The name servers of the root, without recursion (RFC 1035 4.1): id 616a, one question, name ".", NS, IN.
constexpr char kRoot[] =
    "\x61\x6a\x00\x00"
    "\x00\x01\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x02\x00\x01";
constexpr std::string_view kStunKnock{kBinding, sizeof kBinding - 1};
constexpr std::string_view kDnsKnock{kRoot, sizeof kRoot - 1};

constexpr auto kSmtp = CanaryKind::smtp;
constexpr auto kUdp = CanaryKind::udp;
constexpr auto kTls = CanaryKind::tls;

constexpr std::array kCatalogue = {
    CheckInfo{"smtp_relay", "Would it carry a stranger's mail?", "SMTP", kMailPorts, 1, true, smtp_relay, kSmtp},
    CheckInfo{"http_connect", "Would it tunnel for a stranger?", "HTTP", kHttpPorts, 2, true, http_connect},
    CheckInfo{"http_forward", "Would it fetch for a stranger?", "HTTP", kHttpPorts, 1, true, http_forward},
    CheckInfo{"socks4", "Would it connect for a stranger (SOCKS 4 and 4a)?", "SOCKS4", kSocksPorts, 1, true, socks4},
    CheckInfo{"socks5", "Would it connect for a stranger (SOCKS 5)?", "SOCKS5", kSocksPorts, 1, true, socks5},
    CheckInfo{"turn_relay", "Would it relay for a stranger without credentials (TURN)?", "STUN", kTurnPorts, 2, true,
              turn_relay, kUdp, kStunKnock},
    CheckInfo{"telnet_proxy", "Would its prompt connect a stranger onward?", "telnet", kTelnetPorts, 3, true, telnet_proxy},
    CheckInfo{"ftp_bounce", "Would it send data to a third host?", "FTP", kFtpPorts, 1, true, ftp_bounce},
    CheckInfo{"sni_proxy", "Would it route TLS to a stranger's host by its name?", "TLS", kSniPorts, 1, true, sni_proxy, kTls},
    CheckInfo{"http2_connect", "Would it tunnel for a stranger (HTTP/2)?", "HTTP/2", kHttp2Ports, 1, true, http2_connect},
    CheckInfo{"socks5_udp", "Would it relay datagrams for a stranger (SOCKS 5)?", "SOCKS5", kSocksUdpPorts, 1, true, socks5_udp,
              kUdp},
    CheckInfo{"open_resolver", "Would it resolve for a stranger?", "DNS", kDnsPorts, 1, true, open_resolver, std::nullopt,
              kDnsKnock},
    CheckInfo{"smtp_smuggling", "Does it end a message at a non-standard end of data?", "SMTP", kMailExchangePorts, 1, false,
              smtp_smuggling, kSmtp},
    CheckInfo{"backscatter", "Would it bounce to a forged sender?", "SMTP", kMailExchangePorts, 1, false, backscatter, kSmtp},
    CheckInfo{"smtp_auth_any", "Would it take any password?", "SMTP", kAuthPorts, 1, false, smtp_auth_any, kSmtp},
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
