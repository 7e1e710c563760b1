#include <filesystem>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "agent/json.h"
#include "agent/site.h"
#include "agent/suspicions.h"
#include "agent/targets.h"
#include "tests/support/made_up_agent.h"

namespace ajar {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

constexpr Time kNow{std::chrono::milliseconds(1767323045678)};
constexpr Time kReported = kNow - 2h;

Suspicion suspicion(const std::string& report, const std::string& address, std::uint16_t port, Time reported = kReported) {
  Suspicion made;
  made.key = {*IpAddress::parse(address), port, std::string(kShadowserver), report, port == 0 ? "bl.example" : ""};
  made.reported = reported;
  made.imported = kNow;
  made.saw = {{"tag", "seen <b>there</b>"}};
  return made;
}

// A result that was asked in all forms an hour after the report.
ResultState result(const std::string& check, std::uint16_t port, Verdict level) {
  ResultState made;
  made.key = {"proxy", *IpAddress::parse("203.0.113.5"), port, Transport::tcp, check};
  made.level = made.last_level = level;
  made.reason = made.last_reason = level == Verdict::closed ? Reason::refused : Reason::timeout;
  made.last_probe = kReported + 1h;
  made.last_full_matrix = kReported + 1h;
  if (level >= Verdict::accepted) made.case_id = "case-" + check;
  return made;
}

ResultState changed(ResultState state, const std::function<void(ResultState&)>& change) {
  change(state);
  return state;
}

TEST(Suspicion, WhatOurOwnTestsSayToIt) {
  const Suspicion proxy = suspicion("scan_http_proxy", "203.0.113.5", 3128);
  const Suspicion socks = suspicion("scan_socks", "203.0.113.5", 3128);
  const Suspicion mail = suspicion("scan_smtp_vulnerable", "203.0.113.5", 25);
  const Suspicion listed = suspicion("blocklist", "203.0.113.5", 0);
  const auto closed = [](const std::string& check, std::uint16_t port = 3128) { return result(check, port, Verdict::closed); };
  const auto with = [&](const std::string& check, Verdict verdict, std::uint16_t port = 3128) {
    return result(check, port, verdict);
  };
  struct Row {
    const char* name;
    Suspicion suspicion;
    std::vector<ResultState> results;
    SuspicionStatus status;
    const char* because;
  };
  using enum SuspicionStatus;
  const Row table[] = {
      {"nothing is asked there", proxy, {}, untested, "we ask nothing at this port"},
      {"another port", proxy, {closed("http_connect", 8080), closed("http_forward", 8080)}, untested, "we ask nothing"},
      {"other checks", proxy, {closed("socks4"), closed("socks5")}, untested, "we ask nothing"},
      {"one is open",
       proxy,
       {closed("http_connect"), with("http_forward", Verdict::open)},
       confirmed,
       "http_forward at port 3128: open"},
      {"one said yes", proxy, {with("http_connect", Verdict::accepted), closed("http_forward")}, confirmed, "accepted"},
      {"one is open, the other not asked", proxy, {with("http_connect", Verdict::open)}, confirmed, "open"},
      {"both closed", proxy, {closed("http_connect"), closed("http_forward")}, refuted, "closed since the report"},
      {"one closed, the other not asked", proxy, {closed("http_connect")}, untested, "we do not ask http_forward"},
      {"one unclear", proxy, {closed("http_connect"), with("http_forward", Verdict::unclear)}, untested, "unclear (timeout)"},
      {"one unreachable", proxy, {with("http_connect", Verdict::unreachable), closed("http_forward")}, untested, "unreachable"},
      {"only before the report",
       proxy,
       {changed(closed("http_connect"), [](ResultState& s) { s.last_probe = s.last_full_matrix.emplace(kReported); }),
        closed("http_forward")},
       untested,
       "http_connect at port 3128 was not asked since"},
      {"never",
       proxy,
       {changed(closed("http_connect"), [](ResultState& s) { s.last_probe = Time{}; }), closed("http_forward")},
       untested,
       "not asked since"},
      {"only the core since",
       proxy,
       {changed(closed("http_connect"), [](ResultState& s) { s.last_full_matrix = kReported - 1h; }), closed("http_forward")},
       untested,
       "not asked in all forms"},
      {"all forms never",
       proxy,
       {changed(closed("http_connect"), [](ResultState& s) { s.last_full_matrix.reset(); }), closed("http_forward")},
       untested,
       "not asked in all forms"},
      {"the last probe said something else",
       proxy,
       {changed(closed("http_connect"), [](ResultState& s) { s.last_level = Verdict::unclear; }), closed("http_forward")},
       untested,
       "unclear"},
      {"a change waits for its confirmation",
       proxy,
       {changed(closed("http_connect"), [](ResultState& s) { s.change_to = Verdict::closed; }), closed("http_forward")},
       untested,
       "to be confirmed"},
      {"SOCKS both closed",
       socks,
       {closed("socks4"), closed("socks5"), with("http_connect", Verdict::open)},
       refuted,
       "closed"},
      {"SOCKS open", socks, {closed("socks4"), with("socks5", Verdict::open)}, confirmed, "socks5"},
      {"mail closed", mail, {closed("smtp_relay", 25), with("smtp_relay", Verdict::open, 587)}, refuted, "closed"},
      {"mail open", mail, {with("smtp_relay", Verdict::open, 25)}, confirmed, "open"},
      {"listed, nothing asked", listed, {}, untested, "we ask nothing of this address"},
      {"listed, all closed", listed, {closed("socks4"), closed("smtp_relay", 25)}, refuted, "closed"},
      {"listed, one open",
       listed,
       {closed("socks4"), with("smtp_relay", Verdict::open, 25)},
       confirmed,
       "smtp_relay at port 25"},
      {"listed, one unreachable",
       listed,
       {closed("socks4"), with("smtp_relay", Verdict::unreachable, 25)},
       untested,
       "unreachable"},
  };
  for (const Row& row : table) {
    const SuspicionJudgement judgement = judge(row.suspicion, row.results, {});
    EXPECT_EQ(judgement.status, row.status) << row.name << ": " << judgement.because;
    EXPECT_THAT(judgement.because, HasSubstr(row.because)) << row.name;
    EXPECT_EQ(judgement.case_id.has_value(), row.status == confirmed) << row.name;
  }
  ResultState elsewhere = closed("smtp_relay", 25);
  elsewhere.key.address = *IpAddress::parse("203.0.113.6");
  EXPECT_EQ(judge(mail, std::vector{elsewhere}, {}).status, untested);
}

TEST(Suspicion, ACaseThatEndedSinceIsSaid) {
  const Suspicion mail = suspicion("scan_smtp", "203.0.113.5", 25);
  const std::vector results = {result("smtp_relay", 25, Verdict::closed)};
  Case exposure;
  exposure.id = "a";
  exposure.key = results[0].key;
  exposure.status = CaseStatus::closed;
  exposure.closed = kReported + 10min;
  Case before = exposure;
  before.id = "b";
  before.closed = kReported - 1h;
  const SuspicionJudgement judgement = judge(mail, results, std::vector{before, exposure});
  EXPECT_EQ(judgement.status, SuspicionStatus::refuted);
  EXPECT_EQ(judgement.case_id, "a");
  EXPECT_THAT(judgement.because, HasSubstr("it was open, and all that we ask there is closed since 2026-01-02T01:14:05"));
  EXPECT_EQ(judge(mail, results, std::vector{before}).case_id, std::nullopt);
}

TEST(Suspicion, IsKeptOnceAndTheLatestWins) {
  MadeUpAgent agent;
  const Suspicion first = suspicion("scan_smtp", "203.0.113.5", 25);
  EXPECT_EQ(agent.ledger.keep(first), SuspicionKept::added);
  EXPECT_EQ(agent.ledger.keep(first), SuspicionKept::known) << "before the flush too";
  EXPECT_THAT(agent.ledger.suspicions(), IsEmpty());
  agent.ledger.flush();
  const std::uint64_t version = agent.ledger.version();
  EXPECT_EQ(agent.ledger.keep(first), SuspicionKept::known);
  Suspicion older = first;
  older.reported -= 1h;
  older.saw.clear();
  EXPECT_EQ(agent.ledger.keep(older), SuspicionKept::known);
  agent.ledger.flush();
  EXPECT_EQ(agent.ledger.version(), version);
  EXPECT_THAT(agent.ledger.suspicions(), ElementsAre(first));
  Suspicion newer = first;
  newer.reported += 1h;
  newer.imported += 1h;
  newer.saw = {{"banner", "another"}};
  EXPECT_EQ(agent.ledger.keep(newer), SuspicionKept::newer);
  agent.ledger.flush();
  newer.imported = first.imported;
  EXPECT_THAT(agent.ledger.suspicions(), ElementsAre(newer));
  agent.ledger.keep(suspicion("blocklist", "203.0.113.5", 0));
  agent.ledger.keep(suspicion("scan_socks", "203.0.113.4", 1080));
  agent.ledger.flush();
  EXPECT_THAT(agent.ledger.suspicions_of(*IpAddress::parse("203.0.113.5")), SizeIs(2));
  EXPECT_THAT(agent.ledger.suspicions_of(*IpAddress::parse("203.0.113.6")), IsEmpty());
  EXPECT_THAT(agent.ledger.suspicions(), SizeIs(3));
}

TEST(Suspicion, OldOnesAreDropped) {
  MadeUpAgent agent;
  agent.ledger.keep(suspicion("scan_smtp", "203.0.113.5", 25));
  agent.ledger.keep(suspicion("scan_smtp", "203.0.113.5", 587, kReported + 1h));
  agent.ledger.flush();
  agent.now = kReported + kSuspicionRetention - 1s;
  agent.ledger.expire();
  agent.ledger.flush();
  EXPECT_THAT(agent.ledger.suspicions(), SizeIs(2));
  agent.now += 2s;
  agent.ledger.expire();
  agent.ledger.flush();
  ASSERT_THAT(agent.ledger.suspicions(), SizeIs(1));
  EXPECT_EQ(agent.ledger.suspicions()[0].key.port, 587);
  agent.now += 2h;
  agent.ledger.expire();
  agent.ledger.flush();
  EXPECT_THAT(agent.ledger.suspicions(), IsEmpty());
}

TEST(Suspicion, SurvivesARestart) {
  std::string folder = (std::filesystem::temp_directory_path() / "ajar-suspicion-XXXXXX").string();
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  LedgerOptions options;
  options.path = folder + "/ajar.db";
  options.now = [] { return kNow; };
  const Suspicion mail = suspicion("scan_smtp", "2001:db8::5", 25), listed = suspicion("blocklist", "203.0.113.5", 0);
  {
    Ledger ledger(options);
    EXPECT_EQ(ledger.keep(mail), SuspicionKept::added);
    EXPECT_EQ(ledger.keep(listed), SuspicionKept::added);
  }
  {
    Ledger ledger(options);
    EXPECT_THAT(ledger.suspicions(), testing::UnorderedElementsAre(mail, listed));
    EXPECT_EQ(ledger.keep(listed), SuspicionKept::known);
    options.now = [] { return kNow + kSuspicionRetention; };
    ledger.set_options(options);
  }
  Ledger ledger(options);
  ledger.expire();
  ledger.flush();
  EXPECT_THAT(ledger.suspicions(), IsEmpty());
  std::filesystem::remove_all(folder);
}

TEST(Suspicion, GoesThroughTheApiUnchanged) {
  const std::vector both = {suspicion("scan_smtp", "2001:db8::5", 25), suspicion("blocklist", "203.0.113.5", 0)};
  EXPECT_EQ(parse_suspicions(serialise(both)), both);
  const std::string text = serialise(both);
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string changed = text;
    changed.replace(changed.find(from), from.size(), to);
    return changed;
  };
  for (const std::string& bad :
       {std::string("{}"), std::string("[]"), with("\"scan_smtp\"", "\"scan_dns\""), with("\"shadowserver\"", "\"x\""),
        with("\"port\":25", "\"port\":0"), with("\"port\":0", "\"port\":1"), with("[[\"tag\"", "[[1"), with("2001:", "x:")}) {
    EXPECT_THROW(parse_suspicions(bad), std::runtime_error) << bad;
  }
  const ImportCounts counts = parse_import_counts(serialise(ImportCounts{1, 2, 3, 4, 5, 6, 7, 8}));
  EXPECT_EQ(counts.added, 1U);
  EXPECT_EQ(counts.newer, 2U);
  EXPECT_EQ(counts.full, 7U);
  EXPECT_EQ(counts.unasked, 8U);
}

