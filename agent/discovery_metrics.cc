#include "agent/discovery_metrics.h"

#include <map>
#include <string>

#include "agent/discovery.h"

namespace ajar {

void write_discovery(Exposition& out, const DiscoveryView* view) {
  const DiscoveryView none;
  std::map<std::string, const SourceView*> sources;  // by labels: the order of the page
  for (const SourceView& source : (view != nullptr ? *view : none).sources) {
    sources.emplace(Exposition::labels({{"source", source.name}}), &source);
  }
  const auto family = [&](const char* name, const char* help, auto value) {
    out.family(name, MetricType::gauge, help);
    for (const auto& [labels, source] : sources) {
      const std::optional<double> found = value(*source);
      if (found) out.sample(labels, *found);
    }
  };
  using Value = std::optional<double>;
  family("ajar_discovery_targets", "Targets that a [[discovery]] has found and are asked now.",
         [](const SourceView& source) -> Value { return static_cast<double>(source.targets); });
  family("ajar_discovery_refused", "Entries of a [[discovery]] that are no targets, or have the name of another.",
         [](const SourceView& source) -> Value { return static_cast<double>(source.refused); });
  family("ajar_discovery_up",
         "Whether the last look at a [[discovery]] went well; 0: what it said last is kept. Absent before the first.",
         [](const SourceView& source) -> Value { return source.up ? Value(*source.up ? 1 : 0) : Value(); });
  family("ajar_discovery_last_success_timestamp_seconds", "When a look at a [[discovery]] last went well.",
         [](const SourceView& source) -> Value {
           return source.last_success ? Value(to_seconds(*source.last_success)) : Value();
         });
}

}  // namespace ajar
