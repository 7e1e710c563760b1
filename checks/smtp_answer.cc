#include "checks/smtp_answer.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>
#include <utility>

#include "checks/wire/ascii.h"

namespace ajar {
namespace {

bool word_char(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

// Whether `phrase` stands in `text` as whole words; a token may contain "rbl" by chance.
bool says(std::string_view text, std::string_view phrase) {
  for (std::size_t at = text.find(phrase); at != std::string_view::npos; at = text.find(phrase, at + 1)) {
    const std::size_t end = at + phrase.size();
    if ((at == 0 || !word_char(text[at - 1])) && (end == text.size() || !word_char(text[end]))) return true;
  }
  return false;
}

// A text, and with which two characters its words begin: most phrases are not there, and need not be looked for.
class Words {
 public:
  explicit Words(std::string text) : text_(std::move(text)) {
    char before = ' ';
    for (std::size_t i = 0; i + 1 < text_.size(); ++i) {
      if (!word_char(before) && word_char(text_[i])) begins_ |= bit(text_[i], text_[i + 1]);
      before = text_[i];
    }
  }
  const std::string& text() const { return text_; }
  // `phrase`: two characters at least, the first of a word.
  bool say(std::string_view phrase) const { return (begins_ & bit(phrase[0], phrase[1])) != 0 && says(text_, phrase); }
  template <std::size_t size>
  bool say_any(const std::array<std::string_view, size>& phrases) const {
    return std::any_of(phrases.begin(), phrases.end(), [&](std::string_view phrase) { return say(phrase); });
  }

 private:
  static std::uint64_t bit(char first, char second) {
    const unsigned both = static_cast<unsigned char>(first) * 7U + static_cast<unsigned char>(second);
    return std::uint64_t{1} << (both % 64);
  }

  std::string text_;
  std::uint64_t begins_ = 0;
};

// "relay" alone is enough: Postfix "Relay access denied", Exim "relay not permitted", Exchange "Unable to relay", cPanel's Exim
// "is not permitted to relay through this server", sendmail "Relaying denied", qmail "rcpthosts".
constexpr std::array<std::string_view, 5> kRelayWords = {"relay", "relaying", "relayed", "rcpthosts", "not a gateway"};
constexpr std::array<std::string_view, 21> kBlockWords = {
    "blocked using", "blocklist",  "blocklisted", "block list",        "blacklist", "blacklisted", "black list", "denylist",
    "dnsbl",         "rbl",        "spamhaus",    "spamcop",           "sorbs",     "barracuda",   "uceprotect", "abuseat",
    "senderscore",   "reputation", "banned",      "banned sending ip", "block-list"};
constexpr std::array<std::string_view, 12> kReverseDnsWords = {"reverse dns",
                                                               "rdns",
                                                               "ptr",
                                                               "reverse hostname",
                                                               "reverse lookup",
                                                               "cannot find your hostname",
                                                               "cannot find your reverse hostname",
                                                               "name lookup failed",
                                                               "hostname mismatch",
                                                               "cannot resolve your address",
                                                               "fcrdns",
                                                               "no reverse"};
constexpr std::array<std::string_view, 2> kHelloWords = {"helo", "ehlo"};
constexpr std::array<std::string_view, 7> kUsWords = {"your ip",   "your host", "your address", "client host",
                                                      "listed in", "listed by", "listed at"};
constexpr std::array<std::string_view, 5> kGreylistWords = {"greylisted", "greylisting", "graylisted", "greylist",
                                                            "grey listed"};
constexpr std::array<std::string_view, 7> kAuthWords = {
    "authentication required", "authentication is required", "auth required", "must authenticate", "must authenticate first",
    "not authenticated",       "authenticate before sending"};
constexpr std::array<std::string_view, 5> kTlsWords = {"starttls", "tls", "ssl", "encryption", "encrypted"};
constexpr std::array<std::string_view, 4> kSenderWords = {"sender address rejected", "sender verify failed", "sender rejected",
                                                          "sender domain rejected"};
constexpr std::array<std::string_view, 3> kSpfWords = {"spf", "sender policy framework", "openspf"};

// `text` is in lower case, `name` in any.
void take_out(std::string& text, std::string_view name) {
  if (name.empty()) return;
  const char first = to_lower(name.front());
  for (std::size_t at = text.find(first); at != std::string::npos; at = text.find(first, at + 1)) {
    const std::string_view there = std::string_view(text).substr(at, name.size());
    const bool same = there.size() == name.size() &&
                      std::equal(name.begin(), name.end(), there.begin(), [](char a, char b) { return to_lower(a) == b; });
    if (same) text.replace(at, name.size(), "?");
  }
}

std::string lower_text(const SmtpReply& reply) {
  std::string text = reply.text();
  for (char& c : text) c = to_lower(c);
  return text;
}

// The words of the server's own: lower case, without the names it echoes.
Words own_words(const SmtpReply& reply, const Spoken& spoken) {
  std::string text = lower_text(reply);
  for (const std::string& name : spoken.names) take_out(text, name);
  take_out(text, spoken.our_name);
  return Words(std::move(text));
}

// An address in the text that is not the server's own: we never said one, so it is where it sees us coming from.
bool has_foreign_address(std::string text, const IpAddress& server) {
  take_out(text, "ipv6:");  // the tag of a literal, RFC 5321 4.1.3
  const auto fits = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || c == '.' || c == ':'; };
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = at;
    while (end < text.size() && fits(text[end])) ++end;
    if (end - at >= 7 && end - at <= 46) {
      std::string_view word(text.data() + at, end - at);
      while (!word.empty() && (word.back() == '.' || word.back() == ':')) word.remove_suffix(1);
      const std::optional<IpAddress> address = IpAddress::parse(word);
      if (address && *address != server && !address->is_unspecified()) return true;
    }
    at = end + 1;
  }
  return false;
}

// Our EHLO name, but not as the domain of an address that it echoes ("<x@name>", "<x%name>", "<name!x>").
bool has_our_name(const std::string& text, const std::string& name) {
  if (name.empty()) return false;
  for (std::size_t at = text.find(name); at != std::string::npos; at = text.find(name, at + 1)) {
    const char before = at == 0 ? ' ' : text[at - 1];
    const char after = at + name.size() == text.size() ? ' ' : text[at + name.size()];
    const bool in_address = before == '@' || before == '%' || after == '!';
    const bool whole = !word_char(before) && before != '.' && before != '-' && !word_char(after) && after != '-';
    if (whole && !in_address) return true;
  }
  return false;
}

// X.7.25: reverse DNS (RFC 7372). X.7.606 to X.7.649: Exchange Online's banned sending addresses.
bool code_blocks_us(const SmtpReply& reply) {
  const std::optional<EnhancedCode> code = reply.enhanced();
  return code && code->subject == 7 && (code->detail == 25 || (code->detail >= 606 && code->detail <= 649));
}

bool in_sequence_complaint(const SmtpReply& reply) { return reply.code == 500 || reply.code == 502 || reply.code == 503; }

bool asks_for_tls(const SmtpReply& reply, const Words& words) {
  const std::optional<EnhancedCode> code = reply.enhanced();
  if (reply.code == 530) return words.say_any(kTlsWords);  // RFC 3207 4
  // RFC 5248 2.4 X.7.10 "Encryption Needed"; Exchange "451 5.7.3 STARTTLS is required to send mail".
  return (code && code->subject == 7 && code->detail == 10) || words.say("starttls is required") ||
         words.say("must issue a starttls");
}

}  // namespace

