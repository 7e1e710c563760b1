#include "agent/pages.h"

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <set>

#include <gmock/gmock.h>

#include "agent/site.h"
#include "config/config.h"
#include "tests/support/made_up_agent.h"

namespace ajar {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

// The page at `path`, as a browser without compression gets it.
std::string get(Site& site, const std::string& path, std::multimap<std::string, std::string> params = {}) {
  SiteRequest request;
  request.method = "GET";
  request.path = path;
  request.target = path;
  request.params = std::move(params);
  const SiteReply reply = site.answer(request);
  EXPECT_EQ(reply.status, 200) << path;
  EXPECT_EQ(reply.type, "text/html; charset=utf-8");
  // AJAR_WRITE_PAGES=FOLDER keeps the pages, to be looked at in a browser.
  if (const char* folder = std::getenv("AJAR_WRITE_PAGES")) {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    std::string name = std::string(test->name()) + path;
    for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
    std::ofstream(std::string(folder) + "/" + name + ".html") << *reply.body;
  }
  return *reply.body;
}

// Every tag that must be closed is closed, in order; nothing but our own tags is there.
void expect_well_formed(const std::string& text) {
  std::vector<std::string> open;
  for (std::size_t at = text.find('<'); at != std::string::npos; at = text.find('<', at + 1)) {
    const std::size_t end = text.find('>', at);
    ASSERT_NE(end, std::string::npos);
    std::string tag = text.substr(at + 1, end - at - 1);
    tag = tag.substr(0, tag.find_first_of(" \n"));
    if (tag == "!DOCTYPE" || tag == "meta" || tag == "br") continue;
    EXPECT_NE(tag, "script");
    EXPECT_NE(tag, "img");
    if (tag.starts_with('/')) {
      ASSERT_FALSE(open.empty()) << tag;
      EXPECT_EQ(open.back(), tag.substr(1));
      open.pop_back();
    } else {
      open.push_back(tag);
    }
  }
  EXPECT_THAT(open, testing::IsEmpty());
}

TEST(Pages, TheOverviewBeginsWithWhatIsOpen) {
  MadeUpAgent agent;
  agent.fill();
  Site site(agent.web_state());
  const std::string text = get(site, "/");
  expect_well_formed(text);
  EXPECT_THAT(text, HasSubstr("<h1>1 proven open, 1 exempt</h1>"));
  EXPECT_THAT(text, HasSubstr("<a href=\"/targets/mx1\">mx1</a>"));
  EXPECT_THAT(text, HasSubstr("203.0.113.5:25/tcp"));
  EXPECT_THAT(text, HasSubstr("2026-01-02 02:59:05 UTC"));
  EXPECT_THAT(text, HasSubstr("5 min ago"));
  EXPECT_THAT(text, HasSubstr("62.5 % (5 of 8)"));
  EXPECT_LT(text.find("/targets/mx1\""), text.find("/targets/office\"")) << "what is exempt comes last";
}

TEST(Pages, WithNothingOpenItSaysNoMoreThanIsKnown) {
  MadeUpAgent agent;
  agent.add(agent.target("mx1", "mx1.example.org", "mail-team"), {});
  Site site(agent.web_state());
  const std::string text = get(site, "/");
  expect_well_formed(text);
  EXPECT_THAT(text, HasSubstr("<h1>Nothing is known to be open</h1>"));
  EXPECT_THAT(text, HasSubstr("nothing measured yet"));
  EXPECT_THAT(get(site, "/targets"), HasSubstr("not probed yet"));
  expect_well_formed(get(site, "/targets/mx1"));
}

TEST(Pages, TroubleIsSaidOnEveryPage) {
  MadeUpAgent agent;
  agent.fill();
  agent.metrics.canary_up(CanaryKind::smtp, false);
  agent.ledger.set_paused(true);
  agent.ledger.flush();
  Site site(agent.web_state());
  for (const char* path : {"/", "/targets", "/exposures", "/targets/mx1", "/config"}) {
    const std::string text = get(site, path);
    EXPECT_THAT(text, HasSubstr("Paused.")) << path;
    EXPECT_THAT(text, HasSubstr("The smtp canary does not answer")) << path;
  }
}

TEST(Pages, ATargetShowsItsEvidence) {
  MadeUpAgent agent;
  agent.fill();
  Record open = agent.record("mx1", "203.0.113.5", 25, Verdict::open, Reason::message_delivered, 5min);
  open.started = agent.now - 4min;
  open.probe_id = "00000000000000e1";
  open.finding.because = "a message from a stranger to a stranger came back through it";
  open.finding.variants = {{"external/plain", Verdict::closed, Reason::refused, 554, "5.7.1 Relay access denied"},
                           {"null/plain", Verdict::closed, Reason::refused, 554, "5.7.1 Relay access denied"},
                           {"forged_local/plain", Verdict::open, Reason::message_delivered, 250, "2.1.5 Ok"},
                           {"external/percent", Verdict::unclear, Reason::greylisted, std::nullopt, std::nullopt}};
  open.finding.observations = {"AUTH offered in clear text", "XCLIENT is offered"};
  open.finding.exit_addresses = {"203.0.113.77"};
  open.transcript = {"# connected to 203.0.113.5:25",
                     "S: 220 mx1.example.org ESMTP Postfix",
                     "C: EHLO probe.example.net",
                     "S: 250-mx1.example.org",
                     "S: 250-PIPELINING",
                     "S: 250 8BITMIME",
                     "C: MAIL FROM:<postmaster@mx1.example.org>",
                     "C: RCPT TO:<<token>@canary.example.net>",
                     "S: 250 2.1.0 Ok",
                     "S: 250 2.1.5 Ok " + std::string(300, 'x'),
                     "C: DATA",
                     "S: 354 End data with <CR><LF>.<CR><LF>"};
  agent.probe(open);
  Record closed = agent.record("mx1", "203.0.113.5", 25, Verdict::closed, Reason::refused, 1min);
  closed.finding.variants = open.finding.variants;  // all was asked again
  for (Variant& variant : closed.finding.variants) variant.verdict = Verdict::closed;
  agent.probe(closed);
  Site site(agent.web_state());
  const std::string text = get(site, "/targets/mx1");
  expect_well_formed(text);
  EXPECT_THAT(text, HasSubstr("<span class=\"badge open\">open</span>"));
  EXPECT_THAT(text, HasSubstr("Latest probe</h3>"));
  EXPECT_THAT(text, HasSubstr("One later probe said closed; a second one must confirm it."));
  EXPECT_THAT(text, HasSubstr("forged_local/plain"));
  EXPECT_THAT(text, HasSubstr("RCPT TO:&lt;&lt;token&gt;@canary.example.net&gt;"));
  EXPECT_THAT(text, HasSubstr("203.0.113.77"));
  EXPECT_THAT(text, HasSubstr("zrh"));
  const std::string filtered = get(site, "/targets/mx2", {{"address", "203.0.113.6"}, {"port", "587"}});
  EXPECT_THAT(filtered, HasSubstr("nobody_listens"));
  EXPECT_THAT(filtered, Not(HasSubstr("2001:db8::6]:25")));
}

TEST(Pages, AnExposure) {
  MadeUpAgent agent;
  agent.fill();
  Site site(agent.web_state());
  const std::vector<Case> cases = agent.ledger.cases();
  ASSERT_THAT(cases, testing::SizeIs(2));
  for (const Case& exposure : cases) {
    const std::string text = get(site, "/exposures/" + exposure.id);
    expect_well_formed(text);
    EXPECT_THAT(text, HasSubstr("smtp_relay on " + exposure.key.target));
    EXPECT_THAT(text, HasSubstr("S: 220 mx1.example.org ESMTP"));
  }
  const std::string all = get(site, "/exposures");
  expect_well_formed(all);
  EXPECT_THAT(all, HasSubstr(">exempt<"));
  EXPECT_THAT(get(site, "/exposures", {{"state", "closed"}}), HasSubstr("None."));
}

// The pages of a target and of its one case.
struct Told {
  std::string target, exposure;
};

Told told(const Record& record, std::initializer_list<Record> more = {}) {
  MadeUpAgent agent;
  agent.add(agent.target(record.key.target, "mx1.example.org", "mail-team"), {"203.0.113.5"});
  agent.probe(record);
  for (const Record& another : more) agent.probe(another);
  Site site(agent.web_state());
  Told pages{get(site, "/targets/" + record.key.target), ""};
  const std::vector<Case> cases = agent.ledger.cases();
  EXPECT_THAT(cases, testing::SizeIs(1));
  if (!cases.empty()) pages.exposure = get(site, "/exposures/" + cases[0].id);
  expect_well_formed(pages.target);
  expect_well_formed(pages.exposure);
  return pages;
}

Record yes(const std::string& check, std::uint16_t port, std::vector<std::string> transcript,
           const char* probe = "00000000000000f1") {
  MadeUpAgent agent;
  Record record = agent.record("mx1", "203.0.113.5", port, Verdict::open, Reason::message_delivered, std::chrono::minutes(1));
  record.probe_id = probe;
  record.key.check = check;
  record.transcript = std::move(transcript);
  return record;
}

TEST(Pages, HowToCloseWhatWasRecognised) {
  const Told pages = told(yes("smtp_relay", 25, {"# connecting to 203.0.113.5:25", "S: 220 mx1.example.org ESMTP Postfix"}));
  for (const std::string& text : {pages.target, pages.exposure}) {
    EXPECT_THAT(text, HasSubstr("<h3>How to close it</h3>"));
    EXPECT_THAT(text, HasSubstr("<b>Postfix</b>, because it greets with `220 mx1.example.org ESMTP Postfix`."));
    EXPECT_THAT(text, HasSubstr("<pre>mynetworks = 0.0.0.0/0</pre>"));
    EXPECT_THAT(text, HasSubstr("<pre>mynetworks = 127.0.0.0/8 [::1]/128 192.0.2.0/24</pre>"));
    EXPECT_THAT(text, HasSubstr("<pre>postfix reload</pre>"));
    EXPECT_THAT(text, HasSubstr("swaks --server 203.0.113.5 --port 25 "));
    EXPECT_THAT(text, HasSubstr("<a href=\"https://www.postfix.org/SMTPD_ACCESS_README.html\""));
    EXPECT_THAT(text, Not(HasSubstr("If it is "))) << "its own remedy is enough";
  }
}

TEST(Pages, HowToCloseWhatDoesNotSayItsName) {
  Record record = yes("socks5", 1080, {"# connecting to 203.0.113.5:1080", "C: 05 01 00", "S: 05 00"});
  record.key.address = IpAddress::parse("2001:db8::5").value();
  const Told pages = told(record);
  for (const std::string& text : {pages.target, pages.exposure}) {
    EXPECT_THAT(text, HasSubstr("does not say its name"));
    EXPECT_THAT(text, HasSubstr("tcp dport 1080 drop"));
    EXPECT_THAT(text, HasSubstr("--socks5 [2001:db8::5]:1080 http://example.com/"));
    EXPECT_THAT(text, HasSubstr("<summary>If it is Dante</summary>"));
    EXPECT_THAT(text, HasSubstr("<summary>If it is microsocks</summary>"));
    EXPECT_THAT(text, Not(HasSubstr("If it is Postfix")));
    EXPECT_THAT(text, Not(HasSubstr("If it is another server")));
  }
}

// Squid says its name where it forwards, not where it tunnels.
TEST(Pages, AnotherCheckOfTheEndpointMayKnow) {
  Record other =
      yes("http_forward", 3128, {"# connecting to x", "S: HTTP/1.1 403 Forbidden", "S: Server: squid/5.7"}, "00000000000000f2");
  other.finding.verdict = Verdict::closed;
  other.finding.reason = Reason::refused;
  Record tunnel =
      yes("http_connect", 3128, {"# connecting to x", "C: CONNECT y", "S: HTTP/1.1 200 Connection established", "S: "});
  tunnel.tls = TlsMode::implicit;
  const Told pages = told(tunnel, {other});
  for (const std::string& text : {pages.target, pages.exposure}) {
    EXPECT_THAT(text, HasSubstr("<b>Squid 5.7</b>, because it answers with `Server: squid/5.7`."));
    EXPECT_THAT(text, HasSubstr("--proxy https://203.0.113.5:3128 "));
  }
}

TEST(Pages, NothingToCloseNothingSaid) {
  MadeUpAgent agent;
  agent.add(agent.target("mx1", "mx1.example.org", "mail-team"), {"203.0.113.5"});
  agent.probe(agent.record("mx1", "203.0.113.5", 25, Verdict::closed, Reason::refused, 1min));
  Site site(agent.web_state());
  EXPECT_THAT(get(site, "/targets/mx1"), Not(HasSubstr("How to close it")));
}

TEST(Pages, AHostileBannerIsShownHarmlessly) {
  const std::string evil = "S: 220 m ESMTP Exim 4<b>\"><script>alert(1)</script>&\xFF\x01" + std::string(5000, 'x');
  const Told pages = told(yes("smtp_relay", 25, {"# connecting to 203.0.113.5:25", evil}));
  for (const std::string& text : {pages.target, pages.exposure}) {
    EXPECT_THAT(text, HasSubstr("<b>Exim 4</b>, because it greets with `220 m ESMTP Exim 4&lt;b&gt;&quot;&gt;&lt;script&gt;"));
    EXPECT_THAT(text, Not(HasSubstr("<script")));
    EXPECT_THAT(text, Not(HasSubstr("\xFF")));
    const std::size_t ground = text.find("because it greets with");
    EXPECT_LT(text.find(". <span class=dim>A server can lie", ground) - ground, 400U);
  }
}

TEST(Pages, WhatAPeerOrAnOwnerWroteStaysText) {
  MadeUpAgent agent;
  const std::string evil = "\"><script>alert('1')</script>&\xFF\x01";
  TargetConfig target = agent.target(evil, evil, evil);
  target.labels = {{evil, evil}};
  agent.add(std::move(target), {evil}, evil);
  Record record = agent.record(evil, "203.0.113.5", 25, Verdict::open, Reason::message_delivered, 1min);
  record.finding.because = evil;
  record.finding.variants = {{evil, Verdict::open, Reason::message_delivered, 250, evil}};
  record.finding.observations = {evil};
  record.finding.exit_addresses = {evil};
  record.transcript = {"S: " + evil, "C: " + evil, evil};
  record.source_address = evil;
  agent.probe(record);
  Site site(agent.web_state());
  std::vector<std::string> paths = {"/", "/targets", "/targets/" + evil, "/exposures", "/config"};
  for (const Case& exposure : agent.ledger.cases()) paths.push_back("/exposures/" + exposure.id);
  for (const std::string& path : paths) {
    const std::string text = get(site, path);
    EXPECT_THAT(text, Not(HasSubstr("<script"))) << path;
    EXPECT_THAT(text, Not(HasSubstr("\xFF"))) << path;
    expect_well_formed(text);
  }
}

TEST(Pages, TheConfigurationCanBeLoadedAgainAndKeepsItsSecrets) {
  MadeUpAgent agent;
  agent.fill();
  agent.config->canary.remote = "https://ajar:hunter2@canary.example.net/";
  agent.config->canary.secret_file = "/etc/ajar/canary.secret";
  Site site(agent.web_state());
  const std::string text = get(site, "/config");
  expect_well_formed(text);
  EXPECT_THAT(text, HasSubstr("network = &quot;203.0.113.64/26&quot;"));
  EXPECT_THAT(text, HasSubstr("until = 2026-01-31"));
  EXPECT_THAT(text, Not(HasSubstr("hunter2")));
  EXPECT_THAT(text, Not(HasSubstr("canary.secret")));
}

// The alerts that the rules know.
std::set<std::string> alerts() {
  std::ifstream rules(std::string(AJAR_SOURCE_DIR) + "/dashboards/alerts/ajar.rules.yml");
  std::set<std::string> found;
  const std::string before = "  - alert: ";
  for (std::string line; std::getline(rules, line);) {
    if (line.starts_with(before)) found.insert(line.substr(before.size()));
  }
  return found;
}

TEST(Pages, EveryAlertHasItsRunbookAndEveryRunbookItsAlert) {
  MadeUpAgent agent;
  agent.fill();
  Site site(agent.web_state());
  std::set<std::string> carried;
  for (const Runbook& runbook : runbooks()) carried.emplace(runbook.alert);
  EXPECT_THAT(carried, testing::SizeIs(testing::Ge(20U)));
  EXPECT_EQ(carried, alerts());
  const std::string index = get(site, "/runbooks/");
  expect_well_formed(index);
  EXPECT_EQ(get(site, "/runbooks"), index);
  for (const std::string& alert : alerts()) {
    EXPECT_THAT(index, HasSubstr("<a href=\"/runbooks/" + alert + "\">" + alert + "</a>"));
    const std::string text = get(site, "/runbooks/" + alert);
    expect_well_formed(text);
    EXPECT_THAT(text, HasSubstr("<h1>" + alert + "</h1>"));
    EXPECT_THAT(text, HasSubstr("<h2>Confirm</h2>"));
    EXPECT_THAT(text, Not(HasSubstr("raw HTML omitted"))) << alert << ": a < that needs `code` around it";
    EXPECT_THAT(text, Not(HasSubstr("<p>|"))) << alert << ": a table that is none";
    EXPECT_THAT(text, Not(HasSubstr(".md\""))) << alert << ": a link that leads to no page";
  }
}

TEST(Pages, ARunbookIsTheOneOfTheFile) {
  const Runbook* open = find_runbook("AjarDoorOpen");
  ASSERT_NE(open, nullptr);
  std::ifstream file(std::string(AJAR_SOURCE_DIR) + "/dashboards/runbooks/AjarDoorOpen.md");
  EXPECT_EQ(open->markdown, std::string(std::istreambuf_iterator<char>(file), {}));
  EXPECT_EQ(find_runbook("AjarDoor"), nullptr);
  EXPECT_EQ(find_runbook(""), nullptr);
}

TEST(Pages, MarkdownCannotBringItsOwnHtml) {
  EXPECT_EQ(markdown_html("a [b](AjarDoorOpen.md) [c](https://example.org/d.md)"),
            "<p>a <a href=\"/runbooks/AjarDoorOpen\">b</a> <a href=\"https://example.org/d.md\">c</a></p>\n");
  EXPECT_THAT(markdown_html("| a | b |\n|---|---|\n| `c \\| d` | e |\n"), HasSubstr("<td><code>c | d</code></td>"));
  EXPECT_THAT(markdown_html("x <script>alert(1)</script>\n\n<b onclick=x>\n\n    a < b\n"),
              testing::AllOf(Not(HasSubstr("<script")), Not(HasSubstr("<b ")), HasSubstr("a &lt; b")));
  EXPECT_THAT(markdown_html("[a](javascript:alert)"), Not(HasSubstr("javascript")));
  EXPECT_THAT(markdown_html("a\xFF"), HasSubstr("a\xEF\xBF\xBD"));
}

TEST(Pages, Words) {
  EXPECT_EQ(html("<a href='x'>&\"\n\\"), "&lt;a href=&#39;x&#39;&gt;&amp;&quot;\n\\");
  EXPECT_EQ(url_encode("a b/c?d=\xC3\xBC"), "a%20b%2Fc%3Fd%3D%C3%BC");
  const Time now{10000h};
  EXPECT_EQ(relative(now, now), "now");
  EXPECT_EQ(relative(now - 5s, now), "5 s ago");
  EXPECT_EQ(relative(now + 5min, now), "in 5 min");
  EXPECT_EQ(relative(now - 26h, now), "26 h ago");
  EXPECT_EQ(relative(now - 24h * 9, now), "9 d ago");
}

TEST(Pages, Databases) {
  MadeUpAgent agent;
  agent.fill();
  agent.fill_zones();
  Site site(agent.web_state());
  const std::string zones = get(site, "/zones");
  expect_well_formed(zones);
  for (const char* text : {"bl.example", "broken.example", "<b>timeout</b>", "nobody answered in time", "made-up &lt;hosts&gt;",
                           "3 listed, 5 not_listed", "99992", "127.0.0.1:53"})
    EXPECT_THAT(zones, HasSubstr(text));
  const std::string mx1 = get(site, "/targets/mx1");
  expect_well_formed(mx1);
  for (const char* text :
       {"<b>listed</b>", "open HTTP proxy", "127.0.0.9", "?ip=203.0.113.5 &lt;b&gt;", "was listed", "timeout"})
    EXPECT_THAT(mx1, HasSubstr(text));
  EXPECT_LT(mx1.find("<b>listed</b>"), mx1.find("not known"));
  EXPECT_THAT(get(site, "/targets/mx2"), HasSubstr("not listed"));
  EXPECT_THAT(get(site, "/targets/office"), HasSubstr("None is asked about it."));
  EXPECT_THAT(get(site, "/"), HasSubstr("1 of <a href=\"/zones\">2 databases</a> can be believed now. Targets with listings: "
                                        "<a href=\"/targets/mx1\">mx1</a> (1)."));
  MadeUpAgent nobody;
  Site empty(nobody.web_state());
  EXPECT_THAT(get(empty, "/zones"), HasSubstr("None is asked."));
  EXPECT_THAT(get(empty, "/"), testing::Not(HasSubstr("can be believed")));
}

}  // namespace
}  // namespace ajar
