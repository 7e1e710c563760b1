#include "agent/packed_page.h"

#include <algorithm>
#include <array>
#include <new>

#include <zlib.h>

namespace ajar {
namespace {

constexpr std::size_t kPiece = 64 * 1024;
constexpr std::size_t kText = 32 * 1024;
// What repeats in a list of series stands a line before, so a small window finds it; a page has a dozen of these streams at a
// time, at 40 KiB each.
constexpr int kWindowBits = 12;
constexpr int kMemLevel = 5;
// RFC 1952 2.3: deflate, no flags, no time, fastest, Unix.
constexpr std::string_view kHead("\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\x03", 10);
constexpr std::string_view kLastBlock("\x03\x00", 2);  // RFC 1951: an empty one, final

void append_little_endian(std::string& to, std::uint32_t value) {
  for (int i = 0; i < 4; ++i) to += static_cast<char>((value >> (8 * i)) & 0xFFU);
}

}  // namespace

std::string_view PackedPage::at(std::size_t offset) const {
  if (offset >= size_) return {};
  const auto after = std::upper_bound(begins_.begin(), begins_.end(), offset);
  const auto index = static_cast<std::size_t>(after - begins_.begin()) - 1;
  return std::string_view(pieces_[index]).substr(offset - begins_[index]);
}

std::string PackedPage::gzip() const {
  std::string all;
  all.reserve(size_);
  for (const std::string& piece : pieces_) all += piece;
  return all;
}

std::string PackedPage::plain() const {
  std::string all;
  PlainReader reader(std::shared_ptr<const PackedPage>(this, [](const PackedPage*) {}));
  for (std::string_view text = reader.at(0); !text.empty(); text = reader.at(all.size())) all += text;
  return all;
}

// -- reading --

struct PlainReader::Stream {
  Stream() {
    if (inflateInit2(&z, 15 + 16) != Z_OK) throw std::bad_alloc();
  }
  ~Stream() { inflateEnd(&z); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  z_stream z{};
};

PlainReader::PlainReader(std::shared_ptr<const PackedPage> page) : page_(std::move(page)) { restart(); }

PlainReader::~PlainReader() = default;

void PlainReader::restart() {
  stream_ = std::make_unique<Stream>();
  text_.clear();
  text_at_ = 0;
  packed_at_ = 0;
}

void PlainReader::read_on() {
  text_at_ += text_.size();
  text_.resize(kText);
  z_stream& z = stream_->z;
  z.next_out = reinterpret_cast<Bytef*>(text_.data());
  z.avail_out = static_cast<uInt>(text_.size());
  while (z.avail_out > 0) {
    const std::string_view packed = page_->at(packed_at_);
    if (packed.empty()) break;
    z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
    z.avail_in = static_cast<uInt>(packed.size());
    const int result = inflate(&z, Z_NO_FLUSH);
    packed_at_ += packed.size() - z.avail_in;
    if (result != Z_OK) break;  // the end
  }
  text_.resize(text_.size() - z.avail_out);
}

std::string_view PlainReader::at(std::uint64_t offset) {
  if (offset < text_at_) restart();
  while (offset >= text_at_ + text_.size()) {
    read_on();
    if (text_.empty()) return {};
  }
  return std::string_view(text_).substr(static_cast<std::size_t>(offset - text_at_));
}

// -- making --

// Deflate blocks that refer to nothing before the section, and end at a byte: sections are joined as they are.
class Packer::Section {
 public:
  ~Section() { end(); }
  Section() = default;
  Section(const Section&) = delete;
  Section& operator=(const Section&) = delete;

  void add(std::string_view text) {
    if (text.empty()) return;
    begin();
    sum = crc32_z(sum, reinterpret_cast<const Bytef*>(text.data()), text.size());
    plain += text.size();
    constexpr std::size_t kMost = 1U << 30;
    for (; !text.empty(); text.remove_prefix(std::min(kMost, text.size()))) run(text.substr(0, kMost), Z_NO_FLUSH);
  }
  void finish() {
    if (open_) run({}, Z_SYNC_FLUSH);
    end();
    if (!pieces.empty()) pieces.back().shrink_to_fit();
  }

  std::vector<std::string> pieces;
  uLong sum = crc32_z(0, nullptr, 0);
  std::uint64_t plain = 0;

 private:
  void begin() {
    if (open_) return;
    if (deflateInit2(&z_, 1, Z_DEFLATED, -kWindowBits, kMemLevel, Z_DEFAULT_STRATEGY) != Z_OK) throw std::bad_alloc();
    open_ = true;
  }
  void end() {
    if (open_) deflateEnd(&z_);
    open_ = false;
  }
  void run(std::string_view text, int flush) {
    z_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
    z_.avail_in = static_cast<uInt>(text.size());
    std::array<char, 8 * 1024> buffer;
    do {
      z_.next_out = reinterpret_cast<Bytef*>(buffer.data());
      z_.avail_out = buffer.size();
      deflate(&z_, flush);
      append({buffer.data(), buffer.size() - z_.avail_out});
    } while (z_.avail_out == 0);
  }
  void append(std::string_view packed) {
    while (!packed.empty()) {
      if (pieces.empty() || pieces.back().size() == kPiece) pieces.emplace_back();
      std::string& piece = pieces.back();
      // The first piece of a short section stays short.
      if (pieces.size() > 1 && piece.empty()) piece.reserve(kPiece);
      const std::size_t part = std::min(packed.size(), kPiece - piece.size());
      piece.append(packed.substr(0, part));
      packed.remove_prefix(part);
    }
  }

  z_stream z_{};
  bool open_ = false;
};

Packer::Packer() = default;
Packer::~Packer() = default;

Packer::Sink Packer::section() {
  Section* const section = sections_.emplace_back(std::make_unique<Section>()).get();
  return [section](std::string_view text) { section->add(text); };
}

std::shared_ptr<const PackedPage> Packer::finish() {
  auto page = std::make_shared<PackedPage>();
  const auto add = [&](std::string piece) {
    if (piece.empty()) return;
    page->begins_.push_back(page->size_);
    page->size_ += piece.size();
    page->pieces_.push_back(std::move(piece));
  };
  uLong sum = crc32_z(0, nullptr, 0);
  add(std::string(kHead));
  for (const std::unique_ptr<Section>& section : sections_) {
    section->finish();
    sum = crc32_combine(sum, section->sum, static_cast<z_off_t>(section->plain));
    page->plain_size_ += section->plain;
    for (std::string& piece : section->pieces) add(std::move(piece));
  }
  sections_.clear();
  std::string tail(kLastBlock);
  append_little_endian(tail, static_cast<std::uint32_t>(sum));
  append_little_endian(tail, static_cast<std::uint32_t>(page->plain_size_));  // modulo 2^32 (RFC 1952 2.3.1)
  add(std::move(tail));
  return page;
}

}  // namespace ajar
