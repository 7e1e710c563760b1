#include "agent/site.h"

#include <algorithm>
#include <array>
#include <mutex>
#include <set>

#include <fmt/format.h>

#include "agent/accept.h"
#include "agent/access.h"
#include "agent/gzip.h"
#include "agent/site_reply.h"
#include "agent/static_files.h"
#include "checks/catalogue.h"
#include "checks/wire/ascii.h"

namespace ajar {
namespace {

using Steady = std::chrono::steady_clock;

// Smaller answers are not worth compressing.
constexpr std::size_t kWorthCompressing = 1400;

const std::set<std::string, std::less<>> kGetOnly = {
    "/",       "/targets",   "/exposures", "/exposures.csv",    "/zones",         "/api/v1/listings", "/runbooks", "/metrics",
    "/config", "/-/healthy", "/-/ready",   "/api/v1/exposures", "/api/v1/targets"};
const std::set<std::string, std::less<>> kPostOnly = {"/-/reload", "/-/pause", "/-/resume"};
const std::set<std::string, std::less<>> kInternal = {"/api/v1/arrivals", "/api/v1/canary", "/api/v1/messages",
                                                      "/api/v1/reserve", "/api/v1/release"};
constexpr std::string_view kResultsPath = "/api/v1/results";
constexpr std::string_view kSuspicionsPath = "/api/v1/suspicions";
constexpr std::string_view kProbePath = "/probe";
constexpr std::string_view kTargetsPrefix = "/targets/";
constexpr std::string_view kExposuresPrefix = "/exposures/";
constexpr std::string_view kRunbooksPrefix = "/runbooks/";
constexpr std::string_view kNoticesPrefix = "/notices/";
constexpr std::string_view kStaticPrefix = "/static/";

bool is_get_only(std::string_view path) {
  return kGetOnly.contains(path) || path.starts_with(kTargetsPrefix) || path.starts_with(kExposuresPrefix) ||
         path.starts_with(kRunbooksPrefix) || path.starts_with(kStaticPrefix) || path.starts_with(kNoticesPrefix);
}
bool is_internal(std::string_view path) { return kInternal.contains(path); }
bool takes_both(std::string_view path) {
  return path == kResultsPath || path == kSuspicionsPath || path == kProbePath || is_internal(path);
}

// "https://ajar.example.net:9925/x" -> "ajar.example.net:9925"; empty for what is no URL ("null").
std::string authority_of(std::string_view url) {
  const std::size_t scheme = url.find("://");
  if (scheme == std::string_view::npos) return "";
  url.remove_prefix(scheme + 3);
  return to_lower(url.substr(0, url.find('/')));
}

// A browser says where the page that asks comes from; another site's page may not steer the agent. curl says nothing.
bool from_another_origin(const SiteRequest& request, const Config& config) {
  if (!request.site.empty() && request.site != "same-origin" && request.site != "none") return true;
  for (const std::string& origin : request.origins) {
    const std::string from = authority_of(origin);
    const std::string outside = authority_of(config.web.external_url);
    const bool ours = !from.empty() && (from == to_lower(request.host) || from == outside);
    if (!ours) return true;
  }
  return false;
}

// A browser sent it: only from there can another site's page ask for something.
bool from_a_browser(const SiteRequest& request) {
  const std::string type = to_lower(request.content_type);
  return !request.origins.empty() || !request.site.empty() || type.starts_with("application/x-www-form-urlencoded") ||
         type.starts_with("text/plain");
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

std::string decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '%' && i + 2 < text.size() && hex_digit(text[i + 1]) >= 0 && hex_digit(text[i + 2]) >= 0;
    if (escape) {
      out += static_cast<char>(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]));
      i += 2;
    } else {
      out += text[i] == '+' ? ' ' : text[i];
    }
  }
  return out;
}

// A field of a form's body (application/x-www-form-urlencoded), or empty.
std::string form_field(std::string_view body, std::string_view name) {
  while (!body.empty()) {
    const std::string_view pair = body.substr(0, body.find('&'));
    body.remove_prefix(std::min(body.size(), pair.size() + 1));
    const std::size_t sign = pair.find('=');
    if (sign != std::string_view::npos && pair.substr(0, sign) == name) return decoded(pair.substr(sign + 1));
  }
  return "";
}

}  // namespace

SiteReply reply(int status, std::string body, std::string_view type) {
  SiteReply made;
  made.status = status;
  made.type = type;
  made.body = std::make_shared<const std::string>(std::move(body));
  return made;
}

SiteReply not_found(std::string_view what) { return reply(404, fmt::format("{}\n", what)); }

SiteReply packed(const SiteRequest& request, SiteReply plain) {
  plain.headers.emplace_back("Vary", "Accept-Encoding");
  if (plain.body->size() < kWorthCompressing || !accepts_gzip(request.accept_encoding)) return plain;
  plain.body = std::make_shared<const std::string>(gzip_of(*plain.body));
  plain.gzip = true;
  return plain;
}

