#include "checks/wire/http_head.h"

#include <gmock/gmock.h>

namespace ajar {
namespace {

using Step = HttpHeadReader::Step;

struct Read {
  Step last = Step::more;
  HttpHead head;
};

Read read(const std::vector<std::string>& lines) {
  HttpHeadReader reader;
  Read result;
  for (const std::string& line : lines) {
    result.last = reader.take(line);
    if (result.last != Step::more) break;
  }
  result.head = reader.head();
  return result;
}

TEST(HttpHead, AHeadWithFields) {
  const Read result =
      read({"HTTP/1.1 200 Connection established", "Via: 1.1 squid.test (squid/5.7)", "CONTENT-length:  12 ", ""});
  ASSERT_EQ(result.last, Step::done);
  EXPECT_EQ(result.head.status, 200);
  EXPECT_EQ(result.head.minor, 1);
  EXPECT_EQ(result.head.reason, "Connection established");
  ASSERT_NE(result.head.find("via"), nullptr);
  EXPECT_EQ(*result.head.find("via"), "1.1 squid.test (squid/5.7)");
  EXPECT_EQ(result.head.length(), 12U);
  EXPECT_EQ(result.head.find("host"), nullptr);
}

TEST(HttpHead, StatusLines) {
  struct Row {
    const char* line;
    int status;  // 0: none
    const char* reason;
  };
  for (const Row& row :
       {Row{"HTTP/1.0 407 Proxy Authentication Required", 407, "Proxy Authentication Required"}, Row{"HTTP/1.1 204", 204, ""},
        Row{"HTTP/1.1 204 ", 204, ""}, Row{"HTTP/1.1  403 Forbidden", 403, "Forbidden"}, Row{"HTTP/1.1 599 x", 599, "x"},
        Row{"HTTP/1.1 099 x", 0, ""}, Row{"HTTP/1.1 600 x", 0, ""}, Row{"HTTP/1.1 20 x", 0, ""}, Row{"HTTP/1.1 2000 x", 0, ""},
        Row{"HTTP/1.1 2x0 x", 0, ""}, Row{"HTTP/2 200", 0, ""}, Row{"HTTP/1. 200 x", 0, ""}, Row{"HTTP/1.1", 0, ""},
        Row{"HTTP/1.1 ", 0, ""}, Row{"http/1.1 200 OK", 0, ""}, Row{"ICY 200 OK", 0, ""}, Row{"GET / HTTP/1.1", 0, ""},
        Row{"", 0, ""}}) {
    const Read result = read({row.line});
    EXPECT_EQ(result.last, row.status == 0 ? Step::bad : Step::more) << row.line;
    if (row.status == 0) continue;
    EXPECT_EQ(result.head.status, row.status) << row.line;
    EXPECT_EQ(result.head.reason, row.reason) << row.line;
  }
}

TEST(HttpHead, FieldsThatAreNone) {
  EXPECT_EQ(read({"HTTP/1.1 200 OK", "no colon"}).last, Step::bad);
  EXPECT_EQ(read({"HTTP/1.1 200 OK", ": no name"}).last, Step::bad);
  const Read folded = read({"HTTP/1.1 200 OK", "X: a", "  b", "\tc", ""});  // RFC 9112 5.2
  ASSERT_EQ(folded.last, Step::done);
  EXPECT_EQ(*folded.head.find("x"), "a b c");
  EXPECT_EQ(read({"HTTP/1.1 200 OK", " folded into nothing", ""}).last, Step::done);
}

TEST(HttpHead, IsBounded) {
  HttpHeadReader many;
  ASSERT_EQ(many.take("HTTP/1.1 200 OK"), Step::more);
  std::size_t count = 0;
  while (many.take("A: b") == Step::more) ++count;
  EXPECT_EQ(count, HttpHeadReader::kMaxFields);
  HttpHeadReader large;
  ASSERT_EQ(large.take("HTTP/1.1 200 OK"), Step::more);
  Step step = Step::more;
  for (count = 0; step == Step::more; ++count) step = large.take(" " + std::string(4000, 'x'));
  EXPECT_EQ(step, Step::too_long);
  EXPECT_LE(count, HttpHeadReader::kMaxBytes / 4000 + 1);
}

TEST(HttpHead, ListsAndNumbers) {
  const HttpHead head =
      read({"HTTP/1.1 200 OK", "Connection: keep-alive, CLOSE", "Transfer-Encoding: gzip,chunked", "Content-Length: 1x", ""})
          .head;
  EXPECT_TRUE(head.has("connection", "close"));
  EXPECT_FALSE(head.has("connection", "clos"));
  EXPECT_TRUE(head.chunked());
  EXPECT_EQ(head.length(), std::nullopt);
  for (const char* number : {"", "-1", "+1", "18446744073709551616", "0x10", "1 2"}) {
    EXPECT_EQ(read({"HTTP/1.1 200 OK", std::string("Content-Length: ") + number, ""}).head.length(), std::nullopt) << number;
  }
}

std::string content(const std::vector<std::string>& lines, const std::vector<std::string>& pieces, bool& ended, bool& broken) {
  HttpContent taker(read(lines).head);
  std::string into;
  for (const std::string& piece : pieces) taker.take(piece, into);
  ended = taker.ended();
  broken = taker.broken();
  return into;
}

TEST(HttpContent, CountedChunkedAndUntilTheEnd) {
  bool ended = false, broken = false;
  EXPECT_EQ(content({"HTTP/1.1 200 OK", "Content-Length: 5", ""}, {"PR", "OOF and more"}, ended, broken), "PROOF");
  EXPECT_TRUE(ended);
  EXPECT_EQ(content({"HTTP/1.1 200 OK", ""}, {"PR", "OOF"}, ended, broken), "PROOF");
  EXPECT_FALSE(ended);
  EXPECT_EQ(content({"HTTP/1.1 204 No", "Content-Length: 5", ""}, {"PROOF"}, ended, broken), "");
  EXPECT_TRUE(ended);
  EXPECT_EQ(content({"HTTP/1.1 200 OK", "Content-Length: 0", ""}, {"PROOF"}, ended, broken), "");
  EXPECT_TRUE(ended);
  const std::vector<std::string> chunked = {"HTTP/1.1 200 OK", "Transfer-Encoding: chunked", ""};
  EXPECT_EQ(content(chunked, {"3;ext=1\r\nPRO\r", "\n2\nOF\r\n0\r\nTrailer: x\r\n\r\nrest"}, ended, broken), "PROOF");
  EXPECT_TRUE(ended);
  EXPECT_FALSE(broken);
  // Byte by byte.
  std::vector<std::string> bytes;
  for (const char c : std::string("3\r\nPRO\r\n2\r\nOF\r\n0\r\n\r\n")) bytes.emplace_back(1, c);
  EXPECT_EQ(content(chunked, bytes, ended, broken), "PROOF");
  EXPECT_TRUE(ended);
}

TEST(HttpContent, ChunksThatAreNone) {
  bool ended = false, broken = false;
  const std::vector<std::string> chunked = {"HTTP/1.1 200 OK", "Transfer-Encoding: chunked", ""};
  for (const std::string& bad : {std::string("zz\r\nPROOF"), std::string("\r\nPROOF"), std::string(1000, '1'),
                                 std::string("ffffffffffffffffff\r\nPROOF")}) {
    EXPECT_EQ(content(chunked, {bad}, ended, broken), "") << bad;
    EXPECT_TRUE(ended);
    EXPECT_TRUE(broken);
  }
}

}  // namespace
}  // namespace ajar
