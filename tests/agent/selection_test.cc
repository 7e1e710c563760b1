#include "agent/selection.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "agent/pages.h"
#include "agent/site.h"
#include "tests/support/made_up_agent.h"
#include "tests/support/page_checks.h"

namespace ajar {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

std::vector<std::string> targets_by(MadeUpAgent& agent, const Params& params) {
  std::vector<std::string> names;
  const Fleet fleet = fleet_of(agent.ledger);
  for (const TargetRow& row : select(TargetFilter::of(params), agent.targets, fleet)) names.push_back(row.target->config.name);
  return names;
}

TEST(Selection, TargetsByTextVerdictCheckOwnerAndLabel) {
  MadeUpAgent agent;
  agent.fill();
  EXPECT_THAT(targets_by(agent, {}), ElementsAre("mx1", "office", "lab", "mx2")) << "the worst first";
  EXPECT_THAT(targets_by(agent, {{"sort", "name"}}), ElementsAre("lab", "mx1", "mx2", "office"));
  EXPECT_THAT(targets_by(agent, {{"sort", "-name"}}), ElementsAre("office", "mx2", "mx1", "lab"));
  EXPECT_THAT(targets_by(agent, {{"sort", "owner"}}), ElementsAre("lab", "mx1", "mx2", "office"));
  EXPECT_THAT(targets_by(agent, {{"sort", "-probed"}}), ElementsAre("lab", "mx1", "mx2", "office"));
  EXPECT_THAT(targets_by(agent, {{"q", "MX2.example"}}), ElementsAre("mx2"));
  EXPECT_THAT(targets_by(agent, {{"q", "2001:db8::6"}}), ElementsAre("mx2"));
  EXPECT_THAT(targets_by(agent, {{"verdict", "closed"}}), ElementsAre("mx2"));
  EXPECT_THAT(targets_by(agent, {{"verdict", "open"}, {"check", "http_connect"}}), IsEmpty());
  EXPECT_THAT(targets_by(agent, {{"verdict", "open"}, {"check", "smtp_relay"}}), ElementsAre("mx1"));
  EXPECT_THAT(targets_by(agent, {{"check", "http_connect"}}), IsEmpty());
  EXPECT_THAT(targets_by(agent, {{"owner", "mail-team"}}), ElementsAre("mx1", "mx2"));
  EXPECT_THAT(targets_by(agent, {{"label", "site=zrh"}}), ElementsAre("mx1", "lab"));
  EXPECT_THAT(targets_by(agent, {{"label", "rack-row"}}), ElementsAre("lab"));
  EXPECT_THAT(targets_by(agent, {{"label", "site=gva"}}), IsEmpty());
}

TEST(Selection, ExposuresByOwnerCheckStateExemptionAndAge) {
  MadeUpAgent agent;
  agent.fill();
  const auto by = [&](const Params& params) {
    std::vector<ExposureView> views;
    for (Case& exposure : agent.ledger.cases()) views.push_back({exposure, exposure.key.target == "office"});
    std::vector<std::string> names;
    for (const ExposureView& view : select(ExposureFilter::of(params), views, agent.now))
      names.push_back(view.exposure.key.target);
    return names;
  };
  EXPECT_THAT(by({}), ElementsAre("mx1", "office")) << "what is exempt comes last, though it is older";
  EXPECT_THAT(by({{"sort", "seen"}}), ElementsAre("office", "mx1"));
  EXPECT_THAT(by({{"sort", "-lasted"}}), ElementsAre("office", "mx1"));
  EXPECT_THAT(by({{"sort", "-target"}}), ElementsAre("office", "mx1"));
  EXPECT_THAT(by({{"owner", "netops"}}), ElementsAre("office"));
  EXPECT_THAT(by({{"check", "smtp_relay"}, {"q", "203.0.113.5:25"}}), ElementsAre("mx1"));
  EXPECT_THAT(by({{"state", "closed"}}), IsEmpty());
  EXPECT_THAT(by({{"exempt", "no"}}), ElementsAre("mx1"));
  EXPECT_THAT(by({{"older", "10m"}}), ElementsAre("office"));
  EXPECT_THAT(by({{"target", "mx1"}, {"owner", ""}}), ElementsAre("mx1"));
}

TEST(Selection, IsWrittenBackIntoLinks) {
  const Params params = {{"q", "a b&"},    {"verdict", "open"},   {"check", "smtp_relay"},
                         {"owner", "ops"}, {"label", "site=zrh"}, {"sort", "-name"},
                         {"page", "3"}};
  EXPECT_EQ(TargetFilter::of(params).query("/targets"),
            "/targets?q=a%20b%26&verdict=open&check=smtp_relay&owner=ops&label=site%3Dzrh&sort=-name&page=3");
  EXPECT_EQ(TargetFilter().query("/targets"), "/targets");
  EXPECT_EQ(
      ExposureFilter::of({{"state", "open"}, {"exempt", "no"}, {"older", "7d"}, {"sort", "seen"}}).query("/exposures.csv"),
      "/exposures.csv?state=open&exempt=no&older=7d&sort=seen");
}

TEST(Selection, PagesOfRows) {
  EXPECT_EQ(page_of(0, 1).pages, 1U);
  EXPECT_EQ(page_of(0, 7).count, 0U);
  EXPECT_EQ(page_of(100, 1).pages, 1U);
  const PageOf last = page_of(250, 99);
  EXPECT_EQ(last.page, 3U);
  EXPECT_EQ(last.first, 200U);
  EXPECT_EQ(last.count, 50U);
}

TEST(Selection, ManyTargetsAreShownPageByPage) {
  MadeUpAgent agent;
  for (int i = 0; i < 250; ++i) {
    const std::string name = fmt::format("t{:03}", i);
    agent.add(agent.target(name, name + ".example.org", i % 2 == 0 ? "even" : "odd"), {});
  }
  Site site(agent.web_state());
  const std::string second = get_page(site, "/targets", {{"sort", "name"}, {"page", "2"}});
  expect_well_formed(second);
  EXPECT_THAT(second, HasSubstr("101–200 of 250 targets"));
  EXPECT_THAT(second, HasSubstr("<bdi>t100</bdi>"));
  EXPECT_THAT(second, Not(HasSubstr("<bdi>t099</bdi>")));
  EXPECT_THAT(second, HasSubstr("<a rel=prev href=\"/targets?sort=name\">"));
  EXPECT_THAT(second, HasSubstr("<a rel=next href=\"/targets?sort=name&amp;page=3\">"));
  EXPECT_THAT(second, HasSubstr("<th scope=col aria-sort=ascending><a class=sort href=\"/targets?sort=-name\">Target"));
  const std::string odd = get_page(site, "/targets", {{"owner", "odd"}});
  EXPECT_THAT(odd, HasSubstr("1–100 of 125 targets"));
  EXPECT_THAT(odd, HasSubstr("value=\"odd\""));
}

TEST(Selection, ASpreadsheetRunsNothing) {
  MadeUpAgent agent;
  TargetConfig target = agent.target("=cmd|' /C calc'!A0", "mx.example.org", "a,\"b\"");
  agent.add(std::move(target), {"203.0.113.5"});
  agent.probe(agent.record("=cmd|' /C calc'!A0", "203.0.113.5", 25, Verdict::open, Reason::message_delivered, 1min));
  agent.config->exemptions.push_back(
      {"=cmd|' /C calc'!A0", "smtp_relay", std::chrono::sys_days(std::chrono::year(2027) / 1 / 31), "+me", "line\nbreak"});
  Site site(agent.web_state());
  SiteRequest request;
  request.method = "GET";
  request.path = "/exposures.csv";
  request.params = {{"state", "open"}};
  const SiteReply reply = site.answer(request);
  EXPECT_EQ(reply.type, "text/csv; charset=utf-8; header=present");
  EXPECT_THAT(*reply.body, testing::StartsWith("id,state,level,reason,target,owner,"));
  EXPECT_THAT(*reply.body,
              HasSubstr(",open,open,message_delivered,'=cmd|' /C calc'!A0,\"a,\"\"b\"\"\",203.0.113.5,25,tcp,smtp_relay,"));
  EXPECT_THAT(*reply.body, testing::EndsWith(",,,,yes,2027-01-31,'+me,\"line\nbreak\"\r\n"));
  request.params = {{"state", "closed"}};
  EXPECT_THAT(*site.answer(request).body, testing::EndsWith("exempt_why\r\n"));
}

}  // namespace
}  // namespace ajar
