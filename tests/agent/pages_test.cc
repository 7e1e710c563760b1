#include "agent/pages.h"

#include <gmock/gmock.h>

#include "agent/site.h"
#include "tests/support/made_up_agent.h"
#include "tests/support/page_checks.h"

namespace ajar {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

TEST(Pages, TheOverviewBeginsWithWhatIsOpen) {
  MadeUpAgent agent;
  agent.fill();
  Site site(agent.web_state());
  const std::string text = get_page(site, "/");
  expect_well_formed(text);
  EXPECT_THAT(text, HasSubstr("<h1 id=state>Exposed</h1><p class=say>1 door is proven open.</p>"));
  EXPECT_THAT(text, HasSubstr("<a href=\"/targets/mx1\"><bdi>mx1</bdi></a>"));
  EXPECT_THAT(text, HasSubstr("1 more is open and exempt."));
  EXPECT_THAT(text, HasSubstr("203.0.113.5:25/tcp"));
  EXPECT_THAT(text, HasSubstr("2026-01-02 02:59<"));
  EXPECT_THAT(text, HasSubstr("5 min ago"));
  EXPECT_THAT(text, HasSubstr("62.5 % (5 of 8)"));
  EXPECT_LT(text.find("/targets/mx1\""), text.find("/targets/office\"")) << "what is exempt comes last";
}

TEST(Pages, WithNothingOpenItSaysNoMoreThanIsKnown) {
  MadeUpAgent agent;
  agent.add(agent.target("mx1", "mx1.example.org", "mail-team"), {});
  Site site(agent.web_state());
  const std::string text = get_page(site, "/");
  expect_well_formed(text);
  EXPECT_THAT(text, HasSubstr("Nothing is known to be open. No result was tested"));
  EXPECT_THAT(text, HasSubstr("nothing measured yet"));
  EXPECT_THAT(get_page(site, "/targets"), HasSubstr("not probed yet"));
  expect_well_formed(get_page(site, "/targets/mx1"));
}

TEST(Pages, TroubleIsSaidOnEveryPage) {
  MadeUpAgent agent;
  agent.fill();
  agent.metrics.canary_up(CanaryKind::smtp, false);
  agent.metrics.vantage({{VantageKind::egress_25, {false, "198.51.100.7:25 of our own canary cannot be reached."}},
                         {VantageKind::egress_tcp, {true, "Reached: 198.51.100.7:80."}},
                         {VantageKind::source_unlisted, {false, "Listed <x>."}}});
  agent.ledger.set_paused(true);
  agent.ledger.flush();
  Site site(agent.web_state());
  for (const char* path : {"/", "/targets", "/exposures", "/targets/mx1", "/config"}) {
    const std::string text = get_page(site, path);
    EXPECT_THAT(text, HasSubstr("Paused.")) << path;
    EXPECT_THAT(text, HasSubstr("The smtp canary does not answer")) << path;
    EXPECT_THAT(text, HasSubstr("We do not see what a stranger sees:</b> 198.51.100.7:25 of our own canary")) << path;
    EXPECT_THAT(text, HasSubstr("Servers may turn us away for our address:</b> Listed &lt;x&gt;.")) << path;
  }
}

TEST(Pages, ARecordThatStandsForLaterProbesSaysSo) {
  MadeUpAgent agent;
  agent.fill();
  Site site(agent.web_state());
  const Params one = {{"address", "203.0.113.6"}, {"port", "25"}};
  EXPECT_THAT(get_page(site, "/targets/mx2", one), HasSubstr("<h3>Latest probe</h3>"));
  agent.probe(agent.record("mx2", "203.0.113.6", 25, Verdict::closed, Reason::refused, 1min));
  const std::string text = get_page(site, "/targets/mx2", one);
  expect_well_formed(text);
  EXPECT_THAT(text, Not(HasSubstr("<h3>Latest probe</h3>")));
  EXPECT_THAT(text,
              HasSubstr("Latest probe that found anything new</h3><p class=dim>Every one since found the same, the last"));
  EXPECT_THAT(text, HasSubstr(to_rfc3339(agent.now - 10min))) << "of the record";
  EXPECT_THAT(text, HasSubstr(to_rfc3339(agent.now - 1min)));
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
  const std::string text = get_page(site, "/targets/mx1");
  expect_well_formed(text);
  EXPECT_THAT(text, HasSubstr("<span class=\"badge open\">"));
  EXPECT_THAT(text, HasSubstr("Latest probe</h3>"));
  EXPECT_THAT(text, HasSubstr("One later probe said closed; a second one must confirm it."));
  EXPECT_THAT(text, HasSubstr("forged_local/plain"));
  EXPECT_THAT(text, HasSubstr("RCPT TO:&lt;&lt;token&gt;@canary.example.net&gt;"));
  EXPECT_THAT(text, HasSubstr("203.0.113.77"));
  EXPECT_THAT(text, HasSubstr("zrh"));
  const std::string filtered = get_page(site, "/targets/mx2", {{"address", "203.0.113.6"}, {"port", "587"}});
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
    const std::string text = get_page(site, "/exposures/" + exposure.id);
    expect_well_formed(text);
    EXPECT_THAT(text, HasSubstr("smtp_relay on <bdi>" + exposure.key.target));
    EXPECT_THAT(text, HasSubstr("S: 220 mx1.example.org ESMTP"));
  }
  const std::string all = get_page(site, "/exposures");
  expect_well_formed(all);
  EXPECT_THAT(all, HasSubstr(">exempt<"));
  EXPECT_THAT(get_page(site, "/exposures", {{"state", "closed"}}), HasSubstr("None."));
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
  Told pages{get_page(site, "/targets/" + record.key.target), ""};
  const std::vector<Case> cases = agent.ledger.cases();
  EXPECT_THAT(cases, testing::SizeIs(1));
  if (!cases.empty()) pages.exposure = get_page(site, "/exposures/" + cases[0].id);
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
  EXPECT_THAT(get_page(site, "/targets/mx1"), Not(HasSubstr("How to close it")));
}

