#include "agent/gzip.h"

#include <algorithm>
#include <array>
#include <limits>
#include <new>

#include <zlib.h>

namespace ajar {

struct Gzip::Stream {
  z_stream z{};
};

Gzip::Gzip() : stream_(std::make_unique<Stream>()) {
  constexpr int kGzipHeader = 15 + 16;
  if (deflateInit2(&stream_->z, 1, Z_DEFLATED, kGzipHeader, 8, Z_DEFAULT_STRATEGY) != Z_OK) throw std::bad_alloc();
}

Gzip::~Gzip() { deflateEnd(&stream_->z); }

void Gzip::run(std::string_view chunk, int flush) {
  z_stream& z = stream_->z;
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(chunk.data()));
  z.avail_in = static_cast<uInt>(chunk.size());
  std::array<char, 16 * 1024> buffer;
  do {
    z.next_out = reinterpret_cast<Bytef*>(buffer.data());
    z.avail_out = buffer.size();
    deflate(&z, flush);
    out_.append(buffer.data(), buffer.size() - z.avail_out);
  } while (z.avail_out == 0);
}

void Gzip::add(std::string_view chunk) {
  constexpr std::size_t kMost = std::numeric_limits<uInt>::max();
  for (; !chunk.empty(); chunk.remove_prefix(std::min(kMost, chunk.size()))) run(chunk.substr(0, kMost), Z_NO_FLUSH);
}

std::string Gzip::finish() {
  run({}, Z_FINISH);
  return std::move(out_);
}

std::string gzip_of(std::string_view text) {
  Gzip gzip;
  gzip.add(text);
  return gzip.finish();
}

}  // namespace ajar
