#include "agent/exposition.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <deque>

#include <fmt/format.h>

#include "agent/accept.h"

namespace ajar {
namespace {

// The length of the UTF-8 sequence that begins `text`, 0 when it is not one (RFC 3629 4).
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto follows = [&](std::size_t i, unsigned low, unsigned high) {
    return i < text.size() && byte(i) >= low && byte(i) <= high;
  };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return follows(1, 0x80, 0xBF) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    const bool second = follows(1, first == 0xE0 ? 0xA0 : 0x80, first == 0xED ? 0x9F : 0xBF);
    return second && follows(2, 0x80, 0xBF) ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    const bool second = follows(1, first == 0xF0 ? 0x90 : 0x80, first == 0xF4 ? 0x8F : 0xBF);
    return second && follows(2, 0x80, 0xBF) && follows(3, 0x80, 0xBF) ? 4 : 0;
  }
  return 0;
}

// What most values are made of, and what needs neither escaping nor a look at UTF-8.
bool is_plain(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7F && c != '\\' && c != '"'; });
}

void append_escaped(std::string& into, std::string_view text, bool quote) {
  if (is_plain(text)) {
    into += text;
    return;
  }
  while (!text.empty()) {
    const char c = text.front();
    std::size_t length = utf8_length(text);
    if (c == '\\') {
      into += "\\\\";
    } else if (c == '\n') {
      into += "\\n";
    } else if (c == '"' && quote) {
      into += "\\\"";
    } else if (length == 0 || static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
      into += "\xEF\xBF\xBD";
      length = 1;
    } else {
      into.append(text.substr(0, length));
    }
    text.remove_prefix(length);
  }
}

// "le" is written as OpenMetrics wants it ("1.0") in both formats, so that the series is the same whichever is scraped.
std::string bound_text(double bound) {
  const std::string text = Exposition::number(bound);
  return text.find_first_not_of("-0123456789") == std::string::npos ? text + ".0" : text;
}

// A value that is a whole number of thousandths, as instants and durations are, is written by integer arithmetic: up to 15
// digits that is also the shortest text which reads back as the same number. `text` has room for 32 characters.
char* write_thousandths(char* text, double value) {
  const double scaled = value * 1000;
  if (!(std::fabs(scaled) < 1e15) || std::signbit(value)) return nullptr;
  const auto thousandths = static_cast<std::int64_t>(std::llround(scaled));
  if (static_cast<double>(thousandths) / 1000 != value) return nullptr;
  text = std::to_chars(text, text + 20, thousandths / 1000).ptr;
  std::int64_t rest = thousandths % 1000;
  if (rest == 0) return text;
  *text++ = '.';
  for (std::int64_t place = 100; rest > 0; place /= 10) {
    *text++ = static_cast<char>('0' + rest / place);
    rest %= place;
  }
  return text;
}

}  // namespace

Exposition::Exposition(Format format, Sink sink) : format_(format), sink_(std::move(sink)) {}

std::string_view Exposition::content_type(Format format) {
  return format == Format::openmetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                                       : "text/plain; version=0.0.4; charset=utf-8";
}

Exposition::Format Exposition::negotiate(std::string_view accept) {
  int openmetrics = 0;
  int text = 0;
  for (const AcceptItem& item : parse_accept(accept)) {
    const bool spoken = item.version.empty() || item.version == "1.0.0" || item.version == "0.0.1";
    if (item.name == "application/openmetrics-text" && spoken) openmetrics = std::max(openmetrics, item.quality);
    if (item.name == "text/plain") text = std::max(text, item.quality);
  }
  return openmetrics > 0 && openmetrics >= text ? Format::openmetrics : Format::text;
}

void Exposition::family(std::string_view name, MetricType type, std::string_view help) {
  constexpr std::string_view kTypes[] = {"counter", "gauge", "histogram"};
  constexpr std::string_view kTotal = "_total";
  counter_ = type == MetricType::counter;
  name_ = name;
  if (counter_ && format_ == Format::openmetrics && name_.ends_with(kTotal)) name_.resize(name_.size() - kTotal.size());
  buffer_ += "# HELP ";
  buffer_ += name_;
  buffer_ += ' ';
  append_escaped(buffer_, help, format_ == Format::openmetrics);
  buffer_ += "\n# TYPE ";
  buffer_ += name_;
  buffer_ += ' ';
  buffer_ += kTypes[static_cast<int>(type)];
  buffer_ += '\n';
  flush_when_full();
}

