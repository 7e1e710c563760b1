// The text that Prometheus reads: format 0.0.4 and OpenMetrics 1.0, streamed in chunks. Pure: bytes go to a sink.
//
// prometheus-cpp's TextSerializer knows neither OpenMetrics nor exemplars and takes 40 times as long for a page of many series.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/time.h"

namespace ajar {

enum class MetricType { counter, gauge, histogram };

// What a family is called, and what it means.
struct MetricFamily {
  const char* name;
  MetricType type;
  const char* help;
};

// An example observation of a bucket: which probe it was (OpenMetrics only).
struct Exemplar {
  std::string probe_id;
  double value = 0;
  Time time{};
};

using Label = std::pair<std::string_view, std::string_view>;

class Exposition {
 public:
  enum class Format { text, openmetrics };
  using Sink = std::function<void(std::string_view)>;

  // `sink` gets chunks of about kChunk bytes, the last one from finish().
  Exposition(Format format, Sink sink);
  static constexpr std::size_t kChunk = 64 * 1024;
  static std::string_view content_type(Format format);
  // The format that an Accept header asks for: OpenMetrics when it is named with a version we speak (1.0.0, 0.0.1 or none) and
  // no text/plain is preferred to it; otherwise 0.0.4.
  static Format negotiate(std::string_view accept);

  // Begins a family: its HELP and TYPE. `name` is the name of its series ("ajar_probes_total" for a counter in both formats).
  void family(std::string_view name, MetricType type, std::string_view help);
  void family(const MetricFamily& family) { this->family(family.name, family.type, family.help); }
  // One series of the family begun last. `labels` is what labels() made, or empty.
  void sample(std::string_view labels, double value);
  // A histogram of the family begun last: cumulative counts of the buckets whose upper bounds are `bounds` and of +Inf.
  // `exemplars` is empty or has one entry for each bucket, +Inf's last.
  void histogram(std::string_view labels, std::span<const double> bounds, std::span<const std::uint64_t> cumulative, double sum,
                 std::span<const std::optional<Exemplar>> exemplars = {});
  // Hands over what is not handed over yet: the end of a section of a page.
  void flush();
  // Ends the page ("# EOF" in OpenMetrics). Nothing may follow.
  void finish();
  std::size_t samples() const { return samples_; }  // series written so far

  // `name="value",…` escaped: to be made once and used for several series.
  static std::string labels(std::span<const Label> labels);
  static std::string labels(std::initializer_list<Label> labels) {
    return Exposition::labels(std::span(labels.begin(), labels.size()));
  }
  // A label value or HELP as both formats take it: backslash, quote and line feed escaped, bytes that are not UTF-8 and other
  // control characters replaced by U+FFFD (one such byte would make Prometheus drop the whole scrape).
  static std::string escape_value(std::string_view value);
  // What makes a user's label key a label name: every other character becomes an underscore.
  static std::string label_name(std::string_view key);
  static std::string number(double value);
  // Appends `value` as a label's value, escaped.
  static void append_value(std::string& to, std::string_view value);

 private:
  void line(std::string_view suffix, std::string_view labels, std::string_view extra, std::string_view value,
            const Exemplar* exemplar = nullptr);
  void append_number(double value);
  void flush_when_full();

  Format format_;
  std::size_t samples_ = 0;
  Sink sink_;
  std::string buffer_;
  std::string name_;  // of the family, without _total where OpenMetrics adds it
  bool counter_ = false;
};

// The sections of one page, in its order. Several may be written at the same time: families stand one after the other in a
// page, while one walk through the results fills many of them.
class Sections {
 public:
  using Next = std::function<Exposition::Sink()>;
  // `next` makes the sink of the next section.
  Sections(Exposition::Format format, Next next) : format_(format), next_(std::move(next)) {}
  // The next section. It ends with flush(), the page's last one with finish().
  Exposition section() { return Exposition(format_, next_()); }

 private:
  Exposition::Format format_;
  Next next_;
};

// A page in memory: for short ones, and for tests.
std::string text_page(Exposition::Format format, const std::function<void(Sections&)>& write);

}  // namespace ajar
