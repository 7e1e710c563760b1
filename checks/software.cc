#include "checks/software.h"

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "checks/network.h"
#include "checks/wire/ascii.h"

namespace ajar {
namespace {

constexpr std::size_t kMaxVersion = 40;
constexpr std::size_t kMaxGround = 120;

constexpr std::array<std::string_view, 1> kMail = {"smtp_relay"};
constexpr std::array<std::string_view, 2> kHttp = {"http_connect", "http_forward"};
constexpr std::array<std::string_view, 3> kHttpOfBoth = {"http_connect", "http_forward", "http2_connect"};
constexpr std::array<std::string_view, 1> kForward = {"http_forward"};
constexpr std::array<std::string_view, 1> kTurn = {"turn_relay"};
constexpr std::array<std::string_view, 1> kFtp = {"ftp_bounce"};

constexpr std::array kSoftware = {
    Software{"postfix", "Postfix", kMail},
    Software{"exim", "Exim", kMail},
    Software{"sendmail", "Sendmail", kMail},
    Software{"opensmtpd", "OpenSMTPD", kMail},
    Software{"courier", "Courier", kMail},
    Software{"exchange", "Microsoft Exchange", kMail},
    Software{"squid", "Squid", kHttp},
    Software{"tinyproxy", "tinyproxy", kHttp},
    Software{"3proxy", "3proxy", kHttp},
    Software{"privoxy", "Privoxy", kHttp},
    Software{"apache", "Apache httpd", kHttpOfBoth},
    Software{"nginx", "nginx", kHttp},
    Software{"haproxy", "HAProxy", kForward},
    Software{"caddy", "Caddy", kHttp},
    Software{"trafficserver", "Apache Traffic Server", kHttp},
    Software{"mikrotik", "MikroTik web proxy", kHttp},
    Software{"openssh", "OpenSSH", {}},
    Software{"proftpd", "ProFTPD", kFtp},
    Software{"vsftpd", "vsftpd", kFtp},
    Software{"coturn", "coturn", kTurn},
};

// Where a word was found; the earlier one is believed.
enum class Clue { greeting, ehlo, proxy_agent, squid_error, via, server, stun_software, reply, page };

struct Found {
  Clue clue;
  std::string_view id;
  std::string version, ground;
};

bool digit(char c) { return c >= '0' && c <= '9'; }
bool word_character(char c) { return digit(c) || (to_lower(c) >= 'a' && to_lower(c) <= 'z') || c == '-' || c == '.'; }

// The place of `word` in `text`, in any case; npos when it is not there.
std::size_t find(std::string_view text, std::string_view word) {
  const auto at = std::search(text.begin(), text.end(), word.begin(), word.end(),
                              [](char a, char b) { return to_lower(a) == to_lower(b); });
  return at == text.end() ? std::string_view::npos : static_cast<std::size_t>(at - text.begin());
}

bool contains(std::string_view text, std::string_view word) { return find(text, word) != std::string_view::npos; }
bool begins(std::string_view text, std::string_view word) { return find(text.substr(0, word.size()), word) == 0; }

// What follows `word` where it stands alone: neither a part of a host's name nor of another word ("Apache-Coyote").
std::optional<std::string_view> after_word(std::string_view text, std::string_view word) {
  for (std::size_t from = 0;;) {
    const std::size_t at = find(text.substr(from), word);
    if (at == std::string_view::npos) return std::nullopt;
    const std::size_t begin = from + at, end = begin + word.size();
    const bool alone = (begin == 0 || !word_character(text[begin - 1])) && (end == text.size() || !word_character(text[end]));
    if (alone) return text.substr(end);
    from = begin + 1;
  }
}

// "9.2p1" of "_9.2p1 Debian-2": what begins with a digit behind one separator, or behind "version".
std::string version_in(std::string_view rest) {
  constexpr std::string_view kVersion = "version";
  if (!rest.empty() && !digit(rest.front())) rest.remove_prefix(1);
  if (begins(rest, kVersion)) rest.remove_prefix(std::min(rest.size(), kVersion.size() + 1));
  if (!rest.empty() && rest.front() == ' ') rest.remove_prefix(1);
  if (rest.empty() || !digit(rest.front())) return {};
  std::size_t end = 0;
  while (end < rest.size() && end < kMaxVersion && (word_character(rest[end]) || rest[end] == '+' || rest[end] == '~')) ++end;
  while (end > 1 && rest[end - 1] == '.') --end;
  return std::string(rest.substr(0, end));
}

// The lines of a transcript are escaped already; what reaches us otherwise is escaped here.
std::string shown(std::string_view words) {
  std::string out;
  for (const char c : words.substr(0, kMaxGround)) {
    if (c >= ' ' && c <= '~') {
      out += c;
    } else {
      out += escape(std::string_view(&c, 1));
    }
  }
  if (words.size() > kMaxGround) out += "…";
  return out;
}

struct Word {
  std::string_view text, id;
};

constexpr Word kMailGreetings[] = {
    {"Postfix", "postfix"}, {"Exim", "exim"},           {"Sendmail", "sendmail"},
    {"Courier", "courier"}, {"OpenSMTPD", "opensmtpd"}, {"Microsoft ESMTP MAIL Service", "exchange"},
};
constexpr Word kFtpGreetings[] = {{"(vsFTPd", "vsftpd"}, {"ProFTPD", "proftpd"}};

// What only one of them says in its answer to EHLO, and in later replies.
constexpr Word kEhloLines[] = {
    {"XVERP=Courier", "courier"}, {"X-EXPS", "exchange"}, {"X-ANONYMOUSTLS", "exchange"}, {"XEXCH50", "exchange"}};
constexpr Word kMailReplies[] = {
    {"Ok: queued as ", "postfix"},
    {": Relay access denied", "postfix"},
    {"250 OK id=", "exim"},
    {"relay not permitted", "exim"},
    {"... Recipient ok", "sendmail"},
    {"... Sender ok", "sendmail"},
    {"Destination address valid: Recipient ok", "opensmtpd"},
};

constexpr Word kHttpProducts[] = {
    {"squid", "squid"},
    {"tinyproxy", "tinyproxy"},
    {"3proxy", "3proxy"},
    {"Privoxy", "privoxy"},
    {"Apache", "apache"},
    {"nginx", "nginx"},
    {"openresty", "nginx"},
    {"HAProxy", "haproxy"},
    {"Caddy", "caddy"},
    {"ATS", "trafficserver"},
    {"ApacheTrafficServer", "trafficserver"},
    {"Mikrotik HttpProxy", "mikrotik"},
};

// What STUN servers say of themselves (RFC 8489 14.14).
constexpr Word kStunProducts[] = {{"Coturn", "coturn"}};

// What only one of them writes on its error pages.
constexpr Word kPages[] = {
    {"<center>nginx", "nginx"},
    {"<center>openresty", "nginx"},
    {"<address>Apache", "apache"},
    {">tinyproxy</a> version", "tinyproxy"},
    {"Mikrotik HttpProxy", "mikrotik"},
    {"This is Privoxy", "privoxy"},
    {"No server is available to handle this request.", "haproxy"},
    {"<h1>400 Bad request</h1>", "haproxy"},
    {"Access control list denies you to access this resource", "3proxy"},
    {"Required action is not supported by proxy server", "3proxy"},
};

// Lines of a transcript, conversation by conversation.
class Listener {
 public:
  void line(std::string_view text) {
    if (text.starts_with("# connect")) {
      state_ = State::first;
      connect_ = ehlo_ = false;
    } else if (text.starts_with("C:")) {
      ours(rest_of(text));
    } else if (text.starts_with("S:")) {
      theirs(rest_of(text));
    } else if (text.starts_with(kStunSoftware)) {
      stun(text.substr(kStunSoftware.size()));
    }
  }
  SoftwareGuess guess() const;

