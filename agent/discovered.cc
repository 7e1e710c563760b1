#include "agent/discovered.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string_view>

#include <fmt/format.h>

#include "config/values.h"

namespace ajar {
namespace {

constexpr std::string_view kHidden = "__", kOurs = "__ajar_";
constexpr std::string_view kPorts = "__ajar_ports_", kInterval = "__ajar_interval_";
const std::vector<std::string> kLabels = {
    "__ajar_name",  "__ajar_checks",       "__ajar_ports_CHECK",        "__ajar_interval_CHECK",
    "__ajar_owner", "__ajar_mail_domains", "__ajar_control_recipients", "__ajar_paused"};

// A list of words with commas, without the spaces around them.
std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  while (!text.empty()) {
    const std::size_t comma = text.find(',');
    std::string_view word = text.substr(0, comma);
    text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
    while (word.starts_with(' ')) word.remove_prefix(1);
    while (word.ends_with(' ')) word.remove_suffix(1);
    if (!word.empty()) words.emplace_back(word);
  }
  return words;
}

// RFC 3629; a label of Prometheus is UTF-8.
bool is_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto first = static_cast<unsigned char>(text[i++]);
    if (first < 0x80) continue;
    const std::size_t more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : 1;
    if (first < 0xC2 || first > 0xF4 || text.size() - i < more) return false;
    const auto second = static_cast<unsigned char>(text[i]);
    const bool long_form = (first == 0xE0 && second < 0xA0) || (first == 0xF0 && second < 0x90);
    const bool outside = (first == 0xED && second > 0x9F) || (first == 0xF4 && second > 0x8F);
    if (long_form || outside) return false;
    for (std::size_t k = 0; k < more; ++k, ++i) {
      if ((static_cast<unsigned char>(text[i]) & 0xC0U) != 0x80U) return false;
    }
  }
  return true;
}

// On one line, as a label of the configuration is.
std::string one_line(std::string text) {
  std::replace_if(text.begin(), text.end(), [](char c) { return (c >= 0 && c < ' ') || c == 0x7f; }, ' ');
  return text;
}

bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) { return (c >= 0 && c < ' ') || c == 0x7f; });
}

// What the labels of a group choose for each of its targets: Wrong with the label's name in front.
struct Choice {
  TargetConfig target;  // without name, place, and ports that stand in the entry
  std::string name;
};

template <class Read>
auto read_label(std::string_view label, std::string_view value, Read read) -> decltype(read(value)) {
  try {
    return read(value);
  } catch (const Wrong& wrong) {
    throw Wrong(fmt::format("`{}` = {} {}", label, quote(value), wrong.what()));
  }
}

bool read_flag(std::string_view text) {
  if (text != "true" && text != "false") throw Wrong("is neither true nor false: write one of them");
  return text == "true";
}

Duration read_interval(std::string_view text) {
  const std::optional<Duration> parsed = parse_duration(text);
  if (!parsed || *parsed < kShortestInterval || *parsed > kLongestInterval) {
    throw Wrong(fmt::format("is not a duration from {} to {}: write \"15m\"", format_duration(kShortestInterval),
                            format_duration(kLongestInterval)));
  }
  return *parsed;
}

std::vector<Port> read_ports(std::string_view text, const CheckInfo& check) {
  std::vector<Port> ports;
  for (const std::string& word : words_of(text)) {
    const std::optional<Port> port = parse_port(word);
    if (!port) throw Wrong(fmt::format("has {}, which is not a port: write \"25,465/tls\" or \"3478/udp\"", quote(word)));
    const std::string problem = port_problem(*port, ports, check);
    if (!problem.empty()) throw Wrong(fmt::format("has {}, which {}", word, problem));
    ports.push_back(*port);
  }
  if (ports.empty())
    throw Wrong(fmt::format("has no port, so nothing would be asked: take {} out of __ajar_checks", check.name));
  return ports;
}

// The check that a label like "__ajar_ports_smtp_relay" is about.
const CheckInfo& check_of(std::string_view label, std::string_view prefix, const TargetConfig& target) {
  const std::string name = read_label(label, label.substr(prefix.size()), read_check);
  if (std::find(target.checks.begin(), target.checks.end(), name) == target.checks.end()) {
    throw Wrong(fmt::format("`{}` has no effect: add {} to __ajar_checks", label, name));
  }
  return *find_check(name);
}