bool wants_html(const SiteRequest& request) { return request.accept.find("text/html") != std::string::npos; }

const TargetView* find_target(const std::vector<TargetView>& targets, std::string_view name) {
  const auto found = std::find_if(targets.begin(), targets.end(), [&](const TargetView& t) { return t.config.name == name; });
  return found == targets.end() ? nullptr : &*found;
}

std::optional<SiteReply> bad_check(const std::string& check) {
  if (check.empty() || find_check(check) != nullptr) return std::nullopt;
  return reply(400, fmt::format("unknown check `{}`\n", html(check)));
}

// The latest metrics page in each format, compressed as it is written: who does not take gzip gets it unpacked on the way. A
// scrape that waited while another was written takes that one: it began after the scrape arrived. One that nothing has changed
// since serves again for a second.
struct Site::Snapshots {
  struct Form {
    std::mutex mutex;
    std::shared_ptr<const PackedPage> page;
    Steady::time_point began{};
    std::uint64_t ledger_version = 0, metrics_version = 0;
  };
  std::array<Form, 2> forms;
};

Site::Site(WebState state) : state_(std::move(state)), snapshots_(std::make_unique<Snapshots>()) {}
Site::~Site() = default;

std::vector<std::pair<std::string, std::string>> Site::standard_headers() {
  return {{"Content-Security-Policy",
           "default-src 'self'; object-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"},
          {"X-Content-Type-Options", "nosniff"},
          {"Referrer-Policy", "same-origin"},  // by no-referrer, browsers would say `Origin: null` of our own forms
          {"Cache-Control", "no-store"}};
}

SiteReply Site::for_reader(const SiteRequest& request, SiteReply made) const {
  if (made.status < 400 || made.type != kText || !wants_html(request)) return made;
  SiteReply shown = packed(request, reply(made.status, error_page(frame(""), made.status, *made.body), kHtml));
  shown.headers.insert(shown.headers.end(), made.headers.begin(), made.headers.end());
  return shown;
}

bool Site::is_signed(const SiteRequest& request) {
  if (request.auth.empty()) return false;
  const bool post = request.method == "POST";
  return is_internal(request.path) || request.path == kResultsPath || request.path.starts_with(kNoticesPrefix) ||
         (post && request.path == kSuspicionsPath);
}

std::optional<SiteReply> Site::refuse(const SiteRequest& request) const {
  const bool get = request.method == "GET" || request.method == "HEAD";
  const bool post = request.method == "POST";
  const bool known = is_get_only(request.path) || kPostOnly.contains(request.path) || takes_both(request.path);
  if (!known) return for_reader(request, not_found("there is nothing at this address"));
  if ((!get && !post) || (get && kPostOnly.contains(request.path)) || (post && is_get_only(request.path))) {
    const char* allowed = takes_both(request.path) ? "GET, HEAD, POST" : is_get_only(request.path) ? "GET, HEAD" : "POST";
    SiteReply refused = reply(405, fmt::format("method not allowed: this address takes {}\n", allowed));
    refused.headers.emplace_back("Allow", allowed);
    return for_reader(request, std::move(refused));
  }
  if (!post) return std::nullopt;
  const std::shared_ptr<const Config> config = state_.config();
  if (from_another_origin(request, *config)) {
    return for_reader(request, reply(403, "a POST from another origin is refused\n"));
  }
  // A password or a signature is not in the hands of a page that pretends to be us.
  if (!request.authorized && !is_signed(request) && !is_own_host(request.host, *config)) {
    return for_reader(request,
                      reply(421, "a POST to a host of this name is refused: ask by address, or write web.external_url\n"));
  }
  return std::nullopt;
}

