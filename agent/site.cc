#include "agent/site.h"

#include <algorithm>
#include <array>
#include <limits>
#include <mutex>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <zlib.h>

#include "agent/accept.h"
#include "agent/access.h"
#include "agent/json.h"
#include "checks/catalogue.h"

namespace ajar {
namespace {

using Json = nlohmann::ordered_json;
using Steady = std::chrono::steady_clock;

constexpr std::string_view kHtml = "text/html; charset=utf-8";
constexpr std::string_view kJson = "application/json";
constexpr std::string_view kText = "text/plain; charset=utf-8";
// Smaller answers are not worth compressing.
constexpr std::size_t kWorthCompressing = 1400;

const std::set<std::string, std::less<>> kGetOnly = {
    "/",        "/targets", "/exposures", "/zones",   "/api/v1/listings",  "/runbooks",
    "/metrics", "/config",  "/-/healthy", "/-/ready", "/api/v1/exposures", "/api/v1/targets"};
const std::set<std::string, std::less<>> kPostOnly = {"/-/reload", "/-/pause", "/-/resume"};
const std::set<std::string, std::less<>> kInternal = {"/api/v1/arrivals", "/api/v1/canary", "/api/v1/messages"};
constexpr std::string_view kResultsPath = "/api/v1/results";
constexpr std::string_view kSuspicionsPath = "/api/v1/suspicions";
constexpr std::string_view kProbePath = "/probe";
constexpr std::string_view kTargetsPrefix = "/targets/";
constexpr std::string_view kExposuresPrefix = "/exposures/";
constexpr std::string_view kRunbooksPrefix = "/runbooks/";

bool is_get_only(std::string_view path) {
  return kGetOnly.contains(path) || path.starts_with(kTargetsPrefix) || path.starts_with(kExposuresPrefix) ||
         path.starts_with(kRunbooksPrefix);
}
bool is_internal(std::string_view path) { return kInternal.contains(path); }
bool takes_both(std::string_view path) {
  return path == kResultsPath || path == kSuspicionsPath || path == kProbePath || is_internal(path);
}

SiteReply reply(int status, std::string body, std::string_view type = kText) {
  SiteReply made;
  made.status = status;
  made.type = type;
  made.body = std::make_shared<const std::string>(std::move(body));
  return made;
}

std::string gzip_of(std::string_view text) {
  Gzip gzip;
  gzip.add(text);
  return gzip.finish();
}

// The same compressed, where the client takes that and it is worth it.
SiteReply packed(const SiteRequest& request, SiteReply plain) {
  plain.headers.emplace_back("Vary", "Accept-Encoding");
  if (plain.body->size() < kWorthCompressing || !accepts_gzip(request.accept_encoding)) return plain;
  plain.body = std::make_shared<const std::string>(gzip_of(*plain.body));
  plain.gzip = true;
  return plain;
}

SiteReply not_found(std::string_view what) { return reply(404, fmt::format("{}\n", what)); }

// A parameter, or empty. One that is given twice counts once: the first.
std::string param(const SiteRequest& request, const std::string& name) {
  const auto found = request.params.find(name);
  return found == request.params.end() ? std::string() : found->second;
}

std::optional<CaseStatus> parse_status(std::string_view text) {
  for (const CaseStatus status : {CaseStatus::open, CaseStatus::closed, CaseStatus::retired}) {
    if (to_string(status) == text) return status;
  }
  return std::nullopt;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

// "https://ajar.example.net:9925/x" -> "ajar.example.net:9925"; empty for what is no URL ("null").
std::string authority_of(std::string_view url) {
  const std::size_t scheme = url.find("://");
  if (scheme == std::string_view::npos) return "";
  url.remove_prefix(scheme + 3);
  return lower(url.substr(0, url.find('/')));
}

// A browser says where the page that asks comes from; another site's page may not steer the agent. curl says nothing.
bool from_another_origin(const SiteRequest& request, const Config& config) {
  if (!request.site.empty() && request.site != "same-origin" && request.site != "none") return true;
  for (const std::string& origin : request.origins) {
    const std::string from = authority_of(origin);
    const std::string outside = authority_of(config.web.external_url);
    const bool ours = !from.empty() && (from == lower(request.host) || from == outside);
    if (!ours) return true;
  }
  return false;
}

const TargetView* find_target(const std::vector<TargetView>& targets, std::string_view name) {
  const auto found = std::find_if(targets.begin(), targets.end(), [&](const TargetView& t) { return t.config.name == name; });
  return found == targets.end() ? nullptr : &*found;
}

// The API's frame around objects that are text already.
class DataArray {
 public:
  void add(const Json& object) {
    text_ += count_++ == 0 ? "\n" : ",\n";
    text_ += object.dump(-1, ' ', false, Json::error_handler_t::replace);
  }
  SiteReply finish(const SiteRequest& request) {
    text_ += count_ == 0 ? "]}\n" : "\n]}\n";
    return packed(request, reply(200, std::move(text_), kJson));
  }

 private:
  std::string text_ = "{\"data\":[";
  std::size_t count_ = 0;
};

std::optional<SiteReply> bad_check(const std::string& check) {
  if (check.empty() || find_check(check) != nullptr) return std::nullopt;
  return reply(400, fmt::format("unknown check `{}`\n", html(check)));
}

// Worst first; the order of keys within a level.
void sort_worst_first(std::vector<ResultState>& results) {
  std::stable_sort(results.begin(), results.end(),
                   [](const ResultState& a, const ResultState& b) { return a.level > b.level; });
}

}  // namespace

struct Gzip::Stream {
  z_stream z{};
};

Gzip::Gzip() : stream_(std::make_unique<Stream>()) {
  constexpr int kGzipHeader = 15 + 16;
  if (deflateInit2(&stream_->z, 1, Z_DEFLATED, kGzipHeader, 8, Z_DEFAULT_STRATEGY) != Z_OK) throw std::bad_alloc();
}

Gzip::~Gzip() { deflateEnd(&stream_->z); }

void Gzip::run(std::string_view chunk, int flush) {
  z_stream& z = stream_->z;
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(chunk.data()));
  z.avail_in = static_cast<uInt>(chunk.size());
  std::array<char, 16 * 1024> buffer;
  do {
    z.next_out = reinterpret_cast<Bytef*>(buffer.data());
    z.avail_out = buffer.size();
    deflate(&z, flush);
    out_.append(buffer.data(), buffer.size() - z.avail_out);
  } while (z.avail_out == 0);
}

void Gzip::add(std::string_view chunk) {
  constexpr std::size_t kMost = std::numeric_limits<uInt>::max();
  for (; !chunk.empty(); chunk.remove_prefix(std::min(kMost, chunk.size()))) run(chunk.substr(0, kMost), Z_NO_FLUSH);
}

std::string Gzip::finish() {
  run({}, Z_FINISH);
  return std::move(out_);
}

// The latest metrics page in each of its forms. A scrape that waited while another was written takes that one: it began after
// the scrape arrived. One that nothing has changed since serves again for a second.
struct Site::Snapshots {
  struct Form {
    std::mutex mutex;
    std::shared_ptr<const std::string> body;
    Steady::time_point began{};
    std::uint64_t ledger_version = 0, metrics_version = 0;
  };
  std::array<Form, 4> forms;
};

Site::Site(WebState state) : state_(std::move(state)), snapshots_(std::make_unique<Snapshots>()) {}
Site::~Site() = default;

std::vector<std::pair<std::string, std::string>> Site::standard_headers() {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest;
  const std::string_view style = style_sheet();
  SHA256(reinterpret_cast<const unsigned char*>(style.data()), style.size(), digest.data());
  std::array<unsigned char, 64> base64{};
  EVP_EncodeBlock(base64.data(), digest.data(), digest.size());
  return {{"Content-Security-Policy",
           fmt::format("default-src 'none'; style-src 'sha256-{}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
                       reinterpret_cast<const char*>(base64.data()))},
          {"X-Content-Type-Options", "nosniff"},
          {"Referrer-Policy", "no-referrer"},
          {"Cache-Control", "no-store"}};
}

bool Site::is_signed(const SiteRequest& request) {
  if (request.auth.empty()) return false;
  const bool post = request.method == "POST";
  return is_internal(request.path) || request.path == kResultsPath || (post && request.path == kSuspicionsPath);
}

std::optional<SiteReply> Site::refuse(const SiteRequest& request) const {
  const bool get = request.method == "GET" || request.method == "HEAD";
  const bool post = request.method == "POST";
  const bool known = is_get_only(request.path) || kPostOnly.contains(request.path) || takes_both(request.path);
  if (!known) return not_found("not found");
  if ((!get && !post) || (get && kPostOnly.contains(request.path)) || (post && is_get_only(request.path))) {
    SiteReply refused = reply(405, "method not allowed\n");
    const char* allowed = takes_both(request.path) ? "GET, HEAD, POST" : is_get_only(request.path) ? "GET, HEAD" : "POST";
    refused.headers.emplace_back("Allow", allowed);
    return refused;
  }
  if (!post) return std::nullopt;
  const std::shared_ptr<const Config> config = state_.config();
  if (from_another_origin(request, *config)) return reply(403, "a POST from another origin is refused\n");
  // A password or a signature is not in the hands of a page that pretends to be us.
  if (!request.authorized && !is_signed(request) && !is_own_host(request.host, *config)) {
    return reply(421, "a POST to a host of this name is refused: ask by address, or write web.external_url\n");
  }
  return std::nullopt;
}

SiteReply Site::answer(const SiteRequest& request) {
  if (std::optional<SiteReply> refused = refuse(request)) return *std::move(refused);
  if (is_internal(request.path)) return internal(request);
  return request.method == "POST" ? post(request) : get(request);
}

SiteReply Site::internal(const SiteRequest& request) const {
  if (!state_.internal_api) return not_found("not found");
  const std::size_t question = request.target.find('?');
  ApiRequest asked{.method = request.method == "HEAD" ? "GET" : request.method,
                   .path = request.path,
                   .query = question == std::string::npos ? "" : request.target.substr(question + 1),
                   .target = request.target,
                   .auth = request.auth,
                   .body = request.body};
  ApiReply answered = state_.internal_api(asked);
  SiteReply made = reply(answered.status, std::move(answered.body), answered.content_type);
  if (!answered.auth.empty()) made.headers.emplace_back("Ajar-Auth", answered.auth);
  return made;
}

SiteReply Site::get(const SiteRequest& request) {
  const std::string& path = request.path;
  if (path == "/") return overview(request);
  if (path == "/metrics") return metrics(request);
  if (path == "/targets") return targets(request);
  if (path.starts_with(kTargetsPrefix)) return target(request, path.substr(kTargetsPrefix.size()));
  if (path == "/exposures") return exposures(request);
  if (path == "/zones") return packed(request, reply(200, zones_page(frame(), *zones()), kHtml));
  if (path == "/api/v1/listings") return api_listings(request);
  if (path.starts_with(kExposuresPrefix)) return exposure(request, path.substr(kExposuresPrefix.size()));
  if (path == "/runbooks") return runbook(request, "");
  if (path.starts_with(kRunbooksPrefix)) return runbook(request, path.substr(kRunbooksPrefix.size()));
  if (path == "/config") return packed(request, reply(200, config_page(frame(), *state_.config()), kHtml));
  if (path == "/-/healthy") return reply(200, "ajar is healthy\n");
  if (path == "/-/ready") return state_.ready() ? reply(200, "ajar is ready\n") : reply(503, "ajar is not ready\n");
  if (path == kProbePath) return probe_results(request);
  if (path == kResultsPath) return request.auth.empty() ? api_results(request) : internal(request);
  if (path == kSuspicionsPath) return api_suspicions(request);
  if (path == "/api/v1/exposures") return api_exposures(request);
  return api_targets(request);
}

SiteReply Site::post(const SiteRequest& request) {
  if (request.path == kResultsPath || request.path == kSuspicionsPath) return internal(request);
  if (request.path == kProbePath) return probe_now(request);
  if (request.path == "/-/reload") return reload();
  const bool pause = request.path == "/-/pause";
  state_.set_paused(pause);
  return reply(200, pause ? "paused: no probe is started until /-/resume\n" : "resumed\n");
}

SiteReply Site::reload() const {
  const std::optional<std::string> errors = state_.reload();
  if (!errors) return reply(200, "the configuration was loaded again\n");
  return reply(400, *errors + (errors->ends_with('\n') ? "" : "\n"));
}

Frame Site::frame() const {
  return {.now = state_.now(),
          .paused = state_.ledger.paused(),
          .ready = state_.ready(),
          .failure = state_.ledger.failing() ? state_.ledger.failure() : "",
          .notes = state_.ledger.notes(),
          .canary = state_.metrics.canary()};
}

std::vector<ExposureView> Site::cases(std::optional<CaseStatus> status) const {
  const std::shared_ptr<const Config> config = state_.config();
  const Time now = state_.now();
  std::vector<ExposureView> views;
  for (Case& exposure : state_.ledger.cases()) {
    if (status && exposure.status != *status) continue;
    const bool exempt = is_exempt(*config, exposure.key.target, exposure.key.check, now);
    views.push_back({std::move(exposure), exempt});
  }
  return views;
}

SiteReply Site::overview(const SiteRequest& request) const {
  const std::shared_ptr<const Config> config = state_.config();
  const std::vector<TargetView> targets = state_.targets();
  const std::vector<ResultState> results = state_.ledger.results();
  Overview shown;
  shown.open = cases(CaseStatus::open);
  // What can be acted on first: not exempt, then the worst, then the oldest.
  std::stable_sort(shown.open.begin(), shown.open.end(), [](const ExposureView& a, const ExposureView& b) {
    return std::tuple(a.exempt, b.exposure.level, a.exposure.first_seen) <
           std::tuple(b.exempt, a.exposure.level, b.exposure.first_seen);
  });
  for (const TargetView& view : targets) {
    for (const std::string& check : view.config.checks) shown.counts[check];
  }
  for (const ResultState& result : results) {
    if (result.last_probe != Time{}) ++shown.counts[result.key.check][result.level];
  }
  shown.coverage = coverage(results, *config, targets, state_.metrics.expected_results(), state_.now());
  shown.targets = targets.size();
  const std::shared_ptr<const ZonesView> known = zones();
  for (const ZoneStatus& zone : known->zones) {
    if (zone.kinds.empty()) continue;
    ++shown.databases;
    shown.databases_healthy += zone.state == ZoneState::healthy ? 1 : 0;
  }
  for (const ListingView& row : known->listings) {
    if (row.listed == true) ++shown.listed[row.target];
  }
  const CanaryConfig& canary = config->canary;
  shown.canary_configured = !canary.remote.empty() || !canary.listen_tcp.empty() || !canary.listen_udp.empty() ||
                            !canary.listen_tls.empty() || !canary.listen_smtp.empty();
  return packed(request, reply(200, overview_page(frame(), shown), kHtml));
}

SiteReply Site::targets(const SiteRequest& request) const {
  const std::string wanted = param(request, "verdict");
  const std::optional<Verdict> verdict = parse_verdict(wanted);
  if (!wanted.empty() && !verdict) return reply(400, "unknown verdict\n");
  std::map<std::string, TargetRow, std::less<>> found;
  for (const ResultState& result : state_.ledger.results()) {
    if (result.last_probe == Time{}) continue;
    TargetRow& row = found[result.key.target];
    ++row.counts[result.level];
    row.last_probe = std::max(row.last_probe.value_or(result.last_probe), result.last_probe);
  }
  std::vector<TargetRow> rows;
  for (TargetView& view : state_.targets()) {
    TargetRow row = found[view.config.name];
    row.target = std::move(view);
    if (!verdict || row.counts.contains(*verdict)) rows.push_back(std::move(row));
  }
  const auto worst = [](const TargetRow& row) {
    return row.counts.empty() ? -1 : static_cast<int>(row.counts.rbegin()->first);
  };
  std::stable_sort(rows.begin(), rows.end(), [&](const TargetRow& a, const TargetRow& b) { return worst(a) > worst(b); });
  const std::size_t left_out = rows.size() > kMaxRows ? rows.size() - kMaxRows : 0;
  if (left_out > 0) rows.resize(kMaxRows);
  return packed(request, reply(200, targets_page(frame(), rows, verdict, left_out), kHtml));
}

ResultView Site::result_view(const ResultState& state, const Config& config, bool with_evidence) const {
  ResultView view;
  view.state = state;
  view.exempt = is_exempt(config, state.key.target, state.key.check, state_.now());
  if (!with_evidence) return view;
  view.latest = state_.ledger.latest(state.key);
  view.not_closed = state_.ledger.latest_not_closed(state.key);
  if (view.not_closed && view.latest && view.not_closed->probe_id == view.latest->probe_id) view.not_closed.reset();
  return view;
}

SiteReply Site::target(const SiteRequest& request, const std::string& name) const {
  const std::vector<TargetView> targets = state_.targets();
  const TargetView* found = find_target(targets, name);
  if (found == nullptr) return not_found("unknown target");
  const std::string check = param(request, "check");
  const std::string address = param(request, "address");
  const std::string port = param(request, "port");
  const std::string transport = param(request, "transport");
  if (std::optional<SiteReply> bad = bad_check(check)) return *std::move(bad);
  std::vector<ResultState> results = state_.ledger.results();
  std::erase_if(results, [&](const ResultState& r) {
    return r.key.target != name || r.last_probe == Time{} || (!check.empty() && r.key.check != check) ||
           (!address.empty() && r.key.address.to_string() != address) ||
           (!port.empty() && std::to_string(r.key.port) != port) ||
           (!transport.empty() && to_string(r.key.transport) != transport);
  });
  sort_worst_first(results);
  TargetPage shown;
  shown.target = *found;
  shown.left_out = results.size() > kMaxRows ? results.size() - kMaxRows : 0;
  if (shown.left_out > 0) results.resize(kMaxRows);
  const std::shared_ptr<const Config> config = state_.config();
  for (const ResultState& result : results) {
    shown.results.push_back(result_view(result, *config, shown.results.size() < kMaxEvidence));
  }
  const std::shared_ptr<const ZonesView> known = zones();
  std::copy_if(known->listings.begin(), known->listings.end(), std::back_inserter(shown.listings),
               [&](const ListingView& row) { return row.target == name; });
  const auto worry = [](const ListingView& row) { return row.listed ? *row.listed ? 0 : 2 : 1; };
  std::stable_sort(shown.listings.begin(), shown.listings.end(),
                   [&](const ListingView& a, const ListingView& b) { return worry(a) < worry(b); });
  shown.listings_left_out = shown.listings.size() > kMaxRows ? shown.listings.size() - kMaxRows : 0;
  if (shown.listings_left_out > 0) shown.listings.resize(kMaxRows);
  shown.suspicions = suspicion_views(state_.ledger, *config, targets);
  std::erase_if(shown.suspicions, [&](const SuspicionView& view) { return view.target != name; });
  shown.suspicions_left_out = shown.suspicions.size() > kMaxRows ? shown.suspicions.size() - kMaxRows : 0;
  if (shown.suspicions_left_out > 0) shown.suspicions.resize(kMaxRows);
  return packed(request, reply(200, target_page(frame(), shown), kHtml));
}

SiteReply Site::exposures(const SiteRequest& request) const {
  const std::string wanted = param(request, "state");
  const std::optional<CaseStatus> status = parse_status(wanted);
  if (!wanted.empty() && !status) return reply(400, "unknown state: open, closed or retired\n");
  std::vector<ExposureView> views = cases(status);
  const std::size_t left_out = views.size() > kMaxRows ? views.size() - kMaxRows : 0;
  if (left_out > 0) views.erase(views.begin() + kMaxRows, views.end());
  return packed(request, reply(200, exposures_page(frame(), views, status, left_out), kHtml));
}

SiteReply Site::exposure(const SiteRequest& request, const std::string& id) const {
  std::optional<Case> found = state_.ledger.find_case(id);
  if (!found) return not_found("unknown exposure");
  const std::optional<Record> evidence = state_.ledger.latest_not_closed(found->key);
  const bool exempt = is_exempt(*state_.config(), found->key.target, found->key.check, state_.now());
  std::vector<Record> others;
  for (const CheckInfo& check : catalogue()) {
    ResultKey key = found->key;
    key.check = check.name;
    if (std::optional<Record> record = state_.ledger.latest(key); record && key != found->key)
      others.push_back(*std::move(record));
  }
  return packed(request, reply(200, exposure_page(frame(), {*std::move(found), exempt}, evidence, others), kHtml));
}

SiteReply Site::runbook(const SiteRequest& request, const std::string& alert) const {
  if (alert.empty()) return packed(request, reply(200, runbooks_page(frame(), runbooks()), kHtml));
  const Runbook* found = find_runbook(alert);
  if (found == nullptr) return not_found("unknown alert");
  return packed(request, reply(200, runbook_page(frame(), *found), kHtml));
}

SiteReply Site::metrics(const SiteRequest& request) {
  const Steady::time_point arrived = Steady::now();
  const Exposition::Format format = Exposition::negotiate(request.accept);
  const bool gzip = accepts_gzip(request.accept_encoding);
  Snapshots::Form& form = snapshots_->forms[(format == Exposition::Format::openmetrics ? 2U : 0U) + (gzip ? 1U : 0U)];
  SiteReply made = reply(200, "", Exposition::content_type(format));
  made.gzip = gzip;
  made.headers.emplace_back("Vary", "Accept, Accept-Encoding");
  const std::lock_guard lock(form.mutex);
  const std::uint64_t ledger_version = state_.ledger.version();
  const std::uint64_t metrics_version = state_.metrics.version();
  const bool unchanged = ledger_version == form.ledger_version && metrics_version == form.metrics_version &&
                         Steady::now() - form.began < std::chrono::seconds(1);
  if (form.body == nullptr || (form.began < arrived && !unchanged)) {
    form.began = Steady::now();
    form.ledger_version = ledger_version;
    form.metrics_version = metrics_version;
    const std::shared_ptr<const Config> config = state_.config();
    const std::vector<TargetView> targets = state_.targets();
    std::string plain;
    Gzip compressed;
    Exposition out(format, [&](std::string_view chunk) { gzip ? compressed.add(chunk) : (void)plain.append(chunk); });
    const std::shared_ptr<const ZonesView> known = zones();
    state_.metrics.write(out, {state_.ledger, *config, targets, state_.now(), known.get()});
    out.finish();
    form.body = std::make_shared<const std::string>(gzip ? compressed.finish() : std::move(plain));
  }
  made.body = form.body;
  return made;
}

SiteReply Site::probe_results(const SiteRequest& request) const {
  const std::string name = param(request, "target");
  const std::string check = param(request, "check");
  const std::vector<TargetView> targets = state_.targets();
  if (find_target(targets, name) == nullptr) return not_found("unknown target");
  if (std::optional<SiteReply> bad = bad_check(check)) return *std::move(bad);
  const Exposition::Format format = Exposition::negotiate(request.accept);
  std::string text;
  Exposition out(format, [&](std::string_view chunk) { text += chunk; });
  const std::shared_ptr<const Config> config = state_.config();
  const std::shared_ptr<const ZonesView> known = zones();
  state_.metrics.write_target(out, {state_.ledger, *config, targets, state_.now(), known.get()}, name, check);
  out.finish();
  return packed(request, reply(200, std::move(text), Exposition::content_type(format)));
}

SiteReply Site::probe_now(const SiteRequest& request) const {
  if (!state_.ready()) return reply(503, "ajar is not ready\n");
  const std::string name = param(request, "target");
  const std::string check = param(request, "check");
  const std::vector<TargetView> targets = state_.targets();
  const TargetView* found = find_target(targets, name);
  if (found == nullptr) return not_found("unknown target");
  if (std::optional<SiteReply> bad = bad_check(check)) return *std::move(bad);
  const std::vector<std::string>& checks = found->config.checks;
  if (!check.empty() && std::find(checks.begin(), checks.end(), check) == checks.end()) {
    return reply(400, "this target does not have that check\n");
  }
  switch (state_.probe_now(name, check.empty() ? std::nullopt : std::optional(check))) {
    case ProbeNow::unknown:
      return not_found("unknown target");
    case ProbeNow::limited: {
      SiteReply limited = reply(429, "probed a moment ago: try again in a minute\n");
      limited.headers.emplace_back("Retry-After", "60");
      return limited;
    }
    case ProbeNow::accepted:
      break;
  }
  // A browser's form goes back to the page that shows what comes of it; a script gets a line.
  if (request.accept.find("text/html") == std::string::npos) return reply(202, fmt::format("{} is being probed\n", html(name)));
  SiteReply back = reply(303, "");
  back.headers.emplace_back("Location", "/targets/" + url_encode(name));
  return back;
}

SiteReply Site::api_results(const SiteRequest& request) const {
  const std::string name = param(request, "target");
  const std::string check = param(request, "check");
  const std::string wanted = param(request, "verdict");
  const std::optional<Verdict> verdict = parse_verdict(wanted);
  if (!wanted.empty() && !verdict) return reply(400, "unknown verdict\n");
  if (!name.empty() && find_target(state_.targets(), name) == nullptr) return not_found("unknown target");
  if (std::optional<SiteReply> bad = bad_check(check)) return *std::move(bad);
  DataArray data;
  for (const ResultState& result : state_.ledger.results()) {
    if ((!name.empty() && result.key.target != name) || (!check.empty() && result.key.check != check)) continue;
    const std::optional<Record> record = state_.ledger.latest(result.key);
    if (!record || (verdict && record->finding.verdict != *verdict)) continue;
    data.add(to_json(*record));
  }
  return data.finish(request);
}

SiteReply Site::api_exposures(const SiteRequest& request) const {
  const std::string wanted = param(request, "state");
  const std::optional<CaseStatus> status = parse_status(wanted);
  if (!wanted.empty() && !status) return reply(400, "unknown state: open, closed or retired\n");
  DataArray data;
  for (const ExposureView& view : cases(status)) data.add(to_json(view.exposure, view.exempt));
  return data.finish(request);
}

SiteReply Site::api_listings(const SiteRequest& request) const {
  const std::string target = param(request, "target");
  const std::shared_ptr<const ZonesView> known = zones();
  DataArray data;
  for (const ListingView& row : known->listings) {
    if (target.empty() || row.target == target) data.add(to_json(row));
  }
  return data.finish(request);
}

SiteReply Site::api_suspicions(const SiteRequest& request) const {
  const std::string target = param(request, "target");
  const std::string wanted = param(request, "status");
  const std::optional<SuspicionStatus> status = parse_suspicion_status(wanted);
  if (!wanted.empty() && !status) return reply(400, "unknown status: confirmed, refuted or untested\n");
  DataArray data;
  for (const SuspicionView& view : suspicion_views(state_.ledger, *state_.config(), state_.targets())) {
    if (!target.empty() && view.target != target) continue;
    if (!status || view.judgement.status == *status) data.add(to_json(view));
  }
  return data.finish(request);
}

std::shared_ptr<const ZonesView> Site::zones() const {
  std::shared_ptr<const ZonesView> known = state_.zones ? state_.zones() : nullptr;
  return known ? known : std::make_shared<const ZonesView>();
}

SiteReply Site::api_targets(const SiteRequest& request) const {
  std::map<std::string, Verdict> worst;
  for (const ResultState& result : state_.ledger.results()) {
    if (result.last_probe == Time{}) continue;
    Verdict& level = worst.try_emplace(result.key.target, result.level).first->second;
    level = std::max(level, result.level);
  }
  DataArray data;
  for (const TargetView& view : state_.targets()) {
    const TargetConfig& config = view.config;
    const auto level = worst.find(config.name);
    Json object = {
        {"kind", "target"},      {"name", config.name},      {"host", place_text(config.place)}, {"addresses", view.addresses},
        {"owner", config.owner}, {"labels", Json::object()}, {"checks", config.checks}};
    if (config.dnsbl) object["checks"].push_back("dnsbl");
    for (const auto& [key, value] : config.labels) object["labels"][key] = value;
    object["level"] = level == worst.end() ? Json(nullptr) : Json(static_cast<int>(level->second));
    object["paused"] = config.paused;
    data.add(object);
  }
  return data.finish(request);
}

}  // namespace ajar