void read_ours(Choice& choice, std::string_view label, const std::string& value) {
  TargetConfig& target = choice.target;
  if (has_control(value)) throw Wrong(fmt::format("`{}` has a control character", label));
  const auto each = [&](std::string (*read)(std::string_view)) {
    std::vector<std::string> found;
    for (const std::string& word : words_of(value)) found.push_back(read_label(label, word, read));
    return found;
  };
  if (label == "__ajar_name") {
    choice.name = read_label(label, value, read_target_name);
  } else if (label == "__ajar_owner") {
    target.owner = value;
  } else if (label == "__ajar_mail_domains") {
    target.mail_domains = each(read_host);
  } else if (label == "__ajar_control_recipients") {
    target.control_recipients = each(read_mailbox);
  } else if (label == "__ajar_paused") {
    target.paused = read_label(label, value, read_flag);
  } else if (label.starts_with(kPorts)) {
    const CheckInfo& check = check_of(label, kPorts, target);
    target.ports[std::string(check.name)] =
        read_label(label, value, [&](std::string_view text) { return read_ports(text, check); });
  } else if (label.starts_with(kInterval)) {
    const CheckInfo& check = check_of(label, kInterval, target);
    target.intervals[std::string(check.name)] = read_label(label, value, read_interval);
  } else if (label != "__ajar_checks") {
    throw Wrong(fmt::format("{} is not a label that ajar knows: write {}", quote(label), join_or(kLabels)));
  }
}

void read_checks_label(Choice& choice, const std::string& value) {
  TargetConfig& target = choice.target;
  constexpr std::string_view kChecks = "__ajar_checks";
  target.checks.clear();
  for (const std::string& word : words_of(value)) {
    std::string check = read_label(kChecks, word, read_target_check);
    if (std::find(target.checks.begin(), target.checks.end(), check) == target.checks.end()) {
      target.checks.push_back(std::move(check));
    }
  }
  target.dnsbl = std::erase(target.checks, "dnsbl") > 0;
}

Choice read_labels(const TargetGroup& group, const DiscoveryConfig& source) {
  Choice choice;
  TargetConfig& target = choice.target;
  target.checks = source.checks;
  target.dnsbl = source.dnsbl;
  target.owner = source.owner;
  target.labels = source.labels;
  const auto checks = group.labels.find("__ajar_checks");  // other labels are about them
  if (checks != group.labels.end() && !checks->second.empty()) read_checks_label(choice, checks->second);
  for (const auto& [label, value] : group.labels) {
    if (label.empty() || as_label(label) != label) {
      throw Wrong(fmt::format("label {} is not a name that Prometheus takes (letters, digits and _)", quote(label)));
    }
    if (!is_utf8(value)) throw Wrong(fmt::format("label {} is not UTF-8", quote(label)));
    if (label.starts_with(kOurs)) {
      if (!value.empty()) read_ours(choice, label, value);
    } else if (!label.starts_with(kHidden)) {
      if (value.empty()) target.labels.erase(label);
      if (!value.empty()) target.labels[label] = one_line(value);
    }
  }
  return choice;
}

struct Where {
  TargetPlace place;
  std::optional<std::uint16_t> port;
};

// "host", "host:25", "203.0.113.5:25", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:25".
Where read_where(std::string_view text) {
  Where where;
  if (text.empty()) throw Wrong("is empty: write a host, or host:port");
  if (text.find("://") != std::string_view::npos) throw Wrong("is a URL: write host:port alone");
  if (text.find('/') != std::string_view::npos) throw Wrong("is a network or a path: write a [[target]] for a network");
  const std::optional<IpAddress> bare = IpAddress::parse(text);
  std::string_view host = text, port;
  bool has_port = false;
  if (!bare && text.starts_with('[')) {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos) throw Wrong("has no ] behind the address");
    host = text.substr(1, end - 1);
    port = text.substr(end + 1);
    has_port = !port.empty();
    if (has_port && port.front() != ':') throw Wrong("has something else than :port behind the address");
    if (has_port) port.remove_prefix(1);
    const auto inner = IpAddress::parse(host);
    if (!inner) throw Wrong("has no address in its brackets");
    where.place.address = inner;
  } else if (bare) {
    where.place.address = bare;
  } else {
    const std::size_t colon = text.rfind(':');
    has_port = colon != std::string_view::npos;
    if (has_port) {
      host = text.substr(0, colon);
      port = text.substr(colon + 1);
    }
    if (host.find(':') != std::string_view::npos)
      throw Wrong("has two colons: write an IPv6 address in brackets, [2001:db8::5]:25");
    where.place.address = IpAddress::parse(host);
    if (!where.place.address) where.place.host = read_host(host);
  }
  if (!has_port) return where;
  const std::optional<Port> number = parse_port(port);
  if (!number || port.find('/') != std::string_view::npos) throw Wrong("has no port from 1 to 65535 behind the colon");
  where.port = number->number;
  return where;
}

