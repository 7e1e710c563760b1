#include "tests/support/http2_script.h"

#include <array>
#include <new>
#include <stdexcept>

#include <nghttp2/nghttp2.h>

#include "checks/wire/http2.h"

namespace ajar {
namespace {

bool take_word(std::string_view& text, std::string_view word) {
  if (!text.starts_with(word) || (text.size() > word.size() && text[word.size()] != ' ' && text[word.size()] != ';')) {
    return false;
  }
  text.remove_prefix(word.size());
  while (text.starts_with(' ') || text.starts_with(';')) text.remove_prefix(1);
  return true;
}

std::vector<std::string_view> parts_of(std::string_view text) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find("; "), text.size());
    parts.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 2, text.size()));
  }
  return parts;
}

std::string number(std::uint32_t value, int size) {
  std::string bytes;
  for (int shift = 8 * (size - 1); shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift & 0xffU);
  return bytes;
}

std::uint32_t number_in(std::string_view text) {
  const std::size_t space = text.rfind(' ');
  return static_cast<std::uint32_t>(std::stoul(std::string(space == std::string_view::npos ? text : text.substr(space + 1))));
}

std::uint32_t error_code(std::string_view name) {
  for (std::uint32_t code = 0; code < 14; ++code) {
    if (to_string(static_cast<Http2Error>(code)) == name) return code;
  }
  return number_in(name);
}

std::string settings_of(std::string_view text) {
  constexpr std::array<std::string_view, 9> kNames = {"",
                                                      "HEADER_TABLE_SIZE",
                                                      "ENABLE_PUSH",
                                                      "MAX_CONCURRENT_STREAMS",
                                                      "INITIAL_WINDOW_SIZE",
                                                      "MAX_FRAME_SIZE",
                                                      "MAX_HEADER_LIST_SIZE",
                                                      "",
                                                      "ENABLE_CONNECT_PROTOCOL"};
  std::string payload;
  for (const std::string_view part : parts_of(text)) {
    std::uint32_t id = 0;
    for (std::uint32_t i = 1; i < kNames.size(); ++i) {
      if (!kNames[i].empty() && part.starts_with(kNames[i])) id = i;
    }
    if (id == 0) throw std::runtime_error("no such setting: " + std::string(part));
    payload += number(id, 2) + number(number_in(part), 4);
  }
  return payload;
}

nghttp2_nv pair_of(std::string& name, std::string& value) {
  return {reinterpret_cast<std::uint8_t*>(name.data()), reinterpret_cast<std::uint8_t*>(value.data()), name.size(),
          value.size(), NGHTTP2_NV_FLAG_NONE};
}

}  // namespace

std::string http2_frame(unsigned type, unsigned flags, unsigned stream, std::string_view payload) {
  return number(static_cast<std::uint32_t>(payload.size()), 3) + number(type, 1) + number(flags, 1) + number(stream, 4) +
         std::string(payload);
}

struct Http2Script::Tables {
  nghttp2_hd_deflater* out = nullptr;
  nghttp2_hd_inflater* in = nullptr;
  Tables() {
    if (nghttp2_hd_deflate_new(&out, 4096) != 0 || nghttp2_hd_inflate_new(&in) != 0) throw std::bad_alloc();
  }
  ~Tables() {
    nghttp2_hd_deflate_del(out);
    nghttp2_hd_inflate_del(in);
  }
  Tables(const Tables&) = delete;
  Tables& operator=(const Tables&) = delete;
};

Http2Script::Http2Script() : tables_(std::make_unique<Tables>()) {}
Http2Script::~Http2Script() = default;

std::string Http2Script::head_of(std::string_view fields, bool& ends) {
  std::vector<std::pair<std::string, std::string>> texts;
  for (const std::string_view part : parts_of(fields)) {
    if (part == "END_STREAM") {
      ends = true;
      continue;
    }
    const std::size_t space = part.find(' ');
    if (space == std::string_view::npos) throw std::runtime_error("no field: " + std::string(part));
    texts.emplace_back(part.substr(0, space), part.substr(space + 1));
  }
  std::vector<nghttp2_nv> pairs;
  for (auto& [name, value] : texts) pairs.push_back(pair_of(name, value));
  std::string block(nghttp2_hd_deflate_bound(tables_->out, pairs.data(), pairs.size()), '\0');
  const ssize_t size = nghttp2_hd_deflate_hd(tables_->out, reinterpret_cast<std::uint8_t*>(block.data()), block.size(),
                                             pairs.data(), pairs.size());
  if (size < 0) throw std::runtime_error(nghttp2_strerror(static_cast<int>(size)));
  block.resize(static_cast<std::size_t>(size));
  return block;
}

