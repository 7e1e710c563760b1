// The databases of the configuration, asked on the loop: a ZoneBook, a resolver, and whom the addresses belong to.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "agent/dnsbl_resolver.h"
#include "agent/target_view.h"
#include "agent/zone_book.h"

namespace ajar {

class Loop;

// What one database says about one address or domain of a target: a row of pages, metrics and the API.
struct ListingView {
  std::string target;
  DnsblSubject subject;
  std::string zone;
  ZoneState state = ZoneState::untested;  // of the zone, for this kind of question
  std::optional<bool> listed;             // nullopt: not known now
  std::optional<Listing> last;            // what was last believed
};

struct ZonesView {
  std::vector<ZoneStatus> zones;
  std::vector<ListingView> listings;  // by target, subject, then zone
  std::string resolvers;              // "127.0.0.1:53"
};

// What databases are asked about, and which target each belongs to: where targets overlap, to the most specific. `left_out`:
// how many addresses of large networks are not asked.
struct DnsblSubjects {
  std::map<DnsblSubject, std::string> owners;
  std::uint64_t left_out = 0;
};
DnsblSubjects dnsbl_subjects(const std::vector<TargetView>& targets, bool lookup_private);
inline constexpr std::uint64_t kMaxDnsblNetwork = 4096;  // addresses of one network

// Loop thread only.
class Zones {
 public:
  // `dns`: who answers instead of a DnsblResolver, for tests.
  explicit Zones(Loop& loop, WallClock clock = wall_now, std::shared_ptr<DnsblDns> dns = nullptr);
  ~Zones();
  Zones(const Zones&) = delete;
  Zones& operator=(const Zones&) = delete;

  // What is in force from now on: what stays keeps what is known. Cheap when nothing has changed. `own`: addresses of ours that
  // are asked about besides; they are in book() and not in view().
  void apply(const DnsblConfig& config, const std::vector<TargetView>& targets, const std::set<DnsblSubject>& own = {});
  void seed(std::vector<Listing> listings);  // of before a restart
  std::set<ListingKey> take_changes();       // since the last call: to be kept, or forgotten where the book has none
  // Asks what is due. To be called every while. `paused`: asks nothing until it is called without.
  void pump(bool paused = false);
  // The databases are asked about an address as soon as their budgets allow.
  void ask_now(const IpAddress& address);
  const ZoneBook& book() const;
  ZonesView view() const;

 private:
  struct State;
  static void pump(const std::shared_ptr<State>& state);
  static void say(State& state, const std::string& zone);
  static Task<void> ask(std::shared_ptr<State> state, ZoneQuestion question);
  std::shared_ptr<State> state_;
};

}  // namespace ajar
