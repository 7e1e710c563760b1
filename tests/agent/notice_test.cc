#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "agent/mime.h"
#include "agent/notice_reply.h"
#include "agent/site.h"
#include "agent/xarf.h"
#include "tests/support/made_up_agent.h"

namespace ajar {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

Time at(int day, int hour = 12) { return std::chrono::sys_days(std::chrono::year(2026) / 3 / day) + std::chrono::hours(hour); }

NoticeDoor door(const std::string& check, const std::string& address, std::uint16_t port, Verdict level) {
  NoticeDoor made;
  made.exposure.id = "c0ffee" + std::to_string(port);
  made.exposure.key = {"mx1", *IpAddress::parse(address), port, Transport::tcp, check};
  made.exposure.level = level;
  made.exposure.first_seen = at(2);
  made.exposure.last_confirmed = at(5, 9);
  made.exposure.exit_addresses = {"203.0.113.9"};
  made.ways = 2;
  made.source = "198.51.100.7";
  made.because = "The message for the canary came back through it.";
  made.transcript = {"S: 220 mx1.example.org ESMTP Postfix", "C: EHLO probe.example.net", "S: 250 mx1.example.org"};
  made.software = guess_software(made.transcript);
  return made;
}

NoticeListing listing() {
  NoticeListing made;
  made.address = "203.0.113.5";
  made.database = "bl.example";
  made.reason = "open relay, seen 2026-03-04";
  made.meanings = "open relay";
  made.delist = "https://bl.example/remove?ip=203.0.113.5";
  made.checked = at(5, 10);
  return made;
}

// An open relay that says it is Postfix, listed once.
NoticeFacts open_relay() {
  NoticeFacts facts;
  facts.target = "mx1";
  facts.place = "mx1.example.org";
  facts.agent = "probe.example.net";
  facts.contact = "sre@example.net";
  facts.base = "https://ajar.example.net";
  facts.addresses = {"203.0.113.5"};
  facts.interval = 1h;
  facts.now = at(5);
  facts.last_probe = at(5, 11);
  facts.source = "198.51.100.7";
  facts.answered = true;
  facts.doors = {door("smtp_relay", "203.0.113.5", 25, Verdict::open)};
  facts.listings = {listing()};
  facts.databases = 12;
  facts.databases_tested = at(5, 10);
  return facts;
}

NoticeFacts listed_only() {
  NoticeFacts facts = open_relay();
  facts.doors.clear();
  facts.refused = true;
  return facts;
}

// Two kinds of door, none proven, one that does not answer any more; nobody knows what runs there.
NoticeFacts accepted_proxies() {
  NoticeFacts facts = open_relay();
  facts.listings.clear();
  facts.doors.clear();
  facts.contact.clear();
  for (const auto& [check, port] : {std::pair("http_connect", 3128), {"socks5", 1080}}) {
    NoticeDoor made = door(check, "2001:db8::5", static_cast<std::uint16_t>(port), Verdict::accepted);
    made.exposure.exit_addresses.clear();
    made.software = {};
    made.ways = 1;
    facts.doors.push_back(made);
  }
  facts.doors.back().answers = false;
  return facts;
}

const NoticeLanguage& language(std::string_view code) { return *find_notice_language(code); }

// As a notice says it: in a script from right to left, what is put in stays from left to right.
std::string said_in(const NoticeLanguage& one, std::string_view key, Fillings fillings) {
  if (one.direction == "rtl") {
    for (auto& [name, value] : fillings) value = "\u2066" + value + "\u2069";
  }
  return one.say(key, fillings);
}

std::string make(const NoticeFacts& facts, const std::string& languages, const std::string& format,
                 const std::string& owner = "") {
  const auto wish = parse_notice_wish(languages, format);
  return make_notice(facts, std::get<NoticeWish>(wish), owner);
}

void expect_golden(const std::string& name, const std::string& text) {
  const std::string file = std::string(AJAR_SOURCE_DIR) + "/tests/golden/notices/" + name;
  if (std::getenv("AJAR_UPDATE_GOLDEN") != nullptr) std::ofstream(file, std::ios::binary) << text;
  std::ifstream in(file, std::ios::binary);
  const std::string golden((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  EXPECT_TRUE(text == golden) << name
                              << " differs: AJAR_UPDATE_GOLDEN=1 writes it anew: look at the difference before committing it";
}

TEST(Notice, GoldenInEveryLanguageAndFormat) {
  for (const NoticeLanguage& one : notice_languages()) {
    expect_golden(one.code + ".txt", make(open_relay(), one.code, "text"));
    expect_golden(one.code + ".html", make(open_relay(), one.code, "html"));
    expect_golden(one.code + ".eml", make(open_relay(), one.code, "eml", "mail@example.org"));
  }
  expect_golden("de,fr,ar.eml", make(open_relay(), "de,fr,ar", "eml", "Mail team <mail@example.org>"));
  expect_golden("relay.xarf", make(open_relay(), "en", "xarf"));
}

TEST(Notice, GoldenOfOtherFindings) {
  for (const char* code : {"en", "de", "ar"}) {
    expect_golden(fmt::format("listed-{}.txt", code), make(listed_only(), code, "text"));
    expect_golden(fmt::format("proxies-{}.txt", code), make(accepted_proxies(), code, "text"));
  }
  expect_golden("proxies-en.html", make(accepted_proxies(), "en", "html"));
  expect_golden("proxies.xarf", make(accepted_proxies(), "en", "xarf"));
}

// Suspected, accepted and proven are never mixed up, in no language.
TEST(Notice, SaysHowSureItIs) {
  NoticeFacts accepted = open_relay();
  accepted.doors.front().exposure.level = Verdict::accepted;
  for (const NoticeLanguage& one : notice_languages()) {
    const std::string proven = said_in(one, "found.relay_open", {{"address", "203.0.113.5"}, {"port", "25"}});
    const NoticeDocument open = write_notice(open_relay(), one), said = write_notice(accepted, one),
                         listed = write_notice(listed_only(), one);
    const auto has = [](const NoticeDocument& document, const std::string& text) {
      return std::any_of(document.blocks.begin(), document.blocks.end(),
                         [&](const NoticeBlock& block) { return block.text == text; });
    };
    EXPECT_TRUE(has(open, proven)) << one.code;
    EXPECT_FALSE(has(said, proven)) << one.code;
    EXPECT_FALSE(has(listed, proven)) << one.code;
    EXPECT_EQ(open.subject, said_in(one, "subject.relay_open", {{"target", "mx1"}}));
    EXPECT_EQ(said.subject, said_in(one, "subject.relay_accepted", {{"target", "mx1"}}));
    EXPECT_EQ(listed.subject, said_in(one, "subject.suspected", {{"target", "mx1"}}));
    EXPECT_TRUE(has(listed, said_in(one, "found.suspected", {{"address", "203.0.113.5"}})));
  }
}

TEST(Notice, EveryLanguageCanTellEverything) {
  NoticeFacts all = open_relay();
  for (const NoticeDoor& more : accepted_proxies().doors) all.doors.push_back(more);
  all.doors.push_back(door("socks4", "203.0.113.6", 1080, Verdict::open));
  for (const NoticeLanguage& one : notice_languages()) {
    for (const NoticeFacts& facts : {all, listed_only(), accepted_proxies()}) {
      const NoticeDocument document = write_notice(facts, one);
      for (const NoticeBlock& block : document.blocks) {
        EXPECT_EQ(block.text.find("{{"), std::string::npos) << one.code << ": " << block.text;
        EXPECT_TRUE(!block.text.empty() || !block.rows.empty()) << one.code;
      }
    }
  }
}

TEST(Notice, ARemedyThatIsNotTranslatedIsMarked) {
  const NoticeDocument japanese = write_notice(open_relay(), language("ja"));
  EXPECT_TRUE(
      std::any_of(japanese.blocks.begin(), japanese.blocks.end(), [](const NoticeBlock& block) { return block.english; }));
  const std::string text = make(open_relay(), "ja", "text");
  EXPECT_THAT(text, HasSubstr(language("ja").say("steps.english")));
  EXPECT_THAT(make(open_relay(), "ja", "html"), HasSubstr("<li lang=en dir=ltr>"));
  for (const char* code : {"de", "de-CH", "fr", "it", "es", "en"}) {
    const NoticeDocument document = write_notice(open_relay(), language(code));
    EXPECT_TRUE(std::none_of(document.blocks.begin(), document.blocks.end(), [](const NoticeBlock& block) {
      return block.english;
    })) << code;
  }
  EXPECT_THAT(text, HasSubstr("mynetworks = 0.0.0.0/0")) << "directives stay as they are";
}

TEST(Notice, LinesOfTextAreShortEnough) {
  for (const NoticeLanguage& one : notice_languages()) {
    std::istringstream text(make(open_relay(), one.code, "text"));
    for (std::string line; std::getline(text, line);) {
      const bool one_word = line.find(' ', line.find_first_not_of(" *")) == std::string::npos;
      const bool verbatim = line.starts_with("    ");
      EXPECT_TRUE(columns(line) <= 72 || one_word || verbatim) << one.code << ": " << line;
    }
  }
}

TEST(Notice, WhatOthersWroteIsEscapedInHtml) {
  NoticeFacts facts = open_relay();
  facts.target = "<script>alert(1)</script>";
  facts.listings.front().reason = "<img src=x onerror=alert(1)>";
  facts.listings.front().delist = "https://bl.example/\"><script>";
  facts.contact = "\"><b>@example.net";
  facts.doors.front().software.version = "</p><script>";
  for (const char* code : {"en", "ar"}) {
    const std::string page = notice_page(facts, language(code), "<b>owner");
    EXPECT_THAT(page, Not(HasSubstr("<script>")));
    EXPECT_THAT(page, Not(HasSubstr("<img")));
    EXPECT_THAT(page, Not(HasSubstr("<b>")));
    EXPECT_THAT(page, HasSubstr("&lt;script&gt;"));
  }
}

TEST(Notice, NoHeaderOfTheMailCanBeAdded) {
  NoticeFacts facts = open_relay();
  facts.target = "mx1\r\nBcc: victim@example.com";
  const std::string mail = make(facts, "en", "eml", "mail@example.org\r\nCc: victim@example.com");
  const std::string header = mail.substr(0, mail.find("\r\n\r\n"));
  EXPECT_THAT(header, HasSubstr("\nSubject: "));
  EXPECT_THAT(header, Not(HasSubstr("\nBcc:")));
  EXPECT_THAT(header, Not(HasSubstr("\nCc:")));
  EXPECT_THAT(header, Not(HasSubstr("\nTo:"))) << "what is no address is left out";
}

TEST(Notice, AWishIsUnderstoodOrRefusedInASentence) {
  const auto wish = [](std::string_view languages, std::string_view format) { return parse_notice_wish(languages, format); };
  EXPECT_EQ(std::get<NoticeWish>(wish("de,fr,de-AT", "eml")).languages.size(), 2U) << "none twice";
  EXPECT_THAT(std::get<std::string>(wish("xx", "text")), HasSubstr("no notice in `xx`: en ar bg"));
  EXPECT_THAT(std::get<std::string>(wish("", "text")), HasSubstr("no notice in ``"));
  EXPECT_THAT(std::get<std::string>(wish("de,", "text")), HasSubstr("no notice in ``"));
  EXPECT_THAT(std::get<std::string>(wish("en", "pdf")), HasSubstr("unknown format `pdf`"));
  EXPECT_THAT(std::get<std::string>(wish("en\n\x1b[2J", "text")), Not(HasSubstr("\x1b")));
}

TEST(Notice, AnOwnersAddressIsFound) {
  EXPECT_EQ(mail_address_in("mail@example.org"), "mail@example.org");
  EXPECT_EQ(mail_address_in("Mail team <mail@example.org>"), "mail@example.org");
  for (const char* owner :
       {"", "mail-team", "a b@example.org", "@example.org", "mail@", "a@b@c", "<>", "mail@example.org?cc=x y"}) {
    EXPECT_EQ(mail_address_in(owner), "") << owner;
  }
}

TEST(Notice, TheSameFindingHasTheSameReportId) {
  const auto id = [](const NoticeFacts& facts) {
    return nlohmann::json::parse(xarf_reports(facts).front())["report_id"].get<std::string>();
  };
  NoticeFacts later = open_relay();
  later.now += 1h;
  EXPECT_EQ(id(open_relay()), id(later));
  later.doors.front().exposure.last_confirmed += 1h;
  EXPECT_NE(id(open_relay()), id(later));
}

// -- what the agent knows --

SiteReply ask(Site& site, const std::string& path, std::multimap<std::string, std::string> params = {}) {
  SiteRequest request;
  request.method = "GET";
  request.path = path;
  request.target = path;
  request.params = std::move(params);
  return site.answer(request);
}

struct NoticeSite : testing::Test {
  NoticeSite() {
    agent.fill();
    agent.fill_zones();
  }
  MadeUpAgent agent;
  Site site{agent.web_state()};
};

TEST_F(NoticeSite, TellsWhatIsOpenAndListed) {
  const SiteReply page = ask(site, "/notices/mx1");
  ASSERT_EQ(page.status, 200);
  EXPECT_EQ(page.type, "text/html; charset=utf-8");
  EXPECT_THAT(*page.body, HasSubstr("is an open relay. This is proven"));
  EXPECT_THAT(*page.body, HasSubstr("bl.example lists 203.0.113.5"));
  EXPECT_THAT(*page.body, Not(HasSubstr("broken.example"))) << "a database that cannot be believed says nothing";
  EXPECT_THAT(*page.body, HasSubstr("/exposures/"));
  EXPECT_THAT(*page.body, HasSubstr("<html lang=\"en\" dir=ltr>"));
}

TEST_F(NoticeSite, SpeaksTheLanguageThatIsAskedFor) {
  EXPECT_THAT(*ask(site, "/notices/mx1", {{"lang", "de-CH"}}).body, HasSubstr("<html lang=\"de-CH\" dir=ltr>"));
  EXPECT_THAT(*ask(site, "/notices/mx1", {{"lang", "ar"}}).body, HasSubstr("<html lang=\"ar\" dir=rtl>"));
  EXPECT_EQ(ask(site, "/notices/mx1", {{"lang", "xx"}}).status, 400);
  EXPECT_EQ(ask(site, "/notices/mx1", {{"format", "pdf"}}).status, 400);
}

TEST_F(NoticeSite, GivesFilesToKeep) {
  const SiteReply mail = ask(site, "/notices/mx1", {{"lang", "fr,de"}, {"format", "eml"}});
  EXPECT_EQ(mail.type, "message/rfc822");
  EXPECT_THAT(mail.headers, testing::Contains(std::pair<std::string, std::string>("Content-Disposition",
                                                                                  "attachment; filename=\"mx1-fr-de.eml\"")));
  const SiteReply xarf = ask(site, "/notices/mx1", {{"format", "xarf"}});
  EXPECT_EQ(nlohmann::json::parse(xarf.body->substr(0, xarf.body->find('\n')))["xarf_version"], "4.2.0");
}

TEST_F(NoticeSite, SaysNothingWhereNothingIsWrong) {
  const SiteReply closed = ask(site, "/notices/mx2");
  EXPECT_EQ(closed.status, 404);
  EXPECT_THAT(*closed.body, HasSubstr("nothing to write about"));
  EXPECT_EQ(ask(site, "/notices/office").status, 404) << "exempt: its owner knows";
  EXPECT_EQ(ask(site, "/notices/no-such-target").status, 404);
}

TEST_F(NoticeSite, AFirewallDoesNotEndTheStory) {
  agent.now += 1h;
  agent.probe(agent.record("mx1", "203.0.113.5", 25, Verdict::unreachable, Reason::timeout, 1min));
  const SiteReply page = ask(site, "/notices/mx1");
  ASSERT_EQ(page.status, 200);
  EXPECT_THAT(*page.body, HasSubstr("We have not been able to reach it since"));
}

// A refusal that waits for its confirmation is an answer: the letter must not say that nobody could be reached.
TEST_F(NoticeSite, OneRefusalIsNotSilence) {
  agent.now += 1h;
  agent.probe(agent.record("mx1", "203.0.113.5", 25, Verdict::closed, Reason::refused, 1min));
  const SiteReply page = ask(site, "/notices/mx1");
  ASSERT_EQ(page.status, 200);
  EXPECT_THAT(*page.body, HasSubstr("We have seen this since"));
  EXPECT_THAT(*page.body, Not(HasSubstr("not been able to reach it")));
}

TEST_F(NoticeSite, SaysHowOftenTheDoorItselfIsAsked) {
  agent.targets.front().config.intervals["smtp_relay"] = 6h;
  EXPECT_THAT(*ask(site, "/notices/mx1").body, HasSubstr("We ask again every 6 h."));
}

// -- mail --

TEST(Mime, HeaderTextIsPlainOrEncodedWords) {
  EXPECT_EQ(header_text("mx1 carries mail", 9), "mx1 carries mail");
  EXPECT_EQ(header_text("é", 9), "=?UTF-8?B?w6k=?=");
  EXPECT_EQ(header_text("a\r\nBcc: x", 9), "aBcc: x");
  EXPECT_THAT(header_text("=?UTF-8?B?w6k=?=", 9), testing::StartsWith("=?UTF-8?B?PT9VVEY")) << "what looks encoded is encoded";
  std::string russian;
  for (int i = 0; i < 60; ++i) russian += "ж";
  std::istringstream lines(header_text(russian, 9));
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 78U);
}

TEST(Mime, QuotedPrintableSurvivesTheWay) {
  EXPECT_EQ(quoted_printable("a = b\n"), "a =3D b\r\n");
  EXPECT_EQ(quoted_printable("end \nx"), "end=20\r\nx");
  EXPECT_EQ(quoted_printable(".\nFrom x"), "=2E\r\n=46rom x");
  std::istringstream lines(quoted_printable(std::string(300, 'x')));
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 77U);
}

}  // namespace
}  // namespace ajar
