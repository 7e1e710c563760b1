#include "agent/notice.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "agent/html.h"
#include "config/remedies.h"
#include "config/remedy_translations.h"

namespace ajar {
namespace {

using Kind = NoticeBlock::Kind;

constexpr std::size_t kMostDoorsTold = 3;  // in sentences; all are in the table
constexpr std::size_t kMostDoorsShown = 40;
constexpr std::size_t kMostRemedies = 3;
constexpr std::size_t kMostListings = 20;

std::string software_text(const SoftwareGuess& guess) {
  return guess.version.empty() ? std::string(guess.software->name) : fmt::format("{} {}", guess.software->name, guess.version);
}

// "1h30m" as people write it: "1 h 30 min".
std::string interval_text(Duration interval) {
  using namespace std::chrono;
  const auto whole = duration_cast<seconds>(interval);
  const std::pair<seconds, const char*> units[] = {{hours(24), "d"}, {hours(1), "h"}, {minutes(1), "min"}, {seconds(1), "s"}};
  std::string text;
  auto rest = whole;
  for (const auto& [unit, name] : units) {
    const auto count = rest / unit;
    rest -= count * unit;
    if (count > 0) text += fmt::format("{}{} {}", text.empty() ? "" : " ", count, name);
  }
  return text.empty() ? fmt::format("{} ms", interval.count()) : text;
}

class Writer {
 public:
  Writer(const NoticeFacts& facts, const NoticeLanguage& language) : facts_(facts), language_(language) {}

  NoticeDocument write() {
    document_.language = &language_;
    document_.subject = say(std::string("subject.") + (facts_.doors.empty() ? "suspected" : word(facts_.doors.front())));
    paragraph("letter.greeting");
    paragraph("letter.why_you");
    found();
    first_step();
    if (!facts_.doors.empty()) meaning();
    harms();
    steps();
    databases();
    questions();
    verify();
    contact();
    paragraph("letter.no_reply_needed");
    paragraph("letter.closing");
    paragraph("letter.signature");
    return std::move(document_);
  }

  std::string in_short() {
    std::string text = facts_.doors.empty()
                           ? say("found.suspected", address(facts_.listings.front().address))
                           : say(std::string("found.") + word(facts_.doors.front()), door(facts_.doors.front()));
    text += "\n\n" + first_step_text();
    if (!facts_.doors.empty()) {
      text += "\n\n" + say("found.evidence", {{"link", case_link_of(facts_, facts_.doors.front().exposure.id)}});
    }
    return text;
  }

 private:
  static std::string word(const NoticeDoor& door) {
    return fmt::format("{}_{}", is_relay(door.exposure.key.check) ? "relay" : "proxy",
                       door.exposure.level == Verdict::open ? "open" : "accepted");
  }

  std::string date(Time time) const {
    return language_.date(std::chrono::year_month_day(std::chrono::floor<std::chrono::days>(time)));
  }
  std::string link(std::string url) {
    if (std::find(document_.links.begin(), document_.links.end(), url) == document_.links.end()) document_.links.push_back(url);
    return url;
  }
  // What every sentence may name.
  std::string say(const std::string& key, Fillings more = {}) const {
    more.emplace("target", facts_.target);
    more.emplace("agent", facts_.agent);
    more.emplace("interval", interval_text(facts_.interval));
    more.emplace("contact", facts_.contact);
    // Addresses and paths read from left to right wherever they stand (Unicode Standard Annex 9: isolates).
    if (language_.direction == "rtl") {
      for (auto& [name, value] : more) value = fmt::format("\u2066{}\u2069", value);
    }
    return language_.say(key, more);
  }
  Fillings address(const std::string& text) const { return {{"address", text}}; }
  Fillings door(const NoticeDoor& door) const {
    const Case& exposure = door.exposure;
    return {{"address", exposure.key.address.to_string()},
            {"port", std::to_string(exposure.key.port)},
            {"check", exposure.key.check},
            {"since", date(exposure.first_seen)},
            {"last", date(exposure.last_confirmed)}};
  }

  void add(Kind kind, std::string text, bool english = false) {
    if (!text.empty()) document_.blocks.push_back({kind, std::move(text), {}, english && language_.code != "en"});
  }
  void heading(const std::string& key) { add(Kind::heading, say(key)); }
  void paragraph(const std::string& key, Fillings more = {}) { add(Kind::paragraph, say(key, std::move(more))); }
  void item(const std::string& key, Fillings more = {}) { add(Kind::item, say(key, std::move(more))); }
  void code(std::string text) { add(Kind::code, std::move(text)); }
  // A sentence of a remedy.
  void translated(Kind kind, const std::string& english) {
    const TranslatedSentence sentence = translate(english, language_.code);
    told_in_english_ = told_in_english_ || sentence.english;
    add(kind, sentence.text, sentence.english);
  }

