#include "agent/result_table.h"

#include <map>
#include <random>
#include <set>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ajar {
namespace {

std::string text_of(const HeldResult& held) {
  const ResultState& s = held.state;
  const auto ms = [](const std::optional<Time>& time) {
    return time ? fmt::format("{}", time->time_since_epoch().count()) : "-";
  };
  std::string text =
      fmt::format("{} {} {} | {} {} {} {} {} | {} {} {} {} {} {} | {} {} {} {} {} {} {} {} {} | {} {}", held.id,
                  held.evidence.finding, ms(held.evidence.started), s.key.target, s.key.address.to_string(), s.key.port,
                  to_string(s.key.transport), s.key.check, s.host, s.owner, to_string(s.tls), to_string(s.level),
                  to_string(s.reason), s.because, s.change_to ? to_string(*s.change_to) : "-", ms(s.change_since), s.refusals,
                  to_string(s.last_level), to_string(s.last_reason), ms(s.last_probe), ms(s.last_conclusive),
                  ms(s.closed_since), ms(s.last_full_matrix), s.case_id.value_or("-"), fmt::join(s.must_ask, ","));
  for (const Retry& retry : s.retries) text += fmt::format(" {}/{}/{}", retry.variant, retry.token, retry.sender_token);
  return text + fmt::format(" {} {}", ms(s.retries_since), ms(s.due));
}

// Results made up at random, of few places, so that they meet often.
class Results {
 public:
  ResultKey key() {
    ResultKey made;
    made.target = fmt::format("{}{}", below(2) == 0 ? "mx" : "a target with a longer name ", below(8));
    made.address = below(3) == 0 ? *IpAddress::parse(fmt::format("2001:db8::{}", below(3)))
                                 : *IpAddress::parse(fmt::format("203.0.{}.5", below(3) * 100));
    made.port = static_cast<std::uint16_t>(below(2) == 0 ? 25 : 40000 + below(3));
    made.transport = below(4) == 0 ? Transport::udp : Transport::tcp;
    made.check = below(2) == 0 ? "smtp_relay" : "http_connect";
    return made;
  }
  HeldResult held(const ResultKey& of) {
    HeldResult made;
    made.id = static_cast<std::int64_t>(random_() >> 1U);
    made.evidence = {static_cast<std::uint32_t>(random_()), time()};
    ResultState& s = made.state;
    s.key = of;
    s.host = below(2) == 0 ? "" : fmt::format("mx{}.example.org", below(30));
    s.owner = fmt::format("team{}", below(4));
    s.tls = static_cast<TlsMode>(below(3));
    s.level = static_cast<Verdict>(below(5));
    s.reason = static_cast<Reason>(below(kReasonCount));
    s.because = fmt::format("it said {}", below(1000));
    s.last_level = static_cast<Verdict>(below(5));
    s.last_reason = static_cast<Reason>(below(kReasonCount));
    s.last_probe = time();
    s.change_since = time();
    s.due = time();
    s.last_conclusive = maybe_time();
    s.closed_since = maybe_time();
    s.last_full_matrix = maybe_time();
    if (below(2) == 0) return made;
    if (below(2) == 0) s.change_to = static_cast<Verdict>(below(5));
    if (below(2) == 0) s.case_id = fmt::format("{:016x}", random_());
    s.refusals = below(3);
    for (unsigned i = below(3); i > 0; --i) s.must_ask.push_back(fmt::format("variant{}", i));
    for (unsigned i = below(3); i > 0; --i) s.retries.push_back({"external/plain", fmt::format("t{}", i), "s"});
    s.retries_since = maybe_time();
    return made;
  }
  unsigned below(unsigned bound) { return static_cast<unsigned>(random_() % bound); }

