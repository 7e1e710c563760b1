#include "checks/wire/http_head.h"

#include <algorithm>
#include <charconv>

namespace ajar {
namespace {

constexpr std::size_t kMaxSizeLine = 256;  // of a chunk, extensions included

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::string lowered(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return out;
}

bool digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

const std::string* HttpHead::find(std::string_view name) const {
  const auto found = std::find_if(fields.begin(), fields.end(), [&](const auto& field) { return field.first == name; });
  return found == fields.end() ? nullptr : &found->second;
}

bool HttpHead::has(std::string_view name, std::string_view word) const {
  for (const auto& [field, value] : fields) {
    if (field != name) continue;
    for (std::string_view rest = value; !rest.empty();) {
      const std::size_t comma = std::min(rest.find(','), rest.size());
      if (lowered(trim(rest.substr(0, comma))) == word) return true;
      rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
  }
  return false;
}

std::optional<std::uint64_t> HttpHead::length() const {
  const std::string* const value = find("content-length");
  if (value == nullptr) return std::nullopt;
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(value->data(), value->data() + value->size(), number);
  if (value->empty() || error != std::errc() || end != value->data() + value->size()) return std::nullopt;
  return number;
}

HttpHeadReader::Step HttpHeadReader::take(std::string_view line) {
  bytes_ += line.size() + 2;
  if (bytes_ > kMaxBytes) return Step::too_long;
  if (!begun_) {
    begun_ = true;
    return status_line(line);
  }
  if (line.empty()) return Step::done;
  return field(line);
}

// RFC 9112 4: HTTP/1.1 SP 3DIGIT SP reason; the last space is often forgotten.
HttpHeadReader::Step HttpHeadReader::status_line(std::string_view line) {
  constexpr std::string_view kName = "HTTP/1.";
  if (line.substr(0, kName.size()) != kName || line.size() < kName.size() + 5 || !digit(line[7]) || line[8] != ' ') {
    return Step::bad;
  }
  head_.minor = line[7] - '0';
  const std::string_view rest = trim(line.substr(9));
  if (rest.size() < 3 || !std::all_of(rest.begin(), rest.begin() + 3, digit)) return Step::bad;
  if (rest.size() > 3 && rest[3] != ' ') return Step::bad;
  head_.status = (rest[0] - '0') * 100 + (rest[1] - '0') * 10 + (rest[2] - '0');
  if (head_.status < 100 || head_.status > 599) return Step::bad;
  head_.reason = std::string(trim(rest.substr(3)));
  return Step::more;
}

HttpHeadReader::Step HttpHeadReader::field(std::string_view line) {
  if (line.front() == ' ' || line.front() == '\t') {  // RFC 9112 5.2: obsolete folding
    if (!head_.fields.empty()) head_.fields.back().second += " " + std::string(trim(line));
    return Step::more;
  }
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos || colon == 0) return Step::bad;
  if (head_.fields.size() >= kMaxFields) return Step::too_long;
  head_.fields.emplace_back(lowered(trim(line.substr(0, colon))), trim(line.substr(colon + 1)));
  return Step::more;
}

// RFC 9112 6.3
HttpContent::HttpContent(const HttpHead& head) {
  const std::optional<std::uint64_t> length = head.length();
  if (head.status < 200 || head.status == 204 || head.status == 304) {
    state_ = State::ended;
  } else if (head.chunked()) {
    state_ = State::size;
  } else if (length) {
    left_ = *length;
    state_ = left_ == 0 ? State::ended : State::counted;
  }
}

// RFC 9112 7.1
void HttpContent::size_line(std::string_view line) {
  std::uint64_t size = 0;
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), size, 16);
  if (error != std::errc() || end == line.data()) {
    broken_ = true;
    state_ = State::ended;
    return;
  }
  left_ = size;
  state_ = size == 0 ? State::trailer : State::data;
}

void HttpContent::take(std::string_view bytes, std::string& into) {
  while (!bytes.empty() && state_ != State::ended) {
    if (state_ == State::until_close) {
      into += bytes;
      return;
    }
    if (state_ == State::counted || state_ == State::data) {
      const std::size_t some = static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size()));
      into += bytes.substr(0, some);
      bytes.remove_prefix(some);
      left_ -= some;
      if (left_ == 0) state_ = state_ == State::counted ? State::ended : State::data_end;
      continue;
    }
    const std::size_t newline = bytes.find('\n');
    line_ += bytes.substr(0, std::min(newline, kMaxSizeLine + 1));
    if (line_.size() > kMaxSizeLine) {
      broken_ = true;
      state_ = State::ended;
      return;
    }
    if (newline == std::string_view::npos) return;
    bytes.remove_prefix(newline + 1);
    if (!line_.empty() && line_.back() == '\r') line_.pop_back();
    if (state_ == State::size) {
      size_line(line_);
    } else if (state_ == State::data_end) {
      state_ = State::size;
    } else if (line_.empty()) {
      state_ = State::ended;
    }
    line_.clear();
  }
}

}  // namespace ajar
