#include "tests/lab/personality.h"

#include <algorithm>

namespace ajar::lab {
namespace {

constexpr Manners kClosed{};
constexpr Manners kClosed454{.defers_relay = true, .offers_tls = true};
constexpr Manners kOpen{.relays = Relays::everybody, .offers_tls = true};
constexpr Manners kForgedLocal{.relays = Relays::local_sender};
constexpr Manners kGreylistClosed{.greylists = true};
constexpr Manners kGreylistOpen{.relays = Relays::everybody, .greylists = true};
constexpr Manners kCatchAll{.catch_all = true, .offers_tls = true};
constexpr Manners kDiscard{.relays = Relays::everybody, .fate = Fate::discard};
constexpr Manners kRefuseAfterData{.relays = Relays::everybody, .fate = Fate::refuse};
constexpr Manners kSubmission{.offers_tls = true, .wants_auth = true};
constexpr Manners kExim{.dialect = Dialect::exim};
constexpr Manners kErrorLimit{.limits_errors = true};
constexpr Manners kTarpit{.reply_delay = milliseconds(200)};
constexpr Manners kBlocksUs{.blocks_client = true};
constexpr Manners kSilentAfterEhlo{.silent_after_ehlo = true};
constexpr Manners kStarttlsOpen{.relays = Relays::after_tls, .offers_tls = true};
constexpr Manners kWantsTls{.offers_tls = true, .wants_tls = true};
constexpr Manners kPercentHack{.relays = Relays::percent_hack};
constexpr Manners kXclient{.offers_xclient = true};
constexpr Manners kSubmissions{.wants_auth = true};

constexpr std::uint16_t kHttp = 3128;
constexpr std::uint16_t kSocks = 1080;

constexpr ProxyManners kProxyClosed{.connect = Way::forbidden, .absolute = Way::forbidden};
constexpr ProxyManners kProxyOpen{.connect = Way::connects, .absolute = Way::forwards};
constexpr ProxyManners kGetOnly{.connect = Way::forbidden, .absolute = Way::forwards};
constexpr ProxyManners kConnect443Only{.connect = Way::connects_443, .absolute = Way::forbidden};
constexpr ProxyManners kOwnPage{
    .connect = Way::not_allowed, .absolute = Way::page, .origin = Way::page, .software = Software::apache};
constexpr ProxyManners kYesToAll{
    .connect = Way::page, .absolute = Way::page, .origin = Way::page, .software = Software::apache};
constexpr ProxyManners kYesToConnect{.connect = Way::silent_tunnel};
constexpr ProxyManners kFixedOrigin{
    .connect = Way::not_allowed, .absolute = Way::site, .origin = Way::site, .software = Software::apache};
constexpr ProxyManners kFixedOriginCanary{
    .absolute = Way::forwards_fixed, .origin = Way::forwards_fixed, .software = Software::nginx};
constexpr ProxyManners kHostRouting{.absolute = Way::forwards, .origin = Way::forwards, .software = Software::nginx};
constexpr ProxyManners kHostRoutingNoPort{
    .absolute = Way::forwards_one_port, .origin = Way::forwards_one_port, .software = Software::nginx};
constexpr ProxyManners kProxyAuth{.connect = Way::wants_auth, .absolute = Way::wants_auth, .origin = Way::wants_auth};
constexpr ProxyManners kLoop{.connect = Way::own_tunnel};
constexpr ProxyManners kOtherExitOpen{.connect = Way::connects, .absolute = Way::forwards, .other_exit = true};
constexpr ProxyManners kUnreachableUpstream{
    .connect = Way::unavailable, .absolute = Way::gateway_timeout, .origin = Way::gateway_timeout};
constexpr ProxyManners kSocksForAll{.socks4 = SocksWay::connects, .socks5 = SocksWay::connects, .http = false};
constexpr ProxyManners kSocksClosed{.socks4 = SocksWay::refuses, .socks5 = SocksWay::refuses, .http = false};
constexpr ProxyManners kSocksAuth{.socks4 = SocksWay::wants_auth, .socks5 = SocksWay::wants_auth, .http = false};
constexpr ProxyManners kSocks5Only{.socks4 = SocksWay::hangs_up, .socks5 = SocksWay::connects, .http = false};
constexpr ProxyManners kMixed{
    .connect = Way::connects, .absolute = Way::forwards, .socks4 = SocksWay::connects, .socks5 = SocksWay::connects};
constexpr ProxyManners kSlow{.connect = Way::forbidden, .absolute = Way::forbidden, .slow = true};
constexpr ProxyManners kBigBody{.connect = Way::forbidden, .absolute = Way::endless_body, .software = Software::nginx};
constexpr ProxyManners kNeedsCrlf{.connect = Way::connects, .software = Software::mikrotik, .wants_crlf = true};

constexpr Expectations mail(std::string_view verdict, std::string_view reason) { return {{"smtp_relay", verdict, reason}}; }
constexpr Expectations http(std::string_view verdict, std::string_view reason) {
  return {{"http_connect", verdict, reason}, {"http_forward", verdict, reason}};
}
constexpr Expectations socks(std::string_view verdict, std::string_view reason) {
  return {{"socks4", verdict, reason}, {"socks5", verdict, reason}};
}
constexpr Expectations kBothOpen = http("open", "token_returned");
constexpr Expectations kBothRefused = http("closed", "refused");
constexpr Expectations kConnectOnly{{"http_connect", "open", "token_returned"}, {"http_forward", "closed", "refused"}};
constexpr Expectations kForwardOnly{{"http_connect", "closed", "refused"}, {"http_forward", "open", "token_returned"}};
constexpr Expectations kEveryTunnel{{"http_connect", "accepted", "accepts_everything"}, {"http_forward", "closed", "refused"}};
constexpr Expectations kOnlySocks5{{"socks4", "closed", "hung_up"}, {"socks5", "open", "token_returned"}};
constexpr Expectations kClosedToSocks{
    {"http_connect", "closed", "refused"}, {"http_forward", "closed", "refused"}, {"socks5", "closed", "other_protocol"}};
constexpr Expectations kEchoed{{"http_connect", "closed", "other_protocol"},
                               {"http_forward", "closed", "other_protocol"},
                               {"socks5", "closed", "other_protocol"}};
constexpr Expectations kAllOpen{{"http_connect", "open", "token_returned"},
                                {"http_forward", "open", "token_returned"},
                                {"socks4", "open", "token_returned"},
                                {"socks5", "open", "token_returned"}};
constexpr Expectations kAllSilent{{"http_connect", "unreachable", "timeout"},
                                  {"http_forward", "unreachable", "timeout"},
                                  {"socks4", "unreachable", "timeout"},
                                  {"socks5", "unreachable", "timeout"}};

constexpr Personality proxy(std::string_view name, std::string_view imitates, Expectations expect, ProxyManners manners,
                            std::uint16_t port = kHttp, bool implicit_tls = false) {
  return {name, imitates, expect, Kind::proxy, {}, port, implicit_tls, manners};
}
constexpr Personality misfit(std::string_view name, std::string_view imitates, Expectations expect, Kind kind) {
  return {name, imitates, expect, kind, {}, kHttp, false, {}};
}

constexpr Personality kPersonalities[] = {
    {"closed", "Postfix 3.7, reject_unauth_destination", mail("closed", "refused"), Kind::smtp, kClosed},
    {"closed_454", "Postfix 3.7 as installed, defer_unauth_destination", mail("closed", "refused"), Kind::smtp, kClosed454},
    {"open", "Postfix 3.7, mynetworks = 0.0.0.0/0", mail("open", "message_delivered"), Kind::smtp, kOpen},
    {"open_forged_local", "Postfix 3.7, check_sender_access own.domain OK before reject_unauth_destination",
     mail("open", "message_delivered"), Kind::smtp, kForgedLocal},
    {"greylist_closed", "Postfix 3.7 with a greylisting policy server, closed under it", mail("closed", "refused"), Kind::smtp,
     kGreylistClosed},
    {"greylist_open", "Postfix 3.7 with a greylisting policy server, open under it", mail("open", "message_delivered"),
     Kind::smtp, kGreylistOpen},
    {"catch_all", "Postfix 3.7, the stranger's domain in mydestination, local_recipient_maps empty",
     mail("accepted", "no_proof"), Kind::smtp, kCatchAll},
    {"accept_and_discard", "Postfix 3.7, mynetworks = 0.0.0.0/0 and check_recipient_access DISCARD",
     mail("accepted", "accepts_everything"), Kind::smtp, kDiscard},
    {"refuse_after_data", "Postfix 3.7, smtpd_end_of_data_restrictions = reject", mail("closed", "refused"), Kind::smtp,
     kRefuseAfterData},
    {"submission_auth", "A submission server that wants AUTH, STARTTLS first (RFC 6409 4.3)", mail("closed", "auth_required"),
     Kind::smtp, kSubmission, 2587},
    {"exim_like", "Exim 4.96 as Debian configures it", mail("closed", "refused"), Kind::smtp, kExim},
    {"postfix_error_limit", "Postfix 3.7, smtpd_soft_error_limit 10 and smtpd_hard_error_limit 20", mail("closed", "refused"),
     Kind::smtp, kErrorLimit},
    {"tarpit", "A server that takes 200 ms for each reply", mail("closed", "refused"), Kind::smtp, kTarpit},
    {"blocks_us", "Postfix 3.7, reject_rbl_client, with us in the list", mail("unclear", "source_blocked"), Kind::smtp,
     kBlocksUs},
    {"garbage", "Random bytes", mail("unclear", "protocol_error"), Kind::garbage},
    {"endless_banner", "A tarpit of 220- lines, as endlessh does for SSH", mail("unclear", "protocol_error"),
     Kind::endless_banner},
    {"slow_byte", "A greeting of 400 characters, one a second", mail("unclear", "timeout"), Kind::slow_byte},
    {"reset", "A connection limiter in front of the server: RST after accept", mail("unclear", "hung_up"), Kind::reset},
    {"hang", "A server whose processes are all busy: accepts and says nothing", mail("unreachable", "timeout"), Kind::hang},
    {"hang_after_ehlo", "A server that dies after its reply to EHLO", mail("unclear", "timeout"), Kind::smtp, kSilentAfterEhlo},
    {"closes_after_banner", "A server that greets and hangs up", mail("unclear", "hung_up"), Kind::closes_after_banner},
    {"starttls_open", "Postfix 3.7 with a second, open policy behind STARTTLS", mail("open", "message_delivered"), Kind::smtp,
     kStarttlsOpen},
    {"pregreet_yes", "A honeypot that says 250 to everything, in advance", mail("unclear", "protocol_error"), Kind::pregreet},
    {"wants_tls_first", "Postfix 3.7, smtpd_tls_security_level = encrypt, closed", mail("closed", "refused"), Kind::smtp,
     kWantsTls},
    {"percent_hack_open", "The hole of sendmail FEATURE(loose_relay_check), in the words of Postfix",
     mail("open", "message_delivered"), Kind::smtp, kPercentHack},
    {"non_smtp", "OpenSSH 9.2 on the mail port", mail("closed", "other_protocol"), Kind::ssh},
    {"xclient_offered", "Postfix 3.7, smtpd_authorized_xclient_hosts too wide, closed", mail("closed", "refused"), Kind::smtp,
     kXclient},
    {"submissions_auth", "A submission server with TLS from the first byte (RFC 8314 3.3)", mail("closed", "auth_required"),
     Kind::smtp, kSubmissions, 2465, true},
    {"absent", "Nothing: the port is closed", mail("closed", "nobody_listens"), Kind::absent},
    proxy("proxy_closed", "Squid 5.7, http_access deny all", kClosedToSocks, kProxyClosed),
    proxy("proxy_open", "Squid 5.7, http_access allow all", kBothOpen, kProxyOpen),
    proxy("proxy_get_only", "Squid 5.7, http_access deny CONNECT, then allow all", kForwardOnly, kGetOnly),
    proxy("proxy_connect_443_only", "Squid 5.7, http_access allow CONNECT SSL_ports, then deny all", kConnectOnly,
          kConnect443Only),
    proxy("own_page", "Apache 2.4, ProxyRequests Off", kBothRefused, kOwnPage),
    proxy("yes_to_all", "A captive portal", kBothRefused, kYesToAll),
    proxy("yes_to_connect", "A honeypot that grants every tunnel and connects none", kEveryTunnel, kYesToConnect),
    proxy("fixed_origin", "A reverse proxy for one site", kBothRefused, kFixedOrigin),
    proxy("fixed_origin_canary", "nginx 1.22, proxy_pass to the canary", kBothRefused, kFixedOriginCanary),
    proxy("host_routing", "nginx 1.22, proxy_pass http://$http_host$request_uri", kForwardOnly, kHostRouting),
    proxy("host_routing_no_port", "nginx 1.22, proxy_pass http://$host:8025", kForwardOnly, kHostRoutingNoPort),
    misfit("echo", "The echo service of inetd (RFC 862)", kEchoed, Kind::echo),
    proxy("proxy_auth", "Squid 5.7, proxy_auth REQUIRED", http("closed", "auth_required"), kProxyAuth),
    proxy("loop", "A proxy whose tunnels end in itself", kBothRefused, kLoop),
    proxy("proxy_other_exit", "Squid 5.7, tcp_outgoing_address, http_access allow all", kBothOpen, kOtherExitOpen),
    proxy("proxy_unreachable_upstream", "Squid 5.7 behind a dead uplink", http("unclear", "canary_unreachable"),
          kUnreachableUpstream),
    proxy("socks_open", "Dante 1.4, socksmethod none, socks pass for all", socks("open", "token_returned"), kSocksForAll,
          kSocks),
    proxy("socks_closed", "A SOCKS server with a rule against everything", socks("closed", "refused"), kSocksClosed, kSocks),
    proxy("socks_auth", "A SOCKS server that wants a user", socks("closed", "auth_required"), kSocksAuth, kSocks),
    proxy("socks5_only", "A SOCKS5 server for all, without SOCKS4", kOnlySocks5, kSocks5Only, kSocks),
    proxy("mixed", "A proxy that tells HTTP from SOCKS by the first byte", kAllOpen, kMixed, kSocks),
    proxy("proxy_tls", "Squid 5.7, https_port, http_access allow all", kBothOpen, kProxyOpen, 3129, true),
    proxy("socks_tls", "stunnel in front of an open SOCKS server", socks("open", "token_returned"), kSocksForAll, 1083, true),
    proxy("proxy_slow", "A closed proxy that takes its time", kBothRefused, kSlow),
    misfit("proxy_reset", "A filter that resets what it does not like", http("closed", "hung_up"), Kind::reset_after_request),
    misfit("endless_header", "A response head that does not end", http("unclear", "protocol_error"), Kind::endless_header),
    misfit("proxy_garbage", "Random bytes for an answer", http("unclear", "protocol_error"), Kind::noise),
    proxy("big_body", "A download server", kBothRefused, kBigBody),
    proxy("proxy_needs_crlf", "MikroTik RouterOS, which waits for one more line end", kConnectOnly, kNeedsCrlf),
    misfit("proxy_silent", "A proxy whose processes are all busy", kAllSilent, Kind::hang),
};

}  // namespace

const Expectation* Expectations::of(std::string_view check) const {
  const Expectation* found = std::ranges::find(begin(), end(), check, &Expectation::check);
  return found == end() ? nullptr : found;
}

std::span<const Block> blocks() {
  static const std::vector<Block> all = {
      {0, kPersonalities},         {1, turn_personalities()}, {2, datagram_socks_personalities()}, {3, http2_personalities()},
      {4, sni_personalities()},    {5, dns_personalities()},  {6, mail_opt_in_personalities()},    {7, ftp_personalities()},
      {8, telnet_personalities()},
  };
  return all;
}

const std::vector<Personality>& personalities() {
  static const std::vector<Personality> all = [] {
    std::vector<Personality> joined;
    for (const Block& block : blocks()) joined.insert(joined.end(), block.all.begin(), block.all.end());
    return joined;
  }();
  return all;
}

const Personality* find_personality(std::string_view name) {
  for (const Personality& personality : personalities()) {
    if (personality.name == name) return &personality;
  }
  return nullptr;
}

}  // namespace ajar::lab
