// What is answered to a request: routes, parameters, refusals (site.cc), pages (site_pages.cc), the API (site_api.cc). No
// socket and no HTTP library; Web puts a server before it.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "agent/fleet.h"
#include "agent/form_token.h"
#include "agent/packed_page.h"
#include "agent/pages.h"
#include "agent/web.h"

namespace ajar {

struct SiteRequest {
  std::string method;                                     // "GET" (HEAD is asked as GET), "POST", …
  std::string path;                                       // decoded
  std::string target;                                     // path and query as sent
  Params params;                                          // of the query, decoded
  std::string host, accept, accept_encoding, auth, site;  // headers; `site` is Sec-Fetch-Site
  std::vector<std::string> origins;                       // every Origin header
  std::string content_type;                               // of the body
  std::string body;
  bool authorized = false;  // nobody gets here without a right password
};

struct SiteReply {
  int status = 200;
  std::string type = "text/plain; charset=utf-8";
  std::shared_ptr<const std::string> body;             // never null
  std::shared_ptr<const PackedPage> packed = nullptr;  // instead of the body; sent as it is where `gzip` is, else as its text
  bool gzip = false;                                   // what is sent is compressed
  std::vector<std::pair<std::string, std::string>> headers;
};

// Thread-safe.
class Site {
 public:
  // Results on one target's page, and those of them with evidence: more are counted and left to the API.
  static constexpr std::size_t kMaxRows = 500;
  static constexpr std::size_t kMaxEvidence = 20;

  explicit Site(WebState state);
  ~Site();

  SiteReply answer(const SiteRequest& request);
  // What is decided before a body is read: nullopt when the request may go on to answer().
  std::optional<SiteReply> refuse(const SiteRequest& request) const;
  // Whether it proves itself by its Ajar-Auth header, which the one that answers it checks.
  static bool is_signed(const SiteRequest& request);
  // The headers of every answer.
  static std::vector<std::pair<std::string, std::string>> standard_headers();

 private:
  struct Snapshots;
  SiteReply get(const SiteRequest& request);
  SiteReply post(const SiteRequest& request);
  SiteReply internal(const SiteRequest& request) const;
  SiteReply metrics(const SiteRequest& request);
  SiteReply probe_results(const SiteRequest& request) const;
  SiteReply probe_now(const SiteRequest& request) const;
  SiteReply reload() const;
  // The same for a browser: a page with the line of text.
  SiteReply for_reader(const SiteRequest& request, SiteReply reply) const;

  // -- pages --
  Frame frame(std::string section) const;
  std::vector<std::string> left_out() const;
  SiteReply overview(const SiteRequest& request) const;
  SiteReply targets(const SiteRequest& request);
  SiteReply target(const SiteRequest& request, const std::string& name) const;
  SiteReply exposures(const SiteRequest& request) const;
  SiteReply exposures_as_csv(const SiteRequest& request) const;
  SiteReply exposure(const SiteRequest& request, const std::string& id) const;
  SiteReply notice(const SiteRequest& request, const std::string& name) const;
  SiteReply runbook(const SiteRequest& request, const std::string& alert) const;  // "": all of them
  SiteReply static_file(const SiteRequest& request, const std::string& name) const;
  ResultView result_view(const ResultState& state, const Config& config, bool with_evidence) const;
  void add_results(Overview& shown, const Config& config, const TargetViews& targets) const;

  // -- API --
  SiteReply api_results(const SiteRequest& request) const;
  SiteReply api_exposures(const SiteRequest& request) const;
  SiteReply api_targets(const SiteRequest& request) const;
  SiteReply api_listings(const SiteRequest& request) const;
  SiteReply api_suspicions(const SiteRequest& request) const;

  std::shared_ptr<const ZonesView> zones() const;  // never null
  std::shared_ptr<const DiscoveryView> discovery() const;
  ExposureView exposure_view(Case exposure, const Config& config) const;
  std::vector<ExposureView> cases(const ExposureFilter& filter) const;

  WebState state_;
  FormToken form_token_;
  FleetBook fleet_;
  TargetIndexBook target_index_;
  std::unique_ptr<Snapshots> snapshots_;
};

}  // namespace ajar
