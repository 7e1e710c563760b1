#include "checks/network.h"

#include <algorithm>
#include <iterator>
#include <stdexcept>

#include <fmt/format.h>

namespace ajar {
namespace {

bool plain(char c) { return c >= ' ' && c <= '~' && c != '\\'; }

bool all_plain(std::string_view bytes) {
  for (const char c : bytes) {
    if (!plain(c)) return false;
  }
  return true;
}

void must_be_one_line(std::string_view line) {
  const bool broken = line.find('\r') != std::string_view::npos || line.find('\n') != std::string_view::npos;
  if (broken) throw std::logic_error("a line to send holds a line break");
}

}  // namespace

std::string escape(std::string_view bytes, std::size_t limit) {
  std::string out;
  out.reserve(std::min(bytes.size(), limit));
  for (const char c : bytes.substr(0, limit)) {
    const auto byte = static_cast<unsigned char>(c);
    if (plain(c)) {
      out += c;
    } else if (c == '\\') {
      out += "\\\\";
    } else {
      fmt::format_to(std::back_inserter(out), "\\x{:02x}", byte);
    }
  }
  if (bytes.size() > limit) out += "…";
  return out;
}

std::string hex(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    fmt::format_to(std::back_inserter(out), "{}{:02x}", out.empty() ? "" : " ", static_cast<unsigned char>(c));
  }
  return out;
}

void Transcript::add(std::string_view prefix, std::string_view line) {
  if (lines_ >= kMaxLines || text_.size() - lines_ >= kMaxBytes) {
    if (!cut_) text_ += "# … the rest is not kept: the transcript is full\n";
    cut_ = true;
    return;
  }
  std::string escaped;
  if (line.size() > kMaxShown || !all_plain(line)) line = escaped = escape(line);
  const std::size_t needed = text_.size() + prefix.size() + line.size() + 1;
  if (needed > text_.capacity()) {
    // In small steps: a string that grows by itself doubles, and leaves as much again unused in every conversation at rest.
    std::string larger;
    larger.reserve(needed + std::max<std::size_t>(32, needed / 8));
    larger += text_;
    text_.swap(larger);
  }
  text_ += prefix;
  text_ += line;
  text_ += '\n';
  ++lines_;
}

std::vector<std::string> Transcript::lines() const {
  std::vector<std::string> lines;
  lines.reserve(lines_ + 1);
  for (std::size_t at = 0; at < text_.size();) {
    const std::size_t end = text_.find('\n', at);
    lines.emplace_back(text_, at, end - at);
    at = end + 1;
  }
  return lines;
}

Link::Say Link::say(std::string line) {
  must_be_one_line(line);
  transcript_.client(line);
  line += "\r\n";
  return Say(*this, std::move(line));
}

Link::Say Link::say_bytes(std::string bytes, std::string as) {
  transcript_.client(as.empty() ? std::string_view(bytes) : std::string_view(as));
  return Say(*this, std::move(bytes));
}

Link::Say Link::say_lines(const std::vector<std::string>& lines) {
  std::string bytes;
  for (const std::string& line : lines) {
    must_be_one_line(line);
    transcript_.client(line);
    bytes += line;
    bytes += "\r\n";
  }
  return Say(*this, std::move(bytes));
}

Link::Hear Link::hear() { return Hear(*this); }
Link::HearInto Link::hear(std::string& line) { return HearInto(*this, line); }

bool Link::take_line(std::string& line) {
  const std::size_t newline = in_.find('\n', std::max(searched_, start_));
  if (newline == std::string::npos) {
    searched_ = in_.size();
    if (in_.size() - start_ > kMaxLine) {
      transcript_.server(std::string_view(in_).substr(start_));
      throw LinkError(Reason::protocol_error, fmt::format("a line of more than {} bytes", kMaxLine));
    }
    return false;
  }
  std::size_t end = newline;
  if (end > start_ && in_[end - 1] == '\r') --end;
  line.assign(in_, start_, end - start_);
  start_ = newline + 1;
  searched_ = start_;
  if (start_ == in_.size()) {
    in_.clear();
    start_ = searched_ = 0;
  }
  transcript_.server(line);
  if (line.size() > kMaxLine) throw LinkError(Reason::protocol_error, fmt::format("a line of more than {} bytes", kMaxLine));
  return true;
}

