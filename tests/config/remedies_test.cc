// Every remedy is whole, and there is one for everything that can fail.
#include "config/remedies.h"

#include <algorithm>
#include <set>
#include <stdexcept>
#include <string>

#include <gmock/gmock.h>

#include "checks/catalogue.h"
#include "checks/software.h"

namespace ajar {
namespace {

using testing::HasSubstr;

using testing::StartsWith;

constexpr std::size_t kLongestLine = 180, kLongestText = 400, kMostLines = 12;

// Text that can be shown anywhere: no tab, no control character.
void expect_clean(const std::string& text, const std::string& where, bool lines = false) {
  for (const char c : text) EXPECT_TRUE(static_cast<unsigned char>(c) >= ' ' || (lines && c == '\n')) << where << ": " << text;
}

void expect_sentences(const std::string& text, const std::string& where) {
  expect_clean(text, where);
  EXPECT_LE(text.size(), kLongestText) << where;
  EXPECT_THAT(text, testing::EndsWith(".")) << where;
}

void expect_directive(const std::string& text, const std::string& where) {
  expect_clean(text, where, true);
  EXPECT_LE(std::count(text.begin(), text.end(), '\n'), kMostLines) << where;
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    EXPECT_LE(end - begin, kLongestLine) << where;
    begin = end + 1;
  }
  EXPECT_FALSE(text.ends_with('\n') || text.ends_with(' ')) << where;
}

TEST(Remedies, EntriesAreWhole) {
  std::set<std::pair<std::string, std::string>> seen;
  for (const Remedy& remedy : remedies()) {
    const std::string& where = remedy.software;
    for (const std::string& check : remedy.checks) {
      EXPECT_TRUE(seen.insert({where, check}).second) << where << " has two remedies for " << check;
    }
    expect_clean(remedy.name, where);
    expect_directive(remedy.test, where);
    expect_directive(remedy.reload, where);
    if (!remedy.note.empty()) expect_sentences(remedy.note, where);
    EXPECT_THAT(remedy.reference, StartsWith("https://")) << where;
    expect_clean(remedy.reference, where);
    for (const RemedyCause& cause : remedy.causes) {
      expect_sentences(cause.wrong, where);
      expect_sentences(cause.why, where);
      expect_clean(cause.file, where);
      expect_directive(cause.before, where);
      expect_directive(cause.after, where);
      EXPECT_NE(cause.before, cause.after) << where;
    }
  }
}

TEST(Remedies, EveryCheckHasAGenericOneAndAWayToSee) {
  for (const CheckInfo& check : catalogue()) {
    const Remedy* remedy = find_remedy(check.name, "generic");
    ASSERT_NE(remedy, nullptr) << check.name;
    EXPECT_EQ(remedy->software, "generic");
    EXPECT_EQ(find_remedy(check.name, ""), remedy) << "not recognised";
    EXPECT_EQ(find_remedy(check.name, "pureftpd"), remedy) << "nothing is known of it";
    const ByHand* by_hand = find_by_hand(check.name);
    ASSERT_NE(by_hand, nullptr) << check.name;
    for (const std::string& command : {by_hand->command, by_hand->tls}) {
      expect_directive(command, std::string(check.name));
      const bool placed = command.find("{endpoint}") != std::string::npos ||
                          (command.find("{address}") != std::string::npos && command.find("{port}") != std::string::npos);
      EXPECT_TRUE(placed) << command;
    }
    expect_sentences(by_hand->closed, std::string(check.name));
  }
  EXPECT_EQ(find_remedy("no_such_check", "postfix"), nullptr);
  EXPECT_EQ(find_by_hand("no_such_check"), nullptr);
}

TEST(Remedies, WhatCanBeRecognisedCanBeClosed) {
  std::set<std::string> recognised = {"generic", "dante",   "microsocks", "openssh",  // SOCKS says no names
                                      "coturn",  "unbound", "bind",       "dnsmasq", "vsftpd", "proftpd"};
  for (const Software& software : known_software()) {
    for (const std::string_view check : software.can_fail) {
      ASSERT_NE(find_check(check), nullptr) << check;
      const Remedy* remedy = find_remedy(check, software.id);
      ASSERT_NE(remedy, nullptr);
      EXPECT_EQ(remedy->software, software.id) << check;
      EXPECT_EQ(remedy->name, software.name);
    }
    recognised.insert(std::string(software.id));
  }
  for (const Remedy& remedy : remedies()) EXPECT_TRUE(recognised.contains(remedy.software)) << remedy.software;
}

TEST(Remedies, TheServerIsFilledIn) {
  EXPECT_EQ(fill_in("swaks --server {address} --port {port}", "203.0.113.5", 25), "swaks --server 203.0.113.5 --port 25");
  EXPECT_EQ(fill_in("curl -x http://{endpoint} x", "203.0.113.5", 3128), "curl -x http://203.0.113.5:3128 x");
  EXPECT_EQ(fill_in("{endpoint}{endpoint}", "2001:db8::5", 80), "[2001:db8::5]:80[2001:db8::5]:80");
  EXPECT_EQ(fill_in("client pass { from: {port} {ports} {", "203.0.113.5", 80), "client pass { from: 80 {ports} {");
}

// The strictness that keeps a misspelt key from becoming a missing sentence.
TEST(Remedies, WhatIsWrongInAFileIsSaid) {
  const std::string head = "software = 'x'\nname = 'X'\n";
  const std::string cause = "[[remedy.cause]]\nwrong = 'a.'\nwhy = 'b.'\nfile = 'c'\nbefore = 'd'\nafter = 'e'\n";
  const std::string remedy = "[[remedy]]\nchecks = ['smtp_relay']\nreference = 'https://example.org/'\n";
  const RemedyBook book = parse_remedies("x.toml", head + remedy + cause);
  ASSERT_EQ(book.remedies.size(), 1U);
  EXPECT_EQ(book.remedies[0].name, "X");
  EXPECT_EQ(book.remedies[0].causes, (std::vector<RemedyCause>{{"a.", "b.", "c", "d", "e"}}));
  struct Row {
    std::string text;
    const char* error;
  };
  for (const Row& row : {Row{head + remedy + "relaod = 'x'\n" + cause, "x.toml:6: unknown key relaod"},
                         Row{head + remedy + cause + "befor = 'x'\n", "x.toml:12: unknown key befor"},
                         Row{head + "more = 1\n" + remedy + cause, "x.toml:3: unknown key more"},
                         Row{head + remedy, "cause is missing"}, Row{"name = 'X'\n" + remedy + cause, "software is missing"},
                         Row{head + "[[remedy]]\nreference = 'https://example.org/'\n" + cause, "checks is missing"},
                         Row{head + "[[remedy]]\nchecks = ['smtp_relais']\n" + cause, "unknown check smtp_relais"},
                         Row{head + "[[remedy]]\nchecks = [1]\n" + cause, "a check is a text"},
                         Row{head + "[remedy]\nchecks = ['smtp_relay']\n", "remedy is no list of tables"},
                         Row{head + remedy + "note = 1\n" + cause, "x.toml:6: note has the wrong type"},
                         Row{head + "[[by_hand]]\ncheck = 'smtp'\n", "unknown check smtp"},
                         Row{head + "[[by_hand]]\ncheck = 'socks4'\ncommand = 'x'\n", "tls is missing"},
                         Row{head + "[[remedy]\n", "x.toml:3"}}) {
    try {
      parse_remedies("x.toml", row.text);
      ADD_FAILURE() << "taken: " << row.text;
    } catch (const std::logic_error& error) {
      EXPECT_THAT(error.what(), HasSubstr(row.error));
    }
  }
}

}  // namespace
}  // namespace ajar
