#include "agent/metrics.h"

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <sstream>
#include <thread>

#include <gmock/gmock.h>

#include "tests/support/made_up_agent.h"

namespace ajar {
namespace {

using namespace std::chrono_literals;
using testing::ContainsRegex;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using Format = Exposition::Format;

std::string page(MadeUpAgent& agent, Format format = Format::text) {
  return text_page(format, [&](Sections& sections) {
    agent.metrics.write(sections, {agent.ledger, *agent.config, agent.targets, agent.now, &agent.zones});
  });
}

// The lines of one family.
std::vector<std::string> series(const std::string& text, const std::string& name) {
  std::vector<std::string> found;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(name + "{") || line.starts_with(name + " ")) found.push_back(line);
  }
  return found;
}

// What differs from machine to machine is taken out.
std::string without_machine(const std::string& text) {
  static const std::regex process("\n(process_[a-z_]+) [^\n]*");
  static const std::regex build("ajar_build_info\\{[^\n]*\\}");
  return std::regex_replace(std::regex_replace(text, process, "\n$1 <of this process>"), build,
                            "ajar_build_info{version=\"<v>\",revision=\"<r>\",compiler=\"<c>\"}");
}

TEST(Metrics, Golden) {
  MadeUpAgent agent;
  agent.fill();
  agent.fill_zones();
  agent.fill_suspicions();
  agent.fill_discovery();
  const std::string text = without_machine(page(agent));
  const std::string file = std::string(AJAR_SOURCE_DIR) + "/tests/golden/metrics.txt";
  if (std::getenv("AJAR_UPDATE_GOLDEN") != nullptr) std::ofstream(file) << text;
  std::ifstream in(file);
  const std::string golden((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  EXPECT_EQ(text, golden) << "AJAR_UPDATE_GOLDEN=1 writes " << file << " anew: look at the difference before committing it";
}

TEST(Metrics, TheVantageAsFarAsItIsMeasured) {
  MadeUpAgent agent;
  EXPECT_THAT(page(agent), HasSubstr("# TYPE ajar_vantage_up gauge\n"));
  EXPECT_THAT(series(page(agent), "ajar_vantage_up"), testing::IsEmpty());
  agent.metrics.vantage({{VantageKind::egress_25, {false, "x"}}, {VantageKind::rdns, {true, "y"}}});
  EXPECT_THAT(series(page(agent), "ajar_vantage_up"),
              ElementsAre("ajar_vantage_up{kind=\"egress_25\"} 0", "ajar_vantage_up{kind=\"rdns\"} 1"));
  agent.metrics.vantage({{VantageKind::egress_25, {true, "x"}}});  // nobody can say any more
  EXPECT_THAT(series(page(agent), "ajar_vantage_up"), ElementsAre("ajar_vantage_up{kind=\"egress_25\"} 1"));
}

TEST(Metrics, TheEndOfOurCertificate) {
  MadeUpAgent agent;
  const char* const name = "ajar_tls_certificate_expiry_timestamp_seconds";
  EXPECT_THAT(page(agent), HasSubstr(std::string("# TYPE ") + name + " gauge\n"));
  EXPECT_THAT(series(page(agent), name), testing::IsEmpty());
  const std::uint64_t before = agent.metrics.version();
  agent.metrics.certificate_expiry(Time(1767322965s));
  EXPECT_GT(agent.metrics.version(), before);
  EXPECT_THAT(series(page(agent), name), ElementsAre(std::string(name) + " 1767322965"));
  agent.metrics.certificate_expiry(std::nullopt);
  EXPECT_THAT(series(page(agent), name), testing::IsEmpty());
}

// A broken database has a state and counts, and says nothing of anybody.
TEST(Metrics, ListingsOfHealthyDatabasesAlone) {
  MadeUpAgent agent;
  agent.fill();
  agent.fill_zones();
  const std::string text = page(agent);
  EXPECT_THAT(series(text, "ajar_dnsbl_listed"),
              ElementsAre(R"(ajar_dnsbl_listed{target="mx1",address="203.0.113.5",zone="bl.example",tier="page"} 1)",
                          R"(ajar_dnsbl_listed{target="mx2",address="203.0.113.6",zone="bl.example",tier="ticket"} 0)"));
  EXPECT_THAT(series(text, "ajar_dnsbl_listing_info"),
              ElementsAre(R"(ajar_dnsbl_listing_info{target="mx1",address="203.0.113.5",zone="bl.example",code="127.0.0.9",)"
                          R"(meaning="open HTTP proxy"} 1)"));
  EXPECT_THAT(text, HasSubstr("ajar_dnsbl_zone_state{zone=\"broken.example\",state=\"timeout\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("ajar_dnsbl_zone_state{zone=\"broken.example\",state=\"healthy\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("ajar_dnsbl_queries_total{zone=\"bl.example\",result=\"listed\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("ajar_dnsbl_queries_total{zone=\"bl.example\",result=\"blocked\"} 0\n"));
  EXPECT_THAT(text, testing::Not(HasSubstr("see https")));
}

TEST(Metrics, EveryFamilyIsThereFromTheStart) {
  MadeUpAgent agent;
  const std::string text = page(agent);
  for (const char* name : {"ajar_build_info",
                           "ajar_agent_info",
                           "ajar_target_info",
                           "ajar_exposure_level",
                           "ajar_exposure_first_seen_timestamp_seconds",
                           "ajar_exposure_exempt",
                           "ajar_last_probe_level",
                           "ajar_last_probe_timestamp_seconds",
                           "ajar_last_conclusive_timestamp_seconds",
                           "ajar_result_due_timestamp_seconds",
                           "ajar_target_exposure_level",
                           "ajar_target_last_conclusive_timestamp_seconds",
                           "ajar_results",
                           "ajar_coverage_ratio",
                           "ajar_dnsbl_listed",
                           "ajar_dnsbl_listing_info",
                           "ajar_dnsbl_zone_state",
                           "ajar_dnsbl_queries_total",
                           "ajar_suspicions",
                           "ajar_discovery_targets",
                           "ajar_discovery_refused",
                           "ajar_discovery_up",
                           "ajar_discovery_last_success_timestamp_seconds",
                           "ajar_probes_total",
                           "ajar_probe_failures_total",
                           "ajar_probe_duration_seconds",
                           "ajar_probes_in_flight",
                           "ajar_schedule_lag_seconds",
                           "ajar_pace_slowed_networks",
                           "ajar_pace_exhausted_addresses",
                           "ajar_pace_waits_total",
                           "ajar_endpoints",
                           "ajar_sweep_endpoints",
                           "ajar_sweep_last_completed_timestamp_seconds",
                           "ajar_exposures_opened_total",
                           "ajar_exposures_reopened_total",
                           "ajar_exposures_closed_total",
                           "ajar_exposure_duration_seconds",
                           "ajar_exemption_expiry_timestamp_seconds",
                           "ajar_canary_up",
                           "ajar_canary_arrivals_total",
                           "ajar_config_last_reload_successful",
                           "ajar_config_last_reload_success_timestamp_seconds",
                           "ajar_paused",
                           "ajar_metrics_detail",
                           "ajar_metrics_series_cut",
                           "ajar_quarantined",
                           "process_cpu_seconds_total",
                           "process_resident_memory_bytes",
                           "process_open_fds"}) {
    EXPECT_THAT(text, HasSubstr(std::string("# HELP ") + name + " "));
    EXPECT_THAT(text, HasSubstr(std::string("# TYPE ") + name + " "));
  }
  EXPECT_THAT(series(text, "ajar_canary_arrivals_total"), testing::SizeIs(16));
  EXPECT_THAT(text, HasSubstr("ajar_canary_arrivals_total{kind=\"smtp\",result=\"proved\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("\najar_config_last_reload_successful 1\n"));
  EXPECT_THAT(series(text, "ajar_canary_up"), testing::IsEmpty());
  EXPECT_THAT(series(text, "ajar_coverage_ratio"), testing::IsEmpty());
}

TEST(Metrics, CountersOfConfiguredChecksAndOwnersStartAtZero) {
  MadeUpAgent agent;
  agent.add(agent.target("mx1", "mx1.example.org", "mail-team"), {});
  const std::string text = page(agent);
  EXPECT_THAT(text, HasSubstr("ajar_probes_total{check=\"smtp_relay\",verdict=\"open\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("ajar_probe_failures_total{check=\"smtp_relay\",reason=\"out_of_scope\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("ajar_exposures_opened_total{check=\"smtp_relay\",owner=\"mail-team\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("ajar_exposures_closed_total{check=\"smtp_relay\",owner=\"mail-team\",how=\"retired\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("ajar_exposure_duration_seconds_count{check=\"smtp_relay\",owner=\"mail-team\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("ajar_probe_duration_seconds_count{check=\"smtp_relay\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("ajar_results{check=\"smtp_relay\",verdict=\"closed\"} 0\n"));
  // Nothing is claimed of a result that was never probed.
  EXPECT_THAT(series(text, "ajar_exposure_level"), testing::IsEmpty());
  EXPECT_THAT(series(text, "ajar_target_exposure_level"), testing::IsEmpty());
}

TEST(Metrics, WhereNobodyListensThereIsNoSeriesUnlessACaseIsOpen) {
  MadeUpAgent agent;
  agent.fill();
  const std::string text = page(agent);
  EXPECT_THAT(text, Not(HasSubstr("port=\"587\"")));
  EXPECT_THAT(text, HasSubstr("ajar_results{check=\"smtp_relay\",verdict=\"closed\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("ajar_results{check=\"smtp_relay\",verdict=\"unreachable\"} 1\n"));

  agent.probe(agent.record("mx1", "203.0.113.5", 25, Verdict::closed, Reason::nobody_listens, 1min));
  const std::vector<std::string> levels = series(page(agent), "ajar_exposure_level");
  EXPECT_THAT(levels, testing::Contains(testing::AllOf(HasSubstr("target=\"mx1\""), testing::EndsWith("} 4"))));
}

// What sweeps know of networks: "lab" has results too, "alone" and "zoo" have none.
std::shared_ptr<const SweepView> swept(Time now) {
  SweepSummary one;
  one.endpoints.by_state = {10, 70, 15, 0, 5};  // not asked, refused, silent, no route, listening
  one.endpoints.covered = 85;
  one.by_check["smtp_relay"] = one.endpoints;
  one.completed = now - 1h;
  one.oldest = now - 2h;
  SweepSummary closed;
  closed.endpoints.by_state = {0, 4, 0, 0, 0};
  closed.endpoints.covered = 4;
  closed.by_check["smtp_relay"] = closed.endpoints;
  return std::make_shared<SweepView>(SweepView{{"alone", closed, false}, {"lab", one, false}, {"zoo", one, true}});
}

TEST(Metrics, WhatIsSweptIsCountedWithTheResults) {
  MadeUpAgent agent;
  agent.fill();
  agent.metrics.sweep(swept(agent.now));
  agent.metrics.endpoints(112, {{"smtp_relay", 112}});
  const std::string text = page(agent);
  EXPECT_THAT(text, HasSubstr("ajar_results{check=\"smtp_relay\",verdict=\"closed\"} 147\n"));      // 3 and 70, 4, 70
  EXPECT_THAT(text, HasSubstr("ajar_results{check=\"smtp_relay\",verdict=\"unreachable\"} 31\n"));  // 1 and 15, 15
  EXPECT_THAT(text, HasSubstr("ajar_sweep_endpoints{state=\"refused\"} 144\n"));
  EXPECT_THAT(series(text, "ajar_sweep_last_completed_timestamp_seconds"), testing::SizeIs(2));
  // 94 of 112: 5 of the results, 89 of what is swept; a target that is paused counts in neither.
  EXPECT_THAT(text, HasSubstr("ajar_coverage_ratio{check=\"smtp_relay\"} 0.8392"));
  EXPECT_THAT(series(text, "ajar_target_exposure_level"),
              ElementsAre("ajar_target_exposure_level{target=\"alone\"} 0", "ajar_target_exposure_level{target=\"lab\"} 2",
                          "ajar_target_exposure_level{target=\"mx1\"} 4", "ajar_target_exposure_level{target=\"mx2\"} 0",
                          "ajar_target_exposure_level{target=\"office\"} 3", "ajar_target_exposure_level{target=\"zoo\"} 1"));
  const std::string one = text_page(Format::text, [&](Sections& sections) {
    agent.metrics.write_target(sections, {agent.ledger, *agent.config, agent.targets, agent.now}, "alone", "");
  });
  EXPECT_THAT(series(one, "ajar_target_exposure_level"), ElementsAre("ajar_target_exposure_level{target=\"alone\"} 0"));
}

TEST(Metrics, CoverageCountsWhatIsConclusiveOrFilteredAndFresh) {
  MadeUpAgent agent;
  agent.fill();
  // Of 8 results: mx1, mx2 (two of three are fresh), office and the filtered one; the unclear one, the old one and one unseen
  // are not.
  EXPECT_THAT(page(agent), HasSubstr("ajar_coverage_ratio{check=\"smtp_relay\"} 0.625\n"));
  agent.now += 91min;
  EXPECT_THAT(page(agent), HasSubstr("ajar_coverage_ratio{check=\"smtp_relay\"} 0.5\n"));
}

TEST(Metrics, APausedTargetSaysSoAndIsLeftOutOfCoverage) {
  MadeUpAgent agent;
  agent.fill();
  EXPECT_THAT(series(page(agent), "ajar_target_info"), testing::Each(Not(HasSubstr("paused="))));
  for (TargetView& view : agent.targets) view.config.paused = view.config.name == "mx2";
  agent.metrics.endpoints(8, {{"smtp_relay", 5}});
  const std::string text = page(agent);
  EXPECT_THAT(series(text, "ajar_target_info"), testing::Contains(HasSubstr("paused=\"true\"")).Times(1));
  EXPECT_THAT(text,
              HasSubstr("ajar_target_info{target=\"mx2\",host=\"mx2.example.org\",owner=\"mail-team\",paused=\"true\"} 1\n"));
  // Of 5 results: mx1, office and the filtered one.
  EXPECT_THAT(text, HasSubstr("ajar_coverage_ratio{check=\"smtp_relay\"} 0.6\n"));
  // Nothing is claimed where everything is paused.
  for (TargetView& view : agent.targets) view.config.paused = true;
  agent.metrics.endpoints(8, {});
  EXPECT_THAT(series(page(agent), "ajar_coverage_ratio"), testing::IsEmpty());
}

TEST(Metrics, ExemptUntilTheEndOfTheLastDay) {
  MadeUpAgent agent;
  agent.fill();
  EXPECT_THAT(series(page(agent), "ajar_exposure_exempt"), testing::SizeIs(1));
  const std::optional<Time> end = exempt_until(*agent.config, "office", "smtp_relay");
  ASSERT_TRUE(end);
  EXPECT_EQ(to_rfc3339(*end), "2026-02-01T00:00:00.000Z");
  EXPECT_TRUE(is_exempt(*agent.config, "office", "smtp_relay", *end - 1ms));
  EXPECT_FALSE(is_exempt(*agent.config, "office", "smtp_relay", *end));
  EXPECT_FALSE(is_exempt(*agent.config, "mx1", "smtp_relay", agent.now));
  // Without a reload: the clock alone ends it, and the level alerts again.
  agent.now = *end - 1ms;
  EXPECT_THAT(series(page(agent), "ajar_exposure_exempt"), testing::SizeIs(1));
  agent.now = *end;
  EXPECT_THAT(series(page(agent), "ajar_exposure_exempt"), testing::IsEmpty());
  EXPECT_THAT(series(page(agent), "ajar_exposure_level"), testing::Contains(HasSubstr("target=\"office\"")));
}

// An alert on what is overdue would fire for as long as the pause lasts.
TEST(Metrics, NothingOfAPausedTargetIsDue) {
  MadeUpAgent agent;
  agent.fill();
  ASSERT_THAT(series(page(agent), "ajar_result_due_timestamp_seconds"), testing::SizeIs(5));
  for (TargetView& view : agent.targets) view.config.paused = view.config.name == "mx2";
  const std::string text = page(agent);
  EXPECT_THAT(series(text, "ajar_result_due_timestamp_seconds"),
              testing::AllOf(testing::SizeIs(3), testing::Each(Not(HasSubstr("target=\"mx2\"")))));
  // What was found before is still shown.
  for (const char* name : {"ajar_exposure_level", "ajar_last_probe_timestamp_seconds", "ajar_target_exposure_level",
                           "ajar_target_last_conclusive_timestamp_seconds"}) {
    EXPECT_THAT(series(text, name), testing::Contains(HasSubstr("target=\"mx2\""))) << name;
  }
  const std::string one = text_page(Format::text, [&](Sections& sections) {
    agent.metrics.write_target(sections, {agent.ledger, *agent.config, agent.targets, agent.now}, "mx2", "");
  });
  EXPECT_THAT(series(one, "ajar_exposure_level"), testing::SizeIs(2));
  EXPECT_THAT(series(one, "ajar_result_due_timestamp_seconds"), testing::IsEmpty());
}

// Who paused the agent knows it by ajar_paused: its series stay.
TEST(Metrics, WhileTheAgentIsPausedWhatWasDueIsStillShown) {
  MadeUpAgent agent;
  agent.fill();
  agent.ledger.set_paused(true);
  agent.ledger.flush();
  const std::string text = page(agent);
  EXPECT_THAT(series(text, "ajar_result_due_timestamp_seconds"), testing::SizeIs(5));
  EXPECT_THAT(text, HasSubstr("\najar_paused 1\n"));
}

TEST(Metrics, DetailOfTargetsShowsOnlyWhatIsNotClosed) {
  MadeUpAgent agent;
  agent.fill();
  agent.config->metrics.detail = "targets";
  const std::string text = page(agent);
  EXPECT_THAT(series(text, "ajar_exposure_level"), testing::SizeIs(3));
  EXPECT_THAT(series(text, "ajar_target_exposure_level"), testing::SizeIs(4));
  EXPECT_THAT(text, HasSubstr("ajar_metrics_detail{detail=\"targets\"} 1\n"));
}

// The figure of a part in ajar_metrics_series_cut.
std::size_t cut(const std::string& text, const std::string& part) {
  const std::string begin = "\najar_metrics_series_cut{part=\"" + part + "\"} ";
  const std::size_t at = text.find(begin);
  return at == std::string::npos ? 9999 : static_cast<std::size_t>(std::atoi(text.c_str() + at + begin.size()));
}

std::size_t count_series(const std::string& text) {
  std::istringstream lines(text);
  std::size_t count = 0;
  for (std::string line; std::getline(lines, line);) count += line.starts_with("#") ? 0 : 1;
  return count;
}

// However low the limit, what it leaves out is named and counted right, and what is open or accepted is there.
TEST(Metrics, TheLimitOfSeriesLeavesOutWhatMattersLeast) {
  MadeUpAgent full;
  full.fill();
  full.fill_zones();
  const std::size_t all = count_series(page(full));
  const std::vector<std::string> order = {"closed", "not_listed", "detail", "targets", "unknown", "listings", "target_info"};
  std::set<std::size_t> steps;
  for (std::size_t most = all + 10; most > 0; --most) {
    MadeUpAgent agent;
    agent.fill();
    agent.fill_zones();
    agent.metrics.limit_series(most);
    const std::string text = page(agent);
    std::size_t missing = 0;
    std::size_t step = 0;
    for (std::size_t i = 0; i < order.size(); ++i) {
      ASSERT_NE(cut(text, order[i]), 9999U);
      missing += cut(text, order[i]);
      if (cut(text, order[i]) > 0) step = i + 1;
    }
    steps.insert(step);
    ASSERT_EQ(count_series(text) + missing, all) << most;
    if (step < order.size()) {
      ASSERT_LE(count_series(text), most);
    }
    for (std::size_t i = 0; i < step; ++i) ASSERT_GT(cut(text, order[i]), 0U) << order[i];
    EXPECT_THAT(series(text, "ajar_exposure_level"),
                testing::AllOf(testing::Contains(testing::AllOf(HasSubstr("target=\"mx1\""), testing::EndsWith(" 4"))),
                               testing::Contains(testing::AllOf(HasSubstr("target=\"office\""), testing::EndsWith(" 3")))));
    EXPECT_THAT(series(text, "ajar_exposure_first_seen_timestamp_seconds"), testing::SizeIs(2));
    EXPECT_THAT(series(text, "ajar_exposure_exempt"), testing::SizeIs(1));
    EXPECT_THAT(series(text, "ajar_target_info"), testing::SizeIs(step == order.size() ? 2 : 4));
    EXPECT_THAT(series(text, "ajar_results"), testing::SizeIs(5));
    EXPECT_THAT(series(text, "ajar_coverage_ratio"), ElementsAre("ajar_coverage_ratio{check=\"smtp_relay\"} 0.625"));
    EXPECT_THAT(text, HasSubstr("# TYPE ajar_dnsbl_listed gauge\n"));
  }
  EXPECT_EQ(steps.size(), order.size() + 1) << "each step was seen";
}

// The limit counts them too.
TEST(Metrics, TheLimitOfSeriesKnowsWhatIsSwept) {
  MadeUpAgent full;
  full.fill();
  full.metrics.sweep(swept(full.now));
  const std::size_t all = count_series(page(full));
  for (std::size_t most = all + 2; most > all / 2; --most) {
    MadeUpAgent agent;
    agent.fill();
    agent.metrics.sweep(swept(agent.now));
    agent.metrics.limit_series(most);
    const std::string text = page(agent);
    std::size_t missing = 0;
    for (const char* part : {"closed", "not_listed", "detail", "targets", "unknown", "listings", "target_info"})
      missing += cut(text, part);
    ASSERT_EQ(count_series(text) + missing, all) << most;
  }
}

TEST(Metrics, WithoutALimitNothingIsLeftOut) {
  MadeUpAgent agent;
  agent.fill();
  EXPECT_THAT(series(page(agent), "ajar_metrics_series_cut"),
              testing::AllOf(testing::SizeIs(7), testing::Each(testing::EndsWith(" 0"))));
  // Nor is what detail = "targets" does not show.
  agent.config->metrics.detail = "targets";
  EXPECT_THAT(series(page(agent), "ajar_metrics_series_cut"), testing::Each(testing::EndsWith(" 0")));
  agent.metrics.limit_series(1);
  EXPECT_EQ(cut(page(agent), "closed"), 0U);
}

TEST(Metrics, AutomaticDetailGoesByTheNumberOfResults) {
  MadeUpAgent agent;
  agent.add(agent.target("big", "", "netops"), {});
  Record record = agent.record("big", "203.0.113.5", 25, Verdict::closed, Reason::refused, 1min);
  const auto fill_up_to = [&](std::size_t count) {
    for (std::size_t i = agent.ledger.result_count(); i < count; ++i) {
      record.key.address = IpAddress::v4(
          {203, static_cast<std::uint8_t>(i >> 16U), static_cast<std::uint8_t>(i >> 8U), static_cast<std::uint8_t>(i)});
      agent.ledger.apply(record);
    }
    agent.ledger.flush();
  };
  fill_up_to(Metrics::kDetailLimit);
  const std::string results = page(agent);
  EXPECT_THAT(results, HasSubstr("ajar_metrics_detail{detail=\"results\"} 1\n"));
  EXPECT_THAT(series(results, "ajar_exposure_level"), testing::SizeIs(Metrics::kDetailLimit));
  fill_up_to(Metrics::kDetailLimit + 1);
  const std::string targets = page(agent);
  EXPECT_THAT(targets, HasSubstr("ajar_metrics_detail{detail=\"targets\"} 1\n"));
  EXPECT_THAT(series(targets, "ajar_exposure_level"), testing::IsEmpty());
  EXPECT_THAT(series(targets, "ajar_target_exposure_level"), ElementsAre("ajar_target_exposure_level{target=\"big\"} 0"));
  EXPECT_THAT(series(targets, "ajar_target_last_conclusive_timestamp_seconds"), testing::SizeIs(1));
  EXPECT_THAT(targets, HasSubstr("ajar_results{check=\"smtp_relay\",verdict=\"closed\"} 20001\n"));
}

TEST(Metrics, HowGentlyItAsks) {
  MadeUpAgent agent;
  const std::uint64_t before = agent.metrics.version();
  agent.metrics.pace({1, 2, 30, 40, 50, 60});
  EXPECT_GT(agent.metrics.version(), before);
  EXPECT_THAT(page(agent), HasSubstr("ajar_pace_slowed_networks 1\n"));
  EXPECT_THAT(page(agent), HasSubstr("ajar_pace_exhausted_addresses 2\n"));
  EXPECT_THAT(series(page(agent), "ajar_pace_waits_total"),
              ElementsAre("ajar_pace_waits_total{scope=\"address\"} 30", "ajar_pace_waits_total{scope=\"global\"} 50",
                          "ajar_pace_waits_total{scope=\"network\"} 40", "ajar_pace_waits_total{scope=\"system\"} 60"));
  const std::uint64_t after = agent.metrics.version();
  agent.metrics.pace({1, 2, 30, 40, 50, 60});
  EXPECT_EQ(agent.metrics.version(), after);  // nothing new
}

TEST(Metrics, WhatIsNotAskedBecauseItCrashedUs) {
  MadeUpAgent agent;
  EXPECT_THAT(page(agent), HasSubstr("# TYPE ajar_quarantined gauge\n"));
  EXPECT_THAT(series(page(agent), "ajar_quarantined"), testing::IsEmpty());
  const std::uint64_t before = agent.metrics.version();
  const ResultKey b{"mx2", *IpAddress::parse("2001:db8::6"), 25, Transport::tcp, "smtp_relay"};
  const ResultKey a{"mx1", *IpAddress::parse("203.0.113.5"), 25, Transport::tcp, "smtp_relay"};
  agent.metrics.quarantined({b, a});
  EXPECT_GT(agent.metrics.version(), before);
  EXPECT_THAT(agent.metrics.quarantined(), ElementsAre(a, b));
  EXPECT_THAT(
      series(page(agent), "ajar_quarantined"),
      ElementsAre(R"(ajar_quarantined{target="mx1",address="203.0.113.5",port="25",transport="tcp",check="smtp_relay"} 1)",
                  R"(ajar_quarantined{target="mx2",address="2001:db8::6",port="25",transport="tcp",check="smtp_relay"} 1)"));
  agent.metrics.quarantined({});
  EXPECT_THAT(series(page(agent), "ajar_quarantined"), testing::IsEmpty());
}

TEST(Metrics, FailuresAndExemplars) {
  MadeUpAgent agent;
  agent.metrics.probe_done("smtp_relay", Verdict::unreachable, Reason::timeout, 5, "00000000000000b1");
  agent.metrics.probe_done("smtp_relay", Verdict::closed, Reason::refused, 1000, "00000000000000b2");
  agent.metrics.scope_refused("smtp_relay");
  agent.metrics.in_flight(+1);
  const std::string text = page(agent, Format::openmetrics);
  EXPECT_THAT(text, HasSubstr("ajar_probe_failures_total{check=\"smtp_relay\",reason=\"timeout\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("ajar_probe_failures_total{check=\"smtp_relay\",reason=\"out_of_scope\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("le=\"5.0\"} 1 # {probe_id=\"00000000000000b1\"} 5 1767323045.678\n"));
  EXPECT_THAT(text, HasSubstr("le=\"+Inf\"} 2 # {probe_id=\"00000000000000b2\"} 1000 1767323045.678\n"));
  EXPECT_THAT(text, HasSubstr("\najar_probes_in_flight 1\n"));
  EXPECT_THAT(text, testing::EndsWith("# EOF\n"));
  EXPECT_THAT(page(agent), Not(HasSubstr(" # {")));
}

TEST(Metrics, HostileNamesKeepThePageWhole) {
  MadeUpAgent agent;
  const std::string name = "x\"} 1\nfake_metric 2\\\xFF";
  TargetConfig target = agent.target(name, "h", "o\"w\nner");
  target.labels = {{"a-b", "1"}, {"a.b", "2"}, {"c", "\n\"\\"}};
  agent.add(std::move(target), {});
  agent.probe(agent.record(name, "203.0.113.5", 25, Verdict::open, Reason::message_delivered, 1min));
  const std::string text = page(agent);
  EXPECT_THAT(text, Not(HasSubstr("\nfake_metric")));
  // Two keys that become one label name would make the page invalid.
  EXPECT_THAT(series(text, "ajar_target_info"), testing::ElementsAre(Not(HasSubstr("label_a_b=\"2\""))));
}

TEST(Metrics, SeriesAreUnique) {
  MadeUpAgent agent;
  agent.fill();
  std::istringstream lines(page(agent));
  std::set<std::string> seen;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("#")) continue;
    EXPECT_TRUE(seen.insert(line.substr(0, line.rfind(' '))).second) << line;
  }
  EXPECT_GT(seen.size(), 100U);
}

TEST(Metrics, ManyThreads) {
  MadeUpAgent agent;
  agent.fill();
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&agent, i] {
      for (int n = 0; n < 100; ++n) {
        agent.metrics.in_flight(+1);
        agent.metrics.probe_done("check" + std::to_string(n % 3), Verdict::unclear, Reason::timeout, n * 0.01, "0");
        agent.metrics.in_flight(-1);
        if (i == 0 && n % 25 == 0) {
          EXPECT_FALSE(page(agent).empty());
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::string text = page(agent);
  EXPECT_THAT(text, HasSubstr("\najar_probes_in_flight 0\n"));
  EXPECT_THAT(text, HasSubstr("ajar_probe_duration_seconds_count{check=\"check0\"} 136\n"));
}

// Both forms as the real linter sees them; skipped where Debian's `prometheus` package is not installed.
TEST(Metrics, PromtoolIsContent) {
  if (std::system("command -v promtool >/dev/null 2>&1") != 0) GTEST_SKIP() << "promtool is not installed";
  MadeUpAgent agent;
  agent.fill();
  const std::string file = testing::TempDir() + "ajar_promtool_" + std::to_string(getpid()) + ".txt";
  std::ofstream(file) << page(agent);
  EXPECT_EQ(std::system(("promtool check metrics < '" + file + "'").c_str()), 0);
  std::remove(file.c_str());
}

}  // namespace
}  // namespace ajar
