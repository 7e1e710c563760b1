#include "checks/network.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>

#include "checks/frame_pool.h"

namespace ajar {
namespace {

bool plain(char c) { return c >= ' ' && c <= '~' && c != '\\'; }

// Eight bytes at a time: this is asked of every line. The highest bit of a byte of `wrong` is set where that byte is below ' ',
// above '~' or a backslash; and where it is not but the byte before it is, which makes no difference.
bool all_plain(std::string_view bytes) {
  constexpr std::uint64_t kEach = 0x0101010101010101U;
  constexpr std::uint64_t kHighest = kEach * 0x80;
  while (bytes.size() >= sizeof kEach) {
    std::uint64_t eight = 0;
    std::memcpy(&eight, bytes.data(), sizeof eight);
    const std::uint64_t not_backslash = eight ^ (kEach * '\\');
    const std::uint64_t wrong = (eight - kEach * ' ') | (eight + kEach) | (not_backslash - kEach) | eight;
    if ((wrong & kHighest) != 0) break;
    bytes.remove_prefix(sizeof kEach);
  }
  for (const char c : bytes) {
    if (!plain(c)) return false;
  }
  return true;
}

void must_be_one_line(std::string_view line) {
  if (holds_line_break(line)) throw std::logic_error("a line to send holds a line break");
}

}  // namespace

bool holds_line_break(std::string_view line) {
  return line.find('\r') != std::string_view::npos || line.find('\n') != std::string_view::npos;
}

std::string escape(std::string_view bytes, std::size_t limit) {
  if (bytes.size() <= limit && all_plain(bytes)) return std::string(bytes);
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
  static constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 3);
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (!out.empty()) out += ' ';
    out += kDigits[byte >> 4U];
    out += kDigits[byte & 15U];
  }
  return out;
}

void GrowingText::append(std::string_view text) {
  while (!text.empty()) {
    if (room_ == 0) {
      auto* const piece = new (FramePool::take(sizeof(Piece))) Piece;
      (first_ == nullptr ? first_ : last_->next) = piece;
      last_ = piece;
      room_ = sizeof(Piece::text);
    }
    const std::size_t count = std::min(text.size(), room_);
    text.copy(last_->text.data() + (sizeof(Piece::text) - room_), count);
    text.remove_prefix(count);
    size_ += count;
    room_ -= count;
  }
}

void GrowingText::clear() {
  while (first_ != nullptr) FramePool::give(std::exchange(first_, first_->next), sizeof(Piece));
  last_ = nullptr;
  size_ = room_ = 0;
}

std::string GrowingText::whole() const {
  std::string whole;
  whole.reserve(size_);
  for (const Piece* piece = first_; piece != nullptr; piece = piece->next) {
    whole.append(piece->text.data(), std::min(sizeof(Piece::text), size_ - whole.size()));
  }
  return whole;
}

namespace {

// Of a conversation that is cut: its beginning, and rather more of its end.
constexpr std::size_t kFewestFirst = 1;
constexpr std::size_t kFewestLast = 3;

// The lines of one conversation, each with its LF; `dropped` is how many were between `first` and `last`.
struct Kept {
  std::vector<std::string_view> first, last;
  std::size_t dropped = 0;
};

std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    lines.push_back(text.substr(0, text.find('\n') + 1));
    text.remove_prefix(lines.back().size());
  }
  return lines;
}

struct Room {
  std::size_t lines = 0, bytes = 0;
  bool fits(const Room& other) const { return other.lines <= lines && other.bytes <= bytes; }
  void add(std::string_view line) {
    ++lines;
    bytes += line.size();
  }
};

Room taken_by(const Kept& kept) {
  Room room;
  for (const auto* part : {&kept.first, &kept.last}) {
    for (const std::string_view line : *part) room.add(line);
  }
  return room;
}

// How many lines from `begin` on have room, `fewest` at least.
template <class Iterator>
std::ptrdiff_t count_of(Iterator begin, Iterator end, const Room& room, std::size_t fewest) {
  Room taken;
  Iterator line = begin;
  for (; line != end; ++line) {
    taken.add(*line);
    if (taken.lines > fewest && !room.fits(taken)) break;
  }
  return line - begin;
}

void shorten(Kept& kept, const Room& quota) {
  if (quota.fits(taken_by(kept))) return;
  const Room half{quota.lines / 2, quota.bytes / 2};
  const std::ptrdiff_t first = count_of(kept.first.begin(), kept.first.end(), half, kFewestFirst);
  auto& end = kept.dropped == 0 ? kept.first : kept.last;
  const std::ptrdiff_t most = std::ssize(end) - (kept.dropped == 0 ? first : 0);
  const std::ptrdiff_t last = count_of(end.rbegin(), end.rbegin() + most, half, kFewestLast);
  const std::size_t before = kept.first.size() + kept.last.size();
  kept.last = std::vector<std::string_view>(end.end() - last, end.end());
  kept.first.resize(static_cast<std::size_t>(first));
  kept.dropped += before - kept.first.size() - kept.last.size();
}

}  // namespace

void Transcript::begin_conversation() {
  if (conversations_.empty() || conversations_.back().begin != text_.size()) conversations_.push_back({text_.size(), 0, 0});
}

