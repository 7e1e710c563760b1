// The codec of HTTP/2: frames as the server's side writes them, and what the client makes of them.
#include "checks/wire/http2.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/http2_script.h"

namespace ajar {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

// A client that has asked, and the server's side.
struct Talk {
  Http2Client client;
  Http2Script server;
  std::vector<std::string> shown;

  Talk() {
    client.request({{":method", "CONNECT"}, {":authority", "198.51.100.7:8025"}});
    heard();
  }
  // What the client says now, as the server reads it.
  std::vector<std::string> heard() {
    std::vector<std::string> lines = server.take(client.take_output());
    for (const Http2Client::Shown& one : client.take_shown()) shown.push_back((one.ours ? "C: " : "S: ") + one.text);
    return lines;
  }
  std::vector<std::string> say(const std::string& line) {
    client.receive(server.bytes_of(line).value());
    return heard();
  }
  std::string data() {
    std::string all;
    client.take_data(all, 100'000);
    return all;
  }
};

TEST(Http2, BeginsWithSettings) {
  const std::string settings = Http2Script().bytes_of("SETTINGS MAX_FRAME_SIZE 16384").value();
  EXPECT_TRUE(begins_http2(settings));
  EXPECT_TRUE(begins_http2(Http2Script().bytes_of("SETTINGS").value()));
  EXPECT_FALSE(begins_http2(settings.substr(0, 8)));
  EXPECT_FALSE(begins_http2("HTTP/1.1 400 Bad Request\r\n"));
  for (const char* other : {"SETTINGS ACK", "GOAWAY NO_ERROR; last stream 0", "PING", "HEADERS :status 200"})
    EXPECT_FALSE(begins_http2(Http2Script().bytes_of(other).value())) << other;
  EXPECT_FALSE(begins_http2(http2_frame(4, 0, 1, "")));
  EXPECT_FALSE(begins_http2(http2_frame(4, 0, 0, "12345")));
}

TEST(Http2, TheFirstOutput) {
  Http2Client client;
  client.request({{":method", "CONNECT"}, {":authority", "[2001:db8::7]:80"}, {"user-agent", "ajar"}});
  const std::string bytes = client.take_output();
  EXPECT_THAT(bytes, StartsWith(std::string(kHttp2Preface)));
  EXPECT_TRUE(begins_http2(bytes.substr(kHttp2Preface.size())));
  EXPECT_THAT(Http2Script().take(bytes), ElementsAre("HEADERS :method CONNECT; :authority [2001:db8::7]:80; user-agent ajar"));
  EXPECT_THAT(client.take_output(), IsEmpty());
}

TEST(Http2, AnswerAndTunnel) {
  Talk talk;
  EXPECT_FALSE(talk.client.settings_came());
  talk.say("SETTINGS MAX_CONCURRENT_STREAMS 100");
  EXPECT_TRUE(talk.client.settings_came());
  EXPECT_FALSE(talk.client.offers_extended_connect());
  EXPECT_EQ(talk.client.answer(), nullptr);
  talk.say("HEADERS :status 103; link x");
  EXPECT_EQ(talk.client.answer(), nullptr);
  talk.say("HEADERS :status 200; server nghttpx; content-length 5");
  ASSERT_NE(talk.client.answer(), nullptr);
  EXPECT_EQ(talk.client.answer()->status, 200);
  EXPECT_EQ(*talk.client.answer()->find("server"), "nghttpx");
  EXPECT_EQ(talk.client.answer()->length(), 5U);
  EXPECT_FALSE(talk.client.ended());
  talk.client.send("TOKEN t\r\n");
  EXPECT_THAT(talk.heard(), ElementsAre("DATA TOKEN t"));
  talk.say("DATA PROOF p");
  EXPECT_EQ(talk.data(), "PROOF p\r\n");
  talk.say("DATA; END_STREAM");
  EXPECT_TRUE(talk.client.ended());
  EXPECT_EQ(talk.client.trouble(), "");
  EXPECT_THAT(talk.shown, Contains("S: HEADERS :status 200; server nghttpx; content-length 5"));
  EXPECT_THAT(talk.shown, Contains("S: DATA PROOF p"));
  EXPECT_THAT(talk.shown, Contains("C: DATA TOKEN t"));
}

TEST(Http2, BytesMayComeOneByOne) {
  Talk talk;
  std::string all;
  for (const char* line : {"SETTINGS ENABLE_CONNECT_PROTOCOL 1", "PING", "HEADERS :status 200; x y", "DATA hello"})
    all += talk.server.bytes_of(line).value();
  for (const char byte : all) {
    talk.client.receive(std::string_view(&byte, 1));
    talk.heard();
  }
  ASSERT_NE(talk.client.answer(), nullptr);
  EXPECT_TRUE(talk.client.offers_extended_connect());
  EXPECT_EQ(talk.data(), "hello\r\n");
  EXPECT_THAT(talk.shown, Contains("C: PING ACK"));
  EXPECT_THAT(talk.shown, Contains("C: SETTINGS ACK"));
}

TEST(Http2, DataWaitsForTheWindow) {
  Talk talk;
  talk.say("SETTINGS INITIAL_WINDOW_SIZE 4");
  talk.say("HEADERS :status 200");
  talk.client.send("123456789");
  EXPECT_THAT(talk.heard(), ElementsAre("DATA 1234"));
  EXPECT_TRUE(talk.client.unsent());
  EXPECT_THAT(talk.say("WINDOW_UPDATE 2; stream 1"), ElementsAre("DATA 56"));
  EXPECT_THAT(talk.say("WINDOW_UPDATE 100; stream 1"), ElementsAre("DATA 789"));
  EXPECT_FALSE(talk.client.unsent());
}

TEST(Http2, OurWindowIsSmallAndGrowsAsDataComes) {
  Talk talk;
  talk.say("SETTINGS");
  talk.say("HEADERS :status 200");
  const std::string block(8000, 'x');
  for (int i = 0; i < 6; ++i) {
    talk.say("DATA " + block);
    EXPECT_EQ(talk.data().size(), 8002U);
  }
  EXPECT_EQ(talk.client.trouble(), "");
  EXPECT_THAT(talk.shown, Contains(StartsWith("C: WINDOW_UPDATE ")));
}

TEST(Http2, EndsBeforeAnAnswer) {
  {
    Talk talk;
    talk.say("SETTINGS");
    talk.say("RST_STREAM HTTP_1_1_REQUIRED");
    EXPECT_EQ(talk.client.reset(), Http2Error::http_1_1_required);
  }
  {
    Talk talk;
    talk.say("SETTINGS");
    talk.say("GOAWAY ENHANCE_YOUR_CALM; last stream 0");
    ASSERT_TRUE(talk.client.goaway());
    EXPECT_EQ(talk.client.goaway()->error, Http2Error::enhance_your_calm);
    EXPECT_TRUE(talk.client.goaway()->before_ours);
  }
  Talk talk;
  talk.say("SETTINGS");
  talk.say("GOAWAY NO_ERROR; last stream 1");
  ASSERT_TRUE(talk.client.goaway());
  EXPECT_FALSE(talk.client.goaway()->before_ours);
  talk.say("HEADERS :status 403; END_STREAM");
  ASSERT_NE(talk.client.answer(), nullptr);
  EXPECT_TRUE(talk.client.ended());
}

TEST(Http2, ErrorsHaveNames) {
  EXPECT_EQ(to_string(Http2Error::connect_error), "CONNECT_ERROR");
  EXPECT_EQ(to_string(Http2Error::http_1_1_required), "HTTP_1_1_REQUIRED");
  EXPECT_EQ(to_string(static_cast<Http2Error>(4711)), "error 4711");
}

// What is no HTTP/2, or more of it than anybody needs, ends the conversation.
TEST(Http2, Troubles) {
  const auto trouble_of = [](const std::vector<std::string>& pieces) {
    Talk talk;
    talk.say("SETTINGS");
    for (const std::string& piece : pieces) {
      talk.client.receive(piece);
      talk.heard();
    }
    return talk.client.trouble();
  };
  const auto frames = [](const std::string& line, int times) {
    Http2Script server;
    std::string all;
    for (int i = 0; i < times; ++i) all += server.bytes_of(line).value();
    return all;
  };
  EXPECT_THAT(trouble_of({std::string(9, '\xff')}), HasSubstr("FRAME_SIZE_ERROR"));
  EXPECT_THAT(trouble_of({http2_frame(1, 4, 1, "\xff\xff\xff")}), HasSubstr("COMPRESSION_ERROR"));
  EXPECT_THAT(trouble_of({http2_frame(0, 0, 1, "data")}), HasSubstr("PROTOCOL_ERROR"));  // before the head
  EXPECT_THAT(trouble_of({http2_frame(4, 0, 0, "12345")}), HasSubstr("FRAME_SIZE_ERROR"));
  EXPECT_NE(trouble_of({http2_frame(5, 4, 1, std::string("\0\0\0\x02\x82", 5))}), "");  // a push, which we forbade
  EXPECT_EQ(trouble_of({frames("HEADERS server x; END_STREAM", 1)}), "a response without a status");
  EXPECT_EQ(trouble_of({frames("HEADERS :status 2x0", 1)}), "a response without a status");
  EXPECT_EQ(trouble_of({frames("HEADERS :status 102", 5)}), "interim responses without an end");
  EXPECT_THAT(trouble_of({frames("PING", 1000)}), HasSubstr("Flooding"));
  std::string fields = "HEADERS :status 200";
  for (int i = 0; i < 150; ++i) fields += "; x y";
  EXPECT_EQ(trouble_of({frames(fields, 1)}), "a head of more fields or bytes than anybody needs");
  const std::string large = "HEADERS :status 200; x " + std::string(9000, 'a') + "; y " + std::string(9000, 'b');
  EXPECT_EQ(trouble_of({frames(large, 1)}), "a head of more fields or bytes than anybody needs");
  // CONTINUATION without an end (CVE-2024-27316).
  std::string endless = http2_frame(1, 0, 1, "\x88");
  for (int i = 0; i < 100; ++i) endless += http2_frame(9, 0, 1, "");
  EXPECT_NE(trouble_of({endless}), "");
}

// More than our window holds.
TEST(Http2, DataBeyondTheWindow) {
  Talk talk;
  talk.say("SETTINGS");
  talk.say("HEADERS :status 200");
  for (int i = 0; i < 10; ++i) {
    talk.client.receive(talk.server.bytes_of("DATA " + std::string(16000, 'x')).value());
  }
  talk.heard();
  EXPECT_NE(talk.client.trouble(), "");
  EXPECT_LE(talk.data().size(), Http2Client::kMaxData);
}

}  // namespace
}  // namespace ajar
