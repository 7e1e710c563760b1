// `ajar check` as a command: what it prints, and that it ends. Real sockets on loopback.
#include "agent/check_command.h"

#include <filesystem>
#include <fstream>
#include <string>

#include <gmock/gmock.h>
#include <unistd.h>

namespace ajar {
namespace {

using testing::HasSubstr;

class CheckCommand : public testing::Test {
 protected:
  CheckCommand() { std::filesystem::create_directories(folder_); }
  ~CheckCommand() override { std::filesystem::remove_all(folder_); }

  // What it says on stdout; `code_` is how it ended.
  std::string check(const std::string& targets) {
    const std::string file = folder_ + "/ajar.toml";
    std::ofstream(file) << "scope = [\"127.0.0.0/8\"]\n" << targets;
    CheckOptions options;
    options.config = file;
    options.json = true;
    testing::internal::CaptureStdout();
    code_ = run_check(options);
    return testing::internal::GetCapturedStdout();
  }

  const std::string folder_ = testing::TempDir() + "ajar_check_command_" + std::to_string(getpid());
  int code_ = -1;
};

std::size_t count(const std::string& text, const std::string& word) {
  std::size_t found = 0;
  for (std::size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) ++found;
  return found;
}

// The network's own result for that address is given up when the name turns out to lead there.
TEST_F(CheckCommand, EndsWhereTwoTargetsShareAnAddress) {
  const std::string out = check(R"(
[[target]]
name = "all"
network = "127.0.0.0/30"
checks = ["smtp_relay"]
ports.smtp_relay = [1]

[[target]]
name = "mx1"
host = "localhost"
checks = ["smtp_relay"]
ports.smtp_relay = [1]
)");
  EXPECT_EQ(code_, 0) << out;
  EXPECT_EQ(count(out, "\"address\":\"127.0.0.1\""), 1U) << out;
  EXPECT_THAT(out, HasSubstr(R"("target":"mx1","host":"localhost","address":"127.0.0.1")"));
  EXPECT_THAT(out, HasSubstr(R"("target":"all")"));
}

}  // namespace
}  // namespace ajar
