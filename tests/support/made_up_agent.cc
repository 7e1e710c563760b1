#include "tests/support/made_up_agent.h"

#include <fmt/format.h>

namespace ajar {

using namespace std::chrono_literals;

namespace {

constexpr Time kNow{std::chrono::milliseconds(1767323045678)};  // 2026-01-02T03:04:05.678Z

LedgerOptions in_memory(const Time& now) {
  LedgerOptions options;
  options.path = ":memory:";
  options.now = [&now] { return now; };
  return options;
}

}  // namespace

MadeUpAgent::MadeUpAgent() : now(kNow), ledger(in_memory(now)), metrics([this] { return now; }) {
  config->file = "ajar.toml";
  config->scope = {*Cidr::parse("203.0.113.0/24")};
  config->agent.name = "probe.example.net";
  config->agent.contact = "mailto:sre@example.net";
  config->agent.vantage = "outside";
  config->web.external_url = "https://ajar.example.net/";
  config->canary.listen_smtp = {*AddressPort::parse("0.0.0.0:25")};
  config->canary.mail_domain = "canary.example.net";
}

Record MadeUpAgent::record(const std::string& target, const std::string& address, std::uint16_t port, Verdict verdict,
                           Reason reason, std::chrono::milliseconds ago) const {
  Record made;
  made.key = {target, *IpAddress::parse(address), port, Transport::tcp, "smtp_relay"};
  made.started = now - ago;
  made.duration = 1234ms;
  made.probe_id = fmt::format("{:016x}", std::hash<std::string>()(fmt::format("{}{}{}{}", target, address, port, ago.count())));
  made.host = target + ".example.org";
  for (const TargetView& view : targets) {
    if (view.config.name == target) made.owner = view.config.owner;
  }
  made.source_address = "198.51.100.7";
  made.finding.verdict = verdict;
  made.finding.reason = reason;
  made.finding.because = fmt::format("made up to be {}", to_string(verdict));
  made.finding.variants = {{"external/plain", verdict, reason, verdict == Verdict::closed ? 554 : 250, "2.1.5 Ok"}};
  made.transcript = {"S: 220 mx1.example.org ESMTP", "C: EHLO probe.example.net", "S: 250 mx1.example.org"};
  return made;
}

Change MadeUpAgent::probe(const Record& record) {
  const Change change = ledger.apply(record);
  ledger.set_due(record.key, record.started + std::chrono::hours(1));
  ledger.flush();
  return change;
}

TargetConfig MadeUpAgent::target(const std::string& name, const std::string& host, const std::string& owner) const {
  TargetConfig made;
  made.name = name;
  made.place.host = host;
  made.owner = owner;
  made.checks = {"smtp_relay"};
  return made;
}

void MadeUpAgent::add(TargetConfig target, std::vector<std::string> addresses, std::string note) {
  config->targets.push_back(target);
  targets.push_back({std::move(target), std::move(addresses), std::move(note)});
}

void MadeUpAgent::fill() {
  TargetConfig mx1 = target("mx1", "mx1.example.org", "mail-team");
  mx1.labels = {{"site", "zrh"}};
  add(std::move(mx1), {"203.0.113.5"});
  add(target("mx2", "mx2.example.org", "mail-team"), {"203.0.113.6", "2001:db8::6"});
  add(target("office", "office.example.org", "netops"), {"203.0.113.9"});
  TargetConfig lab = target("lab", "", "");
  lab.place.host.clear();
  lab.place.network = *Cidr::parse("203.0.113.64/26");
  lab.labels = {{"site", "zrh"}, {"rack-row", "7"}};
  add(std::move(lab), {"203.0.113.64/26"}, "");
  config->exemptions.push_back(
      {"office", "smtp_relay", std::chrono::sys_days(std::chrono::year(2026) / 1 / 31), "jo", "until the move"});

  probe(record("mx1", "203.0.113.5", 25, Verdict::open, Reason::message_delivered, 5min));
  probe(record("mx2", "203.0.113.6", 25, Verdict::closed, Reason::refused, 10min));
  probe(record("mx2", "2001:db8::6", 25, Verdict::closed, Reason::refused, 3h));
  probe(record("mx2", "203.0.113.6", 587, Verdict::closed, Reason::nobody_listens, 11min));
  probe(record("office", "203.0.113.9", 25, Verdict::accepted, Reason::no_proof, 30min));
  probe(record("lab", "203.0.113.65", 25, Verdict::unclear, Reason::greylisted, 2min));
  probe(record("lab", "203.0.113.65", 587, Verdict::unreachable, Reason::filtered, 2min));
  metrics.endpoints(8, {{"smtp_relay", 8}});
  metrics.probe_done("smtp_relay", Verdict::open, Reason::message_delivered, 1.234, "00000000000000a1");
  metrics.probe_done("smtp_relay", Verdict::unclear, Reason::greylisted, 0.07, "00000000000000a2");
  metrics.canary_up(CanaryKind::smtp, true);
  metrics.vantage({{VantageKind::egress_25, {true, "Reached: 198.51.100.7:25."}},
                   {VantageKind::rdns, {false, "Our own address 198.51.100.9 has no name in the DNS: no such name."}}});
  metrics.arrival(CanaryKind::smtp, ArrivalResult::proved);
  metrics.schedule_lag(0.25);
}

void MadeUpAgent::fill_zones() {
  ZoneStatus healthy;
  healthy.name = healthy.info.name = "bl.example";
  healthy.info.lists = "made-up <hosts>";
  healthy.state = ZoneState::healthy;
  healthy.kinds[DnsblKind::ipv4] = {ZoneState::healthy, "its test points answer as they must", now - 5min, now + 25min};
  healthy.subjects = 2;
  healthy.listed = 1;
  healthy.answers = {{"listed", 3}, {"not_listed", 5}};
  healthy.left_today = 99'992;
  ZoneStatus broken;
  broken.name = broken.info.name = "broken.example";
  broken.state = ZoneState::timeout;
  broken.kinds[DnsblKind::ipv4] = {ZoneState::timeout, "nobody answered in time", now - 1min, now + 1min};
  broken.subjects = broken.unknown = 2;
  broken.answers = {{"timeout", 3}};
  zones.zones = {healthy, broken};
  zones.resolvers = "127.0.0.1:53";
  const auto row = [&](const char* target, const char* address, const char* zone, ZoneState state, std::optional<bool> listed) {
    ListingView& made = zones.listings.emplace_back();
    made = {target, {DnsblKind::ipv4, address}, zone, state, listed, std::nullopt};
    if (!listed && std::string_view(target) != "mx1") return;
    Listing& last = made.last.emplace();
    last.zone = zone;
    last.subject = made.subject;
    last.listed = listed.value_or(true);
    last.since = now - 2h;
    last.checked = now - 3min;
    if (!last.listed) return;
    last.tier = ListingTier::page;
    last.codes = {{"127.0.0.9", "open HTTP proxy", CodeEffect::listing, ListingCause::proxy, ListingTier::page}};
    last.text = "see https://bl.example/?ip=203.0.113.5 <b>";
  };
  row("mx1", "203.0.113.5", "bl.example", ZoneState::healthy, true);
  row("mx1", "203.0.113.5", "broken.example", ZoneState::timeout, std::nullopt);
  row("mx2", "203.0.113.6", "bl.example", ZoneState::healthy, false);
  row("mx2", "203.0.113.6", "broken.example", ZoneState::timeout, std::nullopt);
}

void MadeUpAgent::fill_suspicions() {
  const auto reported = [&](const char* report, const char* address, std::uint16_t port) {
    Suspicion made;
    made.key = {*IpAddress::parse(address), port, std::string(kShadowserver), report, ""};
    made.reported = now - 2h;
    made.imported = now - 1h;
    made.saw = {{"banner", "220 mx1 <b>"}};
    ledger.keep(made);
  };
  reported("scan_smtp", "203.0.113.5", 25);
  reported("scan_smtp", "203.0.113.6", 25);
  reported("scan_http_proxy", "203.0.113.6", 3128);
  Record all_forms = record("mx2", "203.0.113.6", 25, Verdict::closed, Reason::refused, 10min);
  all_forms.full_matrix = true;
  probe(all_forms);
}

void MadeUpAgent::fill_discovery() {
  auto view = std::make_shared<DiscoveryView>();
  SourceView files;
  files.name = "targets/*.json";
  files.place = "file targets/*.json";
  files.targets = 1;
  files.refused = 1;
  files.refusals = {{"198.51.100.1", "is not inside scope"}};
  files.up = true;
  files.last_success = now - std::chrono::seconds(30);
  SourceView url;
  url.name = "cmdb";
  url.place = "url https://cmdb.example.net/targets";
  url.up = false;
  url.trouble = "it answers 500";
  view->sources = {files, url};
  view->found_by = {{"mx2", "targets/*.json"}};
  for (TargetView& target : targets) {
    if (target.config.name == "mx2") target.found_by = "targets/*.json";
  }
  discovery = view;
  metrics.discovery(view);
}

WebState MadeUpAgent::web_state() {
  return {.ledger = ledger,
          .metrics = metrics,
          .config = [this] { return config; },
          .targets = [this] { return std::make_shared<const TargetViews>(targets); },
          .ready = [] { return true; },
          .reload = [] { return std::optional<std::string>(); },
          .set_paused =
              [this](bool paused) {
                ledger.set_paused(paused);
                ledger.flush();
              },
          .probe_now = [](const std::string&, const std::optional<std::string>&) { return ProbeNow::accepted; },
          .internal_api = nullptr,
          .now = [this] { return now; },
          .zones = [this] { return std::make_shared<const ZonesView>(zones); },
          .discovery = [this] { return discovery; }};
}

}  // namespace ajar
