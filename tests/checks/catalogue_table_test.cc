// The table of checks in README.md: made of the catalogue and of tests/e2e/manifest.txt, which says against which real servers
// each check is proven, and by which test. AJAR_UPDATE_GOLDEN=1 writes it anew.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checks/catalogue.h"

namespace ajar {
namespace {

const std::string kRoot = AJAR_SOURCE_DIR;
constexpr const char* kBegin = "<!-- The table is made of the catalogue and tests/e2e/manifest.txt. -->\n";
constexpr const char* kEnd = "<!-- End of the table. -->\n";

std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

struct Row {
  std::string check, proof, rfc;
  struct Server {
    std::string name;
    std::vector<std::string> tests;
  };
  std::vector<Server> servers;
};

// "check:", "proof:", "rfc:", and "server: NAME = TEST TEST" as often as there are any; "#" is a comment.
std::vector<Row> manifest() {
  std::vector<Row> rows;
  std::istringstream in(read(kRoot + "/tests/e2e/manifest.txt"));
  for (std::string line; std::getline(in, line);) {
    if (line.empty() || line.starts_with('#')) continue;
    const std::size_t colon = line.find(": ");
    const std::string key = line.substr(0, colon), value = colon == std::string::npos ? "" : line.substr(colon + 2);
    if (key == "check") {
      rows.push_back({value, {}, {}, {}});
    } else if (!rows.empty() && key == "proof") {
      rows.back().proof = value;
    } else if (!rows.empty() && key == "rfc") {
      rows.back().rfc = value;
    } else if (!rows.empty() && key == "server") {
      const std::size_t is = value.find(" = ");
      if (is == std::string::npos) {
        ADD_FAILURE() << "no test: " << line;
        continue;
      }
      std::istringstream tests(value.substr(is + 3));
      rows.back().servers.push_back({value.substr(0, is), {std::istream_iterator<std::string>(tests), {}}});
    } else {
      ADD_FAILURE() << "not a line of the manifest: " << line;
    }
  }
  return rows;
}

std::string format(const Port& port) {
  return std::to_string(port.number) + (port.tls ? "/tls" : port.transport == Transport::udp ? "/udp" : "");
}

std::string table() {
  std::string text = "| check | question | proof | default ports | written in | proven on |\n|---|---|---|---|---|---|\n";
  const std::vector<Row> rows = manifest();
  for (const CheckInfo& check : catalogue()) {
    const auto row = std::find_if(rows.begin(), rows.end(), [&](const Row& one) { return one.check == check.name; });
    if (row == rows.end()) continue;
    std::string ports, servers;
    for (const Port& port : check.default_ports) ports += (ports.empty() ? "" : " ") + format(port);
    for (const Row::Server& server : row->servers) servers += (servers.empty() ? "" : ", ") + server.name;
    text += "| `" + std::string(check.name) + "`" + (check.on_by_default ? "" : " (opt-in)") + " | " +
            std::string(check.question) + " | " + row->proof + " | " + ports + " | " + row->rfc + " | " + servers + " |\n";
  }
  return text;
}

TEST(CatalogueTable, IsTheSameInTheReadme) {
  const std::string path = kRoot + "/README.md";
  std::string readme = read(path);
  const std::size_t begin = readme.find(kBegin), end = readme.find(kEnd);
  ASSERT_NE(begin, std::string::npos);
  ASSERT_NE(end, std::string::npos);
  const std::size_t from = begin + std::string(kBegin).size();
  const std::string is = "\n" + table() + "\n";
  if (std::getenv("AJAR_UPDATE_GOLDEN") != nullptr) {
    readme.replace(from, end - from, is);
    std::ofstream(path, std::ios::binary) << readme;
    return;
  }
  EXPECT_EQ(readme.substr(from, end - from), is);
}

TEST(CatalogueTable, NamesEveryCheckAndNoOther) {
  std::vector<std::string> in_catalogue, in_manifest;
  for (const CheckInfo& check : catalogue()) in_catalogue.emplace_back(check.name);
  for (const Row& row : manifest()) {
    in_manifest.push_back(row.check);
    EXPECT_NE(row.proof, "") << row.check;
    EXPECT_NE(row.rfc, "") << row.check;
    EXPECT_FALSE(row.servers.empty()) << row.check;
  }
  EXPECT_EQ(in_manifest, in_catalogue);
}

// "Suite.Name" of each TEST and TEST_F at the beginning of a line.
void add_tests(const std::string& text, std::set<std::string>& tests) {
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with("TEST(") && !line.starts_with("TEST_F(")) continue;
    const std::size_t open = line.find('('), comma = line.find(", "), close = line.find(')');
    if (comma == std::string::npos || close == std::string::npos) continue;
    tests.insert(line.substr(open + 1, comma - open - 1) + "." + line.substr(comma + 2, close - comma - 2));
  }
}

// A server stands there only while a test of it does.
TEST(CatalogueTable, RestsOnTestsThatExist) {
  std::set<std::string> tests;
  for (const auto& entry : std::filesystem::directory_iterator(kRoot + "/tests/e2e")) {
    if (entry.path().string().ends_with("_test.cc")) add_tests(read(entry.path().string()), tests);
  }
  ASSERT_FALSE(tests.empty());
  for (const Row& row : manifest()) {
    for (const Row::Server& server : row.servers) {
      EXPECT_FALSE(server.tests.empty()) << row.check << " on " << server.name;
      for (const std::string& test : server.tests) EXPECT_TRUE(tests.contains(test)) << test;
    }
  }
}

}  // namespace
}  // namespace ajar
