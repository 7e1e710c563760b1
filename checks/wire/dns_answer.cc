#include "checks/wire/dns_answer.h"

#include <algorithm>
#include <array>
#include <map>

#include <fmt/format.h>

#include "checks/wire/ascii.h"

namespace ajar {

namespace {

constexpr std::uint16_t kTypeCname = 5, kTypeSoa = 6, kTypeDname = 39, kTypeOpt = 41, kTypeRrsig = 46;
constexpr std::uint16_t kClassIn = 1;

// A label as text. Case does not matter (RFC 1035 2.3.3); what is not a plain character becomes \DDD (RFC 1035 5.1), so that no
// two names share a text.
void append_label(std::string& text, std::string_view label) {
  if (!text.empty()) text += '.';
  for (const char c : label) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    if (plain) {
      text += to_lower(c);
    } else {
      text += fmt::format("\\{:03}", static_cast<unsigned char>(c));
    }
  }
}

// Walks the message; every read says whether there was enough.
class Reader {
 public:
  explicit Reader(std::string_view message) : message_(message) {}

  std::size_t at() const { return at_; }
  bool skip(std::size_t count) {
    if (count > message_.size() - at_) return false;
    at_ += count;
    return true;
  }
  bool u16(std::uint16_t& value) {
    if (message_.size() - at_ < 2) return false;
    value = static_cast<std::uint16_t>((byte(at_) << 8) | byte(at_ + 1));
    at_ += 2;
    return true;
  }
  bool u32(std::uint32_t& value) {
    std::uint16_t high = 0, low = 0;
    if (!u16(high) || !u16(low)) return false;
    value = (static_cast<std::uint32_t>(high) << 16) | low;
    return true;
  }
  // RFC 1035 4.1.4. A pointer must point before the place where this name, or the last pointer followed, began: then it ends.
  bool name(std::string& text) {
    text.clear();
    std::size_t place = at_, bound = at_, length = 0;
    bool jumped = false;
    while (true) {
      if (place >= message_.size()) return false;
      const unsigned head = byte(place);
      if (head == 0) {
        if (!jumped) at_ = place + 1;
        return true;
      }
      if ((head & 0xC0U) == 0xC0U) {
        if (place + 1 >= message_.size()) return false;
        const std::size_t target = ((head & 0x3FU) << 8) | byte(place + 1);
        if (target >= bound) return false;
        if (!jumped) at_ = place + 2;
        jumped = true;
        place = bound = target;
        continue;
      }
      if ((head & 0xC0U) != 0 || head > message_.size() - place - 1) return false;
      length += head + 1;
      if (length > 254) return false;  // RFC 1035 2.3.4: 255 with the root label
      append_label(text, message_.substr(place + 1, head));
      place += head + 1;
    }
  }
  std::string_view bytes(std::size_t count) const { return message_.substr(at_, count); }

 private:
  unsigned byte(std::size_t place) const { return static_cast<unsigned char>(message_[place]); }