// No name is ever asked for.
struct NoDns : Dns {
  Task<DnsAnswer> look_up(std::string, DnsType) override { co_return DnsAnswer{}; }
};

TEST(Suspicion, OnlyWhatIsOursIsTakenInAndItsTestsAreAskedFor) {
  const auto parsed = parse_config(R"(
scope = ["203.0.113.0/24"]
[canary]
listen_tcp = ["127.0.0.1:8025"]
[[target]]
name = "proxy"
address = "203.0.113.5"
checks = ["http_connect", "smtp_relay"]
ports.http_connect = [3128]
ports.smtp_relay = [25]
[[target]]
name = "net"
network = "203.0.113.0/29"
checks = ["http_connect", "http_forward"]
ports.http_connect = [3128, 8080]
ports.http_forward = [3128]
)",
                                   "ajar.toml");
  ASSERT_TRUE(std::holds_alternative<Config>(parsed));
  const Config& config = std::get<Config>(parsed);
  NoDns dns;
  TargetEvents none;
  none.planned = [](const Planned&) {};
  none.retired = [](const ResultKey&) {};
  none.refused = [](const std::string&, const std::string&, const IpAddress&) {};
  none.noted = [](const std::string&, const std::string&) {};
  Targets targets(dns, [] { return kNow; }, none);
  targets.apply(config);
  MadeUpAgent agent;
  std::vector<std::string> tested, looked_up;
  ImportEvents events;
  events.test = [&](const ResultKey& key) { tested.push_back(fmt::format("{} {} {}", key.target, key.port, key.check)); };
  events.look_up = [&](const IpAddress& address) { looked_up.push_back(address.to_string()); };
  const auto take = [&](const Suspicion& one) {
    tested.clear();
    const ImportCounts counts = take_in({one}, targets, agent.ledger, kNow, events);
    agent.ledger.flush();
    return counts;
  };
  const Suspicion proxy = suspicion("scan_http_proxy", "203.0.113.5", 3128);
  EXPECT_EQ(take(proxy).added, 1U);
  EXPECT_THAT(tested, ElementsAre("proxy 3128 http_connect", "net 3128 http_forward")) << "each by its owner";
  EXPECT_EQ(take(proxy).known, 1U);
  EXPECT_THAT(tested, IsEmpty()) << "what is known already starts nothing";
  EXPECT_EQ(take(suspicion("scan_http_proxy", "203.0.113.5", 3128, kReported + 1h)).newer, 1U);
  EXPECT_THAT(tested, SizeIs(2));
  const ImportCounts unasked = take(suspicion("scan_http_proxy", "203.0.113.5", 4711));
  EXPECT_EQ(unasked.added, 1U);
  EXPECT_EQ(unasked.unasked, 1U);
  EXPECT_THAT(tested, IsEmpty());
  EXPECT_EQ(take(suspicion("scan_http_proxy", "198.51.100.5", 3128)).outside, 1U);
  EXPECT_EQ(take(suspicion("scan_http_proxy", "203.0.113.77", 3128)).no_target, 1U);
  EXPECT_EQ(take(suspicion("scan_http_proxy", "203.0.113.4", 3128, kNow - kSuspicionRetention)).old, 1U);
  EXPECT_THAT(looked_up, IsEmpty());
  EXPECT_EQ(take(suspicion("blocklist", "203.0.113.5", 0)).added, 1U);
  EXPECT_THAT(tested, testing::UnorderedElementsAre("proxy 3128 http_connect", "proxy 25 smtp_relay", "net 8080 http_connect",
                                                    "net 3128 http_forward"));
  EXPECT_THAT(looked_up, ElementsAre("203.0.113.5"));
  // What is missing is told as lines of the most specific target.
  std::vector<TargetView> views;
  for (const TargetStatus& status : targets.status()) views.push_back({*config.find_target(status.name), status.addresses, ""});
  std::map<std::uint16_t, SuspicionView> by_port;
  for (SuspicionView& view : suspicion_views(agent.ledger, config, views)) by_port[view.suspicion.key.port] = view;
  EXPECT_EQ(by_port[3128].target, "proxy");
  EXPECT_THAT(by_port[3128].remedy, IsEmpty());
  EXPECT_THAT(by_port[4711].remedy,
              ElementsAre("checks = [\"http_connect\", \"smtp_relay\", \"http_forward\"]", "ports.http_connect = [3128, 4711]",
                          HasSubstr("ports.http_forward = [80, 81, 3128,")));
  EXPECT_THAT(by_port[4711].remedy.back(), HasSubstr("\"443/tls\", \"8443/tls\", 4711]"));
}

