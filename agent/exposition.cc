#include "agent/exposition.h"

#include <algorithm>
#include <cmath>

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

void append_escaped(std::string& into, std::string_view text, bool quote) {
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

}  // namespace

Exposition::Exposition(Format format, Sink sink) : format_(format), sink_(std::move(sink)) { buffer_.reserve(kChunk + 4096); }

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
  line(counter_ && format_ == Format::openmetrics ? "_total" : "", labels, {}, number(value));
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
  flush_when_full();
}

void Exposition::flush_when_full() {
  if (buffer_.size() < kChunk) return;
  sink_(buffer_);
  buffer_.clear();
}

void Exposition::finish() {
  if (format_ == Format::openmetrics) buffer_ += "# EOF\n";
  if (!buffer_.empty()) sink_(buffer_);
  buffer_.clear();
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

std::string Exposition::label_name(std::string_view key) {
  std::string name(key);
  for (char& c : name) {
    const bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    if (!fine) c = '_';
  }
  return name;
}

std::string Exposition::number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  // Up to 2^53 every whole number is exact: written without an exponent.
  if (value == std::floor(value) && std::fabs(value) < 9e15) return fmt::to_string(static_cast<std::int64_t>(value));
  return fmt::format("{}", value);
}

}  // namespace ajar
