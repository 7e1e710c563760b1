// Which database is asked what and when, and what is known from it: the schedule, the budget, the health of every zone, and
// every listing. No clock, no network: it hands out questions and takes in answers. One thread.
//
// A zone is tested before it is asked about anything, then again every while, and whenever an answer says something new:
// nothing new is believed that was heard after the last test (checks/dnsbl_judge.h). One that fails its test is asked nothing
// else, is tested again after pauses that grow, and is used again by itself once it passes. What it said before stays; listed()
// hides it meanwhile.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "agent/listing.h"
#include "agent/time.h"
#include "checks/dnsbl_judge.h"
#include "checks/dnsbl_name.h"
#include "checks/wire/dns_answer.h"
#include "config/config.h"

namespace ajar {

// False for what is not routed globally: private, documentation, loopback and the like. A domain is never private.
bool is_globally_routable(const IpAddress& address);

struct DnsblLookup {
  DnsblReply reply;
  std::vector<std::string> texts;           // of a question for TXT
  std::optional<std::chrono::seconds> ttl;  // how long the answer holds, "no such name" too; nullopt: it does not say
};

struct ZoneQuestion {
  enum class What : std::uint8_t { test_listed, test_unlisted, test_nobody, listing, text };
  std::uint64_t id = 0;
  std::string zone;
  DnsblKind kind = DnsblKind::ipv4;
  What what = What::listing;
  std::string subject;  // listing, text
  std::string name;     // to ask; it may hold a key, so it is shown nowhere
  DnsType type = DnsType::a;
};

// A zone as pages and metrics show it.
struct ZoneStatus {
  struct Health {
    ZoneState state = ZoneState::untested;
    std::string because;
    std::optional<Time> tested, next_test;
  };
  std::string name;
  ZoneInfo info;
  ZoneState state = ZoneState::untested;  // the worst of the kinds that are asked
  std::map<DnsblKind, Health> kinds;      // those that are asked
  std::size_t subjects = 0, listed = 0, unknown = 0;
  std::map<std::string, std::uint64_t>
      answers;  // by result, since the start: "listed", "not_listed", and the words of ZoneState
  std::uint64_t asked_today = 0, left_today = 0;
};

class ZoneBook {
 public:
  // Zones and subjects that stay keep what is known and their schedule; those that go are forgotten.
  void apply(const DnsblConfig& config, const std::set<DnsblSubject>& subjects, Time now);
  // What was known before a restart, for subjects that are there or come with a later apply().
  void seed(std::vector<Listing> listings);
  // What has changed since the last call: to be kept, where find() still has it, else to be forgotten.
  std::set<ListingKey> take_changes() { return std::exchange(changes_, {}); }

  // The next question that may be asked now; nullopt: none. Every one must be answered, by its id.
  std::optional<ZoneQuestion> next(Time now);
  void answered(const ZoneQuestion& question, const DnsblLookup& lookup, Time now);
  // Every zone is tested as soon as its budget allows.
  void test_now(Time now);
  // Every zone is asked about the subject as soon as its budget allows; what waits for its confirmation keeps waiting.
  void ask_now(const DnsblSubject& subject, Time now);

  // nullopt: not known, the zone is not healthy for this kind, or it has not answered about this subject for several times.
  std::optional<bool> listed(const std::string& zone, const DnsblSubject& subject) const;
  // What was last believed, whatever the zone is doing now; nullptr: nothing yet.
  const Listing* find(const std::string& zone, const DnsblSubject& subject) const;
  // listed() and find() of all that a zone is asked about, by kind, then subject.
  struct Known {
    DnsblKind kind;
    const std::string& subject;
    std::optional<bool> listed;
    const Listing* last;
  };
  void each(const std::string& zone, const std::function<void(const Known&)>& visit) const;
  std::vector<ZoneStatus> zones() const;  // in the order of the configuration
  std::vector<Listing> listings() const;  // all that is known, by zone, then subject
  bool is_healthy(const std::string& zone, DnsblKind kind) const;
  ZoneHealth health(const std::string& zone) const;   // the worst of the kinds that are asked
  std::uint64_t asked() const { return last_id_; }    // questions since the start
  std::uint64_t version() const { return version_; }  // rises with everything that a reader may see
  // Whether every subject has an answer or its zone has failed a test: for a single round (`ajar check`).
  bool settled() const;

 private:
  struct Pending {
    DnsblFinding finding;
    Time heard{};
  };
  struct Entry {
    std::string name;  // to ask
    Time due{};
    bool scheduled = false, asking = false, text_asked = false;
    unsigned failures = 0;
    std::optional<Listing> known;
    std::optional<Pending> pending;
    std::optional<ZoneState> trouble;  // of the last answer, when it said nothing
  };
  struct Kind {
    ZoneStatus::Health health;
    Time next_test{};
    std::optional<Time> begun;  // of the test under way
    std::uint64_t before = 0;   // its questions have higher numbers
    std::array<bool, 3> asked{};
    std::array<std::optional<DnsblReply>, 3> replies;
    unsigned failures = 0;
    std::map<std::string, Entry> entries;
    std::set<std::pair<Time, std::string>> queue;  // entries that are to be asked, by when
    std::set<std::string> pending;
    std::deque<std::string> texts;  // to be asked for their reason
    std::size_t in_flight = 0;      // questions about entries
  };
  struct Zone {
    ZoneConfig config;
    std::map<DnsblKind, Kind> kinds;
    std::map<std::string, std::uint64_t> answers;
    std::size_t in_flight = 0;
    double tokens = 0;
    Time filled{}, day{};
    std::uint64_t asked_today = 0;
  };

  static bool may_ask(Zone& zone, Time now);
  std::optional<ZoneQuestion> next_of(Zone& zone, DnsblKind kind, Kind& state, Time now);
  ZoneQuestion question(Zone& zone, DnsblKind kind, ZoneQuestion::What what, const std::string& subject, std::string name);
  void take_test(Zone& zone, DnsblKind kind, Kind& state, const ZoneQuestion& question, const DnsblLookup& lookup, Time now);
  void take_listing(Zone& zone, DnsblKind kind, Kind& state, const ZoneQuestion& question, const DnsblLookup& lookup, Time now);
  static void schedule(Kind& state, const std::string& subject, Entry& entry, Time due);
  void plant(const Zone& zone, DnsblKind kind, Kind& state, const std::string& subject, Entry& entry);
  void publish(Zone& zone, DnsblKind kind, Kind& state, const std::string& subject, Entry& entry, Time heard);
  static void want_test(const Zone& zone, Kind& state, Time now);
  static bool is_known(const Zone& zone, const Kind& state, const Entry& entry);
  const Kind* find_kind(const std::string& zone, DnsblKind kind) const;

  std::vector<std::string> order_;
  std::map<std::string, Zone> zones_;
  std::size_t turn_ = 0;  // whose turn it is
  std::uint64_t last_id_ = 0;
  std::set<std::uint64_t> open_;  // questions without an answer
  std::map<ListingKey, Listing> seeds_;
  std::set<ListingKey> changes_;
  std::uint64_t version_ = 1;
};

}  // namespace ajar
