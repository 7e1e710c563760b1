// Comma-separated values as RFC 4180 has them, row by row: quotes, doubled quotes, commas and newlines inside quotes; CR LF or
// LF ends a row; a byte order mark before the first is skipped. Pure. Every size is bounded; a row that breaks a rule says so
// and is skipped to its end, and the next one is read.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ajar {

inline constexpr std::size_t kMaxCsvField = 64 * 1024;  // bytes
inline constexpr std::size_t kMaxCsvFields = 512;       // of one row

struct CsvRow {
  std::size_t line = 0;  // where it begins, from 1
  std::vector<std::string> fields;
  std::string trouble;  // what is wrong with it; empty: nothing, and `fields` are whole
};

class CsvReader {
 public:
  explicit CsvReader(std::string_view text);  // outlives the reader
  // The next row that is not an empty line; nullopt at the end.
  std::optional<CsvRow> next();

 private:
  void read_field(CsvRow& row);
  void read_quoted(CsvRow& row, std::string& field);
  void read_plain(CsvRow& row, std::string& field);
  void give_up(CsvRow& row, std::string_view why);
  bool at_end_of_row() const;
  void skip_end_of_row();

  std::string_view text_;
  std::size_t place_ = 0, line_ = 1;
};

}  // namespace ajar