  std::string_view message_;
  std::size_t at_ = 0;
};

struct Record {
  std::string owner;
  std::uint16_t type = 0, klass = 0;
  std::uint32_t ttl = 0;
  std::size_t end = 0;
  std::uint16_t length = 0;
};

bool read_head(Reader& reader, Record& record) {
  if (!reader.name(record.owner) || !reader.u16(record.type) || !reader.u16(record.klass) || !reader.u32(record.ttl))
    return false;
  if (record.type != kTypeOpt && (record.ttl & 0x80000000U)) record.ttl = 0;  // RFC 2181 8
  return reader.u16(record.length);
}

// One record of the kind that was asked for, with its owner: the chain decides later whose records count.
struct Held {
  std::string owner;
  std::uint32_t ttl = 0;
  IpAddress address;
  MailExchanger exchanger;
  ServicePlace service;
  std::string text;
  bool cut = false;
};

struct Alias {
  std::string to;
  std::uint32_t ttl = 0;
};

// The zone in whose name the server speaks.
struct Soa {
  std::string zone;
  std::uint32_t ttl = 0;
};

// The sections after the question.
struct Records {
  std::vector<Held> held;
  std::map<std::string, Alias> aliases;
  std::optional<Soa> soa;
  bool strange = false;     // the answer section has records that nobody asked for
  unsigned rcode_high = 0;  // RFC 6891 6.1.3
};

// RFC 1035 3.3.14: strings of at most 255 bytes, one after the other to the end of the record.
bool read_text(std::string_view data, Held& held) {
  if (data.empty()) return false;
  while (!data.empty()) {
    const std::size_t length = static_cast<unsigned char>(data.front());
    if (length > data.size() - 1) return false;
    const std::string_view part = data.substr(1, std::min(length, kMaxDnsText - held.text.size()));
    held.text += part;
    held.cut = held.cut || part.size() < length;
    data.remove_prefix(1 + length);
  }
  return true;
}

// The data of a record of the answer section; the reader stands at its first byte. False when the data does not fit its length.
bool read_answer(Reader& reader, const Record& record, DnsType type, Records& section) {
  if (record.type == kTypeCname) {
    std::string to;
    if (!reader.name(to)) return false;
    section.aliases.try_emplace(record.owner, Alias{to, record.ttl});
    return true;
  }
  if (record.type != static_cast<std::uint16_t>(type)) {
    section.strange = section.strange || (record.type != kTypeDname && record.type != kTypeRrsig);
    return true;
  }
  Held held;
  held.owner = record.owner;
  held.ttl = record.ttl;
  if (type == DnsType::mx) {
    if (!reader.u16(held.exchanger.preference) || !reader.name(held.exchanger.host)) return false;
  } else if (type == DnsType::srv) {
    std::uint16_t priority = 0, weight = 0;
    if (!reader.u16(priority) || !reader.u16(weight) || !reader.u16(held.service.port)) return false;
    if (!reader.name(held.service.host)) return false;
  } else if (type == DnsType::ptr) {
    if (!reader.name(held.text)) return false;
  } else if (type == DnsType::txt) {
    const std::string_view data = reader.bytes(record.length);
    if (data.size() != record.length || !read_text(data, held)) return false;
  } else {
    const std::string_view data = reader.bytes(record.length);
    if (data.size() != (type == DnsType::a ? 4U : 16U)) return false;
    std::array<std::uint8_t, 4> four{};
    std::array<std::uint8_t, 16> sixteen{};
    if (type == DnsType::a) {
      std::copy(data.begin(), data.end(), four.begin());
      held.address = IpAddress::v4(four);
    } else {
      std::copy(data.begin(), data.end(), sixteen.begin());
      held.address = IpAddress::v6(sixteen);
    }
  }
  section.held.push_back(std::move(held));
  return true;
}

// RFC 2308 5: the smaller of the record's own TTL and its MINIMUM.
bool read_soa(Reader& reader, const Record& record, Records& section) {
  std::string primary, mailbox;
  std::uint32_t serial = 0, refresh = 0, retry = 0, expire = 0, minimum = 0;
  if (!reader.name(primary) || !reader.name(mailbox) || !reader.u32(serial) || !reader.u32(refresh) || !reader.u32(retry) ||
      !reader.u32(expire) || !reader.u32(minimum)) {
    return false;
  }
  if (minimum & 0x80000000U) minimum = 0;  // RFC 2181 8
  if (!section.soa) section.soa = Soa{record.owner, std::min(record.ttl, minimum)};
  return true;
}

enum class Part { answer, authority, additional };

bool read_section(Reader& reader, std::uint16_t count, Part part, DnsType type, Records& section) {
  for (unsigned i = 0; i < count; ++i) {
    Record record;
    if (!read_head(reader, record)) return false;
    const std::size_t start = reader.at();
    if (part == Part::additional) {
      if (record.type == kTypeOpt) section.rcode_high = record.ttl >> 24;
    } else if (record.klass == kClassIn) {
      const bool soa = part == Part::authority && record.type == kTypeSoa;
      if (part == Part::answer && !read_answer(reader, record, type, section)) return false;
      if (soa && !read_soa(reader, record, section)) return false;
      if (reader.at() > start + record.length) return false;  // a name that runs past its own record
    } else if (part == Part::answer) {
      section.strange = true;
    }
    if (!reader.skip(start + record.length - reader.at())) return false;
  }
  return true;
}

// Whether `name` is `zone` or stands below it.
bool is_within(std::string_view name, std::string_view zone) {
  if (zone.empty() || name == zone) return true;
  return name.size() > zone.size() && name.ends_with(zone) && name[name.size() - zone.size() - 1] == '.';
}

// The records of the chain's end, bounded and in order.
void keep(const Records& section, DnsType type, DnsRecords& records, bool& any) {
  std::size_t exchangers = 0, services = 0, root = 0;
  for (const Held& held : section.held) {
    if (held.owner != records.canonical) continue;
    records.ttl = any ? std::min(records.ttl, held.ttl) : held.ttl;
    any = true;
    if (type == DnsType::mx) {
      ++exchangers;
      if (held.exchanger.host.empty()) {
        ++root;
      } else if (!is_dns_name(held.exchanger.host) || records.exchangers.size() >= kMaxDnsRecords) {
        records.dropped = true;
      } else {
        records.exchangers.push_back(held.exchanger);
      }
    } else if (type == DnsType::srv) {
      ++services;
      if (held.service.host.empty()) {
        ++root;
      } else if (!is_dns_name(held.service.host) || held.service.port == 0 || records.services.size() >= kMaxDnsServices) {
        records.dropped = true;
      } else {
        records.services.push_back(held.service);
      }
    } else if (type == DnsType::ptr) {
      const bool fits = is_dns_name(held.text) && records.names.size() < kMaxDnsRecords;
      if (fits) records.names.push_back(held.text);
      records.dropped = records.dropped || !fits;
    } else if (type == DnsType::txt) {
      if (held.cut || records.texts.size() >= kMaxDnsRecords) records.dropped = true;
      if (records.texts.size() < kMaxDnsRecords) records.texts.push_back(held.text);
    } else if (std::find(records.addresses.begin(), records.addresses.end(), held.address) != records.addresses.end()) {
      continue;
    } else if (records.addresses.size() >= kMaxDnsRecords) {
      records.dropped = true;
    } else {
      records.addresses.push_back(held.address);
    }
  }
  // RFC 7505 3: a null MX stands alone. Beside others, "." is no host and is left out.
  records.null_mx = exchangers > 0 && exchangers == root;
  records.no_service = services > 0 && services == root;
  std::sort(records.services.begin(), records.services.end());
  records.services.erase(std::unique(records.services.begin(), records.services.end()), records.services.end());
  std::sort(records.exchangers.begin(), records.exchangers.end());
  records.exchangers.erase(std::unique(records.exchangers.begin(), records.exchangers.end()), records.exchangers.end());
}

std::string folded(std::string_view name) {
  std::string text = to_lower(name);
  if (!text.empty() && text.back() == '.') text.pop_back();
  return text;
}

}  // namespace