void Transcript::add(std::string_view prefix, std::string_view line) {
  std::string escaped;
  if (line.size() > kMaxShown || !all_plain(line)) line = escaped = escape(line);
  if (conversations_.empty()) begin_conversation();
  if (lines_ + remarks() >= kMaxLines || text_.size() + prefix.size() + line.size() >= kMaxBytes) make_room();
  append(prefix, line);
}

bool Transcript::noted(std::string_view line) const {
  const std::string all = text_.whole();
  const std::string text = "\n# " + escape(line) + "\n";
  return all.starts_with(std::string_view(text).substr(1)) || all.find(text) != std::string::npos;
}

void Transcript::append(std::string_view prefix, std::string_view line) {
  text_.append(prefix);
  text_.append(line);
  text_.append("\n");
  ++lines_;
}

// To about half of what may be kept: seldom enough to cost nothing.
void Transcript::make_room() {
  const std::string all = text_.whole();
  text_.clear();
  const std::vector<Conversation> old = std::exchange(conversations_, {});
  const Room quota{kMaxLines / 2 / old.size(), kMaxBytes / 2 / old.size()};
  std::vector<Kept> kept(old.size());
  for (std::size_t i = 0; i < old.size(); ++i) {
    const std::size_t end = i + 1 < old.size() ? old[i + 1].begin : all.size();
    const std::size_t gap = old[i].dropped == 0 ? end : old[i].gap;
    kept[i].first = split(std::string_view(all).substr(old[i].begin, gap - old[i].begin));
    kept[i].last = split(std::string_view(all).substr(gap, end - gap));
    kept[i].dropped = old[i].dropped;
    shorten(kept[i], quota);
  }
  // Where they are too many even so, the first and the latest.
  Room room{kMaxLines * 3 / 4, kMaxBytes * 3 / 4};
  std::size_t from = kept.size();
  for (Room taken = taken_by(kept.front()); from > 1; --from) {
    const Room more = taken_by(kept[from - 1]);
    taken = {taken.lines + more.lines + 2, taken.bytes + more.bytes};  // and the remarks
    if (!room.fits(taken)) break;
  }
  forgotten_ += static_cast<std::uint32_t>(from - 1);
  lines_ = 0;
  for (std::size_t i = 0; i < kept.size(); i = i == 0 ? from : i + 1) {
    Conversation conversation{text_.size(), 0, kept[i].dropped};
    for (const std::string_view line : kept[i].first) text_.append(line);
    conversation.gap = text_.size();
    for (const std::string_view line : kept[i].last) text_.append(line);
    lines_ += static_cast<std::uint32_t>(kept[i].first.size() + kept[i].last.size());
    conversations_.push_back(conversation);
  }
}

std::size_t Transcript::remarks() const {
  const auto cut = [](const Conversation& conversation) { return conversation.dropped > 0; };
  return static_cast<std::size_t>(std::count_if(conversations_.begin(), conversations_.end(), cut)) + (forgotten_ > 0 ? 1 : 0);
}

std::vector<std::string> Transcript::lines() const {
  std::vector<std::string> lines;
  lines.reserve(lines_ + remarks());
  std::size_t next = 0;  // conversation to come
  const auto say = [&](std::size_t count, std::string_view what) {
    if (count > 0) lines.push_back(fmt::format("# … {} {}: the transcript would be too long", count, what));
  };
  const std::string all = text_.whole();
  for (std::size_t at = 0; at < all.size();) {
    if (next == 1 && next < conversations_.size() && conversations_[next].begin == at) {
      say(forgotten_, "whole conversations are not kept here");
    }
    if (next < conversations_.size() && conversations_[next].begin == at) ++next;
    const Conversation& current = conversations_[next - 1];
    if (current.gap == at) say(current.dropped, "lines of this conversation are not kept here");
    const std::size_t end = all.find('\n', at);
    lines.emplace_back(all, at, end - at);
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

void Link::gather(std::string_view line, std::string& together) {
  must_be_one_line(line);
  transcript_.client(line);
  together += line;
  together += "\r\n";
}

Link::Say Link::say_together(std::string together) { return Say(*this, std::move(together)); }

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
  if (show != Show::nothing) transcript_.server(show == Show::hex ? ajar::hex(bytes) : bytes);
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

Task<bool> Link::more_within(std::chrono::milliseconds patience) {
  if (unread()) co_return true;
  const bool came = co_await wait_a_moment(patience);
  co_return came;
}

Task<bool> Link::wait_a_moment(std::chrono::milliseconds) { co_return false; }

Task<void> Link::start_tls() { return start_tls(TlsHello{}); }

Task<void> Link::start_tls(TlsHello hello) {
  // What follows our side's "go ahead" is the peer's ClientHello: a server looks only at what it had received before.
  const bool implicit = received_ == 0;
  if (is_server() ? in_.size() > start_ : unread()) {
    transcript_.server(std::string_view(in_).substr(start_));
    if (implicit) throw LinkError(Reason::tls_failed, "it speaks without TLS");
    throw LinkError(Reason::protocol_error, "bytes before the TLS handshake");  // RFC 3207 4.2, CVE-2011-0411
  }
  begin_wait();
  co_await handshake(hello);
  tls_ = true;
  transcript_.note("TLS from here");
}

}  // namespace ajar