 private:
  Time time() {
    static constexpr std::int64_t kTimes[] = {
        0, -1, 1, 1767355200000, 1767355200123, -(std::int64_t{1} << 46), (std::int64_t{1} << 47) - 1};
    return Time(std::chrono::milliseconds(kTimes[below(std::size(kTimes))]));
  }
  std::optional<Time> maybe_time() { return below(2) == 0 ? std::nullopt : std::optional(time()); }
  std::mt19937_64 random_{20260102};
};

using Model = std::map<ResultKey, HeldResult>;

void expect_same(const ResultTable& table, const Model& model) {
  ASSERT_EQ(table.size(), model.size());
  HeldResult held;  // used again and again: nothing of the one before may stay
  auto expected = model.begin();
  for (auto place = table.begin(); place != table.end(); place = table.next(place), ++expected) {
    ASSERT_NE(expected, model.end());
    table.read(place, held);
    ASSERT_EQ(text_of(held), text_of(expected->second));
    const ResultState& state = expected->second.state;
    EXPECT_EQ(table.heartbeat(place), (Heartbeat{held.id, state.last_probe, state.last_conclusive, state.due}));
    EXPECT_EQ(table.target(place), state.key.target);
    EXPECT_EQ(table.may_be_exposed(place), state.case_id.has_value() || state.level >= Verdict::accepted);
  }
  EXPECT_EQ(expected, model.end());
}

void expect_bounds(const ResultTable& table, const Model& model, const ResultKey& key) {
  const auto key_at = [&](ResultTable::Place place) {
    HeldResult held;
    table.read(place, held);
    return held.state.key;
  };
  const auto same = [&](ResultTable::Place place, Model::const_iterator expected) {
    ASSERT_EQ(place == table.end(), expected == model.end());
    if (place == table.end()) return;
    EXPECT_EQ(key_at(place), expected->first);
  };
  same(table.lower_bound(key), model.lower_bound(key));
  same(table.upper_bound(key), model.upper_bound(key));
  EXPECT_EQ(table.contains(key), model.contains(key));
}

TEST(ResultTable, HoldsWhatAMapWould) {
  Results results;
  ResultTable table;
  Model model;
  for (int step = 0; step < 20'000; ++step) {
    const ResultKey key = results.key();
    if (results.below(5) < (step % 4000 < 2500 ? 1U : 4U)) {
      EXPECT_EQ(table.erase(key), model.erase(key) == 1);
    } else {
      const HeldResult held = results.held(key);
      table.put(held);
      model.insert_or_assign(key, held);
    }
    expect_bounds(table, model, results.key());
    if (step % 500 == 0) expect_same(table, model);
  }
  expect_same(table, model);
  EXPECT_GT(model.size(), 300U) << "several leaves";
  for (const auto& [key, held] : model) {
    const auto found = table.find(key);
    ASSERT_TRUE(found);
    EXPECT_EQ(text_of(*found), text_of(held));
    std::vector<ResultKey> there;
    for (const auto& [other, unused] : model) {
      if (std::tie(other.address, other.port, other.transport, other.check) ==
          std::tie(key.address, key.port, key.transport, key.check))
        there.push_back(other);
    }
    EXPECT_EQ(table.at(key.address, key.port, key.transport, key.check), there);
  }
  EXPECT_TRUE(table.at(*IpAddress::parse("203.0.113.5"), 25, Transport::tcp, "no such check").empty());
  ResultTable moved = std::move(table);
  expect_same(moved, model);
}

TEST(ResultTable, TextsThatNobodySaysAnyMoreAreGone) {
  Results results;
  ResultTable table;
  std::set<ResultKey> keys;
  std::size_t most = 0;
  for (int i = 0; i < 50'000; ++i) {
    const ResultKey key = results.key();
    HeldResult held = results.held(key);
    held.state.because = fmt::format("it said that it is {} o'clock", i);
    table.put(held);
    keys.insert(key);
    most = std::max(most, table.texts());
  }
  // Each has its own sentence, and what else it may say is in a few lists.
  EXPECT_LE(most, keys.size() + 16 + 31 + 4 + 2);
  for (const ResultKey& key : keys) EXPECT_TRUE(table.erase(key));
  EXPECT_EQ(table.size(), 0U);
  EXPECT_EQ(table.texts(), 0U);
  EXPECT_EQ(table.begin(), table.end());
  table.put(results.held(results.key()));
  EXPECT_GE(table.texts(), 4U);
}

TEST(ResultTable, TimesOutOfReachAreTheLastThatAreNot) {
  Results results;
  ResultTable table;
  HeldResult held = results.held(results.key());
  held.state.last_probe = Time::max();
  held.state.due = Time::min();
  held.state.last_conclusive = Time::min();
  table.put(held);
  const auto found = table.find(held.state.key);
  ASSERT_TRUE(found);
  EXPECT_GT(found->state.last_probe, Time(std::chrono::hours(24 * 365 * 4000)));
  EXPECT_LT(found->state.due, Time(-std::chrono::hours(24 * 365 * 4000)));
  EXPECT_TRUE(found->state.last_conclusive) << "still one";
}

TEST(TextPool, FindsWhatIsHeldAfterOthersWentAway) {
  TextPool pool;
  EXPECT_FALSE(pool.find("a"));
  std::map<std::string, std::uint32_t> held;
  std::mt19937 random(20260102);
  for (int step = 0; step < 20'000; ++step) {
    const std::string text = fmt::format("text {}", random() % 700);
    if (const auto found = held.find(text); found != held.end()) {
      EXPECT_EQ(pool[found->second], text);
      pool.release(found->second);
      held.erase(found);
      EXPECT_FALSE(pool.find(text));
    } else {
      held[text] = pool.hold(text);
    }
    ASSERT_EQ(pool.size(), held.size());
  }
  for (const auto& [text, number] : held) EXPECT_EQ(pool.find(text), number);
  const std::uint32_t empty = pool.hold("");
  EXPECT_EQ(pool.hold(""), empty);
  pool.release(empty);
  EXPECT_EQ(pool.find(""), empty) << "one holder is left";
}

}  // namespace
}  // namespace ajar
