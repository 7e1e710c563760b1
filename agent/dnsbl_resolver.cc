#include "agent/dnsbl_resolver.h"

#include <algorithm>
#include <utility>

#include <ares.h>

#include "agent/dns_channel.h"
#include "agent/loop.h"

namespace ajar {
namespace {

using Outcome = DnsblReply::Outcome;

constexpr int kMostHops = 8;  // aliases that are asked for again because an answer ended at one

DnsblLookup failure(Outcome outcome) {
  DnsblLookup lookup;
  lookup.reply.outcome = outcome;
  return lookup;
}

bool is_answer(Outcome outcome) {
  return outcome == Outcome::answered || outcome == Outcome::no_such_name || outcome == Outcome::no_data;
}

// How c-ares ended a question, where it gives no message to read.
Outcome outcome_of(int status) {
  switch (status) {
    case ARES_EREFUSED:
      return Outcome::refused;
    case ARES_ETIMEOUT:
    case ARES_ECONNREFUSED:
    case ARES_ECANCELLED:
    case ARES_EDESTRUCTION:
      return Outcome::timeout;
    default:
      return Outcome::servfail;
  }
}

}  // namespace

DnsblLookup dnsbl_lookup(const DnsRecords& records, DnsType type) {
  DnsblLookup lookup;
  if (records.rcode == kDnsRefused) return failure(Outcome::refused);
  if (records.rcode != kDnsNoError && records.rcode != kDnsNoSuchName) return failure(Outcome::servfail);
  if (records.truncated) return failure(Outcome::servfail);  // TCP was tried, and brought no more
  const bool found = type == DnsType::txt ? !records.texts.empty() : !records.addresses.empty();
  if (found) {
    lookup.reply.outcome = Outcome::answered;
    lookup.reply.addresses = records.addresses;
    lookup.texts = records.texts;
    lookup.ttl = std::chrono::seconds(records.ttl);
    return lookup;
  }
  if (records.strange) return failure(Outcome::servfail);  // whatever it answers, it is not this question
  lookup.reply.outcome = records.rcode == kDnsNoSuchName ? Outcome::no_such_name : Outcome::no_data;
  if (records.negative_ttl) lookup.ttl = std::chrono::seconds(*records.negative_ttl);
  return lookup;
}

// A channel a server, so that what each of them says is known. Shared with the questions under way.
struct DnsblResolver::State {
  State(Loop& a_loop, const DnsblResolverOptions& options) : loop(a_loop) {
    DnsChannelOptions wanted{{}, options.resolv_conf, options.timeout, options.tries, true};
    if (options.servers.empty()) channels.push_back(std::make_shared<DnsChannel>(loop, wanted));
    for (const AddressPort& server : options.servers) {
      wanted.servers = {server};
      channels.push_back(std::make_shared<DnsChannel>(loop, wanted));
    }
  }
  Loop& loop;
  std::vector<std::shared_ptr<DnsChannel>> channels;
  std::size_t first = 0;  // the one that answered last
  bool closed = false;
};

DnsblResolver::DnsblResolver(Loop& loop, DnsblResolverOptions options) : state_(std::make_shared<State>(loop, options)) {}

DnsblResolver::~DnsblResolver() {
  const std::shared_ptr<State> keep = state_;
  keep->closed = true;
  for (const std::shared_ptr<DnsChannel>& channel : keep->channels) channel->close();
}

std::string DnsblResolver::servers() const {
  std::string text;
  for (const std::shared_ptr<DnsChannel>& channel : state_->channels) text += (text.empty() ? "" : ", ") + channel->servers();
  return text;
}

Task<DnsblLookup> DnsblResolver::ask(std::string name, DnsType type) { return ask_all(state_, std::move(name), type); }

Task<DnsblLookup> DnsblResolver::ask_all(std::shared_ptr<State> state, std::string name, DnsType type) {
  DnsblLookup worst = failure(Outcome::timeout);
  const std::size_t count = state->channels.size();
  const std::size_t first = state->first;
  for (std::size_t i = 0; i < count && !state->closed && !state->loop.shutting_down(); ++i) {
    const std::size_t server = (first + i) % count;
    const DnsblLookup lookup = co_await ask_one(state, server, name, type);
    if (is_answer(lookup.reply.outcome)) {
      state->first = server;
      co_return lookup;
    }
    // What one of them said says more than another's silence.
    if (worst.reply.outcome == Outcome::timeout) worst = lookup;
  }
  co_return worst;
}

Task<DnsblLookup> DnsblResolver::ask_one(std::shared_ptr<State> state, std::size_t server, std::string name, DnsType type) {
  const std::shared_ptr<DnsChannel> channel = state->channels[server];
  std::string asked = std::move(name);
  for (int hop = 0; hop < kMostHops; ++hop) {
    if (!is_dns_name(asked) || state->closed || !channel->usable()) break;
    DnsChannel::Asking asking(channel, asked, type);
    const int status = co_await asking;
    const std::string message = asking.take_message();
    if (message.empty()) co_return failure(outcome_of(status));
    const std::optional<DnsRecords> records = parse_dns_answer(message, asked, type);
    if (!records) co_return failure(outcome_of(status));
    const DnsblLookup lookup = dnsbl_lookup(*records, type);
    if (lookup.reply.outcome != Outcome::no_data || records->canonical == asked) co_return lookup;
    asked = records->canonical;
  }
  co_return failure(Outcome::servfail);
}

}  // namespace ajar
