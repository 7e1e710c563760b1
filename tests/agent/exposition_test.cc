#include "agent/exposition.h"

#include <cmath>

#include <gmock/gmock.h>

#include "agent/accept.h"

namespace ajar {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using Format = Exposition::Format;

std::string page(Format format, const std::function<void(Exposition&)>& write) {
  std::string text;
  Exposition out(format, [&](std::string_view chunk) { text += chunk; });
  write(out);
  out.finish();
  return text;
}

void write_all_kinds(Exposition& out) {
  out.family("ajar_probes_total", MetricType::counter, "Probes \"that\" ended.\nIn all \\ ways.");
  out.sample(Exposition::labels({{"check", "smtp_relay"}}), 3);
  out.family("ajar_paused", MetricType::gauge, "Paused.");
  out.sample({}, 0.5);
  out.family("ajar_probe_duration_seconds", MetricType::histogram, "Took.");
  const std::vector<double> bounds = {0.5, 1};
  const std::vector<std::uint64_t> counts = {1, 2, 4};
  const std::vector<std::optional<Exemplar>> examples = {
      Exemplar{"00000000000000a1", 0.25, Time(std::chrono::milliseconds(1767323045678))}, std::nullopt, std::nullopt};
  out.histogram(Exposition::labels({{"check", "smtp_relay"}}), bounds, counts, 7.25, examples);
}

TEST(Exposition, Text) {
  EXPECT_EQ(page(Format::text, write_all_kinds),
            "# HELP ajar_probes_total Probes \"that\" ended.\\nIn all \\\\ ways.\n"
            "# TYPE ajar_probes_total counter\n"
            "ajar_probes_total{check=\"smtp_relay\"} 3\n"
            "# HELP ajar_paused Paused.\n"
            "# TYPE ajar_paused gauge\n"
            "ajar_paused 0.5\n"
            "# HELP ajar_probe_duration_seconds Took.\n"
            "# TYPE ajar_probe_duration_seconds histogram\n"
            "ajar_probe_duration_seconds_bucket{check=\"smtp_relay\",le=\"0.5\"} 1\n"
            "ajar_probe_duration_seconds_bucket{check=\"smtp_relay\",le=\"1.0\"} 2\n"
            "ajar_probe_duration_seconds_bucket{check=\"smtp_relay\",le=\"+Inf\"} 4\n"
            "ajar_probe_duration_seconds_sum{check=\"smtp_relay\"} 7.25\n"
            "ajar_probe_duration_seconds_count{check=\"smtp_relay\"} 4\n");
}

TEST(Exposition, OpenMetrics) {
  EXPECT_EQ(page(Format::openmetrics, write_all_kinds),
            "# HELP ajar_probes Probes \\\"that\\\" ended.\\nIn all \\\\ ways.\n"
            "# TYPE ajar_probes counter\n"
            "ajar_probes_total{check=\"smtp_relay\"} 3\n"
            "# HELP ajar_paused Paused.\n"
            "# TYPE ajar_paused gauge\n"
            "ajar_paused 0.5\n"
            "# HELP ajar_probe_duration_seconds Took.\n"
            "# TYPE ajar_probe_duration_seconds histogram\n"
            "ajar_probe_duration_seconds_bucket{check=\"smtp_relay\",le=\"0.5\"} 1 # {probe_id=\"00000000000000a1\"} 0.25 "
            "1767323045.678\n"
            "ajar_probe_duration_seconds_bucket{check=\"smtp_relay\",le=\"1.0\"} 2\n"
            "ajar_probe_duration_seconds_bucket{check=\"smtp_relay\",le=\"+Inf\"} 4\n"
            "ajar_probe_duration_seconds_sum{check=\"smtp_relay\"} 7.25\n"
            "ajar_probe_duration_seconds_count{check=\"smtp_relay\"} 4\n"
            "# EOF\n");
}

TEST(Exposition, ComesInChunks) {
  std::vector<std::size_t> chunks;
  Exposition out(Format::text, [&](std::string_view chunk) { chunks.push_back(chunk.size()); });
  out.family("ajar_x", MetricType::gauge, "X.");
  const std::string labels = Exposition::labels({{"target", std::string(200, 'a')}});
  for (int i = 0; i < 1000; ++i) out.sample(labels, i);
  out.finish();
  ASSERT_GE(chunks.size(), 3U);
  for (const std::size_t size : chunks) EXPECT_LT(size, Exposition::kChunk + 1024);
}

TEST(Exposition, HostileLabelsStayInTheirPlace) {
  EXPECT_EQ(Exposition::labels({{"a", "x\"} 1\nfake 2 \\"}}), "a=\"x\\\"} 1\\nfake 2 \\\\\"");
  EXPECT_EQ(Exposition::escape_value(std::string("a\0b\x01\x7f\r", 6)),
            "a\xEF\xBF\xBD"
            "b\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(Exposition::escape_value("z\xC3\xBCrich \xF0\x9F\x94\x93"), "z\xC3\xBCrich \xF0\x9F\x94\x93");
  // Not UTF-8: a lone continuation, an overlong slash, a surrogate, a cut sequence, beyond U+10FFFF.
  EXPECT_EQ(Exposition::escape_value("\x80"), "\xEF\xBF\xBD");
  EXPECT_EQ(Exposition::escape_value("\xC0\xAF"), "\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(Exposition::escape_value("\xED\xA0\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(Exposition::escape_value("\xE2\x82"), "\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(Exposition::escape_value("\xF4\x90\x80\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
}

TEST(Exposition, Numbers) {
  EXPECT_EQ(Exposition::number(0), "0");
  EXPECT_EQ(Exposition::number(-3), "-3");
  EXPECT_EQ(Exposition::number(1767323045.678), "1767323045.678");
  EXPECT_EQ(Exposition::number(1e18), "1e+18");
  EXPECT_EQ(Exposition::number(0.1), "0.1");
  EXPECT_EQ(Exposition::number(NAN), "NaN");
  EXPECT_EQ(Exposition::number(INFINITY), "+Inf");
  EXPECT_EQ(Exposition::number(-INFINITY), "-Inf");
  EXPECT_EQ(Exposition::label_name("rack-row.7"), "rack_row_7");
}

// Samples are written by a quicker way than number(), and come out the same.
TEST(Exposition, SamplesAreNumbersTheQuickWay) {
  std::vector<double> values = {0,
                                1,
                                -0.0,
                                -1,
                                0.001,
                                0.01,
                                0.1,
                                0.5,
                                0.999,
                                1.5,
                                -1.5,
                                1e-4,
                                0.12345,
                                1.001,
                                1e12,
                                999.25,
                                1e15,
                                1e18,
                                1e-300,
                                2e300,
                                1767323045,
                                4.0e9,
                                0.3333,
                                123456789.125,
                                1767323045.678,
                                1767323045.6789,
                                999999999999.999,
                                9007199254740993.0,
                                NAN,
                                INFINITY,
                                -INFINITY};
  for (int i = 0; i < 2000; ++i) values.push_back(1767323045 + i / 1000.0);
  for (int i = 1; i < 2000; ++i) values.push_back(1.0 / i);
  for (const double value : values) {
    const std::string text = page(Format::text, [&](Exposition& out) {
      out.family("ajar_x", MetricType::gauge, "X.");
      out.sample({}, value);
    });
    EXPECT_THAT(text, EndsWith("\najar_x " + Exposition::number(value) + "\n"));
  }
}

TEST(Exposition, SectionsAreCountedAndJoined) {
  const std::string text = text_page(Format::openmetrics, [](Sections& sections) {
    Exposition first = sections.section();
    Exposition second = sections.section();
    second.family("ajar_b", MetricType::gauge, "B.");
    second.sample({}, 2);
    first.family("ajar_a", MetricType::gauge, "A.");
    first.sample({}, 1);
    first.sample(Exposition::labels({{"x", "y"}}), 1);
    EXPECT_EQ(first.samples(), 2U);
    first.flush();
    second.finish();
  });
  EXPECT_EQ(text,
            "# HELP ajar_a A.\n# TYPE ajar_a gauge\najar_a 1\najar_a{x=\"y\"} 1\n"
            "# HELP ajar_b B.\n# TYPE ajar_b gauge\najar_b 2\n# EOF\n");
}

TEST(Exposition, Negotiation) {
  const auto negotiated = [](std::string_view accept) { return Exposition::negotiate(accept); };
  // Prometheus 2.42.
  EXPECT_EQ(negotiated("application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
                       "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"),
            Format::openmetrics);
  EXPECT_EQ(negotiated(""), Format::text);
  EXPECT_EQ(negotiated("*/*"), Format::text);
  EXPECT_EQ(negotiated("text/html,application/xhtml+xml,*/*;q=0.8"), Format::text);
  EXPECT_EQ(negotiated("text/plain;version=0.0.4"), Format::text);
  EXPECT_EQ(negotiated("application/openmetrics-text; version=1.0.0; q=0.3, text/plain; q=0.9"), Format::text);
  EXPECT_EQ(negotiated("application/openmetrics-text;version=2.0.0"), Format::text);
  EXPECT_EQ(negotiated("application/openmetrics-text;q=0"), Format::text);
  EXPECT_EQ(negotiated("application/openmetrics-text;q=banana"), Format::text);
}

TEST(Accept, Gzip) {
  EXPECT_TRUE(accepts_gzip("gzip"));
  EXPECT_TRUE(accepts_gzip("br, gzip;q=0.2"));
  EXPECT_FALSE(accepts_gzip(""));
  EXPECT_FALSE(accepts_gzip("br"));
  EXPECT_FALSE(accepts_gzip("gzip;q=0"));
  EXPECT_FALSE(accepts_gzip("gzippy"));
}

}  // namespace
}  // namespace ajar