SiteReply Site::answer(const SiteRequest& request) {
  if (std::optional<SiteReply> refused = refuse(request)) return *std::move(refused);
  if (is_internal(request.path)) return internal(request);
  try {
    return for_reader(request, request.method == "POST" ? post(request) : get(request));
  } catch (const BadSelection& error) {
    return for_reader(request, reply(400, fmt::format("{}\n", error.what())));
  }
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
  if (path == "/exposures.csv") return exposures_as_csv(request);
  if (path == "/zones") return packed(request, reply(200, zones_page(frame("/zones"), *zones()), kHtml));
  if (path == "/api/v1/listings") return api_listings(request);
  if (path.starts_with(kExposuresPrefix)) return exposure(request, path.substr(kExposuresPrefix.size()));
  if (path == "/runbooks") return runbook(request, "");
  if (path.starts_with(kRunbooksPrefix)) return runbook(request, path.substr(kRunbooksPrefix.size()));
  if (path.starts_with(kNoticesPrefix)) {
    return request.auth.empty() ? notice(request, path.substr(kNoticesPrefix.size())) : internal(request);
  }
  if (path.starts_with(kStaticPrefix)) return static_file(request, path.substr(kStaticPrefix.size()));
  if (path == "/config") {
    return packed(request, reply(200, config_page(frame("/config"), *state_.config(), discovery().get()), kHtml));
  }
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
  if (from_a_browser(request) && !form_token_.is_valid(form_field(request.body, "token"), state_.now()))
    return reply(403, "the form is too old or not ours: load the page again, and send it from there\n");
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

SiteReply Site::metrics(const SiteRequest& request) {
  const Steady::time_point arrived = Steady::now();
  const Exposition::Format format = Exposition::negotiate(request.accept);
  Snapshots::Form& form = snapshots_->forms[format == Exposition::Format::openmetrics ? 1U : 0U];
  SiteReply made = reply(200, "", Exposition::content_type(format));
  made.gzip = accepts_gzip(request.accept_encoding);
  made.headers.emplace_back("Vary", "Accept, Accept-Encoding");
  const std::lock_guard lock(form.mutex);
  const std::uint64_t ledger_version = state_.ledger.version();
  const std::uint64_t metrics_version = state_.metrics.version();
  const bool unchanged = ledger_version == form.ledger_version && metrics_version == form.metrics_version &&
                         Steady::now() - form.began < std::chrono::seconds(1);
  if (form.page == nullptr || (form.began < arrived && !unchanged)) {
    form.page = nullptr;  // two of them need not be held at the same time
    form.began = Steady::now();
    form.ledger_version = ledger_version;
    form.metrics_version = metrics_version;
    const std::shared_ptr<const Config> config = state_.config();
    const std::shared_ptr<const TargetViews> targets = state_.targets();
    const std::shared_ptr<const TargetIndex> index = target_index_.read(targets);
    const std::shared_ptr<const ZonesView> known = zones();
    Packer packer;
    Sections sections(format, [&packer] { return packer.section(); });
    state_.metrics.write(sections, {state_.ledger, *config, *targets, state_.now(), known.get(), index.get()});
    form.page = packer.finish();
  }
  made.packed = form.page;
  return made;
}

SiteReply Site::probe_results(const SiteRequest& request) const {
  const std::string name = param(request.params, "target");
  const std::string check = param(request.params, "check");
  const std::shared_ptr<const TargetViews> targets = state_.targets();
  if (find_target(*targets, name) == nullptr) return not_found("unknown target");
  if (std::optional<SiteReply> bad = bad_check(check)) return *std::move(bad);
  const Exposition::Format format = Exposition::negotiate(request.accept);
  const std::shared_ptr<const Config> config = state_.config();
  const std::shared_ptr<const ZonesView> known = zones();
  std::string text = text_page(format, [&](Sections& sections) {
    state_.metrics.write_target(sections, {state_.ledger, *config, *targets, state_.now(), known.get()}, name, check);
  });
  return packed(request, reply(200, std::move(text), Exposition::content_type(format)));
}

SiteReply Site::probe_now(const SiteRequest& request) const {
  if (!state_.ready()) return reply(503, "ajar is not ready\n");
  const std::string name = param(request.params, "target");
  const std::string check = param(request.params, "check");
  const std::shared_ptr<const TargetViews> targets = state_.targets();
  const TargetView* found = find_target(*targets, name);
  if (found == nullptr) return not_found("unknown target");
  if (std::optional<SiteReply> bad = bad_check(check)) return *std::move(bad);
  const std::vector<std::string>& checks = found->config.checks;
  if (!check.empty() && std::find(checks.begin(), checks.end(), check) == checks.end()) {
    return reply(400, "this target does not have that check\n");
  }
  const Time asked = state_.now();
  switch (state_.probe_now(name, check.empty() ? std::nullopt : std::optional(check))) {
    case ProbeNow::unknown:
      return not_found("unknown target");
    case ProbeNow::limited: {
      SiteReply limited = reply(429, "it was tested a moment ago, or is paused: try again in a minute\n");
      limited.headers.emplace_back("Retry-After", "60");
      return limited;
    }
    case ProbeNow::used_up: {
      SiteReply used_up = reply(429,
                                "the budget of a day of its address is used up (agent.daily_connections_per_address, "
                                "agent.daily_bytes_per_address): it is probed again when there is room, and due then\n");
      used_up.headers.emplace_back("Retry-After", "3600");
      return used_up;
    }
    case ProbeNow::accepted:
      break;
  }
  // A browser's form goes back to the page that shows what comes of it; a script gets a line.
  if (!wants_html(request)) return reply(202, fmt::format("{} is being probed\n", html(name)));
  const std::string exposure = param(request.params, "exposure");
  const std::string back = exposure.empty() ? "/targets/" + url_encode(name) : "/exposures/" + url_encode(exposure);
  SiteReply made = reply(303, "");
  made.headers.emplace_back("Location", fmt::format("{}?after={}", back, asked.time_since_epoch().count()));
  return made;
}

std::shared_ptr<const DiscoveryView> Site::discovery() const { return state_.discovery ? state_.discovery() : nullptr; }

std::shared_ptr<const ZonesView> Site::zones() const {
  std::shared_ptr<const ZonesView> known = state_.zones ? state_.zones() : nullptr;
  return known ? known : std::make_shared<const ZonesView>();
}

}  // namespace ajar
