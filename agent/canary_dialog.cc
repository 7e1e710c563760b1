#include "agent/canary_dialog.h"

#include <algorithm>

namespace ajar {

bool LineReader::take(Line& line) {
  while (next_ < in_.size()) {
    const char c = in_[next_++];
    if (c == '\n') {
      line = std::move(line_);
      line.crlf = cr_;
      line_ = {};
      cr_ = false;
      return true;
    }
    const auto put = [this](char byte) {
      if (line_.text.size() < limit_) {
        line_.text += byte;
      } else {
        ++line_.cut;
      }
    };
    if (cr_) put('\r');
    cr_ = c == '\r';
    if (!cr_) put(c);
  }
  in_.clear();
  next_ = 0;
  return false;
}

Task<bool> LineReader::fill() {
  std::string more = co_await link_.hear_some(4096);
  if (more.empty()) co_return false;
  in_.erase(0, next_);
  next_ = 0;
  in_ += more;
  co_return true;
}

std::string LineReader::take_bytes(std::size_t max) {
  std::string bytes = in_.substr(next_, max);
  next_ += bytes.size();
  return bytes;
}

std::string LineReader::take_partial() {
  std::string text = std::move(line_.text);
  line_ = {};
  cr_ = false;
  return text;
}

void Facts::add(std::string_view label, std::string_view value) {
  if (lines_.size() < kMax) lines_.push_back(std::string(label) + escape(hide_tokens(value, keys_, now_), kMaxLength));
}

std::string hide_tokens(std::string_view text, const CanaryKeys& keys, Time now) {
  const auto in_word = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); };
  std::string shown;
  while (!text.empty()) {
    const bool word = in_word(text.front());
    const auto end = std::find_if(text.begin(), text.end(), [&](char c) { return in_word(c) != word; });
    const std::string_view piece = text.substr(0, static_cast<std::size_t>(end - text.begin()));
    const bool token = piece.size() == CanaryKeys::kTokenLength && keys.check(to_lower(piece), now) != TokenState::bad;
    shown += token ? std::string_view("<token>") : piece;
    text.remove_prefix(piece.size());
  }
  return shown;
}

std::string leading_token(std::string_view text) {
  const auto in_token = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '2' && c <= '7'); };
  const auto end = std::find_if_not(text.begin(), text.end(), in_token);
  const std::string_view word = text.substr(0, static_cast<std::size_t>(end - text.begin()));
  return word.size() == CanaryKeys::kTokenLength ? to_lower(word) : std::string();
}

bool same_domain(std::string_view left, std::string_view right) {
  if (left.ends_with('.')) left.remove_suffix(1);
  if (right.ends_with('.')) right.remove_suffix(1);
  return to_lower(left) == to_lower(right);
}

std::string readable_contact(const CanaryIdentity& identity) {
  if (identity.contact.empty()) return "the operator of " + identity.name;
  constexpr std::string_view kMailto = "mailto:";
  return identity.contact.starts_with(kMailto) ? identity.contact.substr(kMailto.size()) : identity.contact;
}

}  // namespace ajar
