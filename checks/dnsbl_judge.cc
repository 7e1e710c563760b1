#include "checks/dnsbl_judge.h"

#include <algorithm>
#include <array>
#include <charconv>

#include <fmt/format.h>

namespace ajar {
namespace {

constexpr std::array<std::string_view, kZoneStateCount> kStates = {
    "healthy", "empty", "lists_the_world", "timeout", "servfail", "refused", "blocked", "hijacked", "untested"};
constexpr std::array<std::string_view, 3> kTiers = {"info", "ticket", "page"};
constexpr std::array<std::string_view, 4> kEffects = {"listing", "praise", "neutral", "refusal"};
constexpr std::array<std::string_view, 3> kCauses = {"unknown", "relay", "proxy"};

template <class Enum, std::size_t kCount>
std::optional<Enum> find_word(const std::array<std::string_view, kCount>& words, std::string_view text) {
  const auto found = std::find(words.begin(), words.end(), text);
  if (found == words.end()) return std::nullopt;
  return static_cast<Enum>(found - words.begin());
}

std::optional<std::uint8_t> parse_octet(std::string_view text) {
  std::uint8_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool is_error_code(const IpAddress& code) {
  const auto bytes = code.bytes();
  return bytes[0] == 127 && bytes[1] == 255 && bytes[2] == 255;
}

std::string_view error_text(std::uint8_t last) {
  switch (last) {
    case 252:
      return "the zone's name is misspelt";
    case 254:
      return "it does not answer this resolver, because it is a public or shared one";
    case 255:
      return "this resolver has asked too many questions";
    default:
      return "it does not answer our questions";
  }
}

std::vector<const CodeRule*> matching(const IpAddress& code, const ZoneRules& rules) {
  std::vector<const CodeRule*> found;
  for (const CodeRule& rule : rules.codes) {
    if (rule.pattern.is_mask() && rule.pattern.matches(code)) found.push_back(&rule);
  }
  if (!found.empty()) return found;
  for (const CodeRule& rule : rules.codes) {
    if (rule.pattern.is_mask() || !rule.pattern.matches(code)) continue;
    found.push_back(&rule);
    break;
  }
  return found;
}

struct Trouble {
  ZoneState state;
  std::string because;
};

// What makes the answer worthless, whatever else it holds.
std::optional<Trouble> trouble_of(const DnsblReply& reply, const ZoneRules& rules) {
  using Outcome = DnsblReply::Outcome;
  switch (reply.outcome) {
    case Outcome::timeout:
      return Trouble{ZoneState::timeout, "nobody answered in time"};
    case Outcome::servfail:
      return Trouble{ZoneState::servfail, "the resolver got no answer that can be used (SERVFAIL)"};
    case Outcome::refused:
      return Trouble{ZoneState::refused, "the question was refused (REFUSED)"};
    case Outcome::no_such_name:
    case Outcome::no_data:
      return std::nullopt;
    case Outcome::answered:
      break;
  }
  const IpAddress kOne = IpAddress::v4({127, 0, 0, 1});
  for (const IpAddress& code : reply.addresses) {
    if (!code.is_v4() || !is_error_code(code)) continue;
    return Trouble{ZoneState::blocked, fmt::format("it answers {}: {}", code.to_string(), error_text(code.bytes()[3]))};
  }
  for (const IpAddress& code : reply.addresses) {
    if (!code.is_v4() || code.bytes()[0] != 127) continue;
    const std::vector<const CodeRule*> rules_of_code = matching(code, rules);
    for (const CodeRule* rule : rules_of_code) {
      if (rule->effect != CodeEffect::refusal) continue;
      return Trouble{ZoneState::blocked, fmt::format("it answers {}: {}", code.to_string(), rule->meaning)};
    }
    if (code == kOne && rules_of_code.empty()) {
      return Trouble{ZoneState::blocked, "it answers 127.0.0.1, by which databases refuse a question"};
    }
  }
  for (const IpAddress& code : reply.addresses) {
    if (code.is_v4() && code.bytes()[0] == 127) continue;
    return Trouble{ZoneState::hijacked, fmt::format("it answers {}, which is no code of any database: the resolver rewrites "
                                                    "answers, or the zone's domain has another owner",
                                                    code.to_string())};
  }
  if (reply.addresses.empty()) return Trouble{ZoneState::servfail, "the answer is empty"};
  return std::nullopt;
}

bool is_in_zone(const DnsblReply& reply) { return reply.outcome == DnsblReply::Outcome::answered; }

void add_codes(const IpAddress& code, const ZoneRules& rules, std::vector<DnsblCode>& codes) {
  const std::string text = code.to_string();
  const std::vector<const CodeRule*> found = matching(code, rules);
  if (found.empty()) codes.push_back({text, "unknown", CodeEffect::listing, ListingCause::unknown, rules.tier});
  for (const CodeRule* rule : found) {
    codes.push_back({text, rule->meaning, rule->effect, rule->cause, rule->tier.value_or(rules.tier)});
  }
}

// Of too many codes, those that decide: listings before the rest, and the worst of them first.
void keep_what_decides(std::vector<DnsblCode>& codes) {
  if (codes.size() <= kMaxDnsblCodes) return;
  const auto weight = [](const DnsblCode& code) {
    return code.effect == CodeEffect::listing ? 1 + static_cast<int>(code.tier) : 0;
  };
  std::stable_sort(codes.begin(), codes.end(), [&](const DnsblCode& a, const DnsblCode& b) { return weight(a) > weight(b); });
  codes.erase(codes.begin() + static_cast<std::ptrdiff_t>(kMaxDnsblCodes), codes.end());
}

}  // namespace

std::string_view to_string(ZoneState state) { return kStates[static_cast<std::size_t>(state)]; }
std::optional<ZoneState> parse_zone_state(std::string_view text) { return find_word<ZoneState>(kStates, text); }
std::string_view to_string(ListingTier tier) { return kTiers[static_cast<std::size_t>(tier)]; }
std::optional<ListingTier> parse_listing_tier(std::string_view text) { return find_word<ListingTier>(kTiers, text); }
std::string_view to_string(CodeEffect effect) { return kEffects[static_cast<std::size_t>(effect)]; }
std::optional<CodeEffect> parse_code_effect(std::string_view text) { return find_word<CodeEffect>(kEffects, text); }
std::string_view to_string(ListingCause cause) { return kCauses[static_cast<std::size_t>(cause)]; }
std::optional<ListingCause> parse_listing_cause(std::string_view text) { return find_word<ListingCause>(kCauses, text); }

std::optional<CodePattern> CodePattern::parse(std::string_view text) {
  CodePattern pattern;
  pattern.text_ = text;
  for (std::size_t i = 0; i < 4; ++i) {
    const std::size_t dot = text.find('.');
    if ((dot == std::string_view::npos) != (i == 3)) return std::nullopt;
    const std::string_view part = text.substr(0, dot);
    text.remove_prefix(i == 3 ? text.size() : dot + 1);
    if (part == "*") continue;
    const bool bits = i == 3 && part.starts_with('&');
    const std::size_t dash = part.find('-');
    const auto least = parse_octet(bits ? part.substr(1) : part.substr(0, dash));
    const auto most = bits || dash == std::string_view::npos ? least : parse_octet(part.substr(dash + 1));
    if (!least || !most || *least > *most || (bits && *least == 0)) return std::nullopt;
    if (bits) {
      pattern.mask_ = *least;
    } else {
      pattern.parts_[i] = {*least, *most};
    }
  }
  if (pattern.parts_[0] != Range{127, 127}) return std::nullopt;
  return pattern;
}

bool CodePattern::matches(const IpAddress& code) const {
  if (!code.is_v4()) return false;
  const auto bytes = code.bytes();
  for (std::size_t i = 0; i < 4; ++i) {
    if (bytes[i] < parts_[i].least || bytes[i] > parts_[i].most) return false;
  }
  return mask_ == 0 || (bytes[3] & mask_) != 0;
}

DnsblFinding judge_dnsbl(const DnsblReply& reply, const ZoneRules& rules) {
  DnsblFinding finding;
  finding.tier = rules.tier;
  if (std::optional<Trouble> trouble = trouble_of(reply, rules)) {
    finding.state = trouble->state;
    finding.because = std::move(trouble->because);
    return finding;
  }
  finding.state = ZoneState::healthy;
  if (is_in_zone(reply)) {
    for (const IpAddress& code : reply.addresses) add_codes(code, rules, finding.codes);
    keep_what_decides(finding.codes);
  }
  std::optional<ListingTier> worst;
  std::string meanings;
  for (const DnsblCode& code : finding.codes) {
    meanings += fmt::format("{}{} ({})", meanings.empty() ? "" : ", ", code.code, code.meaning);
    if (code.effect == CodeEffect::listing) worst = std::max(worst.value_or(code.tier), code.tier);
  }
  finding.listed = worst.has_value();
  if (worst) finding.tier = *worst;
  if (worst) {
    finding.because = fmt::format("listed: {}", meanings);
  } else {
    finding.because = meanings.empty() ? "not listed" : fmt::format("not listed; known as {}", meanings);
  }
  return finding;
}

ZoneHealth judge_zone(const ZoneTest& test, const ZoneRules& rules, bool test_points) {
  struct Point {
    std::string_view name;
    const DnsblReply* reply;
  };
  std::vector<Point> points;
  if (test_points) points = {{"what must be listed", &test.listed}, {"what must not be listed", &test.unlisted}};
  points.push_back({"an address or name of nobody", &test.nobody});
  // That we are refused explains the rest; then that somebody else answers; then that nobody does.
  constexpr ZoneState kOrder[] = {ZoneState::blocked, ZoneState::hijacked, ZoneState::refused, ZoneState::servfail,
                                  ZoneState::timeout};
  for (const ZoneState state : kOrder) {
    for (const Point& point : points) {
      const std::optional<Trouble> trouble = trouble_of(*point.reply, rules);
      if (trouble && trouble->state == state) return {state, fmt::format("asked about {}, {}", point.name, trouble->because)};
    }
  }
  if (is_in_zone(test.nobody) || (test_points && is_in_zone(test.unlisted))) {
    return {ZoneState::lists_the_world, "it lists what nobody can have listed"};
  }
  if (test_points && !is_in_zone(test.listed)) {
    return {ZoneState::empty, "it does not list its own test point: it was emptied, or answers us as if it were"};
  }
  return {ZoneState::healthy, test_points ? "its test points answer as they must"
                                          : "it does not list the world; without test points no more can be told"};
}

ListingStep next_step(const std::optional<bool>& known, const DnsblFinding& finding, ZoneState health, bool tested_since) {
  if (!finding.listed) return ListingStep::keep;
  if (tested_since) return health == ZoneState::healthy ? ListingStep::publish : ListingStep::keep;
  if (health != ZoneState::healthy) return ListingStep::confirm;
  return known == finding.listed ? ListingStep::publish : ListingStep::confirm;
}

}  // namespace ajar
