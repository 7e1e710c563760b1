#include "checks/smtp_matrix.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include <fmt/args.h>
#include <fmt/format.h>

namespace ajar {
namespace {

constexpr std::string_view kAfterTls = "+tls";

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

struct Wanted {
  const Subject& subject;
  std::vector<std::string> must_ask;

  const Retry* retry_of(const std::string& name) const {
    const auto found =
        std::find_if(subject.retries.begin(), subject.retries.end(), [&](const Retry& r) { return r.variant == name; });
    return found == subject.retries.end() ? nullptr : &*found;
  }
  // A way that said yes is asked on both sides of STARTTLS: it may be offered no longer, or be demanded now.
  bool wants(const std::string& name, const std::string& twin, bool core) const {
    return core || subject.full_matrix || contains(must_ask, name) || contains(must_ask, twin) || retry_of(name) != nullptr;
  }
};

void add(std::vector<SmtpAsk>& asks, const Wanted& wanted, const SenderForm& sender, const RecipientForm& recipient, bool tls) {
  SmtpAsk ask;
  ask.name = fmt::format("{}/{}{}", sender.name, recipient.name, tls ? kAfterTls : "");
  ask.core = sender.core && recipient.name == "plain";
  ask.sender = &sender;
  ask.recipient = &recipient;
  ask.tls = tls;
  if (!wanted.wants(ask.name, ask.twin(), ask.core)) return;
  ask.must_ask = contains(wanted.must_ask, ask.name);
  if (const Retry* retry = wanted.retry_of(ask.name)) {
    ask.retried = true;
    ask.token = retry->token;
    ask.sender_token = retry->sender_token;
  }
  asks.push_back(std::move(ask));
}

}  // namespace

std::string SmtpAsk::message_class() const { return fmt::format("{}/{}", sender->name, recipient->family); }

std::string SmtpAsk::twin() const { return fmt::format("{}/{}{}", sender->name, recipient->name, tls ? "" : kAfterTls); }

std::vector<SmtpAsk> plan_smtp_relay(const Subject& subject) {
  const Wanted wanted{subject, subject.must_ask};
  std::vector<SmtpAsk> asks;
  std::vector<SmtpAsk> rest;
  for (const bool tls : {false, true}) {
    if (tls && subject.tls == TlsMode::implicit) continue;
    for (const SenderForm& sender : kSenders) {
      for (const RecipientForm& recipient : kRecipients) {
        const bool plain = recipient.name == "plain";
        if (plain || sender.with_forms) add(plain && sender.core ? asks : rest, wanted, sender, recipient, tls);
      }
    }
  }
  // Core first, before a server tires of us; each part in clear text before STARTTLS.
  std::move(rest.begin(), rest.end(), std::back_inserter(asks));
  return asks;
}

std::string write_mailbox(std::string_view form, const MailboxWords& words) {
  return fmt::format(fmt::runtime(form), fmt::arg("token", words.token), fmt::arg("sender", words.sender),
                     fmt::arg("canary", words.canary), fmt::arg("domain", words.domain), fmt::arg("address", words.address));
}

}  // namespace ajar
