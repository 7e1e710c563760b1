// A long page that is compressed while it is made, and kept so: one gzip stream (level 1), from which the plain text is read
// again for whoever does not take gzip. Its sections may be written at the same time, in any order; the page has them in
// theirs.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace ajar {

// A finished page. Any thread.
class PackedPage {
 public:
  std::size_t size() const { return size_; }                // bytes of the gzip stream
  std::uint64_t plain_size() const { return plain_size_; }  // bytes of the text
  // What follows at `offset` of the stream, a piece at a time; empty at the end.
  std::string_view at(std::size_t offset) const;
  std::string gzip() const;
  std::string plain() const;

 private:
  friend class Packer;
  std::vector<std::string> pieces_;
  std::vector<std::size_t> begins_;  // of each piece
  std::size_t size_ = 0;
  std::uint64_t plain_size_ = 0;
};

// The text of a page from the beginning; going back begins anew. One thread at a time.
class PlainReader {
 public:
  explicit PlainReader(std::shared_ptr<const PackedPage> page);
  ~PlainReader();
  PlainReader(const PlainReader&) = delete;
  PlainReader& operator=(const PlainReader&) = delete;
  // What follows at `offset` of the text, a piece at a time, valid until the next call; empty at the end.
  std::string_view at(std::uint64_t offset);

 private:
  struct Stream;
  void restart();
  void read_on();
  std::shared_ptr<const PackedPage> page_;
  std::unique_ptr<Stream> stream_;
  std::string text_;           // the piece read last
  std::uint64_t text_at_ = 0;  // where it begins
  std::size_t packed_at_ = 0;
};

class Packer {
 public:
  using Sink = std::function<void(std::string_view)>;

  Packer();
  ~Packer();
  Packer(const Packer&) = delete;
  Packer& operator=(const Packer&) = delete;
  // The next section of the page: what takes its text. Valid until finish().
  Sink section();
  // Ends every section. Nothing may follow.
  std::shared_ptr<const PackedPage> finish();

 private:
  class Section;
  std::vector<std::unique_ptr<Section>> sections_;
};

}  // namespace ajar