  void found() {
    heading("found.heading");
    if (facts_.doors.empty()) {
      std::set<std::string> said;
      for (const NoticeListing& listing : facts_.listings) {
        if (said.insert(listing.address).second) paragraph("found.suspected", address(listing.address));
      }
      if (!facts_.source.empty()) paragraph("found.how_tested", {{"source", facts_.source}});
      return;
    }
    if (facts_.doors.size() > 1) doors_table();
    for (std::size_t i = 0; i < std::min(facts_.doors.size(), kMostDoorsTold); ++i) tell(facts_.doors[i]);
    const std::string& source = facts_.doors.front().source.empty() ? facts_.source : facts_.doors.front().source;
    if (!source.empty()) paragraph("found.how_tested", {{"source", source}});
  }

  void doors_table() {
    NoticeBlock block{Kind::facts, {}, {}, false};
    for (std::size_t i = 0; i < std::min(facts_.doors.size(), kMostDoorsShown); ++i) {
      const Case& exposure = facts_.doors[i].exposure;
      block.rows.emplace_back(
          fmt::format("{} {}", join_host_port(exposure.key.address, exposure.key.port), exposure.key.check),
          fmt::format("{} · {} {} · {} {}", say(exposure.level == Verdict::open ? "labels.proven" : "labels.accepted"),
                      say("labels.since"), date(exposure.first_seen), say("labels.last"), date(exposure.last_confirmed)));
    }
    if (facts_.doors.size() > kMostDoorsShown)
      block.rows.emplace_back("…", fmt::format("+{}", facts_.doors.size() - kMostDoorsShown));
    document_.blocks.push_back(std::move(block));
  }

  void tell(const NoticeDoor& told) {
    paragraph(std::string("found.") + word(told), door(told));
    paragraph(told.answers ? "found.first_seen" : "found.not_seen_since", door(told));
    for (const std::string& exit : told.exposure.exit_addresses) {
      if (exit != told.exposure.key.address.to_string()) paragraph("found.exit", address(exit));
    }
    paragraph("found.evidence", {{"link", link(case_link_of(facts_, told.exposure.id))}});
  }

  std::string first_step_text() const {
    if (facts_.doors.empty()) return say("first_step.suspected");
    const NoticeDoor& first = facts_.doors.front();
    return say(is_relay(first.exposure.key.check) ? "first_step.relay" : "first_step.proxy", door(first));
  }
  void first_step() {
    heading("first_step.heading");
    add(Kind::paragraph, first_step_text());
  }

  bool any(bool relay) const {
    return std::any_of(facts_.doors.begin(), facts_.doors.end(),
                       [&](const NoticeDoor& one) { return is_relay(one.exposure.key.check) == relay; });
  }
  void meaning() {
    heading("what.heading");
    if (any(true)) paragraph("what.relay");
    if (any(false)) paragraph("what.proxy");
  }

  // The five harms, with what we measured of each.
  void harms() {
    heading("harms.heading");
    std::set<std::string> listing_databases;
    for (const NoticeListing& listing : facts_.listings) listing_databases.insert(listing.database);
    std::string sender = say("harms.sender");
    if (facts_.databases > 0 || !facts_.listings.empty()) measured(sender, "harms.listed", listing_databases.size());
    add(Kind::item, std::move(sender));
    std::string resources = say("harms.resources");
    std::string work = say("harms.work");
    if (!facts_.doors.empty()) {
      std::size_t ways = 0;
      Time since = facts_.doors.front().exposure.first_seen;
      for (const NoticeDoor& one : facts_.doors) {
        ways += one.ways;
        since = std::min(since, one.exposure.first_seen);
      }
      measured(resources, "harms.ways", ways);
      const auto days = std::chrono::floor<std::chrono::days>(facts_.now - since).count();
      measured(work, "harms.open_for", static_cast<std::uint64_t>(std::max<std::int64_t>(0, days)));
    }
    add(Kind::item, std::move(resources));
    item("harms.network");
    add(Kind::item, std::move(work));
    item("harms.provider");
  }
  // Sentences follow each other with a space, where the language writes one.
  void measured(std::string& text, const std::string& key, std::uint64_t count) const {
    text += space() + language_.say_number(key, count);
  }
  std::string space() const { return language_.code.starts_with("ja") || language_.code.starts_with("zh") ? "" : " "; }

  // For each software that was found, once.
  void steps() {
    if (facts_.doors.empty()) return;
    heading("steps.heading");
    std::set<const Remedy*> shown;
    for (const NoticeDoor& one : facts_.doors) {
      const bool known = one.software.software != nullptr;
      const Remedy* remedy = find_remedy(one.exposure.key.check, known ? one.software.software->id : "");
      if (remedy == nullptr || shown.size() == kMostRemedies || !shown.insert(remedy).second) continue;
      const bool own = known && remedy->software == one.software.software->id;
      if (own) {
        paragraph("steps.recognised", {{"software", software_text(one.software)}});
      } else {
        paragraph("steps.unknown");
      }
      write_remedy(*remedy, one.exposure.key);
    }
  }

