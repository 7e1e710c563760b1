#include "tests/lab/personality.h"

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

constexpr Personality kPersonalities[] = {
    {"closed", "Postfix 3.7, reject_unauth_destination", "closed", "refused", Kind::smtp, kClosed},
    {"closed_454", "Postfix 3.7 as installed, defer_unauth_destination", "closed", "refused", Kind::smtp, kClosed454},
    {"open", "Postfix 3.7, mynetworks = 0.0.0.0/0", "open", "message_delivered", Kind::smtp, kOpen},
    {"open_forged_local", "Postfix 3.7, check_sender_access own.domain OK before reject_unauth_destination", "open",
     "message_delivered", Kind::smtp, kForgedLocal},
    {"greylist_closed", "Postfix 3.7 with a greylisting policy server, closed under it", "closed", "refused", Kind::smtp,
     kGreylistClosed},
    {"greylist_open", "Postfix 3.7 with a greylisting policy server, open under it", "open", "message_delivered", Kind::smtp,
     kGreylistOpen},
    {"catch_all", "Postfix 3.7, the stranger's domain in mydestination, local_recipient_maps empty", "accepted", "no_proof",
     Kind::smtp, kCatchAll},
    {"accept_and_discard", "Postfix 3.7, mynetworks = 0.0.0.0/0 and check_recipient_access DISCARD", "accepted",
     "accepts_everything", Kind::smtp, kDiscard},
    {"refuse_after_data", "Postfix 3.7, smtpd_end_of_data_restrictions = reject", "closed", "refused", Kind::smtp,
     kRefuseAfterData},
    {"submission_auth", "A submission server that wants AUTH, STARTTLS first (RFC 6409 4.3)", "closed", "auth_required",
     Kind::smtp, kSubmission, 2587},
    {"exim_like", "Exim 4.96 as Debian configures it", "closed", "refused", Kind::smtp, kExim},
    {"postfix_error_limit", "Postfix 3.7, smtpd_soft_error_limit 10 and smtpd_hard_error_limit 20", "closed", "refused",
     Kind::smtp, kErrorLimit},
    {"tarpit", "A server that takes 200 ms for each reply", "closed", "refused", Kind::smtp, kTarpit},
    {"blocks_us", "Postfix 3.7, reject_rbl_client, with us in the list", "unclear", "source_blocked", Kind::smtp, kBlocksUs},
    {"garbage", "Random bytes", "unclear", "protocol_error", Kind::garbage},
    {"endless_banner", "A tarpit of 220- lines, as endlessh does for SSH", "unclear", "protocol_error", Kind::endless_banner},
    {"slow_byte", "A greeting of 400 characters, one a second", "unclear", "timeout", Kind::slow_byte},
    {"reset", "A connection limiter in front of the server: RST after accept", "unclear", "hung_up", Kind::reset},
    {"hang", "A server whose processes are all busy: accepts and says nothing", "unreachable", "timeout", Kind::hang},
    {"hang_after_ehlo", "A server that dies after its reply to EHLO", "unclear", "timeout", Kind::smtp, kSilentAfterEhlo},
    {"closes_after_banner", "A server that greets and hangs up", "unclear", "hung_up", Kind::closes_after_banner},
    {"starttls_open", "Postfix 3.7 with a second, open policy behind STARTTLS", "open", "message_delivered", Kind::smtp,
     kStarttlsOpen},
    {"pregreet_yes", "A honeypot that says 250 to everything, in advance", "unclear", "protocol_error", Kind::pregreet},
    {"wants_tls_first", "Postfix 3.7, smtpd_tls_security_level = encrypt, closed", "closed", "refused", Kind::smtp, kWantsTls},
    {"percent_hack_open", "The hole of sendmail FEATURE(loose_relay_check), in the words of Postfix", "open",
     "message_delivered", Kind::smtp, kPercentHack},
    {"non_smtp", "OpenSSH 9.2 on the mail port", "closed", "other_protocol", Kind::ssh},
    {"xclient_offered", "Postfix 3.7, smtpd_authorized_xclient_hosts too wide, closed", "closed", "refused", Kind::smtp,
     kXclient},
    {"submissions_auth", "A submission server with TLS from the first byte (RFC 8314 3.3)", "closed", "auth_required",
     Kind::smtp, kSubmissions, 2465, true},
    {"absent", "Nothing: the port is closed", "closed", "nobody_listens", Kind::absent},
};

}  // namespace

std::span<const Personality> personalities() { return kPersonalities; }

const Personality* find_personality(std::string_view name) {
  for (const Personality& personality : kPersonalities) {
    if (personality.name == name) return &personality;
  }
  return nullptr;
}

}  // namespace ajar::lab