 private:
  enum class State { first, mail, head, page, frames, deaf };
  static constexpr std::string_view kStunSoftware = "# SOFTWARE ";  // as turn_relay notes it

  static std::string_view rest_of(std::string_view text) {
    text.remove_prefix(2);
    if (text.starts_with(' ')) text.remove_prefix(1);
    return text;
  }

  void ours(std::string_view text) {
    // A request of its own: what comes is a head again.
    if (state_ == State::page && contains(text, " HTTP/1.")) state_ = State::first;
    if (state_ == State::first) connect_ = text.starts_with("CONNECT ");
    ehlo_ = begins(text, "EHLO ");
  }

  void theirs(std::string_view text) {
    switch (state_) {
      case State::first:
        return first(text);
      case State::mail:
        return mail(text);
      case State::head:
        return head(text);
      case State::frames:
        return frame(text);
      case State::page:
        if (refused_) any(Clue::page, text, kPages, "its error page says");
        return;
      case State::deaf:
        return;
    }
  }

  void first(std::string_view text) {
    if (begins(text, "HTTP/")) {
      state_ = State::head;
      const std::size_t code = text.find(' ');
      const char kind = code == std::string_view::npos || code + 1 >= text.size() ? ' ' : text[code + 1];
      interim_ = kind == '1';
      refused_ = kind == '4' || kind == '5';
      tunnel_ = connect_ && kind == '2';
    } else if (begins(text, "SSH-")) {
      state_ = State::deaf;
      if (const auto rest = after_ssh(text)) add(Clue::greeting, "openssh", version_in(*rest), "it greets with", text);
    } else if (text.size() >= 4 && digit(text[0]) && digit(text[1]) && digit(text[2]) && (text[3] == ' ' || text[3] == '-')) {
      state_ = State::mail;
      greeting(text);
    } else if (text.starts_with("SETTINGS")) {
      state_ = State::frames;
      refused_ = false;
    } else if (text.starts_with('<')) {
      state_ = State::page;  // HTTP/0.9, as nginx answers what is no request
      refused_ = true;
      theirs(text);
    } else {
      state_ = State::deaf;  // SOCKS, or another protocol whose servers have no name in it
    }
  }

