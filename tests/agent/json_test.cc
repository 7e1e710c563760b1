#include "agent/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "checks/network.h"

namespace ajar {
namespace {

using nlohmann::ordered_json;

const Time kStarted{std::chrono::milliseconds(1767323045678)};

Record full_record() {
  Record record;
  record.probe_id = "0123456789abcdef";
  record.key = {"mx1", *IpAddress::parse("203.0.113.5"), 25, Transport::tcp, "smtp_relay"};
  record.host = "mx1.example.org";
  record.owner = "mail-team";
  record.tls = TlsMode::starttls;
  record.full_matrix = true;
  record.source_address = "198.51.100.7";
  record.started = kStarted;
  record.duration = std::chrono::milliseconds(1234);
  record.transcript = {"S: 220 mx.example.org", "C: MAIL FROM:<<token>@canary.example.net>", "S: 250 \\xff\\\\ \"ok\""};
  Finding& finding = record.finding;
  finding.verdict = Verdict::open;
  finding.reason = Reason::message_delivered;
  finding.because = "what forged_local/plain sent came back";
  finding.variants = {{"forged_local/plain", Verdict::open, Reason::message_delivered, 250, "2.1.5 Ok"},
                      {"null/plain", Verdict::unclear, Reason::greylisted, std::nullopt, std::nullopt}};
  finding.observations = {"AUTH offered in clear text"};
  finding.exit_addresses = {"203.0.113.9", "2001:db8::9"};
  finding.retries = {{"null/plain", "tokentokentokentokentokentokento", ""}};
  finding.tls = TlsMode::starttls;
  return record;
}

TEST(Json, OfAResultIsTheContracts) {
  EXPECT_EQ(
      to_json(full_record()).dump(),
      R"({"kind":"result","target":"mx1","host":"mx1.example.org","address":"203.0.113.5","port":25,"transport":"tcp",)"
      R"("tls":"starttls","check":"smtp_relay","verdict":"open","level":4,"reason":"message_delivered",)"
      R"("because":"what forged_local/plain sent came back","variants":[{"name":"forged_local/plain","verdict":"open","code":250,)"
      R"("reply":"2.1.5 Ok"},{"name":"null/plain","verdict":"unclear","code":null,"reply":null}],)"
      R"("exit_addresses":["203.0.113.9","2001:db8::9"],"observations":["AUTH offered in clear text"],)"
      R"("source_address":"198.51.100.7","started":"2026-01-02T03:04:05.678Z","duration_seconds":1.234,)"
      R"("transcript":["S: 220 mx.example.org","C: MAIL FROM:<<token>@canary.example.net>","S: 250 \\xff\\\\ \"ok\""]})");
}

TEST(Json, OfAnEmptyResultHasAllKeysAllTheSame) {
  Record record;
  record.key = {"a", *IpAddress::parse("2001:db8::7"), 53, Transport::udp, "open_resolver"};
  EXPECT_EQ(to_json(record).dump(),
            R"({"kind":"result","target":"a","host":null,"address":"2001:db8::7","port":53,"transport":"udp","tls":"none",)"
            R"("check":"open_resolver","verdict":"unclear","level":2,"reason":"internal_error","because":"","variants":[],)"
            R"("exit_addresses":[],"observations":[],"source_address":null,"started":"1970-01-01T00:00:00.000Z",)"
            R"("duration_seconds":0.0,"transcript":[]})");
}

