// What every page is made of: the frame with its banners, badges, tables, links, times. Pure, any thread.
//
// A parameter called `markup` is HTML already: made of html(), peer() and the functions here. Everything else is escaped.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/html.h"
#include "agent/record.h"
#include "agent/vantage.h"

namespace ajar {

// What every page says around its own matter.
struct Frame {
  Time now{};
  bool paused = false;
  bool ready = true;
  std::string failure;                // the state cannot be written: why
  std::vector<std::string> notes;     // of the ledger's opening
  std::vector<std::string> left_out;  // questions that are not asked because their answers crashed us
  std::map<CanaryKind, bool> canary;  // self-tests that have run
  VantageStates vantage;              // what is measured of it
  std::string section;                // the entry of the navigation that this page belongs to: "/targets"
  std::string form_token;             // what a form must send back, so that no other site can make one
  // A test was asked for and is not done: the page loads itself again until it is.
  std::optional<std::string> running;  // what it waits for
};

inline constexpr Verdict kWorstFirst[] = {Verdict::open, Verdict::accepted, Verdict::unclear, Verdict::unreachable,
                                          Verdict::closed};

// Whether results may be the word of another than the server: no egress, or a proxy in our way.
bool is_blind(const VantageStates& vantage);

std::string page(const Frame& frame, std::string_view title, std::string_view markup);

// A drawn sign: "open", "accepted", "unclear", "unreachable", "closed", "up", "down". It stands beside a word that says the
// same.
std::string icon(std::string_view name);
// Icon, word and colour; the word is the verdict's unless another is given.
std::string badge(Verdict verdict);
std::string badge(Verdict verdict, std::string_view word);
std::string tag(std::string_view markup);
std::string_view meaning(Verdict verdict);

std::string when(Time time, Time now);  // absolute and relative; "never" for Time{}
std::string when(const std::optional<Time>& time, Time now);
std::string when_short(Time time, Time now);      // for a column of them: to the minute, below it how long ago
std::string endpoint_text(const ResultKey& key);  // "203.0.113.5:25/tcp"
std::string target_link(std::string_view target);
std::string case_link(std::string_view id, std::string_view text);
// To the page of the target with this result alone.
std::string evidence_url(const ResultKey& key);  // escaped for an attribute
std::string evidence_link(const ResultKey& key, std::string_view text);
std::string notice_link(std::string_view target);
std::string join(const std::vector<std::string>& items, std::string_view separator);
std::string bullet_list(const std::vector<std::string>& items);
std::string fact(std::string_view name, std::string_view markup);  // of a <dl>
std::string left_out_text(std::size_t count, std::string_view what);
std::string folded(std::string_view summary_markup, std::string_view markup);

// A form that asks for a test now: of a target, or of one check of it. `exposure`: the case whose page shows what comes of it;
// empty: the target's page.
std::string test_again(const Frame& frame, std::string_view target, std::string_view check = {},
                       std::string_view exposure = {});

struct Cell {
  enum class Kind { plain, number, wide, head };
  std::string markup;
  Kind kind = Kind::plain;
  Cell(std::string text) : markup(std::move(text)) {}  // NOLINT(google-explicit-constructor): most cells are plain
  Cell(const char* text) : markup(text) {}             // NOLINT(google-explicit-constructor)
  Cell(std::string text, Kind of) : markup(std::move(text)), kind(of) {}
};
inline Cell number(std::string markup) { return {std::move(markup), Cell::Kind::number}; }
inline Cell wide(std::string markup) { return {std::move(markup), Cell::Kind::wide}; }
inline Cell head(std::string markup) { return {std::move(markup), Cell::Kind::head}; }  // what the row is about

enum class Sorted { no, up, down };
struct Column {
  std::string name;
  Cell::Kind kind = Cell::Kind::plain;
  std::string href;  // sorts by it; empty: it cannot be sorted by
  Sorted sorted = Sorted::no;
  Column(const char* text, Cell::Kind of = Cell::Kind::plain) : name(text), kind(of) {}  // NOLINT(google-explicit-constructor)
  Column(std::string text, Cell::Kind of, std::string link, Sorted how)
      : name(std::move(text)), kind(of), href(std::move(link)), sorted(how) {}
};
// `caption`: what the table shows, for those who do not see the heading above it. On a narrow screen each row becomes a block
// whose cells say their heading.
std::string table(std::string_view caption, const std::vector<Column>& columns, const std::vector<std::vector<Cell>>& rows,
                  std::string_view style = {});

}  // namespace ajar