// The port of an entry is asked by those that speak there by default, or by all of them.
void put_port(TargetConfig& target, std::uint16_t number) {
  std::map<std::string, std::vector<Port>> usual;
  for (const std::string& name : target.checks) {
    const CheckInfo* const check = find_check(name);
    for (const Port& port : check->default_ports) {
      if (port.number == number) usual[name].push_back(port);
    }
  }
  std::erase_if(target.checks, [&](const std::string& name) {
    if (target.ports.contains(name)) return false;  // said for this check
    if (usual.empty()) {
      const CheckInfo* const check = find_check(name);
      const bool tcp = std::any_of(check->default_ports.begin(), check->default_ports.end(),
                                   [](const Port& port) { return port.transport == Transport::tcp; });
      target.ports[name] = {Port{number, tcp ? Transport::tcp : Transport::udp, false}};
      return false;
    }
    const auto found = usual.find(name);
    if (found == usual.end()) return true;
    target.ports[name] = found->second;
    return false;
  });
  std::erase_if(target.intervals, [&](const auto& interval) {
    return std::find(target.checks.begin(), target.checks.end(), interval.first) == target.checks.end();
  });
}

// What is written, as a name that may stand in a URL.
std::string name_from(std::string_view text) {
  std::string name;
  const std::size_t bracket = text.find(']');
  const bool bare_v6 = IpAddress::parse(text).has_value();
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '[' || c == ']') continue;
    const bool inside = bare_v6 || (bracket != std::string_view::npos && i < bracket);
    name += c != ':' ? c : inside ? '-' : '_';
  }
  if (name.ends_with('.')) name.pop_back();
  return name;
}

// The targets of one source while they are read.
class Entries {
 public:
  Entries(const DiscoveryConfig& source, const std::vector<Cidr>& scope) : source_(source), scope_(scope) {}

  void add(const TargetGroup& group) {
    std::optional<Choice> choice;
    std::string why;
    try {
      choice = read_labels(group, source_);
      if (!choice->name.empty() && group.targets.size() > 1) {
        throw Wrong("`__ajar_name` stands for several targets: write a group for each");
      }
    } catch (const Wrong& wrong) {
      choice.reset();
      why = wrong.what();
    }
    for (const std::string& entry : group.targets) {
      if (!choice) {
        refuse(entry, why);
        continue;
      }
      try {
        add(entry, *choice);
      } catch (const Wrong& wrong) {
        refuse(entry, wrong.what());
      }
    }
  }

  std::shared_ptr<const SourceTargets> take(const SourceTargets* before) {
    auto out = std::make_shared<SourceTargets>();
    out->refused = std::move(refused_);
    out->refused_count = refused_count_;
    out->targets.reserve(targets_.size());
    std::size_t place = 0;
    for (auto& [name, target] : targets_) {
      while (before != nullptr && place < before->targets.size() && before->targets[place]->name < name) ++place;
      const bool same = before != nullptr && place < before->targets.size() && *before->targets[place] == target;
      out->targets.push_back(same ? before->targets[place] : std::make_shared<const TargetConfig>(std::move(target)));
    }
    return out;
  }

 private:
  void add(const std::string& entry, const Choice& choice) {
    TargetConfig target = choice.target;
    const Where where = read_where(entry);
    target.place = where.place;
    if (const auto& address = where.place.address; address && !in_scope(scope_, Cidr(*address, address->is_v4() ? 32 : 128))) {
      throw Wrong("is not inside scope");
    }
    if (where.port && !source_.ignore_ports) put_port(target, *where.port);
    target.name = choice.name;
    if (target.name.empty()) target.name = name_from(source_.ignore_ports ? without_port(entry, where) : entry);
    read_target_name(target.name);
    if (choice.name.empty()) return add_unnamed(std::move(target));
    const auto [at, fresh] = targets_.try_emplace(target.name, target);
    if (!fresh && !(at->second == target))
      throw Wrong(fmt::format("has the name {}, which another entry has", quote(target.name)));
  }

  static std::string without_port(const std::string& entry, const Where& where) {
    return where.port ? entry.substr(0, entry.rfind(':')) : entry;
  }

  void add_unnamed(TargetConfig target) {
    constexpr int kMost = 100;
    const std::string base = target.name;
    for (int i = 2; i <= kMost; ++i) {
      const auto found = targets_.find(target.name);
      if (found == targets_.end()) {
        std::string name = target.name;
        targets_.emplace(std::move(name), std::move(target));
        return;
      }
      if (found->second == target) return;  // said again
      target.name = fmt::format("{}-{}", base, i);
    }
    throw Wrong("is there too often with other labels");
  }

  void refuse(const std::string& entry, const std::string& why) {
    ++refused_count_;
    if (refused_.size() < kMaxShownRefusals) refused_.push_back({printable(entry), why});
  }

  const DiscoveryConfig& source_;
  const std::vector<Cidr>& scope_;
  std::map<std::string, TargetConfig> targets_;
  std::vector<RefusedEntry> refused_;
  std::size_t refused_count_ = 0;
};

}  // namespace

std::shared_ptr<const SourceTargets> read_entries(const TargetGroups& groups, const DiscoveryConfig& source,
                                                  const std::vector<Cidr>& scope, const SourceTargets* before) {
  Entries entries(source, scope);
  for (const TargetGroup& group : groups) entries.add(group);
  return entries.take(before);
}

}  // namespace ajar
