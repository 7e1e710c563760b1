#include "checks/smtp_visit.h"

#include <algorithm>

#include <fmt/format.h>

#include "checks/wire/greeting.h"

namespace ajar {
namespace {

constexpr int kMaxDead = 3;  // it does not want to talk

std::unique_ptr<SmtpVisit::Dismissal> dismissal(Verdict verdict, Reason reason, std::string because) {
  return std::make_unique<SmtpVisit::Dismissal>(SmtpVisit::Dismissal{verdict, reason, std::move(because)});
}

// Of a greeting that is none of SMTP: 220 and the like are also what FTP and NNTP begin with.
std::string_view spoken_instead(const std::string& greeting) {
  const std::string_view protocol = recognise(greeting);
  if (protocol != "SMTP") return protocol;
  return greeting.starts_with("220") ? "FTP" : "NNTP";
}

}  // namespace

bool speakable(const std::string& mailbox) {
  const auto fits = [](char c) { return static_cast<unsigned char>(c) > ' ' && c != '\x7f' && c != '<' && c != '>'; };
  return !mailbox.empty() && std::all_of(mailbox.begin(), mailbox.end(), fits);
}

SmtpVisit::SmtpVisit(Network& network, const Subject& subject, std::string canary_domain)
    : subject_(subject), transcript_(network.transcript()), session_(network, subject) {
  spoken_.our_name = subject_.our_name;
  spoken_.server = subject_.address;
  spoken_.names = {std::move(canary_domain)};
}

Task<std::unique_ptr<SmtpVisit::Dismissal>> SmtpVisit::meet() {
  for (int attempt = 1;; ++attempt) {
    std::optional<LinkError> failure;
    SmtpSession::Opening opening = SmtpSession::Opening::refused;
    try {
      opening = co_await session_.open();
    } catch (const LinkError& error) {
      failure = error;
    }
    if (failure) {
      session_.drop();
      const Reason reason = failure->reason();
      if (attempt == 1 && reason == Reason::hung_up) continue;  // once is chance
      if (attempt == 1 && !session_.said_anything()) throw LinkError(*failure);
      if (reason == Reason::auth_required) {
        co_return dismissal(Verdict::closed, Reason::auth_required, std::string(failure->what()) + ".");
      }
      const bool tells = session_.said_anything() && reason != Reason::nobody_listens;
      co_return dismissal(Verdict::unclear, tells ? reason : Reason::hung_up, std::string(failure->what()) + ".");
    }
    if (subject_.tls == TlsMode::implicit) tls_ = TlsMode::implicit;
    if (opening == SmtpSession::Opening::other_protocol) {
      session_.drop();
      co_return dismissal(Verdict::closed, Reason::other_protocol,
                          "It speaks another protocol: " + escape(session_.last().text(), 80) + ".");
    }
    introduce();
    if (opening == SmtpSession::Opening::ready) break;
    std::unique_ptr<Dismissal> away = turned_away();
    co_await session_.quit();
    co_return std::move(away);
  }
  observe();
  co_return nullptr;
}

// 554 "no SMTP service here", 421 "busy", 550 "your address is listed": it refuses everything, which proves nothing.
std::unique_ptr<SmtpVisit::Dismissal> SmtpVisit::turned_away() const {
  const SmtpReply& reply = session_.last();
  Reason reason = reply.kind() == 4 ? Reason::greylisted : Reason::control_failed;
  if (blocks_us(reply, SmtpStage::hello)) reason = Reason::source_blocked;
  return dismissal(Verdict::unclear, reason,
                   fmt::format("It turned us away before any mail: {} {}.", reply.code, escape(reply.text(), 120)));
}

Finding SmtpVisit::dismissed(const Dismissal& dismissal) const {
  Finding finding;
  finding.verdict = dismissal.verdict;
  finding.reason = dismissal.reason;
  finding.because = dismissal.because;
  finding.tls = tls_;
  // Turned away by an SMTP server, or by one of another protocol.
  finding.spoken = dismissal.reason == Reason::other_protocol ? spoken_instead(session_.last().text()) : "SMTP";
  return finding;
}

// The local domain, and the names that replies may echo.
void SmtpVisit::introduce() {
  const std::string& greeted = session_.server_name();
  domain_ = !subject_.mail_domains.empty() ? subject_.mail_domains.front() : subject_.host;
  declared_ = speakable(domain_);
  if (!declared_) domain_ = greeted;
  if (domain_.empty()) domain_ = subject_.address.literal();
  std::vector<std::string> names = {spoken_.names.front(), domain_, subject_.host, greeted};
  names.insert(names.end(), subject_.mail_domains.begin(), subject_.mail_domains.end());
  for (auto name = names.begin(); name != names.end();) {  // one of each
    const bool kept = !name->empty() && std::find(names.begin(), name, *name) == name;
    name = kept ? name + 1 : names.erase(name);
  }
  names.shrink_to_fit();
  spoken_.names = std::move(names);
}

bool SmtpVisit::blocks_us(const SmtpReply& reply, SmtpStage stage) const {
  const SmtpAnswer answer = read(reply, stage);
  return answer == SmtpAnswer::blocked || answer == SmtpAnswer::names_us;
}

void SmtpVisit::observe() {
  const SmtpOffers& offers = session_.offers();
  const auto note = [&](bool condition, const char* fact) {
    auto& facts = observations_;
    if (condition && std::find(facts.begin(), facts.end(), fact) == facts.end()) facts.emplace_back(fact);
  };
  note(offers.auth && !session_.tls(), "AUTH offered in clear text");
  note(offers.xclient, "XCLIENT offered to a stranger");
  note(offers.xforward, "XFORWARD offered to a stranger");
  auth_offered_ = auth_offered_ || offers.auth;
  if (!session_.tls()) starttls_offered_ = starttls_offered_ || offers.starttls;
}

std::vector<std::string> SmtpVisit::observations() const {
  std::vector<std::string> facts = observations_;
  if (starttls_failed()) {
    facts.emplace_back(session_.certificate_wanted() ? "STARTTLS offered to those alone who have a certificate"
                                                     : "STARTTLS offered, but TLS could not be had");
  }
  return facts;
}

Task<void> SmtpVisit::connect() {
  if (session_.connections() >= SmtpSession::kMaxConnections) {
    given_up_ = Reason::hung_up;
    throw LinkError(Reason::hung_up, "too many connections needed");
  }
  left_open_ = false;
  const SmtpSession::Opening opening = co_await session_.open();
  if (opening == SmtpSession::Opening::ready) {
    observe();
    co_return;
  }
  if (opening == SmtpSession::Opening::other_protocol) throw LinkError(Reason::protocol_error, "another protocol than before");
  const bool blocked = blocks_us(session_.last(), SmtpStage::hello);
  co_await session_.quit();
  throw LinkError(blocked ? Reason::source_blocked : Reason::hung_up, "turned away from a later connection");
}

Task<bool> SmtpVisit::prepare(bool tls, Reset reset) {
  if (session_.connected() && (session_.worn_out() || (session_.after_starttls() && !tls))) co_await session_.quit();
  const bool stays = session_.pipelines() && session_.after_starttls() == tls;
  if (stays && reset == Reset::with_batch) co_return true;
  if (session_.connected() && left_open_) co_await session_.reset();
  left_open_ = false;
  if (!session_.connected()) co_await connect();
  while (tls && !session_.after_starttls()) {
    if (starttls_failed() || !session_.offers().starttls) co_return false;
    const SmtpSession::Upgrade upgrade = co_await session_.start_tls();
    if (upgrade == SmtpSession::Upgrade::done) {
      tls_ = TlsMode::starttls;
      observe();
      break;
    }
    ++tls_failures_;
    co_await connect();
  }
  co_return true;
}

void SmtpVisit::begin_again() {
  session_.begin_again();
  dead_ = 0;
  given_up_.reset();
}

void SmtpVisit::broken_off(Reason reason) {
  session_.drop();
  dead_ += reason == Reason::timeout ? 2 : 1;
  if (dead_ >= kMaxDead && !given_up_) given_up_ = reason;
}

}  // namespace ajar
