#include "tests/support/page_checks.h"

#include <cstdlib>
#include <fstream>

#include <gmock/gmock.h>

namespace ajar {

std::string get_page(Site& site, const std::string& path, Params params, int status) {
  SiteRequest request;
  request.method = "GET";
  request.path = path;
  request.target = path;
  request.accept = "text/html,application/xhtml+xml";
  request.params = std::move(params);
  const SiteReply reply = site.answer(request);
  EXPECT_EQ(reply.status, status) << path;
  EXPECT_EQ(reply.type, "text/html; charset=utf-8");
  // AJAR_WRITE_PAGES=FOLDER keeps the pages, to be looked at in a browser.
  if (const char* folder = std::getenv("AJAR_WRITE_PAGES")) {  // NOLINT(concurrency-mt-unsafe): tests set nothing
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    std::string name = std::string(test->name()) + path;
    for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
    std::ofstream(std::string(folder) + "/" + name + ".html") << *reply.body;
  }
  return *reply.body;
}

void expect_well_formed(const std::string& text) {
  std::vector<std::string> open;
  for (std::size_t at = text.find('<'); at != std::string::npos; at = text.find('<', at + 1)) {
    const std::size_t end = text.find('>', at);
    ASSERT_NE(end, std::string::npos);
    const std::string whole = text.substr(at + 1, end - at - 1);
    const std::string tag = whole.substr(0, whole.find_first_of(" \n"));
    if (tag == "!DOCTYPE" || tag == "meta" || tag == "br" || tag == "link" || tag == "input") continue;
    if (tag == "script") {
      EXPECT_THAT(whole, testing::StartsWith("script defer src=\"/static/ajar.js?v="));
    }
    EXPECT_THAT(whole, testing::Not(testing::HasSubstr(" style=")));
    EXPECT_NE(tag, "style");
    EXPECT_NE(tag, "img");
    if (tag.starts_with('/')) {
      ASSERT_FALSE(open.empty()) << tag;
      EXPECT_EQ(open.back(), tag.substr(1)) << text.substr(at > 200 ? at - 200 : 0, 260);
      open.pop_back();
    } else {
      open.push_back(tag);
    }
  }
  EXPECT_THAT(open, testing::IsEmpty());
}

}  // namespace ajar