std::size_t Link::make_room() {
  if (received_ >= kMaxReceived) throw LinkError(Reason::protocol_error, fmt::format("more than {} bytes", kMaxReceived));
  if (start_ > 0) {
    in_.erase(0, start_);
    searched_ -= std::min(searched_, start_);
    start_ = 0;
  }
  if (in_.empty()) std::string().swap(in_);  // a conversation at rest holds no buffer
  return std::min<std::size_t>(4096, kMaxReceived - received_);
}

bool Link::counted(std::size_t count) {
  received_ += count;
  return count > 0;
}

// It was at least one byte, or throws.
void Link::received(std::size_t count) {
  if (!counted(count)) {
    if (!in_.empty()) transcript_.server(in_);
    transcript_.note("the peer closed the connection");
    throw LinkError(Reason::hung_up, "the peer closed the connection");
  }
}

Task<void> Link::wait_for_line(std::string& line) {
  begin_wait();
  try {
    do {
      const std::size_t most = make_room();
      const std::size_t count = co_await read_some(in_, most);
      received(count);
    } while (!take_line(line));
  } catch (const LinkError& error) {
    if (error.reason() == Reason::timeout && begun()) begun_and_not_ended(error);
    throw;
  }
}

// It did speak: what came is evidence, and bytes that are no text are no late answer.
void Link::begun_and_not_ended(const LinkError& error) {
  const std::string_view begun = std::string_view(in_).substr(start_);
  transcript_.server(begun);
  const bool text =
      std::all_of(begun.begin(), begun.end(), [](char c) { return (c >= ' ' && c <= '~') || c == '\t' || c == '\r'; });
  throw LinkError(text ? Reason::timeout : Reason::protocol_error,
                  std::string("an answer was begun and not ended: ") + error.what());
}

Task<std::string> Link::hear_bytes(std::size_t n, Show show) {
  begin_wait();
  while (here() < n) {
    const std::size_t most = make_room();
    const std::size_t count = co_await read_some(in_, most);
    received(count);
  }
  std::string bytes = in_.substr(start_, n);
  start_ += n;
  searched_ = start_;
  transcript_.server(show == Show::hex ? ajar::hex(bytes) : bytes);
  co_return bytes;
}

Task<std::string> Link::hear_some(std::size_t max) {
  if (in_.size() == start_) {
    if (received_ >= kMaxReceived) throw LinkError(Reason::protocol_error, fmt::format("more than {} bytes", kMaxReceived));
    in_.clear();
    start_ = searched_ = 0;
    const std::size_t most = std::min(max, kMaxReceived - received_);
    begin_wait();
    const std::size_t count = co_await read_some(in_, most);
    received_ += count;
  }
  std::string bytes = in_.substr(start_, max);
  start_ += bytes.size();
  searched_ = start_;
  if (!bytes.empty()) transcript_.server(bytes);
  co_return bytes;
}

Link::Peek Link::peek(std::size_t enough) { return Peek(*this, enough); }

Task<void> Link::wait_for_bytes(std::size_t enough) {
  begin_wait();
  while (here() < enough) {
    const std::size_t most = make_room();
    const std::size_t count = co_await read_some(in_, most);
    if (!counted(count)) co_return;
  }
}

std::string Link::Peek::await_resume() {
  try {
    if (slow_) slow_.await_resume();
  } catch (const LinkError& error) {
    const bool ended = error.reason() == Reason::timeout || error.reason() == Reason::hung_up;
    if (!ended || !link_.begun()) throw;
  }
  return link_.in_.substr(link_.start_);
}

bool Link::unread() {
  if (in_.size() > start_) return true;
  const std::size_t before = in_.size();
  read_now(in_, 4096);
  received_ += in_.size() - before;
  return in_.size() > start_;
}

Task<void> Link::start_tls() {
  // What follows our side's "go ahead" is the peer's ClientHello: a server looks only at what it had received before.
  const bool implicit = received_ == 0;
  if (is_server() ? in_.size() > start_ : unread()) {
    transcript_.server(std::string_view(in_).substr(start_));
    if (implicit) throw LinkError(Reason::tls_failed, "it speaks without TLS");
    throw LinkError(Reason::protocol_error, "bytes before the TLS handshake");  // RFC 3207 4.2, CVE-2011-0411
  }
  begin_wait();
  co_await handshake();
  tls_ = true;
  transcript_.note("TLS from here");
}

}  // namespace ajar
