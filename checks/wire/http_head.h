// The head of an HTTP/1.x response (RFC 9112 4 and 5) and its content (RFC 9112 6 and 7). Pure: lines and bytes in, values out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ajar {

struct HttpHead {
  int minor = 1;                                            // of HTTP/1.x
  int status = 0;                                           // 100…599
  std::string reason;                                       // the reason phrase; may be empty
  std::vector<std::pair<std::string, std::string>> fields;  // names in lower case, values trimmed, in the order they came

  // The first field of that name (in lower case); nullptr: none.
  const std::string* find(std::string_view name) const;
  // Whether a comma-separated field holds that word, in any case of letters ("connection", "close").
  bool has(std::string_view name, std::string_view word) const;
  bool chunked() const { return has("transfer-encoding", "chunked"); }
  // Content-Length; nullopt where there is none, or one that is no number.
  std::optional<std::uint64_t> length() const;
};

// One head from its lines, which come without their end.
class HttpHeadReader {
 public:
  static constexpr std::size_t kMaxFields = 100;
  static constexpr std::size_t kMaxBytes = 32 * 1024;
  enum class Step {
    more,
    done,      // the empty line: head() is complete
    bad,       // no status line, or a line that is no field (a line folded into the one before counts as part of it)
    too_long,  // more fields or bytes than anybody needs
  };
  Step take(std::string_view line);
  const HttpHead& head() const { return head_; }
  HttpHead take_head() { return std::move(head_); }

 private:
  Step status_line(std::string_view line);
  Step field(std::string_view line);

  HttpHead head_;
  bool begun_ = false;
  std::size_t bytes_ = 0;
};

// Takes the bytes after a head and gives the content: of so many bytes, chunked, or until the connection ends. Bounded by the
// caller, who stops.
class HttpContent {
 public:
  explicit HttpContent(const HttpHead& head);
  // Appends the content in `bytes` to `into`. After ended() nothing is taken.
  void take(std::string_view bytes, std::string& into);
  bool ended() const { return state_ == State::ended; }
  bool broken() const { return broken_; }  // a chunk size that is none

 private:
  enum class State { until_close, counted, size, data, data_end, trailer, ended };
  void size_line(std::string_view line);

  State state_ = State::until_close;
  std::uint64_t left_ = 0;
  std::string line_;
  bool broken_ = false;
};

}  // namespace ajar