void Exposition::sample(std::string_view labels, double value) {
  buffer_ += name_;
  if (counter_ && format_ == Format::openmetrics) buffer_ += "_total";
  if (!labels.empty()) {
    buffer_ += '{';
    buffer_ += labels;
    buffer_ += '}';
  }
  buffer_ += ' ';
  append_number(value);
  buffer_ += '\n';
  ++samples_;
  flush_when_full();
}

void Exposition::append_number(double value) {
  std::array<char, 32> text;
  const char* const end = write_thousandths(text.data(), value);
  if (end != nullptr) {
    buffer_.append(text.data(), static_cast<std::size_t>(end - text.data()));
  } else {
    buffer_ += number(value);
  }
}

void Exposition::histogram(std::string_view labels, std::span<const double> bounds, std::span<const std::uint64_t> cumulative,
                           double sum, std::span<const std::optional<Exemplar>> exemplars) {
  for (std::size_t i = 0; i < cumulative.size(); ++i) {
    const std::string le = fmt::format("le=\"{}\"", i < bounds.size() ? bound_text(bounds[i]) : "+Inf");
    const bool example = format_ == Format::openmetrics && i < exemplars.size() && exemplars[i];
    line("_bucket", labels, le, fmt::to_string(cumulative[i]), example ? &*exemplars[i] : nullptr);
  }
  line("_sum", labels, {}, number(sum));
  line("_count", labels, {}, fmt::to_string(cumulative.empty() ? 0 : cumulative.back()));
}

void Exposition::line(std::string_view suffix, std::string_view labels, std::string_view extra, std::string_view value,
                      const Exemplar* exemplar) {
  buffer_ += name_;
  buffer_ += suffix;
  if (!labels.empty() || !extra.empty()) {
    buffer_ += '{';
    buffer_ += labels;
    if (!labels.empty() && !extra.empty()) buffer_ += ',';
    buffer_ += extra;
    buffer_ += '}';
  }
  buffer_ += ' ';
  buffer_ += value;
  if (exemplar != nullptr) {
    buffer_ += " # {probe_id=\"";
    // OpenMetrics: the label set of an exemplar has at most 128 characters; a probe id has 16.
    append_escaped(buffer_, std::string_view(exemplar->probe_id).substr(0, 64), true);
    buffer_ += "\"} ";
    buffer_ += number(exemplar->value);
    buffer_ += ' ';
    buffer_ += number(to_seconds(exemplar->time));
  }
  buffer_ += '\n';
  ++samples_;
  flush_when_full();
}

void Exposition::flush_when_full() {
  if (buffer_.size() >= kChunk) flush();
}

void Exposition::flush() {
  if (!buffer_.empty()) sink_(buffer_);
  buffer_.clear();
}

void Exposition::finish() {
  if (format_ == Format::openmetrics) buffer_ += "# EOF\n";
  flush();
}

std::string Exposition::labels(std::span<const Label> labels) {
  std::string text;
  for (const auto& [name, value] : labels) {
    if (!text.empty()) text += ',';
    text += name;
    text += "=\"";
    append_escaped(text, value, true);
    text += '"';
  }
  return text;
}

std::string Exposition::escape_value(std::string_view value) {
  std::string text;
  append_escaped(text, value, true);
  return text;
}

void Exposition::append_value(std::string& to, std::string_view value) { ajar::append_escaped(to, value, true); }

std::string Exposition::label_name(std::string_view key) {
  std::string name(key);
  for (char& c : name) {
    const bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    if (!fine) c = '_';
  }
  return name;
}

std::string text_page(Exposition::Format format, const std::function<void(Sections&)>& write) {
  std::deque<std::string> parts;
  Sections sections(format, [&parts]() -> Exposition::Sink {
    std::string* const part = &parts.emplace_back();
    return [part](std::string_view text) { part->append(text); };
  });
  write(sections);
  std::string page;
  for (const std::string& part : parts) page += part;
  return page;
}

std::string Exposition::number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  // Up to 2^53 every whole number is exact: written without an exponent.
  if (value == std::floor(value) && std::fabs(value) < 9e15) return fmt::to_string(static_cast<std::int64_t>(value));
  return fmt::format("{}", value);
}

}  // namespace ajar
