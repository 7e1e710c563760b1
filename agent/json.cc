#include "agent/json.h"

#include <array>
#include <charconv>
#include <cmath>
#include <initializer_list>
#include <stdexcept>

#include <nlohmann/json.hpp>

namespace ajar {

using nlohmann::ordered_json;

namespace {

// What a text that we did not write may hold. Our own records stay far below: the transcript is bounded by Transcript, a matrix
// has some hundred variants.
constexpr std::size_t kMaxText = 2 * 1024 * 1024;
constexpr int kMaxDepth = 6;
constexpr std::size_t kMaxItems = 2000;
constexpr std::size_t kMaxName = 512;
constexpr std::size_t kMaxLine = 32 * 1024;

[[noreturn]] void bad(const std::string& what) { throw std::runtime_error("bad record: " + what); }

// -- writing --

ordered_json text_or_null(const std::string& text) { return text.empty() ? ordered_json(nullptr) : ordered_json(text); }

template <typename T>
ordered_json value_or_null(const std::optional<T>& value) {
  return value ? ordered_json(*value) : ordered_json(nullptr);
}

ordered_json variant_json(const Variant& variant) {
  return {{"name", variant.name},
          {"verdict", to_string(variant.verdict)},
          {"code", value_or_null(variant.code)},
          {"reply", value_or_null(variant.reply)}};
}

// Strings were escaped when they were heard; bytes that are no UTF-8 all the same must not make a record unwritable.
std::string dump(const ordered_json& json) { return json.dump(-1, ' ', false, ordered_json::error_handler_t::replace); }

// -- reading --

ordered_json parse(const std::string& text) {
  if (text.size() > kMaxText) bad("too long");
  const auto bounded = [](int depth, ordered_json::parse_event_t, ordered_json&) {
    if (depth > kMaxDepth) bad("nested too deep");
    return true;
  };
  try {
    return ordered_json::parse(text, bounded);
  } catch (const ordered_json::exception& error) {
    bad(error.what());
  }
}

const ordered_json& member(const ordered_json& object, const char* key) {
  if (!object.is_object()) bad("not an object");
  const auto found = object.find(key);
  if (found == object.end()) bad(std::string("`") + key + "` is missing");
  return *found;
}

std::string as_text(const ordered_json& value, const char* what, std::size_t limit = kMaxName) {
  if (!value.is_string()) bad(std::string("`") + what + "` is not a string");
  const auto& text = value.get_ref<const std::string&>();
  if (text.size() > limit) bad(std::string("`") + what + "` is too long");
  return text;
}

std::string text(const ordered_json& object, const char* key, std::size_t limit = kMaxName) {
  return as_text(member(object, key), key, limit);
}

std::string nullable_text(const ordered_json& object, const char* key) {
  const ordered_json& value = member(object, key);
  return value.is_null() ? std::string() : as_text(value, key);
}

std::int64_t number(const ordered_json& object, const char* key, std::int64_t low, std::int64_t high) {
  const ordered_json& value = member(object, key);
  if (!value.is_number_integer()) bad(std::string("`") + key + "` is not a whole number");
  // A number above 2^63-1 is kept unsigned by the parser and would wrap.
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX))
    bad("number out of range");
  const auto read = value.get<std::int64_t>();
  if (read < low || read > high) bad(std::string("`") + key + "` is out of range");
  return read;
}

bool truth(const ordered_json& object, const char* key) {
  const ordered_json& value = member(object, key);
  if (!value.is_boolean()) bad(std::string("`") + key + "` is neither true nor false");
  return value.get<bool>();
}

const ordered_json& list(const ordered_json& object, const char* key) {
  const ordered_json& value = member(object, key);
  if (!value.is_array()) bad(std::string("`") + key + "` is not a list");
  if (value.size() > kMaxItems) bad(std::string("`") + key + "` is too long");
  return value;
}

std::vector<std::string> texts(const ordered_json& object, const char* key, std::size_t limit = kMaxLine) {
  std::vector<std::string> read;
  for (const auto& item : list(object, key)) read.push_back(as_text(item, key, limit));
  return read;
}

