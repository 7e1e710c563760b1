#include "agent/csv.h"

#include <algorithm>

#include <fmt/format.h>

namespace ajar {

CsvReader::CsvReader(std::string_view text) : text_(text) {
  if (text_.starts_with("\xEF\xBB\xBF")) place_ = 3;
}

bool CsvReader::at_end_of_row() const {
  return place_ >= text_.size() || text_[place_] == '\n' || text_.substr(place_, 2) == "\r\n";
}

void CsvReader::skip_end_of_row() {
  if (place_ >= text_.size()) return;
  place_ += text_[place_] == '\r' ? 2 : 1;
  ++line_;
}

// What follows cannot be told apart any more: on to the next line.
void CsvReader::give_up(CsvRow& row, std::string_view why) {
  row.trouble = why;
  row.fields.clear();
  place_ = std::min(text_.find('\n', place_), text_.size());
}

std::optional<CsvRow> CsvReader::next() {
  while (place_ < text_.size() && at_end_of_row()) skip_end_of_row();
  if (place_ >= text_.size()) return std::nullopt;
  CsvRow row;
  row.line = line_;
  for (;;) {
    if (row.fields.size() >= kMaxCsvFields) {
      give_up(row, fmt::format("more than {} fields", kMaxCsvFields));
      break;
    }
    read_field(row);
    if (!row.trouble.empty() || at_end_of_row()) break;
    ++place_;  // the comma
  }
  skip_end_of_row();
  return row;
}

void CsvReader::read_field(CsvRow& row) {
  std::string field;
  if (place_ < text_.size() && text_[place_] == '"') {
    read_quoted(row, field);
  } else {
    read_plain(row, field);
  }
  if (row.trouble.empty()) row.fields.push_back(std::move(field));
}

void CsvReader::read_plain(CsvRow& row, std::string& field) {
  const std::size_t begin = place_;
  while (!at_end_of_row() && text_[place_] != ',' && text_[place_] != '"') ++place_;
  if (place_ < text_.size() && text_[place_] == '"') return give_up(row, "a quote inside a field that does not begin with one");
  if (place_ - begin > kMaxCsvField) return give_up(row, fmt::format("a field of more than {} bytes", kMaxCsvField));
  field = text_.substr(begin, place_ - begin);
}

void CsvReader::read_quoted(CsvRow& row, std::string& field) {
  bool too_long = false;
  for (++place_;; ++place_) {
    const std::size_t stop = std::min(text_.find('"', place_), text_.size());
    const std::string_view piece = text_.substr(place_, stop - place_);
    line_ += static_cast<std::size_t>(std::count(piece.begin(), piece.end(), '\n'));
    too_long = too_long || field.size() + piece.size() > kMaxCsvField;
    if (!too_long) field += piece;
    place_ = stop;
    if (place_ >= text_.size()) return give_up(row, "a quote that nothing closes: the rest of the file was not read");
    ++place_;
    if (place_ >= text_.size() || text_[place_] != '"') break;
    if (!too_long) field += '"';
  }
  if (too_long) return give_up(row, fmt::format("a field of more than {} bytes", kMaxCsvField));
  if (!at_end_of_row() && text_[place_] != ',') give_up(row, "something between a closing quote and the comma");
}

}  // namespace ajar