std::optional<std::string> Http2Script::bytes_of(std::string_view line) {
  constexpr unsigned kEndStream = NGHTTP2_FLAG_END_STREAM;
  constexpr std::string_view kEnd = "; END_STREAM";
  constexpr std::string_view kNotEnded = "…";
  if (take_word(line, "SETTINGS")) {
    if (line == "ACK") return http2_frame(NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, {});
    return http2_frame(NGHTTP2_SETTINGS, 0, 0, settings_of(line));
  }
  if (take_word(line, "HEADERS")) {
    bool ends = false;
    const std::string block = head_of(line, ends);
    return http2_frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | (ends ? kEndStream : 0U), 1, block);
  }
  if (line == "DATA; END_STREAM") return http2_frame(NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, {});
  if (take_word(line, "DATA")) {
    const bool ends = line.ends_with(kEnd);
    if (ends) line.remove_suffix(kEnd.size());
    const bool not_ended = line.ends_with(kNotEnded);
    if (not_ended) line.remove_suffix(kNotEnded.size());
    return http2_frame(NGHTTP2_DATA, ends ? kEndStream : 0U, 1, std::string(line) + (not_ended ? "" : "\r\n"));
  }
  if (take_word(line, "RST_STREAM")) return http2_frame(NGHTTP2_RST_STREAM, 0, 1, number(error_code(line), 4));
  if (take_word(line, "GOAWAY")) {
    const std::vector<std::string_view> parts = parts_of(line);
    const std::uint32_t last = parts.size() > 1 ? number_in(parts[1]) : 0;
    return http2_frame(NGHTTP2_GOAWAY, 0, 0, number(last, 4) + number(error_code(parts.at(0)), 4));
  }
  if (line == "PING") return http2_frame(NGHTTP2_PING, 0, 0, "12345678");
  if (take_word(line, "WINDOW_UPDATE")) {
    const std::vector<std::string_view> parts = parts_of(line);
    return http2_frame(NGHTTP2_WINDOW_UPDATE, 0, parts.size() > 1 ? number_in(parts[1]) : 0, number(number_in(parts.at(0)), 4));
  }
  return std::nullopt;
}

std::string Http2Script::fields_in(std::string_view block) {
  std::string text;
  const auto* at = reinterpret_cast<const std::uint8_t*>(block.data());
  std::size_t left = block.size();
  for (;;) {
    nghttp2_nv pair{};
    int flags = 0;
    const ssize_t used = nghttp2_hd_inflate_hd2(tables_->in, &pair, &flags, at, left, 1);
    if (used < 0) throw std::runtime_error(nghttp2_strerror(static_cast<int>(used)));
    at += used;
    left -= static_cast<std::size_t>(used);
    if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
      text += (text.empty() ? "" : "; ") + std::string(reinterpret_cast<char*>(pair.name), pair.namelen) + " " +
              std::string(reinterpret_cast<char*>(pair.value), pair.valuelen);
    }
    if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0) break;
    if ((flags & NGHTTP2_HD_INFLATE_EMIT) == 0 && left == 0) break;
  }
  nghttp2_hd_inflate_end_headers(tables_->in);
  return text;
}

std::vector<std::string> Http2Script::take(std::string_view bytes) {
  std::vector<std::string> lines;
  said_ += bytes;
  if (said_.starts_with(kHttp2Preface)) said_.erase(0, kHttp2Preface.size());
  const auto at = [this](std::size_t i) { return static_cast<unsigned>(static_cast<unsigned char>(said_[i])); };
  while (said_.size() >= kHttp2FrameHeader) {
    const std::size_t length = at(0) << 16U | at(1) << 8U | at(2);
    if (said_.size() < kHttp2FrameHeader + length) break;
    const unsigned type = at(3);
    const std::string payload = said_.substr(kHttp2FrameHeader, length);
    said_.erase(0, kHttp2FrameHeader + length);
    if (type == NGHTTP2_HEADERS) lines.push_back("HEADERS " + fields_in(payload));
    if (type == NGHTTP2_DATA) {
      std::string_view data = payload;
      if (data.ends_with("\r\n")) data.remove_suffix(2);
      lines.push_back("DATA " + std::string(data));
    }
    if (type == NGHTTP2_RST_STREAM) lines.emplace_back("RST_STREAM");
    if (type == NGHTTP2_GOAWAY) lines.emplace_back("GOAWAY");
  }
  return lines;
}

}  // namespace ajar