// A word of one of our lists.
template <typename T>
T word(const ordered_json& object, const char* key, std::optional<T> (*parse_word)(std::string_view)) {
  const auto read = parse_word(text(object, key));
  if (!read) bad(std::string("`") + key + "` has an unknown word");
  return *read;
}

CanaryKind canary_kind(const ordered_json& object, const char* key) {
  const std::string name = text(object, key);
  for (const CanaryKind kind : kCanaryKinds) {
    if (to_string(kind) == name) return kind;
  }
  bad("unknown canary kind");
}

// Exactly the form that to_rfc3339 writes: "2026-01-02T03:04:05.678Z".
Time instant(const ordered_json& object, const char* key) {
  const std::string written = text(object, key);
  static constexpr std::string_view kShape = "dddd-dd-ddTdd:dd:dd.dddZ";
  bool fits = written.size() == kShape.size();
  for (std::size_t i = 0; fits && i < kShape.size(); ++i) {
    fits = kShape[i] == 'd' ? written[i] >= '0' && written[i] <= '9' : written[i] == kShape[i];
  }
  if (!fits) bad(std::string("`") + key + "` is not a time such as 2026-01-02T03:04:05.678Z");
  const auto digits = [&](std::size_t from, std::size_t count) {
    int value = 0;
    std::from_chars(written.data() + from, written.data() + from + count, value);
    return value;
  };
  const std::chrono::year_month_day date{std::chrono::year(digits(0, 4)),
                                         std::chrono::month(static_cast<unsigned>(digits(5, 2))),
                                         std::chrono::day(static_cast<unsigned>(digits(8, 2)))};
  if (!date.ok() || digits(11, 2) > 23 || digits(14, 2) > 59 || digits(17, 2) > 59)
    bad(std::string("no such time in `") + key + "`");
  return Time(std::chrono::sys_days(date)) + std::chrono::hours(digits(11, 2)) + std::chrono::minutes(digits(14, 2)) +
         std::chrono::seconds(digits(17, 2)) + std::chrono::milliseconds(digits(20, 3));
}

std::chrono::milliseconds duration(const ordered_json& object, const char* key) {
  const ordered_json& value = member(object, key);
  if (!value.is_number()) bad(std::string("`") + key + "` is not a number");
  const double seconds = value.get<double>();
  if (!(seconds >= 0 && seconds <= 1e9)) bad(std::string("`") + key + "` is out of range");
  return std::chrono::milliseconds(std::llround(seconds * 1000));
}

IpAddress address(const std::string& written) {
  const auto read = IpAddress::parse(written);
  if (!read) bad("not an address");
  return *read;
}

AddressPort address_port(const ordered_json& object, const char* key) {
  const auto read = AddressPort::parse(text(object, key));
  if (!read) bad(std::string("`") + key + "` is not an address and port");
  return *read;
}

ResultKey result_key(const ordered_json& object) {
  ResultKey key;
  key.target = text(object, "target");
  key.address = address(text(object, "address"));
  key.port = static_cast<std::uint16_t>(number(object, "port", 1, 65535));
  key.transport = word(object, "transport", parse_transport);
  key.check = text(object, "check");
  if (key.target.empty() || key.check.empty()) bad("`target` or `check` is empty");
  return key;
}

Variant variant(const ordered_json& object) {
  Variant read;
  read.name = text(object, "name");
  read.verdict = word(object, "verdict", parse_verdict);
  read.reason = word(object, "reason", parse_reason);
  if (!member(object, "code").is_null()) read.code = static_cast<int>(number(object, "code", -1, 1'000'000));
  if (!member(object, "reply").is_null()) read.reply = text(object, "reply", kMaxLine);
  return read;
}

Retry retry(const ordered_json& object) {
  return {text(object, "variant"), text(object, "token"), text(object, "sender_token")};
}