TEST(Json, OfAnExposure) {
  Case exposure;
  exposure.id = "00000000000000ab";
  exposure.key = full_record().key;
  exposure.owner = "mail-team";
  exposure.level = Verdict::open;
  exposure.reason = Reason::message_delivered;
  exposure.first_seen = exposure.last_confirmed = kStarted;
  EXPECT_EQ(
      to_json(exposure, false).dump(),
      R"({"kind":"exposure","id":"00000000000000ab","target":"mx1","owner":"mail-team","address":"203.0.113.5","port":25,)"
      R"("transport":"tcp","check":"smtp_relay","state":"open","level":4,"reason":"message_delivered",)"
      R"("first_seen":"2026-01-02T03:04:05.678Z","last_confirmed":"2026-01-02T03:04:05.678Z","closed":null,"how":null,)"
      R"("exempt":false})");
  exposure.status = CaseStatus::closed;
  exposure.closed = kStarted;
  exposure.how = "fixed";
  const ordered_json closed = to_json(exposure, true);
  EXPECT_EQ(closed["state"], "closed");
  EXPECT_EQ(closed["closed"], "2026-01-02T03:04:05.678Z");
  EXPECT_EQ(closed["how"], "fixed");
  EXPECT_EQ(closed["exempt"], true);
}

TEST(Json, ARecordComesBackWhole) {
  const Record given = full_record();
  const Record back = parse_record(serialise(given));
  EXPECT_EQ(serialise(back), serialise(given));
  EXPECT_EQ(back.probe_id, given.probe_id);
  EXPECT_EQ(back.key, given.key);
  EXPECT_EQ(back.host, given.host);
  EXPECT_EQ(back.owner, given.owner);
  EXPECT_EQ(back.tls, given.tls);
  EXPECT_TRUE(back.full_matrix);
  EXPECT_EQ(back.source_address, given.source_address);
  EXPECT_EQ(back.started, given.started);
  EXPECT_EQ(back.duration, given.duration);
  EXPECT_EQ(back.transcript, given.transcript);
  EXPECT_EQ(back.finding.verdict, given.finding.verdict);
  EXPECT_EQ(back.finding.reason, given.finding.reason);
  EXPECT_EQ(back.finding.because, given.finding.because);
  EXPECT_EQ(back.finding.observations, given.finding.observations);
  EXPECT_EQ(back.finding.exit_addresses, given.finding.exit_addresses);
  EXPECT_EQ(back.finding.tls, given.finding.tls);
  ASSERT_EQ(back.finding.variants.size(), 2U);
  EXPECT_EQ(back.finding.variants[1].reason, Reason::greylisted);
  EXPECT_EQ(back.finding.variants[1].code, std::nullopt);
  EXPECT_EQ(back.finding.variants[0].reply, "2.1.5 Ok");
  ASSERT_EQ(back.finding.retries.size(), 1U);
  EXPECT_EQ(back.finding.retries[0].token, given.finding.retries[0].token);
}

TEST(Json, ARecordWithEveryWordComesBack) {
  for (int reason = 0; reason < kReasonCount; ++reason) {
    for (int verdict = 0; verdict <= 4; ++verdict) {
      Record record = full_record();
      record.finding.reason = static_cast<Reason>(reason);
      record.finding.verdict = static_cast<Verdict>(verdict);
      const Record back = parse_record(serialise(record));
      EXPECT_EQ(back.finding.reason, record.finding.reason);
      EXPECT_EQ(back.finding.verdict, record.finding.verdict);
    }
  }
}

TEST(Json, ALargestTranscriptComesBack) {
  Record record = full_record();
  record.transcript.assign(Transcript::kMaxLines + 1, std::string(100, 'x'));
  EXPECT_EQ(parse_record(serialise(record)).transcript, record.transcript);
}

TEST(Json, BytesThatAreNoUtf8DoNotMakeARecordUnwritable) {
  Record record = full_record();
  record.transcript = {"S: \xff\xfe"};
  EXPECT_EQ(parse_record(serialise(record)).transcript.size(), 1U);
}

