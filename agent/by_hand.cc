#include "agent/by_hand.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

#include <fmt/format.h>

#include "agent/pages.h"
#include "checks/smtp_matrix.h"
#include "config/remedies.h"

namespace ajar {
namespace {

constexpr std::size_t kMaxVariant = 200;  // bytes; a longer name is none of ours

// A command, and the form that it repeats.
struct Repetition {
  std::string command;
  std::string form;  // HTML; may be empty
};

bool take_suffix(std::string_view& text, std::string_view suffix) {
  if (!text.ends_with(suffix)) return false;
  text.remove_suffix(suffix.size());
  return true;
}

std::string authority(const ResultKey& key) { return fill_in("{endpoint}", key.address.to_string(), key.port); }

// -- mail --

template <typename Forms>
auto find_form(const Forms& forms, std::string_view name) {
  const auto found = std::find_if(forms.begin(), forms.end(), [&](const auto& form) { return form.name == name; });
  return found == forms.end() ? nullptr : &*found;
}

std::optional<Repetition> mail(const ResultKey& key, TlsMode tls, std::string_view variant, const std::string& local_domain) {
  const bool after_starttls = take_suffix(variant, "+tls");
  const auto slash = variant.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const SenderForm* sender = find_form(kSenders, variant.substr(0, slash));
  const RecipientForm* recipient = find_form(kRecipients, variant.substr(slash + 1));
  if (sender == nullptr || recipient == nullptr) return std::nullopt;
  const std::string domain = local_domain.empty() ? "example.org" : local_domain.substr(0, 255);
  const std::string literal = key.address.literal();
  MailboxWords words;
  words.token = "test";
  words.sender = "test";
  words.canary = "example.com";
  words.domain = domain;
  words.address = literal;
  const std::string from = write_mailbox(sender->mailbox, words), to = write_mailbox(recipient->mailbox, words);
  const char* how = tls == TlsMode::implicit ? " --tls-on-connect" : after_starttls ? " --tls" : "";
  Repetition again;
  again.command = fmt::format("swaks --server {} --port {}{} --ehlo probe.example.net --from {} --to {} --quit-after RCPT",
                              key.address.to_string(), key.port, how, from.empty() ? "'<>'" : shell_word(from), shell_word(to));
  again.form = fmt::format("It said yes to <code>MAIL FROM:&lt;{}&gt;</code> with <code>RCPT TO:&lt;{}&gt;</code>{}.",
                           html(from), html(to), after_starttls ? ", after STARTTLS" : "");
  if (local_domain.empty() && (from + to).find("example.org") != std::string::npos) {
    again.form += " Put the domain of the server in place of example.org.";
  }
  if (recipient->needs_smtputf8) {
    again.form += " It was asked with SMTPUTF8, which swaks does not say: add it to MAIL FROM in a conversation by hand.";
  }
  return again;
}

// -- proxies --

struct Destination {
  std::string_view form;  // "ipv4", "ipv6", "name"
  std::string authority;
};

// "ipv4:8025/smtp", as ProxyDestination::name() writes it.
std::optional<Destination> destination(std::string_view text) {
  take_suffix(text, "/smtp");
  const auto colon = text.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const std::string_view form = text.substr(0, colon), digits = text.substr(colon + 1);
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  const std::string_view host = form == "ipv4"   ? "192.0.2.1"
                                : form == "ipv6" ? "[2001:db8::1]"
                                : form == "name" ? "example.com"
                                                 : "";
  if (host.empty()) return std::nullopt;
  return Destination{form, fmt::format("{}:{}", host, port)};
}

std::string about(const Destination& to) {
  const std::string_view by = to.form == "ipv4" ? "its IPv4 address" : to.form == "ipv6" ? "its IPv6 address" : "its name";
  return fmt::format(
      "It said yes for a host that was named by {}. Put one of your own, outside your networks and listening at that port, in "
      "place of <code>{}</code>.",
      by, html(to.authority));
}

std::string scheme(TlsMode tls) { return tls == TlsMode::implicit ? "https" : "http"; }

std::string url(const std::string& authority) { return shell_word("http://" + authority + "/"); }

// curl that is given the server as its proxy.
std::string as_proxy(const ResultKey& key, TlsMode tls, std::string_view options, const Destination& to) {
  return fmt::format("curl -v --noproxy ''{}{} --proxy {}://{} {}", options,
                     tls == TlsMode::implicit ? " --proxy-insecure" : "", scheme(tls), authority(key), url(to.authority));
}

// curl that asks the server itself, in the words given.
std::string directly(const ResultKey& key, TlsMode tls, const std::string& target, const std::string& host,
                     const std::string& more) {
  return fmt::format("curl -v --noproxy '*'{}{} -H {}{} {}://{}/", tls == TlsMode::implicit ? " -k" : "",
                     target.empty() ? "" : " --request-target " + shell_word(target), shell_word("Host: " + host),
                     more.empty() ? "" : " -H " + shell_word(more), scheme(tls), authority(key));
}

std::optional<Repetition> connect(const ResultKey& key, TlsMode tls, std::string_view variant) {
  const bool old = take_suffix(variant, "+http1.0");
  const auto to = destination(variant);
  if (!to) return std::nullopt;
  if (old && tls != TlsMode::implicit) {
    return Repetition{fmt::format("curl -v --noproxy '' --proxytunnel --proxy1.0 {} {}", authority(key), url(to->authority)),
                      about(*to)};
  }
  return Repetition{as_proxy(key, tls, " --proxytunnel", *to), about(*to)};
}

std::optional<Repetition> forward(const ResultKey& key, TlsMode tls, std::string_view variant) {
  const auto at = variant.rfind('@');
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view way = variant.substr(0, at);
  const auto to = destination(variant.substr(at + 1));
  if (!to) return std::nullopt;
  const std::string own = authority(key), &ours = to->authority;
  std::string command;
  if (way == "absolute/get") command = as_proxy(key, tls, "", *to);
  if (way == "absolute/get+http1.0") command = as_proxy(key, tls, " --http1.0", *to);
  if (way == "absolute/head") command = as_proxy(key, tls, " --head", *to);
  if (way == "absolute/post") command = as_proxy(key, tls, " -d token=test", *to);
  if (way == "absolute/put") command = as_proxy(key, tls, " -X PUT -d token=test", *to);
  if (way == "host/get") command = directly(key, tls, "", ours, "");
  if (way == "userinfo/get") command = directly(key, tls, fmt::format("http://{}@{}/", own, ours), ours, "");
  if (way == "host_differs/get") command = directly(key, tls, fmt::format("http://{}/", own), ours, "");
  if (way == "line_differs/get") command = directly(key, tls, fmt::format("http://{}/", ours), own, "");
  if (way == "x_forwarded_host/get") command = directly(key, tls, "", own, "X-Forwarded-Host: " + ours);
  if (way == "host_userinfo/get") command = directly(key, tls, "", own + "@" + ours, "");
  if (command.empty()) return std::nullopt;
  return Repetition{std::move(command), about(*to)};
}

std::optional<Repetition> socks(const ResultKey& key, std::string_view variant) {
  const auto to = destination(variant);
  if (!to) return std::nullopt;
  const bool named = to->form == "name";
  const std::string_view option =
      key.check == "socks4" ? (named ? "--socks4a" : "--socks4") : (named ? "--socks5-hostname" : "--socks5");
  return Repetition{fmt::format("curl -v --noproxy '' {} {} {}", option, authority(key), url(to->authority)), about(*to)};
}

std::optional<Repetition> repetition(const ResultKey& key, TlsMode tls, const std::string& variant,
                                     const std::string& local_domain) {
  if (variant.empty() || variant.size() > kMaxVariant) return std::nullopt;
  if (key.check == "smtp_relay") return mail(key, tls, variant, local_domain);
  if (key.check == "http_connect") return connect(key, tls, variant);
  if (key.check == "http_forward") return forward(key, tls, variant);
  if (key.check == "socks4" || key.check == "socks5") return socks(key, variant);
  return std::nullopt;
}

}  // namespace

std::string by_hand_section(const ResultKey& key, TlsMode tls, const std::string& variant, const std::string& local_domain) {
  const ByHand* by_hand = find_by_hand(key.check);
  if (by_hand == nullptr) return "";
  std::string out;
  if (const auto again = repetition(key, tls, variant, local_domain)) {
    out += fmt::format("<p>{}</p><pre>{}</pre>", again->form, html(again->command));
  } else {
    const std::string& command = tls == TlsMode::implicit ? by_hand->tls : by_hand->command;
    out += fmt::format("<pre>{}</pre>", html(fill_in(command, key.address.to_string(), key.port)));
  }
  return out + fmt::format("<p>{}</p>", html_with_code(by_hand->closed));
}

std::string shell_word(const std::string& text) {
  const auto harmless = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("@%+=:,./_-").find(c) != std::string_view::npos;
  };
  if (!text.empty() && std::all_of(text.begin(), text.end(), harmless)) return text;
  std::string word = "'";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) continue;
    if (c == '\'') {
      word += "'\\''";
    } else {
      word += c;
    }
  }
  return word + "'";
}

}  // namespace ajar