Finding finding(const ordered_json& object) {
  Finding read;
  read.verdict = word(object, "verdict", parse_verdict);
  if (number(object, "level", 0, 4) != static_cast<int>(read.verdict)) bad("`level` is not that of `verdict`");
  read.reason = word(object, "reason", parse_reason);
  read.because = text(object, "because", kMaxLine);
  for (const auto& item : list(object, "variants")) read.variants.push_back(variant(item));
  read.observations = texts(object, "observations");
  read.exit_addresses = texts(object, "exit_addresses", kMaxName);
  for (const auto& item : read.exit_addresses) address(item);
  for (const auto& item : list(object, "retries")) read.retries.push_back(retry(item));
  read.tls = word(object, "reached_tls", parse_tls_mode);
  return read;
}

std::vector<std::pair<std::string, std::string>> saw(const ordered_json& object) {
  std::vector<std::pair<std::string, std::string>> read;
  for (const auto& item : list(object, "saw")) {
    if (!item.is_array() || item.size() != 2 || read.size() >= kMaxSaw) bad("`saw` is not a short list of pairs");
    read.emplace_back(as_text(item[0], "saw"), as_text(item[1], "saw", kMaxLine));
  }
  return read;
}

Suspicion suspicion(const ordered_json& object) {
  Suspicion read;
  read.key.source = text(object, "source");
  if (read.key.source != kShadowserver) bad("`source` has an unknown word");
  read.key.report = text(object, "report");
  const ReportType* const type = find_report_type(read.key.report);
  if (type == nullptr) bad("`report` has an unknown word");
  read.key.address = address(text(object, "address"));
  read.key.port =
      static_cast<std::uint16_t>(number(object, "port", type->names_port() ? 1 : 0, type->names_port() ? 65535 : 0));
  read.key.list = text(object, "list", kMaxLine);
  read.reported = instant(object, "reported");
  read.imported = instant(object, "imported");
  read.saw = saw(object);
  return read;
}

std::string probe_id(const ordered_json& object) {
  std::string read = text(object, "probe_id");
  if (read.size() != 16 || read.find_first_not_of("0123456789abcdef") != std::string::npos)
    bad("`probe_id` is not 16 hex digits");
  return read;
}

Arrival arrival_of(const ordered_json& json) {
  if (text(json, "kind") != "arrival") bad("`kind` is not arrival");
  Arrival arrival;
  arrival.id = number(json, "id", 0, INT64_MAX);
  arrival.time = instant(json, "time");
  arrival.kind = canary_kind(json, "canary");
  arrival.token = nullable_text(json, "token");
  arrival.message = truth(json, "message");
  arrival.proof = truth(json, "proof");
  arrival.peer = address_port(json, "peer");
  arrival.listener = address_port(json, "listener");
  arrival.facts = texts(json, "facts");
  return arrival;
}

}  // namespace

ordered_json to_json(const Record& record) {
  ordered_json variants = ordered_json::array();
  for (const auto& variant : record.finding.variants) variants.push_back(variant_json(variant));
  return {{"kind", "result"},
          {"target", record.key.target},
          {"host", text_or_null(record.host)},
          {"address", record.key.address.to_string()},
          {"port", record.key.port},
          {"transport", to_string(record.key.transport)},
          {"tls", to_string(record.tls)},
          {"check", record.key.check},
          {"verdict", to_string(record.finding.verdict)},
          {"level", static_cast<int>(record.finding.verdict)},
          {"reason", to_string(record.finding.reason)},
          {"because", record.finding.because},
          {"variants", std::move(variants)},
          {"exit_addresses", record.finding.exit_addresses},
          {"observations", record.finding.observations},
          {"source_address", text_or_null(record.source_address)},
          {"started", to_rfc3339(record.started)},
          {"duration_seconds", static_cast<double>(record.duration.count()) / 1000.0},
          {"transcript", record.transcript}};
}