  static std::optional<std::string_view> after_ssh(std::string_view text) {
    constexpr std::string_view kName = "OpenSSH";
    const std::size_t at = text.find(kName);
    if (at == std::string_view::npos) return std::nullopt;
    return text.substr(at + kName.size());
  }

  void greeting(std::string_view text) {
    const std::string_view said = text.substr(4);
    for (const Word& word : kFtpGreetings) {
      if (!begins(said, word.text)) continue;
      return add(Clue::greeting, word.id, version_in(said.substr(word.text.size())), "it greets with", text);
    }
    // The first word is the name of the host, whatever that contains.
    const std::size_t space = said.find(' ');
    if (space == std::string_view::npos) return;
    for (const Word& word : kMailGreetings) {
      if (const auto rest = after_word(said.substr(space), word.text)) {
        return add(Clue::greeting, word.id, version_of_mail(*rest), "it greets with", text);
      }
    }
  }

  // Exchange puts a comma between.
  static std::string version_of_mail(std::string_view rest) {
    if (rest.starts_with(", ")) rest.remove_prefix(1);
    return version_in(rest);
  }

  void stun(std::string_view value) {
    for (const Word& word : kStunProducts) {
      if (!begins(value, word.text)) continue;
      return add(Clue::stun_software, word.id, version_in(value.substr(word.text.size())), "it calls itself", value);
    }
  }

  void mail(std::string_view text) {
    if (ehlo_) {
      any(Clue::ehlo, text, kEhloLines, "it answers EHLO with");
    } else {
      any(Clue::reply, text, kMailReplies, "it says");
    }
  }

