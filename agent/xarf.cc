#include "agent/xarf.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "agent/canary_keys.h"
#include "agent/mime.h"
#include "agent/notice.h"

namespace ajar {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMaxDescription = 1000, kMaxService = 200, kMaxOrganisation = 200;
// How sure: a proof is a proof; a yes may be a lie; a listing is another's word.
constexpr double kProven = 1.0, kSaidYes = 0.6, kListed = 0.5;

// A UUID of the form of version 4 (RFC 9562 5.4), made of what it names.
std::string uuid_of(std::string_view what) {
  std::string bytes = sha256(what).substr(0, 16);
  bytes[6] = static_cast<char>((bytes[6] & 0x0f) | 0x40);
  bytes[8] = static_cast<char>((bytes[8] & 0x3f) | 0x80);
  const std::string hex = to_hex(bytes);
  return fmt::format("{}-{}-{}-{}-{}", hex.substr(0, 8), hex.substr(8, 4), hex.substr(12, 4), hex.substr(16, 4),
                     hex.substr(20));
}

// At most `most` bytes, between characters.
std::string bounded(std::string text, std::size_t most) {
  if (text.size() <= most) return text;
  std::size_t end = most;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0U) == 0x80U) --end;
  text.resize(end);
  return text;
}

Json who(const NoticeFacts& facts) {
  const bool mail = facts.contact.find('@') != std::string::npos && facts.contact.find("://") == std::string::npos;
  return {{"org", bounded(facts.agent, kMaxOrganisation)},
          {"contact", mail ? facts.contact : "postmaster@" + facts.agent},
          {"domain", facts.agent}};
}

Json begin(const NoticeFacts& facts, const std::string& id, Time time, const std::string& source) {
  return {{"xarf_version", "4.2.0"}, {"report_id", uuid_of(id)}, {"timestamp", to_rfc3339(time)},
          {"reporter", who(facts)},  {"sender", who(facts)},     {"source_identifier", source}};
}

Json evidence(const std::string& description, const std::string& text) {
  return {{"content_type", "text/plain"},
          {"description", description},
          {"payload", base64(text, false)},
          {"hash", "sha256:" + to_hex(sha256(text))},
          {"size", text.size()}};
}

Json door_report(const NoticeFacts& facts, const NoticeDoor& door) {
  const Case& exposure = door.exposure;
  const ResultKey& key = exposure.key;
  const bool proven = exposure.level == Verdict::open;
  const bool relay = is_relay(key.check);
  Json report = begin(facts, fmt::format("{}/{}", exposure.id, to_rfc3339(exposure.last_confirmed)), exposure.last_confirmed,
                      key.address.to_string());
  report["source_port"] = key.port;
  report["category"] = "vulnerability";
  report["type"] = "misconfiguration";
  report["evidence_source"] = "automated_scan";
  report["service"] = bounded(relay ? "open mail relay (SMTP)" : fmt::format("open proxy ({})", key.check), kMaxService);
  report["confidence"] = proven ? kProven : kSaidYes;
  report["description"] = bounded(door.because, kMaxDescription);
  std::string transcript;
  for (const std::string& line : door.transcript) transcript += line + "\n";
  if (!transcript.empty())
    report["evidence"] = Json::array({evidence("the conversation; S: is the server, C: the test", transcript)});
  report["tags"] = {fmt::format("ajar:{}", key.check), fmt::format("ajar:{}", to_string(exposure.level)),
                    relay ? "exposure:open-relay" : "exposure:open-proxy"};
  return report;
}

Json listing_report(const NoticeFacts& facts, const NoticeListing& listing) {
  Json report = begin(facts, fmt::format("{}/{}/{}", listing.database, listing.address, to_rfc3339(listing.checked)),
                      listing.checked, listing.address);
  report["category"] = "reputation";
  report["type"] = "blocklist";
  report["evidence_source"] = "threat_intelligence";
  report["threat_type"] = listing.meanings.empty() ? "listed" : listing.meanings;
  report["confidence"] = kListed;
  report["description"] = bounded(fmt::format("listed in {}: {}", listing.database, listing.reason), kMaxDescription);
  report["tags"] = {"ajar:dnsbl"};
  return report;
}

}  // namespace

std::vector<std::string> xarf_reports(const NoticeFacts& facts) {
  std::vector<std::string> reports;
  const auto add = [&](const Json& report) { reports.push_back(report.dump(-1, ' ', false, Json::error_handler_t::replace)); };
  for (const NoticeDoor& door : facts.doors) add(door_report(facts, door));
  for (const NoticeListing& listing : facts.listings) add(listing_report(facts, listing));
  return reports;
}

}  // namespace ajar