bool refuses_sender(const SmtpReply& reply) {
  const std::optional<EnhancedCode> code = reply.enhanced();
  return (code && code->subject == 1 && (code->detail == 7 || code->detail == 8)) ||
         Words(lower_text(reply)).say_any(kSenderWords);
}

bool speaks_of_spf(const SmtpReply& reply) {
  const std::optional<EnhancedCode> code = reply.enhanced();
  return (code && code->subject == 7 && (code->detail == 23 || code->detail == 24)) ||
         Words(lower_text(reply)).say_any(kSpfWords);
}

SmtpAnswer read_answer(const SmtpReply& reply, SmtpStage stage, const Spoken& spoken, bool tls) {
  if (reply.kind() < 4) return SmtpAnswer::yes;
  const Words words = own_words(reply, spoken);
  if (code_blocks_us(reply) || words.say_any(kBlockWords) || words.say_any(kReverseDnsWords)) return SmtpAnswer::blocked;
  if (!tls && asks_for_tls(reply, words)) return SmtpAnswer::wants_tls;
  if (reply.code == 530) return SmtpAnswer::wants_auth;
  if (stage == SmtpStage::mail && reply.kind() == 5 && words.say_any(kAuthWords)) return SmtpAnswer::wants_auth;
  if (reply.kind() == 4 && words.say_any(kGreylistWords)) return SmtpAnswer::put_off;

  const bool relay = words.say_any(kRelayWords);
  if (relay && reply.code == 454) return SmtpAnswer::refused;
  if (relay && reply.kind() == 5) return SmtpAnswer::refused;
  if (!in_sequence_complaint(reply)) {
    if (words.say_any(kHelloWords)) return SmtpAnswer::blocked;
    const std::string all = lower_text(reply);
    if (has_our_name(all, to_lower(spoken.our_name)) || has_foreign_address(all, spoken.server) || words.say_any(kUsWords) ||
        (speaks_of_spf(reply) && stage != SmtpStage::data)) {
      return SmtpAnswer::names_us;
    }
  }
  if (reply.code == 503) return SmtpAnswer::bad_sequence;
  return reply.kind() == 4 ? SmtpAnswer::put_off : SmtpAnswer::refused;
}

}  // namespace ajar