  void head(std::string_view text) {
    if (text.empty()) {
      state_ = interim_ ? State::first : tunnel_ ? State::deaf : State::page;
      return;
    }
    if (begins(text, "X-Squid-Error:")) return add(Clue::squid_error, "squid", {}, "it answers with", text);
    if (begins(text, "Proxy-Agent:")) return product(Clue::proxy_agent, text, text.substr(12));
    if (begins(text, "Server:")) return product(Clue::server, text, text.substr(7));
    // RFC 9110 7.6.3: who forwarded it last stands last.
    if (begins(text, "Via:")) return product(Clue::via, text, text.substr(std::max<std::size_t>(text.rfind(',') + 1, 4)));
  }

  // HTTP/2, as http2_connect shows it. What a tunnel carries is data.
  void frame(std::string_view text) {
    constexpr std::string_view kStatus = "HEADERS :status ";
    if (text.starts_with("DATA ") && refused_) return any(Clue::page, text, kPages, "its error page says");
    if (!text.starts_with(kStatus) || text.size() == kStatus.size()) return;
    const char kind = text[kStatus.size()];
    refused_ = kind == '4' || kind == '5';
    while (!text.empty()) {
      const std::size_t end = std::min(text.find("; "), text.size());
      const std::string_view field = text.substr(0, end);
      if (field.starts_with("server ")) product(Clue::server, field, field.substr(7));
      if (field.starts_with("via ")) product(Clue::via, field, field.substr(std::max<std::size_t>(field.rfind(',') + 1, 4)));
      text.remove_prefix(std::min(end + 2, text.size()));
    }
  }

  void product(Clue clue, std::string_view line, std::string_view value) {
    for (const Word& word : kHttpProducts) {
      if (const auto rest = after_word(value, word.text)) {
        return add(clue, word.id, version_in(*rest), "it answers with", line);
      }
    }
  }

  void any(Clue clue, std::string_view text, std::span<const Word> words, std::string_view how) {
    for (const Word& word : words) {
      const std::size_t at = find(text, word.text);
      if (at == std::string_view::npos) continue;
      const std::string version = version_in(text.substr(at + word.text.size()));
      // Of a page only the place itself: the rest may be long.
      return add(clue, word.id, clue == Clue::page ? version : std::string(), how, clue == Clue::page ? text.substr(at) : text);
    }
  }

  void add(Clue clue, std::string_view id, std::string version, std::string_view how, std::string_view words) {
    // Of several Via lines of one answer the last is the nearest; of all else the first is as good as any.
    const auto same = std::find_if(found_.begin(), found_.end(),
                                   [&](const Found& one) { return one.clue == clue && (one.id == id || clue == Clue::via); });
    Found found{clue, id, std::move(version), fmt::format("{} `{}`", how, shown(words))};
    if (same == found_.end()) {
      found_.push_back(std::move(found));
    } else if (clue == Clue::via || same->version.empty()) {
      *same = std::move(found);
    }
  }

  State state_ = State::first;
  bool connect_ = false, ehlo_ = false, interim_ = false, refused_ = false, tunnel_ = false;
  std::vector<Found> found_;  // at most one for each clue and software
};

SoftwareGuess Listener::guess() const {
  const auto best =
      std::min_element(found_.begin(), found_.end(), [](const Found& a, const Found& b) { return a.clue < b.clue; });
  if (best == found_.end()) return {};
  const auto software =
      std::find_if(kSoftware.begin(), kSoftware.end(), [&](const Software& one) { return one.id == best->id; });
  if (software == kSoftware.end()) return {};
  SoftwareGuess guess{&*software, best->version, best->ground};
  for (const Found& found : found_) {
    if (guess.version.empty() && found.id == best->id) guess.version = found.version;
  }
  return guess;
}

}  // namespace

SoftwareGuess guess_software(std::span<const std::string> transcript) {
  Listener listener;
  for (const std::string& line : transcript) listener.line(line);
  return listener.guess();
}

std::span<const Software> known_software() { return kSoftware; }

}  // namespace ajar