ordered_json to_json(const Case& exposure, bool exempt) {
  return {{"kind", "exposure"},
          {"id", exposure.id},
          {"target", exposure.key.target},
          {"owner", exposure.owner},
          {"address", exposure.key.address.to_string()},
          {"port", exposure.key.port},
          {"transport", to_string(exposure.key.transport)},
          {"check", exposure.key.check},
          {"state", to_string(exposure.status)},
          {"level", static_cast<int>(exposure.level)},
          {"reason", to_string(exposure.reason)},
          {"first_seen", to_rfc3339(exposure.first_seen)},
          {"last_confirmed", to_rfc3339(exposure.last_confirmed)},
          {"closed", exposure.closed ? ordered_json(to_rfc3339(*exposure.closed)) : ordered_json(nullptr)},
          {"how", text_or_null(exposure.how)},
          {"exempt", exempt}};
}

ordered_json to_json(const Arrival& arrival) {
  return {{"kind", "arrival"},
          {"id", arrival.id},
          {"time", to_rfc3339(arrival.time)},
          {"canary", to_string(arrival.kind)},
          {"token", text_or_null(arrival.token)},
          {"message", arrival.message},
          {"proof", arrival.proof},
          {"peer", arrival.peer.to_string()},
          {"listener", arrival.listener.to_string()},
          {"facts", arrival.facts}};
}

ordered_json to_json(const ListingView& listing) {
  ordered_json codes = ordered_json::array(), meanings = ordered_json::array();
  if (listing.last) {
    for (const DnsblCode& code : listing.last->codes) {
      codes.push_back(code.code);
      meanings.push_back(code.meaning);
    }
  }
  return {{"kind", "listing"},
          {"target", listing.target},
          {"address", listing.subject.text},
          {"zone", listing.zone},
          {"state", to_string(listing.state)},
          {"listed", listing.listed ? ordered_json(*listing.listed) : ordered_json(nullptr)},
          {"codes", codes},
          {"meanings", meanings},
          {"text", listing.last ? text_or_null(listing.last->text) : ordered_json(nullptr)},
          {"checked", listing.last ? ordered_json(to_rfc3339(listing.last->checked)) : ordered_json(nullptr)}};
}

ordered_json to_json(const SuspicionView& view) {
  const Suspicion& suspicion = view.suspicion;
  ordered_json saw = ordered_json::object();
  for (const auto& [column, seen] : suspicion.saw) saw[column] = seen;
  return {{"kind", "suspicion"},
          {"source", suspicion.key.source},
          {"report", suspicion.key.report},
          {"target", text_or_null(view.target)},
          {"address", suspicion.key.address.to_string()},
          {"port", suspicion.key.port == 0 ? ordered_json(nullptr) : ordered_json(suspicion.key.port)},
          {"list", text_or_null(suspicion.key.list)},
          {"reported", to_rfc3339(suspicion.reported)},
          {"imported", to_rfc3339(suspicion.imported)},
          {"saw", std::move(saw)},
          {"status", to_string(view.judgement.status)},
          {"because", view.judgement.because},
          {"exposure", value_or_null(view.judgement.case_id)},
          {"remedy", view.remedy}};
}

std::string serialise(const std::vector<Suspicion>& suspicions) {
  ordered_json rows = ordered_json::array();
  for (const Suspicion& suspicion : suspicions) {
    ordered_json saw = ordered_json::array();
    for (const auto& [column, seen] : suspicion.saw) saw.push_back(ordered_json::array({column, seen}));
    rows.push_back({{"source", suspicion.key.source},
                    {"report", suspicion.key.report},
                    {"address", suspicion.key.address.to_string()},
                    {"port", suspicion.key.port},
                    {"list", suspicion.key.list},
                    {"reported", to_rfc3339(suspicion.reported)},
                    {"imported", to_rfc3339(suspicion.imported)},
                    {"saw", std::move(saw)}});
  }
  return dump({{"kind", "suspicions"}, {"data", std::move(rows)}});
}

std::vector<Suspicion> parse_suspicions(const std::string& text_of_suspicions) {
  const ordered_json json = parse(text_of_suspicions);
  if (text(json, "kind") != "suspicions") bad("`kind` is not suspicions");
  std::vector<Suspicion> read;
  for (const auto& item : list(json, "data")) read.push_back(suspicion(item));
  return read;
}

