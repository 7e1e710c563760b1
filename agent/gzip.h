// Compression of answers.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace ajar {

// One level-1 gzip stream made of chunks.
class Gzip {
 public:
  Gzip();
  ~Gzip();
  Gzip(const Gzip&) = delete;
  Gzip& operator=(const Gzip&) = delete;
  void add(std::string_view chunk);
  std::string finish();

 private:
  void run(std::string_view chunk, int flush);
  struct Stream;
  std::unique_ptr<Stream> stream_;
  std::string out_;
};

std::string gzip_of(std::string_view text);

}  // namespace ajar
