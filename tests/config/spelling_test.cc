#include <gtest/gtest.h>

#include "config/config.h"

namespace ajar {
namespace {

const std::vector<std::string> kWords = {"scope",
                                         "agent",
                                         "interval",
                                         "retry_interval",
                                         "full_matrix_interval",
                                         "listen_tcp",
                                         "listen_tls",
                                         "warn",
                                         "info",
                                         "smtp_relay",
                                         "socks4",
                                         "socks5",
                                         "why",
                                         "who"};

TEST(DidYouMean, FindsTypingErrors) {
  const std::pair<const char*, const char*> cases[] = {
      {"scop", "scope"},
      {"scoep", "scope"},
      {"sscope", "scope"},
      {"Scope", "scope"},
      {"agnet", "agent"},
      {"intervall", "interval"},
      {"interval", "interval"},
      {"retry-interval", "retry_interval"},
      {"retryinterval", "retry_interval"},
      {"full_matrix", "full_matrix_interval"},
      {"warning", "warn"},
      {"smtp", "smtp_relay"},
      {"SMTP_RELAY", "smtp_relay"},
      {"listen_tcl", "listen_tcp"},  // as near as listen_tls: the first stands
      {"listen_tsl", "listen_tls"},
      {"socks", "socks4"},
      {"wy", "why"},
  };
  for (const auto& [word, expected] : cases) EXPECT_EQ(did_you_mean(word, kWords), expected) << word;
}

TEST(DidYouMean, DoesNotGuessWildly) {
  for (const char* word : {"", "x", "zebra", "port", "dnsbl", "completely_different", "int", "zz"}) {
    EXPECT_EQ(did_you_mean(word, kWords), std::nullopt) << word;
  }
  EXPECT_EQ(did_you_mean("scope", {}), std::nullopt);
  EXPECT_EQ(did_you_mean(std::string(100'000, 'a'), kWords), std::nullopt);
}

TEST(DidYouMean, PrefersTheNearest) {
  EXPECT_EQ(did_you_mean("listen_tls", {"listen_tcp", "listen_tls"}), "listen_tls");
  EXPECT_EQ(did_you_mean("abcd", {"abxx", "abcx"}), "abcx");
}

}  // namespace
}  // namespace ajar
