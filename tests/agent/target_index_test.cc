#include "agent/target_index.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

namespace ajar {
namespace {

using testing::ElementsAre;
using testing::Pair;

TargetViews views(const std::vector<std::string>& names) {
  TargetViews made;
  for (const std::string& name : names) {
    TargetView& view = made.emplace_back();
    view.config.name = name;
    view.config.owner = name.substr(0, 1);
    view.config.checks = {"smtp_relay", name.size() > 1 ? "socks5" : "http_connect"};
  }
  return made;
}

TEST(TargetIndexTest, FindsByName) {
  const TargetViews targets = views({"c", "a", "bb", "d"});
  const TargetIndex index(targets);
  for (const TargetView& view : targets) EXPECT_EQ(index.find(view.config.name), &view);
  for (const char* name : {"", "0", "b", "bbb", "e"}) EXPECT_EQ(index.find(name), nullptr);
  std::vector<std::string> names;
  for (const TargetView* view : index.by_name()) names.push_back(view->config.name);
  EXPECT_THAT(names, ElementsAre("a", "bb", "c", "d"));
  EXPECT_THAT(index.checks(), ElementsAre("http_connect", "smtp_relay", "socks5"));
  EXPECT_THAT(index.owned_checks(), ElementsAre(Pair("http_connect", "a"), Pair("http_connect", "c"), Pair("http_connect", "d"),
                                                Pair("smtp_relay", "a"), Pair("smtp_relay", "b"), Pair("smtp_relay", "c"),
                                                Pair("smtp_relay", "d"), Pair("socks5", "b")));
  const TargetIndex none({});
  EXPECT_EQ(none.find("a"), nullptr);
  EXPECT_EQ(none.find("a", 7).first, nullptr);
}

// Whatever place is given, also one that helps nothing.
TEST(TargetIndexTest, AHintChangesNoAnswer) {
  std::vector<std::string> names;
  for (int i = 0; i < 97; ++i) names.push_back(fmt::format("{:03}", 2 * i));
  const TargetViews targets = views(names);
  const TargetIndex index(targets);
  for (std::size_t hint = 0; hint < 100; ++hint) {
    for (int i = -1; i < 200; ++i) {
      const std::string name = fmt::format("{:03}", i);
      ASSERT_EQ(index.find(name, hint), index.find(name, 0)) << name << " " << hint;
      ASSERT_EQ(index.find(name, hint).first != nullptr, i >= 0 && i < 194 && i % 2 == 0) << name << " " << hint;
    }
  }
}

TEST(TargetIndexTest, TheBookKeepsTheLatest) {
  TargetIndexBook book;
  auto targets = std::make_shared<const TargetViews>(views({"a", "b"}));
  const auto first = book.read(targets);
  EXPECT_EQ(book.read(targets), first);
  const auto other = std::make_shared<const TargetViews>(views({"c"}));
  EXPECT_NE(book.read(other)->find("c"), nullptr);
  EXPECT_EQ(book.read(other)->find("a"), nullptr);
  targets.reset();
  EXPECT_EQ(first->find("a")->config.name, "a") << "an index holds its list";
}

}  // namespace
}  // namespace ajar