  void write_remedy(const Remedy& remedy, const ResultKey& key) {
    told_in_english_ = false;
    const std::size_t begin = document_.blocks.size();
    const auto filled = [&](const std::string& text) { return fill_in(text, key.address.to_string(), key.port); };
    for (const RemedyCause& cause : remedy.causes) {
      translated(Kind::item, cause.wrong);
      translated(Kind::paragraph, cause.why);
      place(cause.file);
      if (!cause.before.empty()) {
        paragraph("steps.before");
        code(filled(translate(cause.before, language_.code).text));  // a directive is the same in every language
      }
      paragraph("steps.after");
      code(filled(translate(cause.after, language_.code).text));
    }
    if (!remedy.note.empty()) translated(Kind::paragraph, remedy.note);
    if (!remedy.test.empty()) {
      paragraph("steps.check");
      code(filled(remedy.test));
    }
    if (!remedy.reload.empty()) {
      paragraph("steps.reload");
      code(filled(remedy.reload));
    }
    if (told_in_english_) {
      const std::string mark = say("steps.english");
      if (!mark.empty())
        document_.blocks.insert(document_.blocks.begin() + static_cast<std::ptrdiff_t>(begin),
                                {Kind::paragraph, mark, {}, false});
    }
    paragraph("steps.reference", {{"link", link(remedy.reference)}});
  }

  // Where a directive stands: a file, or in words.
  void place(const std::string& where) {
    const TranslatedSentence text = translate(where, language_.code);
    if (where.starts_with('/')) {
      paragraph("steps.file", {{"file", where}});
    } else {
      add(Kind::paragraph, text.text + ":", text.english);
    }
  }

  void databases() {
    if (facts_.listings.empty()) return;
    heading("databases.heading");
    for (std::size_t i = 0; i < std::min(facts_.listings.size(), kMostListings); ++i) {
      const NoticeListing& listing = facts_.listings[i];
      item("databases.listed", {{"database", listing.database}, {"address", listing.address}});
      if (!listing.reason.empty()) paragraph("databases.reason", {{"reason", listing.reason}});
      if (!listing.delist.empty()) paragraph("databases.delist", {{"link", link(listing.delist)}});
    }
    if (facts_.databases_tested) paragraph("databases.believed", {{"last", date(*facts_.databases_tested)}});
    paragraph("databases.delist_first");
  }

  void question(const std::string& key, const std::string& answer, Fillings more = {}) {
    add(Kind::item, say("questions." + key) + space() + say("questions." + answer, std::move(more)));
  }
  void questions() {
    heading("questions.heading");
    paragraph("questions.origin");
    if (facts_.answered && !facts_.source.empty()) {
      question("untrusted", "untrusted_yes", {{"source", facts_.source}});
    } else {
      question("untrusted", "cannot_tell");
    }
    const auto named = std::find_if(facts_.doors.begin(), facts_.doors.end(),
                                    [](const NoticeDoor& one) { return one.software.software != nullptr; });
    if (named != facts_.doors.end()) {
      question("software", "software_said", {{"software", software_text(named->software)}});
    } else {
      question("software", facts_.answered ? "software_silent" : "cannot_tell");
    }
    question("patches", "cannot_tell");
    question("access", access_answer());
    if (facts_.last_probe) {
      question("regularly", "regularly_yes", {{"last", date(*facts_.last_probe)}});
    } else {
      question("regularly", "cannot_tell");
    }
    question("mailbox", "cannot_tell");
  }
  std::string access_answer() const {
    if (!facts_.doors.empty()) return facts_.doors.front().exposure.level == Verdict::open ? "access_no" : "access_partly";
    return facts_.refused ? "access_yes" : "cannot_tell";
  }

  void verify() {
    if (facts_.doors.empty()) return;
    heading("verify.heading");
    std::set<const ByHand*> shown;
    for (const NoticeDoor& one : facts_.doors) {
      const ResultKey& key = one.exposure.key;
      const ByHand* by_hand = find_by_hand(key.check);
      if (by_hand == nullptr || shown.size() == kMostRemedies || !shown.insert(by_hand).second) continue;
      if (shown.size() == 1) paragraph("verify.by_hand");
      code(fill_in(one.tls == TlsMode::implicit ? by_hand->tls : by_hand->command, key.address.to_string(), key.port));
      translated(Kind::paragraph, by_hand->closed);
    }
    paragraph("verify.again", {{"link", link(target_link_of(facts_))}});
    paragraph("verify.closed");
  }

  void contact() {
    heading("contact.heading");
    if (!facts_.contact.empty()) paragraph("contact.who");
    paragraph("contact.about");
  }

  const NoticeFacts& facts_;
  const NoticeLanguage& language_;
  NoticeDocument document_;
  bool told_in_english_ = false;
};

}  // namespace

NoticeDocument write_notice(const NoticeFacts& facts, const NoticeLanguage& language) {
  return Writer(facts, language).write();
}

std::string notice_in_short(const NoticeFacts& facts, const NoticeLanguage& language) {
  return Writer(facts, language).in_short();
}

std::string target_link_of(const NoticeFacts& facts) {
  return fmt::format("{}/targets/{}", facts.base, url_encode(facts.target));
}

std::string case_link_of(const NoticeFacts& facts, const std::string& id) {
  return fmt::format("{}/exposures/{}", facts.base, url_encode(id));
}

}  // namespace ajar