TEST(Suspicion, IsShownOnThePageOfItsTargetAndByTheApi) {
  MadeUpAgent agent;
  agent.fill();
  Site site(agent.web_state());
  const auto get = [&](const std::string& path, std::multimap<std::string, std::string> params = {}) {
    SiteRequest request;
    request.method = "GET";
    request.path = path;
    request.params = std::move(params);
    return site.answer(request);
  };
  EXPECT_THAT(*get("/targets/mx1").body, HasSubstr("None was imported."));
  agent.fill_suspicions();
  const std::string mx1 = *get("/targets/mx1").body;
  for (const char* text :
       {"Suspicions of others", "shadowserver<br>scan_smtp", "203.0.113.5:25", "</svg>confirmed</span>",
        "<bdi>220 mx1 &lt;b&gt;</bdi>", "2026-01-02 01:04:05 UTC", "our own test of smtp_relay at port 25: open", "/exposures/",
        "/targets/mx1?check=smtp_relay&amp;address=203.0.113.5"}) {
    EXPECT_THAT(mx1, HasSubstr(text));
  }
  EXPECT_THAT(mx1, Not(HasSubstr("3128")));
  const std::string mx2 = *get("/targets/mx2").body;
  EXPECT_THAT(mx2, HasSubstr("</svg>refuted</span>"));
  EXPECT_THAT(mx2, HasSubstr("</svg>untested</span>"));
  EXPECT_THAT(
      mx2,
      HasSubstr("checks = [&quot;smtp_relay&quot;, &quot;http_connect&quot;, &quot;http_forward&quot;, &quot;dnsbl&quot;]"));
  EXPECT_LT(mx2.find("untested"), mx2.find("refuted"));

  using Json = nlohmann::json;
  const auto data = [&](std::multimap<std::string, std::string> params) {
    return Json::parse(*get("/api/v1/suspicions", std::move(params)).body).at("data");
  };
  EXPECT_THAT(data({}), SizeIs(3));
  EXPECT_THAT(data({{"target", "mx2"}}), SizeIs(2));
  EXPECT_THAT(data({{"target", "mx2"}, {"status", "refuted"}}), SizeIs(1));
  EXPECT_EQ(get("/api/v1/suspicions", {{"status", "x"}}).status, 400);
  Json confirmed = data({{"status", "confirmed"}}).at(0);
  EXPECT_THAT(confirmed.at("exposure").get<std::string>(), SizeIs(16));
  confirmed.erase("exposure");
  EXPECT_EQ(confirmed, Json::parse(R"json({"kind":"suspicion","source":"shadowserver","report":"scan_smtp","target":"mx1",
    "address":"203.0.113.5","port":25,"list":null,"reported":"2026-01-02T01:04:05.678Z","imported":"2026-01-02T02:04:05.678Z",
    "saw":{"banner":"220 mx1 <b>"},"status":"confirmed","because":"our own test of smtp_relay at port 25: open (message_delivered)",
    "remedy":[]})json"));
}