TEST(Pages, AHostileBannerIsShownHarmlessly) {
  const std::string evil = "S: 220 m ESMTP Exim 4<b>\"><script>alert(1)</script>&\xFF\x01" + std::string(5000, 'x');
  const Told pages = told(yes("smtp_relay", 25, {"# connecting to 203.0.113.5:25", evil}));
  for (const std::string& text : {pages.target, pages.exposure}) {
    EXPECT_THAT(text, HasSubstr("<b>Exim 4</b>, because it greets with `220 m ESMTP Exim 4&lt;b&gt;&quot;&gt;&lt;script&gt;"));
    EXPECT_THAT(text, Not(HasSubstr("<script>")));
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
    const std::string text = get_page(site, path);
    EXPECT_THAT(text, Not(HasSubstr("<script>"))) << path;
    EXPECT_THAT(text, Not(HasSubstr("\xFF"))) << path;
    expect_well_formed(text);
  }
}

// A firewall that keeps us out must not look like a fix.
TEST(Pages, WhatCannotBeSeenStaysOpen) {
  MadeUpAgent agent;
  agent.fill();
  Record silent = agent.record("mx1", "203.0.113.5", 25, Verdict::unreachable, Reason::timeout, 1min);
  agent.probe(silent);
  silent.started = agent.now - 30s;
  silent.probe_id = "00000000000000d2";
  agent.probe(silent);
  Site site(agent.web_state());
  const std::string first = get_page(site, "/");
  EXPECT_THAT(first, HasSubstr("Exposed"));
  EXPECT_THAT(first, HasSubstr("not seen since <time datetime=\"2026-01-02T02:59:05.678Z\">2026-01-02 02:59</time>"));
  EXPECT_THAT(first, HasSubstr("One of them cannot be seen from here now. That closes nothing"));
  const std::string id = agent.ledger.result(silent.key)->case_id.value();
  const std::string text = get_page(site, "/exposures/" + id);
  expect_well_formed(text);
  EXPECT_THAT(text, HasSubstr("Open, not seen since <time datetime=\"2026-01-02T02:59:05.678Z\">"));
  EXPECT_THAT(text, HasSubstr("The last probe was unreachable"));
  EXPECT_THAT(get_page(site, "/exposures"), HasSubstr("not seen since"));
}

TEST(Pages, AnExemptionSaysWhoWhyAndUntilWhen) {
  MadeUpAgent agent;
  agent.fill();
  Site site(agent.web_state());
  const std::string all = get_page(site, "/exposures", {{"exempt", "yes"}});
  EXPECT_THAT(all, HasSubstr("until 2026-01-31, <bdi>jo</bdi>: <bdi>until the move</bdi>"));
  EXPECT_THAT(all, HasSubstr("1 exposure<"));
  EXPECT_THAT(all, Not(HasSubstr("/targets/mx1\"")));
}

TEST(Pages, EndpointsAndChecksAreAGridThatLeadsToTheEvidence) {
  MadeUpAgent agent;
  agent.fill();
  Record tunnel = agent.record("mx1", "203.0.113.5", 3128, Verdict::closed, Reason::refused, 5min);
  tunnel.key.check = "http_connect";
  agent.probe(tunnel);
  Site site(agent.web_state());
  const std::string text = get_page(site, "/targets/mx1");
  expect_well_formed(text);
  EXPECT_THAT(text, HasSubstr("<th scope=col>http_connect</th><th scope=col>smtp_relay</th>"));
  EXPECT_THAT(text, HasSubstr("<th scope=row data-h=\"Endpoint\">203.0.113.5:25/tcp</th><td data-h=\"http_connect\"></td>"
                              "<td data-h=\"smtp_relay\"><a href=\"#smtp_relay-203.0.113.5-25-tcp\">"));
  EXPECT_THAT(text, HasSubstr("<details id=\"smtp_relay-203.0.113.5-25-tcp\" open>"));
  EXPECT_THAT(text, HasSubstr("<details id=\"http_connect-203.0.113.5-3128-tcp\"><summary>"));
  EXPECT_THAT(text, HasSubstr("<a href=\"/notices/mx1\">Notice to the owner</a>"));
  EXPECT_THAT(text, HasSubstr("role=img aria-label=\"History of smtp_relay at 203.0.113.5:25/tcp"));
  EXPECT_THAT(text, HasSubstr("<rect class=open "));
}

TEST(Pages, APageWaitsForTheTestThatWasAskedFor) {
  MadeUpAgent agent;
  agent.fill();
  Site site(agent.web_state());
  const auto at = [](Time time) { return std::to_string(time.time_since_epoch().count()); };
  const std::string id = agent.ledger.result(agent.record("mx1", "203.0.113.5", 25, {}, {}, 0s).key)->case_id.value();
  for (const std::string& path : {std::string("/targets/mx1"), "/exposures/" + id}) {
    const std::string waits = get_page(site, path, {{"after", at(agent.now - 1min)}});
    expect_well_formed(waits);
    EXPECT_THAT(waits, HasSubstr("The test is running."));
    EXPECT_THAT(waits, HasSubstr("<noscript><meta http-equiv=refresh content=5></noscript>"));
    for (const std::string& done :
         {at(agent.now - 6min), at(agent.now - 24h), at(agent.now + 1h), std::string("x"), std::string()})
      EXPECT_THAT(get_page(site, path, {{"after", done}}), Not(HasSubstr("The test is running."))) << done;
  }
}

}  // namespace
}  // namespace ajar