std::string serialise(const ImportCounts& counts) {
  return dump({{"kind", "import"},
               {"added", counts.added},
               {"newer", counts.newer},
               {"known", counts.known},
               {"outside", counts.outside},
               {"no_target", counts.no_target},
               {"old", counts.old},
               {"full", counts.full},
               {"unasked", counts.unasked}});
}

ImportCounts parse_import_counts(const std::string& text_of_counts) {
  const ordered_json json = parse(text_of_counts);
  if (text(json, "kind") != "import") bad("`kind` is not import");
  const auto count = [&](const char* key) { return static_cast<std::size_t>(number(json, key, 0, 1'000'000)); };
  return {.added = count("added"),
          .newer = count("newer"),
          .known = count("known"),
          .outside = count("outside"),
          .no_target = count("no_target"),
          .old = count("old"),
          .full = count("full"),
          .unasked = count("unasked")};
}

std::string serialise(const Record& record) {
  ordered_json json = to_json(record);
  json["probe_id"] = record.probe_id;
  json["owner"] = record.owner;
  json["full_matrix"] = record.full_matrix;
  json["whole"] = record.finding.whole;
  json["reached_tls"] = to_string(record.finding.tls);
  for (std::size_t i = 0; i < record.finding.variants.size(); ++i) {
    json["variants"][i]["reason"] = to_string(record.finding.variants[i].reason);
  }
  if (!record.arrivals.empty()) {
    json["arrivals"] = ordered_json::array();
    for (const Arrival& arrival : record.arrivals) json["arrivals"].push_back(to_json(arrival));
  }
  json["retries"] = ordered_json::array();
  for (const auto& retry : record.finding.retries) {
    json["retries"].push_back({{"variant", retry.variant}, {"token", retry.token}, {"sender_token", retry.sender_token}});
  }
  return dump(json);
}

std::string serialise(const Message& message) {
  const ResultKey& key = message.key;
  return dump({{"kind", "message"},
               {"token", message.token},
               {"target", key.target},
               {"address", key.address.to_string()},
               {"port", key.port},
               {"transport", to_string(key.transport)},
               {"check", key.check},
               {"probe_id", message.probe_id},
               {"variant", message.variant},
               {"variant_class", message.variant_class},
               {"sent", to_rfc3339(message.sent)},
               {"expired", message.expired}});
}

Message parse_message(const std::string& text_of_message) {
  const ordered_json json = parse(text_of_message);
  if (text(json, "kind") != "message") bad("`kind` is not message");
  Message message;
  message.token = text(json, "token");
  message.key = result_key(json);
  message.probe_id = probe_id(json);
  message.variant = text(json, "variant");
  message.variant_class = text(json, "variant_class");
  message.sent = instant(json, "sent");
  message.expired = truth(json, "expired");
  return message;
}

Record parse_record(const std::string& text_of_record) {
  const ordered_json json = parse(text_of_record);
  if (text(json, "kind") != "result") bad("`kind` is not result");
  Record record;
  record.probe_id = probe_id(json);
  record.key = result_key(json);
  record.host = nullable_text(json, "host");
  record.owner = text(json, "owner");
  record.tls = word(json, "tls", parse_tls_mode);
  record.finding = finding(json);
  record.full_matrix = truth(json, "full_matrix");
  record.finding.whole = !json.contains("whole") || truth(json, "whole");  // evidence of before it was told apart
  record.source_address = nullable_text(json, "source_address");
  record.started = instant(json, "started");
  record.duration = duration(json, "duration_seconds");
  record.transcript = texts(json, "transcript");
  if (json.contains("arrivals")) {
    for (const auto& item : list(json, "arrivals")) {
      if (record.arrivals.size() >= KeptArrivals::kMost) bad("`arrivals` has too many");
      record.arrivals.push_back(presentable(arrival_of(item)));
    }
  }
  return record;
}

Arrival parse_arrival(const std::string& text_of_arrival) { return arrival_of(parse(text_of_arrival)); }

}  // namespace ajar
