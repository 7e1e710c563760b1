#include "checks/smtp_matrix.h"

#include <algorithm>
#include <stdexcept>

#include <fmt/format.h>

namespace ajar {
namespace {

constexpr std::string_view kAfterTls = "+tls";

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::string name_of(const SenderForm& sender, const RecipientForm& recipient, bool tls) {
  std::string name;
  name.reserve(sender.name.size() + 1 + recipient.name.size() + kAfterTls.size());
  name.append(sender.name).append("/").append(recipient.name);
  return tls ? name.append(kAfterTls) : name;
}

const Retry* retry_of(const Subject& subject, const std::string& name) {
  const auto found =
      std::find_if(subject.retries.begin(), subject.retries.end(), [&](const Retry& r) { return r.variant == name; });
  return found == subject.retries.end() ? nullptr : &*found;
}

std::string_view word_of(std::string_view name, const MailboxWords& words) {
  if (name == "token") return words.token;
  if (name == "sender") return words.sender;
  if (name == "canary") return words.canary;
  if (name == "domain") return words.domain;
  if (name == "address") return words.address;
  throw std::logic_error("a form of the matrix has no such word: " + std::string(name));
}

// A way that said yes is asked on both sides of STARTTLS: it may be offered no longer, or be demanded now.
bool wanted(const Subject& subject, const SmtpPick& pick) {
  if (pick.core || subject.full_matrix) return true;
  if (subject.must_ask.empty() && subject.retries.empty()) return false;
  const auto& sender = kSenders[pick.sender];
  const auto& recipient = kRecipients[pick.recipient];
  const std::string name = name_of(sender, recipient, pick.tls);
  return contains(subject.must_ask, name) || contains(subject.must_ask, name_of(sender, recipient, !pick.tls)) ||
         retry_of(subject, name) != nullptr;
}

}  // namespace

std::string SmtpAsk::message_class() const { return fmt::format("{}/{}", sender->name, recipient->family); }

std::string SmtpAsk::twin() const { return name_of(*sender, *recipient, !tls); }

std::vector<SmtpPick> pick_smtp_relay(const Subject& subject) {
  std::vector<SmtpPick> picks;
  // Core first, before a server tires of us; each part in clear text before STARTTLS.
  for (const bool core : {true, false}) {
    for (const bool tls : {false, true}) {
      if (tls && subject.tls == TlsMode::implicit) continue;
      for (std::size_t s = 0; s < kSenders.size(); ++s) {
        for (std::size_t r = 0; r < kRecipients.size(); ++r) {
          const bool plain = kRecipients[r].name == "plain";
          if (!plain && !kSenders[s].with_forms) continue;
          const SmtpPick pick{static_cast<std::uint8_t>(s), static_cast<std::uint8_t>(r), tls, plain && kSenders[s].core};
          if (pick.core == core && wanted(subject, pick)) picks.push_back(pick);
        }
      }
    }
  }
  return picks;
}

SmtpAsk spell_out(const SmtpPick& pick, const Subject& subject) {
  SmtpAsk ask;
  ask.sender = &kSenders[pick.sender];
  ask.recipient = &kRecipients[pick.recipient];
  ask.tls = pick.tls;
  ask.core = pick.core;
  ask.name = name_of(*ask.sender, *ask.recipient, ask.tls);
  ask.must_ask = contains(subject.must_ask, ask.name);
  if (const Retry* retry = retry_of(subject, ask.name)) {
    ask.retried = true;
    ask.token = retry->token;
    ask.sender_token = retry->sender_token;
  }
  return ask;
}

std::vector<SmtpAsk> plan_smtp_relay(const Subject& subject) {
  std::vector<SmtpAsk> asks;
  for (const SmtpPick& pick : pick_smtp_relay(subject)) asks.push_back(spell_out(pick, subject));
  return asks;
}

void write_mailbox(std::string& line, std::string_view form, const MailboxWords& words) {
  while (!form.empty()) {
    const std::size_t open = std::min(form.find('{'), form.size());
    line += form.substr(0, open);
    form.remove_prefix(open);
    if (form.empty()) break;
    const std::size_t close = form.find('}');
    line += word_of(form.substr(1, close - 1), words);
    form.remove_prefix(close + 1);
  }
}

std::string write_mailbox(std::string_view form, const MailboxWords& words) {
  std::string mailbox;
  write_mailbox(mailbox, form, words);
  return mailbox;
}

}  // namespace ajar
