#include "agent/shadowserver.h"

#include <algorithm>
#include <charconv>
#include <map>

#include <fmt/format.h>

#include "agent/csv.h"
#include "checks/network.h"

namespace ajar {
namespace {

constexpr std::size_t kMaxListName = 128;
constexpr std::size_t kShownOfField = 64;  // in a message

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

// Whether `text` begins with `shape`, in which 'd' stands for a digit.
bool fits(std::string_view text, std::string_view shape) {
  if (text.size() < shape.size()) return false;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == 'd' ? !is_digit(text[i]) : text[i] != shape[i]) return false;
  }
  return true;
}

int number(std::string_view digits) {
  int value = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return value;
}

// "2026-01-02 03:04:05", with T for the blank, and with Z or +00:00 after it. UTC.
std::optional<Time> instant(std::string_view text) {
  if (!fits(text, "dddd-dd-dd dd:dd:dd") && !fits(text, "dddd-dd-ddTdd:dd:dd")) return std::nullopt;
  const std::string_view zone = text.substr(19);
  if (!zone.empty() && zone != "Z" && zone != "+00:00") return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(number(text.substr(0, 4))),
                                         std::chrono::month(static_cast<unsigned>(number(text.substr(5, 2)))),
                                         std::chrono::day(static_cast<unsigned>(number(text.substr(8, 2))))};
  const int hour = number(text.substr(11, 2)), minute = number(text.substr(14, 2)), second = number(text.substr(17, 2));
  if (!date.ok() || hour > 23 || minute > 59 || second > 59) return std::nullopt;
  return Time(std::chrono::sys_days(date)) + std::chrono::hours(hour) + std::chrono::minutes(minute) +
         std::chrono::seconds(second);
}

std::optional<std::uint16_t> port_of(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size() || port == 0) return std::nullopt;
  return port;
}

// A row that makes no sense; what() is not escaped.
class BadField : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The columns of the header by their names.
class Header {
 public:
  Header(const CsvRow& row, const ReportType& type) : width_(row.fields.size()) {
    if (!row.trouble.empty()) throw ReportError(fmt::format("line {}: the header cannot be read: {}", row.line, row.trouble));
    for (std::size_t i = 0; i < row.fields.size(); ++i) columns_.try_emplace(std::string(trimmed(row.fields[i])), i);
    for (const std::string_view needed : {"timestamp", "ip", "port"}) {
      if (columns_.contains(needed) || (needed == "port" && !type.names_port())) continue;
      throw ReportError(
          fmt::format("line {}: the header has no column `{}`: this is no {} report", row.line, needed, type.name));
    }
  }

  // The text of a column; empty where there is none.
  std::string_view text(const CsvRow& row, std::string_view column) const {
    const auto found = columns_.find(column);
    return found == columns_.end() ? std::string_view() : trimmed(row.fields[found->second]);
  }
  std::size_t width() const { return width_; }

 private:
  std::map<std::string, std::size_t, std::less<>> columns_;
  std::size_t width_;
};

std::string named(std::string_view column, std::string_view text) {
  return fmt::format("{} `{}`", column, escape(text, kShownOfField));
}

Suspicion suspicion_of(const CsvRow& row, const Header& header, const ReportType& type, Time now) {
  if (!row.trouble.empty()) throw BadField(row.trouble);
  if (row.fields.size() != header.width())
    throw BadField(fmt::format("{} fields where the header has {}", row.fields.size(), header.width()));
  Suspicion read;
  read.key.source = kShadowserver;
  read.key.report = type.name;
  read.imported = now;
  const std::string_view ip = header.text(row, "ip"), time = header.text(row, "timestamp");
  const auto address = IpAddress::parse(ip);
  if (!address) throw BadField(named("ip", ip) + " is no address");
  read.key.address = *address;
  const auto reported = instant(time);
  if (!reported) throw BadField(named("timestamp", time) + " is no time such as 2026-01-02 03:04:05");
  if (*reported > now + kReportAhead) throw BadField(named("timestamp", time) + " lies in the future");
  read.reported = *reported;
  if (type.names_port()) {
    const std::string_view text = header.text(row, "port"), protocol = header.text(row, "protocol");
    const auto port = port_of(text);
    if (!port) throw BadField(named("port", text) + " is no port");
    if (!protocol.empty() && protocol != "tcp") throw BadField(named("protocol", protocol) + " is not tcp");
    read.key.port = *port;
  } else {
    read.key.list = escape(header.text(row, "source"), kMaxListName);
  }
  for (const std::string_view column : type.columns) {
    const std::string_view text = header.text(row, column);
    if (!text.empty()) read.saw.emplace_back(column, escape(text, kMaxSawText));
  }
  return read;
}

std::string known_types() {
  std::string names;
  for (const ReportType& type : report_types()) names += fmt::format("{}{}", names.empty() ? "" : ", ", type.name);
  return names;
}

}  // namespace

const ReportType& shadowserver_type(std::string_view file) {
  const std::size_t slash = file.rfind('/');
  const std::string_view name = slash == std::string_view::npos ? file : file.substr(slash + 1);
  constexpr std::string_view kDate = "dddd-dd-dd-";
  if (!fits(name, kDate) || !name.ends_with(".csv")) {
    throw ReportError(fmt::format("the name says no type of report: leave it as it came, YYYY-MM-DD-TYPE-….csv; types are {}",
                                  known_types()));
  }
  std::string_view word = name.substr(kDate.size(), name.size() - kDate.size() - 4);
  word = word.substr(0, word.find('-'));
  if (const ReportType* type = find_report_type(word)) return *type;
  throw ReportError(fmt::format("`{}` is no report that ajar can test; types are {}", escape(word), known_types()));
}

ReportSummary read_shadowserver(std::string_view text, const ReportType& type, Time now,
                                const std::function<void(Suspicion)>& take) {
  if (text.size() > kMaxReportBytes) throw ReportError(fmt::format("more than {} bytes: split it", kMaxReportBytes));
  CsvReader reader(text);
  const std::optional<CsvRow> first = reader.next();
  if (!first) throw ReportError("empty: not even a header");
  const Header header(*first, type);
  ReportSummary summary;
  const auto broken = [&](std::size_t line, std::string why) {
    ++summary.broken;
    if (summary.named.size() < kMaxBrokenRows) summary.named.push_back({line, std::move(why)});
  };
  while (const std::optional<CsvRow> row = reader.next()) {
    ++summary.rows;
    if (summary.rows > kMaxReportRows) {
      broken(row->line, fmt::format("more than {} rows: the rest was not read", kMaxReportRows));
      break;
    }
    try {
      take(suspicion_of(*row, header, type, now));
    } catch (const BadField& bad) {
      broken(row->line, bad.what());
    }
  }
  return summary;
}

}  // namespace ajar
