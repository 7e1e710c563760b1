#include "agent/html.h"

#include <gmock/gmock.h>

namespace ajar {
namespace {

using namespace std::chrono_literals;

TEST(Html, Words) {
  EXPECT_EQ(html("<a href='x'>&\"\n\\"), "&lt;a href=&#39;x&#39;&gt;&amp;&quot;\n\\");
  EXPECT_EQ(url_encode("a b/c?d=\xC3\xBC"), "a%20b%2Fc%3Fd%3D%C3%BC");
  const Time now{10000h};
  EXPECT_EQ(relative(now, now), "now");
  EXPECT_EQ(relative(now - 5s, now), "5 s ago");
  EXPECT_EQ(relative(now + 5min, now), "in 5 min");
  EXPECT_EQ(relative(now - 26h, now), "26 h ago");
  EXPECT_EQ(relative(now - 24h * 9, now), "9 d ago");
}

TEST(Html, WhatTurnsOrHidesATextIsShown) {
  EXPECT_EQ(html("a\u202Egpj.exe"), "a⟨U+202E⟩gpj.exe");
  EXPECT_EQ(html("\u200E\u200F\u061C\u202A\u202C\u2066\u2069"), "⟨U+200E⟩⟨U+200F⟩⟨U+061C⟩⟨U+202A⟩⟨U+202C⟩⟨U+2066⟩⟨U+2069⟩");
  EXPECT_EQ(html("\u200B\uFEFF\u0085"), "⟨U+200B⟩⟨U+FEFF⟩⟨U+0085⟩");
  EXPECT_EQ(html("שלום Grüße 日本 🚪"), "שלום Grüße 日本 🚪") << "what can be read stays";
  EXPECT_EQ(html("\x1B[31mred"), "\uFFFD[31mred");
  EXPECT_EQ(html("\xE2\x80"), "\uFFFD\uFFFD");
  EXPECT_EQ(peer("<b>"), "<bdi>&lt;b&gt;</bdi>");
  EXPECT_EQ(peer(""), "");
}

}  // namespace
}  // namespace ajar
