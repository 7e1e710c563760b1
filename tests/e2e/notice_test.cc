// `ajar notice` as a program: from the agent that runs, from the state that it left, and the same by its pages.
#include <algorithm>
#include <chrono>
#include <csignal>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/e2e/house.h"

namespace ajar {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;

std::string in_one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

class Notice : public testing::Test {
 protected:
  Notice() {
    setting.more =
        "\n[[exemption]]\ntarget = \"proxy_open\"\ncheck = \"http_forward\"\nuntil = 2999-01-01\nwho = \"jo\"\nwhy = \"a "
        "test\"\n";
    write_file(folder.file("ajar.toml"), setting.text({lab.place("open"), lab.place("proxy_open"), lab.place("proxy_closed")}));
  }

  struct Done {
    int code = -1;
    std::string out, err;
  };
  Done notice(const std::vector<std::string>& arguments) const {
    std::vector<std::string> argv = {program("ajar"), "notice", "--config", folder.file("ajar.toml")};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    Process process(argv, folder.path());
    Done done;
    done.code = process.wait(seconds(60)).value_or(-1);
    done.out = process.out();
    done.err = process.err();
    return done;
  }

  const Lab lab;
  const TemporaryFolder folder;
  Setting setting;
};

TEST_F(Notice, FromTheAgentAndFromWhatItLeft) {
  const Done nothing_yet = notice({"--lang", "en", "open"});
  EXPECT_EQ(nothing_yet.code, 3);
  EXPECT_THAT(nothing_yet.err, HasSubstr("no state yet"));
  std::string beside;
  {
    RunningAgent agent(folder.path(), setting.web_port);
    ASSERT_TRUE(agent.wait_ready()) << agent.process().err();
    ASSERT_TRUE(wait_until(seconds(90), [&] {
      const auto levels = agent.levels_by_check();
      const auto at = [&](const char* target, const char* check) {
        const auto found = levels.find({target, check});
        return found == levels.end() ? -1 : found->second;
      };
      return at("open", "smtp_relay") == 4 && at("proxy_open", "http_connect") == 4 && at("proxy_closed", "http_connect") == 0;
    }));
    const Done german = notice({"--lang", "de", "open"});
    EXPECT_EQ(german.code, 0) << german.err;
    EXPECT_THAT(in_one_line(german.out), HasSubstr("ist ein offenes Relay. Das ist"));
    EXPECT_THAT(german.out, HasSubstr("swaks --server " + lab.place("open").address));
    beside = german.out;
    const HttpAnswer page = agent.get("/notices/open?lang=de");
    EXPECT_EQ(page.status, 200);
    EXPECT_THAT(page.body, HasSubstr("ist ein offenes Relay."));
    EXPECT_THAT(page.head, HasSubstr("style-src 'self' 'sha256-"));
    EXPECT_EQ(agent.get("/notices/proxy_closed").status, 404);
    const Done xarf = notice({"--lang", "en", "--format", "xarf", "proxy_open"});
    EXPECT_EQ(xarf.code, 0) << xarf.err;
    const auto report = nlohmann::json::parse(xarf.out.substr(0, xarf.out.find('\n')));
    EXPECT_EQ(report.at("source_identifier"), lab.place("proxy_open").address);
    EXPECT_EQ(report.at("type"), "misconfiguration");
    const Done closed = notice({"--lang", "en", "proxy_closed"});
    EXPECT_EQ(closed.code, 1);
    EXPECT_EQ(closed.out, "");
    EXPECT_THAT(closed.err, HasSubstr("nothing to write about"));
    agent.process().signal(SIGTERM);
    EXPECT_EQ(agent.process().wait(seconds(10)), 0);
  }
  const Done after = notice({"--lang", "de", "open"});
  EXPECT_EQ(after.code, 0) << after.err;
  EXPECT_EQ(after.out.substr(0, after.out.find("\n\n")), beside.substr(0, beside.find("\n\n")));
  EXPECT_THAT(in_one_line(after.out), HasSubstr("ist ein offenes Relay. Das ist"));
  const Done mail = notice({"--lang", "fr,ar", "--format", "eml", lab.place("proxy_open").address});
  EXPECT_EQ(mail.code, 0) << mail.err;
  EXPECT_THAT(mail.out, HasSubstr("\r\nContent-Language: fr, ar\r\n"));
}

TEST(NoticeUsage, WhatIsWrongIsSaid) {
  const TemporaryFolder folder;
  write_file(folder.file("ajar.toml"), "scope = [\"127.0.0.0/8\"]\n[[target]]\nname = \"open\"\naddress = \"127.1.1.1\"\n");
  for (const auto& [arguments, says] : std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{"open"}, "--lang is required"},
           {{"--lang", "xx", "open"}, "no notice in `xx`: en ar"},
           {{"--lang", "en", "--format", "pdf", "open"}, "unknown format `pdf`"}}) {
    std::vector<std::string> argv = {program("ajar"), "notice", "--config", folder.file("ajar.toml")};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    Process process(argv, folder.path());
    EXPECT_EQ(process.wait(seconds(60)), 3);
    EXPECT_THAT(process.err(), HasSubstr(says));
  }
}

}  // namespace
}  // namespace ajar
