#include "agent/target_list.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "config/values.h"

namespace ajar {
namespace {

constexpr std::string_view kForm = R"(write [{"targets": ["mx1.example.org"], "labels": {}}])";

// Walks the JSON without keeping a tree of it. Where it is in the list: [ 1 { 2 "targets": [ 3 ], "labels": { 4 } } ].
class JsonList : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool null() override { return scalar("null"); }
  bool boolean(bool /*value*/) override { return scalar("true or false"); }
  bool number_integer(number_integer_t /*value*/) override { return scalar("a number"); }
  bool number_unsigned(number_unsigned_t /*value*/) override { return scalar("a number"); }
  bool number_float(number_float_t /*value*/, const string_t& /*text*/) override { return scalar("a number"); }
  bool binary(binary_t& /*value*/) override { return scalar("bytes"); }
  bool string(string_t& value) override {
    if (where_ == Where::targets) {
      builder_.target(std::move(value));
    } else if (where_ == Where::labels) {
      builder_.label(key_, std::move(value));
    } else {
      return scalar("text");
    }
    return true;
  }
  bool start_object(std::size_t /*count*/) override {
    if (where_ == Where::list) {
      where_ = Where::group;
      targets_seen_ = labels_seen_ = false;
      builder_.begin_group();
    } else if (where_ == Where::group && key_ == "labels") {
      where_ = Where::labels;
    } else {
      return misplaced("an object");
    }
    return true;
  }
  bool end_object() override {
    where_ = where_ == Where::labels ? Where::group : Where::list;
    return true;
  }
  bool start_array(std::size_t /*count*/) override {
    if (where_ == Where::before) {
      where_ = Where::list;
    } else if (where_ == Where::group && key_ == "targets") {
      where_ = Where::targets;
    } else {
      return misplaced("a list");
    }
    return true;
  }
  bool end_array() override {
    where_ = where_ == Where::targets ? Where::group : Where::after;
    return true;
  }
  bool key(string_t& name) override {
    key_ = std::move(name);
    if (where_ != Where::group) return true;
    bool* const seen = key_ == "targets" ? &targets_seen_ : key_ == "labels" ? &labels_seen_ : nullptr;
    if (seen == nullptr)
      throw BadTargetList(fmt::format("a group has {}: it may have `targets` and `labels` alone", quote(key_)));
    if (std::exchange(*seen, true)) throw BadTargetList(fmt::format("a group has {} twice", quote(key_)));
    return true;
  }
  bool parse_error(std::size_t position, const std::string& /*token*/, const nlohmann::json::exception& error) override {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: …": the words behind the place suffice.
    const std::string_view what = error.what();
    const std::size_t words = what.find("parse error at ");
    throw BadTargetList(fmt::format("not valid JSON at byte {}: {}", position,
                                    printable(words == std::string_view::npos ? what : what.substr(words + 15))));
  }

  TargetGroups take() { return builder_.take(); }

 private:
  enum class Where { before, list, group, targets, labels, after };

  // A value that has no place here; null stands for a group's empty list, as Go writes one.
  bool scalar(std::string_view what) {
    const bool empty = what == "null" && where_ == Where::group;
    return empty || misplaced(what);
  }
  [[noreturn]] bool misplaced(std::string_view what) {
    switch (where_) {
      case Where::targets:
        throw BadTargetList(fmt::format("a target is {}: write it in quotes", what));
      case Where::labels:
        throw BadTargetList(fmt::format("label {} is {}: write it in quotes", quote(key_), what));
      case Where::group:
        throw BadTargetList(fmt::format("{} of a group is {}: {}", quote(key_), what, kForm));
      case Where::list:
        throw BadTargetList(fmt::format("a group is {}: {}", what, kForm));
      case Where::before:
      case Where::after:
        break;
    }
    throw BadTargetList(fmt::format("not a list but {}: {}", what, kForm));
  }

  TargetGroupBuilder builder_;
  Where where_ = Where::before;
  std::string key_;
  bool targets_seen_ = false, labels_seen_ = false;
};

}  // namespace

std::variant<TargetGroups, std::string> parse_json_targets(std::string_view text) {
  if (text.size() > kMaxTargetList) return fmt::format("larger than {} MiB", kMaxTargetList >> 20);
  if (text.empty()) return "empty: write [] for no targets";
  try {
    JsonList list;
    nlohmann::json::sax_parse(text.begin(), text.end(), &list);
    return list.take();
  } catch (const BadTargetList& bad) {
    return bad.what();
  }
}

}  // namespace ajar