std::string_view to_string(DnsType type) {
  switch (type) {
    case DnsType::a:
      return "A";
    case DnsType::ptr:
      return "PTR";
    case DnsType::mx:
      return "MX";
    case DnsType::txt:
      return "TXT";
    case DnsType::aaaa:
      return "AAAA";
    case DnsType::srv:
      return "SRV";
  }
  return "?";
}

bool is_dns_name(std::string_view name) {
  if (name.empty() || name.size() > 253) return false;
  std::size_t label = 0;
  for (const char c : name) {
    if (c == '.') {
      if (label == 0) return false;
      label = 0;
      continue;
    }
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    if (!plain || ++label > 63) return false;
  }
  return label > 0;
}

std::optional<DnsRecords> parse_dns_answer(std::string_view message, std::string_view name, DnsType type) {
  Reader reader(message);
  std::uint16_t id = 0, flags = 0, questions = 0, answers = 0, authorities = 0, additionals = 0;
  if (!reader.u16(id) || !reader.u16(flags) || !reader.u16(questions) || !reader.u16(answers) || !reader.u16(authorities) ||
      !reader.u16(additionals)) {
    return std::nullopt;
  }
  std::string asked;
  std::uint16_t asked_type = 0, asked_class = 0;
  if (!(flags & 0x8000U) || questions != 1 || !reader.name(asked) || !reader.u16(asked_type) || !reader.u16(asked_class)) {
    return std::nullopt;
  }
  DnsRecords records;
  records.canonical = folded(name);
  if (asked != records.canonical || asked_type != static_cast<std::uint16_t>(type) || asked_class != kClassIn)
    return std::nullopt;
  Records section;
  if (!read_section(reader, answers, Part::answer, type, section) ||
      !read_section(reader, authorities, Part::authority, type, section) ||
      !read_section(reader, additionals, Part::additional, type, section)) {
    return std::nullopt;
  }
  records.rcode = (section.rcode_high << 4) | (flags & 0x0FU);
  records.truncated = (flags & 0x0200U) != 0;
  bool any = false;
  std::size_t hops = 0;
  for (;; ++hops) {
    const auto alias = section.aliases.find(records.canonical);
    if (alias == section.aliases.end()) break;
    if (hops == kMaxDnsAliases) return std::nullopt;  // a ring, or a chain that nobody means
    records.canonical = alias->second.to;
    records.ttl = any ? std::min(records.ttl, alias->second.ttl) : alias->second.ttl;
    any = true;
  }
  keep(section, type, records, any);
  const bool found = !records.addresses.empty() || !records.exchangers.empty() || !records.names.empty() ||
                     !records.texts.empty() || !records.services.empty() || records.null_mx || records.no_service;
  records.strange = !found && (section.strange || !section.held.empty() || section.aliases.size() > hops);
  if (section.soa && is_within(records.canonical, section.soa->zone)) records.negative_ttl = section.soa->ttl;
  return records;
}

}  // namespace ajar
