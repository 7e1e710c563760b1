// Databases, runbooks, the configuration, errors, and the files of the pages.
#include <algorithm>
#include <fstream>
#include <iterator>
#include <set>

#include <gmock/gmock.h>

#include "agent/pages.h"
#include "agent/site.h"
#include "agent/static_files.h"
#include "config/config.h"
#include "tests/support/made_up_agent.h"
#include "tests/support/page_checks.h"

namespace ajar {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

TEST(OtherPages, TheConfigurationCanBeLoadedAgainAndKeepsItsSecrets) {
  MadeUpAgent agent;
  agent.fill();
  agent.config->canary.remote = "https://ajar:hunter2@canary.example.net/";
  agent.config->canary.secret_file = "/etc/ajar/canary.secret";
  Site site(agent.web_state());
  const std::string text = get_page(site, "/config");
  expect_well_formed(text);
  EXPECT_THAT(text, HasSubstr("network = &quot;203.0.113.64/26&quot;"));
  EXPECT_THAT(text, HasSubstr("until = 2026-01-31"));
  EXPECT_THAT(text, Not(HasSubstr("hunter2")));
  EXPECT_THAT(text, Not(HasSubstr("canary.secret")));
}

TEST(OtherPages, SourcesOfTargetsAndHowTheyAre) {
  MadeUpAgent agent;
  agent.fill();
  Site site(agent.web_state());
  EXPECT_THAT(get_page(site, "/config"), Not(HasSubstr("id=discovery")));
  EXPECT_THAT(get_page(site, "/targets"), Not(HasSubstr("discovery")));
  const auto parsed = parse_config(
      "scope = [\"203.0.113.0/24\"]\n[[discovery]]\nfile = \"targets/*.json\"\n[[discovery]]\nname = \"cmdb\"\n"
      "url = \"https://cmdb.example.net/targets?token=hunter2\"\nbearer_token_file = \"/etc/ajar/token\"\n",
      "ajar.toml");
  agent.config->discovery = std::get<Config>(parsed).discovery;
  agent.fill_discovery();
  const std::string text = get_page(site, "/config");
  expect_well_formed(text);
  EXPECT_THAT(text, HasSubstr("Where targets are read from"));
  EXPECT_THAT(text, HasSubstr("it answers 500"));
  EXPECT_THAT(text, HasSubstr("is not inside scope"));
  EXPECT_THAT(text, HasSubstr("url = &quot;https://cmdb.example.net/targets?&lt;secret&gt;&quot;"));
  EXPECT_THAT(text, Not(HasSubstr("hunter2")));
  const std::string list = get_page(site, "/targets");
  expect_well_formed(list);
  EXPECT_THAT(list, HasSubstr("1 of them are found by"));
  EXPECT_THAT(list, HasSubstr("1 of 2 sources are failing"));
  const std::string target = get_page(site, "/targets/mx2");
  expect_well_formed(target);
  EXPECT_THAT(target, HasSubstr("Found by"));
  EXPECT_THAT(get_page(site, "/targets/mx1"), Not(HasSubstr("Found by")));
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

TEST(OtherPages, EveryAlertHasItsRunbookAndEveryRunbookItsAlert) {
  MadeUpAgent agent;
  agent.fill();
  Site site(agent.web_state());
  std::set<std::string> carried;
  for (const Runbook& runbook : runbooks()) carried.emplace(runbook.alert);
  EXPECT_THAT(carried, testing::SizeIs(testing::Ge(20U)));
  EXPECT_EQ(carried, alerts());
  const std::string index = get_page(site, "/runbooks/");
  expect_well_formed(index);
  EXPECT_EQ(get_page(site, "/runbooks"), index);
  for (const std::string& alert : alerts()) {
    EXPECT_THAT(index, HasSubstr("<a href=\"/runbooks/" + alert + "\">" + alert + "</a>"));
    const std::string text = get_page(site, "/runbooks/" + alert);
    expect_well_formed(text);
    EXPECT_THAT(text, HasSubstr("<h1>" + alert + "</h1>"));
    EXPECT_THAT(text, HasSubstr("<h2>Confirm</h2>"));
    EXPECT_THAT(text, Not(HasSubstr("raw HTML omitted"))) << alert << ": a < that needs `code` around it";
    EXPECT_THAT(text, Not(HasSubstr("<p>|"))) << alert << ": a table that is none";
    EXPECT_THAT(text, Not(HasSubstr(".md\""))) << alert << ": a link that leads to no page";
  }
}

TEST(OtherPages, ARunbookIsTheOneOfTheFile) {
  const Runbook* open = find_runbook("AjarDoorOpen");
  ASSERT_NE(open, nullptr);
  std::ifstream file(std::string(AJAR_SOURCE_DIR) + "/dashboards/runbooks/AjarDoorOpen.md");
  EXPECT_EQ(open->markdown, std::string(std::istreambuf_iterator<char>(file), {}));
  EXPECT_EQ(find_runbook("AjarDoor"), nullptr);
  EXPECT_EQ(find_runbook(""), nullptr);
}

TEST(OtherPages, MarkdownCannotBringItsOwnHtml) {
  EXPECT_EQ(markdown_html("a [b](AjarDoorOpen.md) [c](https://example.org/d.md)"),
            "<p>a <a href=\"/runbooks/AjarDoorOpen\">b</a> <a href=\"https://example.org/d.md\">c</a></p>\n");
  EXPECT_THAT(markdown_html("| a | b |\n|---|---|\n| `c \\| d` | e |\n"), HasSubstr("<td><code>c | d</code></td>"));
  EXPECT_THAT(markdown_html("x <script>alert(1)</script>\n\n<b onclick=x>\n\n    a < b\n"),
              testing::AllOf(Not(HasSubstr("<script")), Not(HasSubstr("<b ")), HasSubstr("a &lt; b")));
  EXPECT_THAT(markdown_html("[a](javascript:alert)"), Not(HasSubstr("javascript")));
  EXPECT_THAT(markdown_html("a\xFF"), HasSubstr("a\xEF\xBF\xBD"));
}

TEST(OtherPages, Databases) {
  MadeUpAgent agent;
  agent.fill();
  agent.fill_zones();
  Site site(agent.web_state());
  const std::string zones = get_page(site, "/zones");
  expect_well_formed(zones);
  for (const char* text : {"bl.example", "broken.example", "<b>timeout</b>", "nobody answered in time", "made-up &lt;hosts&gt;",
                           "3 listed, 5 not_listed", "99992", "127.0.0.1:53"})
    EXPECT_THAT(zones, HasSubstr(text));
  const std::string mx1 = get_page(site, "/targets/mx1");
  expect_well_formed(mx1);
  for (const char* text :
       {"<b>listed</b>", "open HTTP proxy", "127.0.0.9", "?ip=203.0.113.5 &lt;b&gt;", "was listed", "timeout"})
    EXPECT_THAT(mx1, HasSubstr(text));
  EXPECT_LT(mx1.find("<b>listed</b>"), mx1.find("not known"));
  EXPECT_THAT(get_page(site, "/targets/mx2"), HasSubstr("not listed"));
  EXPECT_THAT(get_page(site, "/targets/office"), HasSubstr("None is asked about it."));
  EXPECT_THAT(get_page(site, "/"),
              HasSubstr("1 of <a href=\"/zones\">2 databases</a> can be believed now. Targets with listings: "
                        "<a href=\"/targets/mx1\"><bdi>mx1</bdi></a> (1)."));
  MadeUpAgent nobody;
  Site empty(nobody.web_state());
  EXPECT_THAT(get_page(empty, "/zones"), HasSubstr("None is asked."));
  EXPECT_THAT(get_page(empty, "/"), testing::Not(HasSubstr("can be believed")));
}

SiteReply asked(Site& site, const std::string& method, const std::string& path, const std::string& accept) {
  SiteRequest request;
  request.method = method;
  request.path = request.target = path;
  request.accept = accept;
  request.host = "ajar.example.net";
  return site.answer(request);
}

TEST(OtherPages, AnErrorIsAPageForAReaderAndALineForAScript) {
  MadeUpAgent agent;
  agent.fill();
  WebState state = agent.web_state();
  state.probe_now = [](const std::string&, const std::optional<std::string>&) { return ProbeNow::limited; };
  Site site(std::move(state));
  const struct {
    const char *method, *path;
    int status;
  } cases[] = {{"GET", "/nothing", 404},     {"GET", "/targets/nobody", 404}, {"GET", "/exposures/none", 404},
               {"GET", "/static/x.js", 404}, {"POST", "/targets", 405},       {"GET", "/-/reload", 405},
               {"DELETE", "/metrics", 405}};
  for (const auto& [method, path, status] : cases) {
    const SiteReply page = asked(site, method, path, "text/html");
    EXPECT_EQ(page.status, status) << path;
    EXPECT_EQ(page.type, "text/html; charset=utf-8") << path;
    EXPECT_THAT(*page.body, HasSubstr("<nav aria-label=Main>")) << path;
    expect_well_formed(*page.body);
    const SiteReply line = asked(site, method, path, "*/*");
    EXPECT_EQ(line.status, status) << path;
    EXPECT_EQ(line.type, "text/plain; charset=utf-8") << path;
    EXPECT_EQ(std::count(line.body->begin(), line.body->end(), '\n'), 1) << path;
    EXPECT_EQ(line.headers.size() + 1, page.headers.size()) << "Allow stays, Vary is added";
  }
  SiteRequest limited;
  limited.method = "POST";
  limited.path = "/probe";
  limited.params = {{"target", "mx1"}};
  limited.accept = "text/html";
  const SiteReply page = site.answer(limited);
  EXPECT_EQ(page.status, 429);
  EXPECT_THAT(*page.body, HasSubstr("<h1>Too soon <span class=dim>429</span></h1>"));
  for (const Params& wrong :
       {Params{{"verdict", "maybe"}}, Params{{"sort", "x"}}, Params{{"page", "0"}}, Params{{"check", "<b>"}}})
    expect_well_formed(get_page(site, "/targets", wrong, 400));
  for (const Params& wrong :
       {Params{{"state", "ajar"}}, Params{{"older", "x"}}, Params{{"exempt", "x"}}, Params{{"page", "-1"}}})
    expect_well_formed(get_page(site, "/exposures", wrong, 400));
}

TEST(OtherPages, StyleScriptAndDrawingsMayBeKeptForGood) {
  MadeUpAgent agent;
  Site site(agent.web_state());
  const std::string first = get_page(site, "/");
  std::size_t script = 0;
  for (const StaticFile& file : static_files()) {
    const std::string name(file.name);
    if (name.ends_with(".js")) script += file.text.size();
    EXPECT_THAT(static_url(name), testing::StartsWith("/static/" + name + "?v="));
    SiteRequest request;
    request.method = "GET";
    request.path = "/static/" + name;
    request.params = {{"v", std::string(static_hash(name))}};
    const SiteReply kept = site.answer(request);
    EXPECT_EQ(kept.status, 200);
    EXPECT_EQ(*kept.body, file.text);
    EXPECT_EQ(kept.type, static_type(name));
    EXPECT_THAT(kept.headers, testing::Contains(testing::Pair("Cache-Control", HasSubstr("immutable"))));
    request.params = {{"v", "another"}};
    EXPECT_THAT(site.answer(request).headers, testing::Contains(testing::Pair("Cache-Control", "no-cache")));
    EXPECT_THAT(first, HasSubstr(static_url(name)));
  }
  EXPECT_LT(script, 10'000U);
  EXPECT_EQ(find_static_file("../ajar.css"), nullptr);
}

}  // namespace
}  // namespace ajar