TEST(Suspicion, IsTakenInOnlyByTheInternalApi) {
  MadeUpAgent agent;
  WebState state = agent.web_state();
  int asked = 0;
  state.internal_api = [&](const ApiRequest&) {
    ++asked;
    return ApiReply{401, "{}"};
  };
  Site site(std::move(state));
  SiteRequest request;
  request.method = "POST";
  request.path = request.target = "/api/v1/suspicions";
  request.host = "ajar.example.net";
  EXPECT_EQ(site.answer(request).status, 401);
  EXPECT_EQ(asked, 1);
  request.origins = {"https://elsewhere.example"};
  EXPECT_EQ(site.answer(request).status, 403);
  EXPECT_EQ(asked, 1);
  request.method = "DELETE";
  EXPECT_EQ(site.answer(request).status, 405);
}

TEST(Suspicion, IsCountedByStatus) {
  MadeUpAgent agent;
  const auto metrics = [&] {
    std::string text;
    Exposition out(Exposition::Format::text, [&](std::string_view chunk) { text += chunk; });
    write_suspicions(out, agent.ledger);
    out.finish();
    return text;
  };
  EXPECT_THAT(metrics(), HasSubstr("ajar_suspicions{source=\"shadowserver\",status=\"confirmed\"} 0\n"));
  agent.fill();
  agent.fill_suspicions();
  for (const char* status : {"confirmed", "refuted", "untested"})
    EXPECT_THAT(metrics(), HasSubstr(fmt::format("ajar_suspicions{{source=\"shadowserver\",status=\"{}\"}} 1\n", status)));
}

}  // namespace
}  // namespace ajar
