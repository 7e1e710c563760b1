// What is answered to a request: routes, parameters, refusals. No socket and no HTTP library; Web puts a server before it.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "agent/pages.h"
#include "agent/web.h"

namespace ajar {

struct SiteRequest {
  std::string method;                                     // "GET" (HEAD is asked as GET), "POST", …
  std::string path;                                       // decoded
  std::string target;                                     // path and query as sent
  std::multimap<std::string, std::string> params;         // of the query, decoded
  std::string host, accept, accept_encoding, auth, site;  // headers; `site` is Sec-Fetch-Site
  std::vector<std::string> origins;                       // every Origin header
  std::string body;
  bool authorized = false;  // nobody gets here without a right password
};

struct SiteReply {
  int status = 200;
  std::string type = "text/plain; charset=utf-8";
  std::shared_ptr<const std::string> body;  // never null
  bool gzip = false;                        // the body is compressed
  std::vector<std::pair<std::string, std::string>> headers;
};

// One level-1 gzip stream made of chunks.
class Gzip {
 public:
  Gzip();
  ~Gzip();
  Gzip(const Gzip&) = delete;
  Gzip& operator=(const Gzip&) = delete;
  void add(std::string_view chunk);
  std::string finish();

 private:
  void run(std::string_view chunk, int flush);
  struct Stream;
  std::unique_ptr<Stream> stream_;
  std::string out_;
};

// Thread-safe.
class Site {
 public:
  // Rows, results with evidence and their bodies on one page: more are counted and left to the API.
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
  Frame frame() const;
  SiteReply get(const SiteRequest& request);
  SiteReply post(const SiteRequest& request);
  SiteReply internal(const SiteRequest& request) const;
  SiteReply overview(const SiteRequest& request) const;
  SiteReply targets(const SiteRequest& request) const;
  SiteReply target(const SiteRequest& request, const std::string& name) const;
  SiteReply exposures(const SiteRequest& request) const;
  SiteReply exposure(const SiteRequest& request, const std::string& id) const;
  SiteReply runbook(const SiteRequest& request, const std::string& alert) const;  // "": all of them
  SiteReply metrics(const SiteRequest& request);
  SiteReply probe_results(const SiteRequest& request) const;
  SiteReply probe_now(const SiteRequest& request) const;
  SiteReply reload() const;
  SiteReply api_results(const SiteRequest& request) const;
  SiteReply api_exposures(const SiteRequest& request) const;
  SiteReply api_targets(const SiteRequest& request) const;
  SiteReply api_listings(const SiteRequest& request) const;
  SiteReply api_suspicions(const SiteRequest& request) const;
  std::shared_ptr<const ZonesView> zones() const;  // never null
  std::vector<ExposureView> cases(std::optional<CaseStatus> status) const;
  ResultView result_view(const ResultState& state, const Config& config, bool with_evidence) const;

  WebState state_;
  std::unique_ptr<Snapshots> snapshots_;
};

}  // namespace ajar