TEST(Json, AnArrivalComesBackWhole) {
  Arrival given;
  given.id = 7;
  given.time = kStarted;
  given.kind = CanaryKind::smtp;
  given.token = "tokentokentokentokentokentokento";
  given.message = true;
  given.proof = true;
  given.peer = *AddressPort::parse("[2001:db8::9]:4711");
  given.listener = *AddressPort::parse("198.51.100.7:25");
  given.facts = {"EHLO mx1.example.org"};
  const Arrival back = parse_arrival(to_json(given).dump());
  EXPECT_EQ(to_json(back), to_json(given));
  EXPECT_EQ(back.id, given.id);
  EXPECT_EQ(back.time, given.time);
  EXPECT_EQ(back.kind, given.kind);
  EXPECT_EQ(back.token, given.token);
  EXPECT_TRUE(back.proof);
  EXPECT_EQ(back.peer, given.peer);
  EXPECT_EQ(back.listener, given.listener);
  EXPECT_EQ(back.facts, given.facts);
}

// One member of a good record is replaced (or, with `discarded`, removed): every one of these must be refused.
struct Wrong {
  const char* key;
  ordered_json value;
};

TEST(Json, BadShapesAreRefused) {
  const ordered_json gone(ordered_json::value_t::discarded);
  const std::vector<Wrong> table = {
      {"kind", "exposure"},
      {"target", ""},
      {"target", std::string(600, 'x')},
      {"target", 5},
      {"host", 5},
      {"address", "203.0.113.256"},
      {"address", "mx1.example.org"},
      {"port", 0},
      {"port", 65536},
      {"port", -1},
      {"port", 25.5},
      {"port", 18446744073709551615U},
      {"port", "25"},
      {"transport", "sctp"},
      {"tls", "maybe"},
      {"verdict", "clean"},
      {"level", 3},
      {"level", true},
      {"reason", "because"},
      {"because", nullptr},
      {"variants", {{"name", "x"}}},
      {"variants", {5}},
      {"variants", ordered_json::array({ordered_json{{"name", "x"}}})},
      {"exit_addresses", {"not an address"}},
      {"exit_addresses", "203.0.113.9"},
      {"observations", {nullptr}},
      {"observations", std::vector<std::string>(2001, "x")},
      {"started", "2026-01-02T03:04:05Z"},
      {"started", "2026-13-02T03:04:05.678Z"},
      {"started", "2026-02-30T03:04:05.678Z"},
      {"started", "2026-01-02T24:04:05.678Z"},
      {"started", 5},
      {"duration_seconds", -1},
      {"duration_seconds", 1e300},
      {"duration_seconds", "1"},
      {"transcript", {std::string(40000, 'x')}},
      {"probe_id", "0123456789ABCDEF"},
      {"probe_id", "0123"},
      {"full_matrix", 1},
      {"retries", {{"variant", "x"}}},
      {"reached_tls", ""},
  };
  const ordered_json good = ordered_json::parse(serialise(full_record()));
  for (const auto& row : table) {
    ordered_json bad = good;
    bad[row.key] = row.value;
    EXPECT_THROW(parse_record(bad.dump()), std::runtime_error) << row.key << " = " << row.value.dump();
  }
  for (const auto& item : good.items()) {
    if (item.key() == "whole") continue;  // evidence of earlier versions has none
    ordered_json bad = good;
    bad.erase(item.key());
    EXPECT_THROW(parse_record(bad.dump()), std::runtime_error) << item.key() << " missing";
  }
}

TEST(Json, HostileTextsAreRefused) {
  const std::string good = serialise(full_record());
  for (const std::string& text : {std::string(), std::string("null"), std::string("[]"), std::string("{\"kind\":"),
                                  std::string(1'000'000, '['), std::string(3'000'000, ' ') + good, good + "x", good.substr(1),
                                  std::string("{\"kind\":\"result\",\"target\":\"\xff\"}")}) {
    EXPECT_THROW(parse_record(text), std::runtime_error) << text.substr(0, 40);
    EXPECT_THROW(parse_arrival(text), std::runtime_error) << text.substr(0, 40);
  }
  for (std::size_t end = 0; end < good.size(); end += 7) {
    EXPECT_THROW(parse_record(good.substr(0, end)), std::runtime_error);
  }
}

}  // namespace
}  // namespace ajar
