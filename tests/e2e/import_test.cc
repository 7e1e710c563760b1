// `ajar import` as a program: a report about servers of the lab, taken into the state without an agent and by way of one that
// runs, and what the agent's own tests say to it.
#include <chrono>
#include <map>
#include <set>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/e2e/house.h"

namespace ajar {
namespace {

using nlohmann::json;
using std::chrono::seconds;
using testing::HasSubstr;

// As a report writes it.
std::string shown(std::chrono::system_clock::time_point time) {
  return fmt::format("{:%Y-%m-%d %H:%M:%S}", fmt::gmtime(std::chrono::system_clock::to_time_t(time)));
}

class Import : public testing::Test {
 protected:
  Import() {
    setting.interval = "1h";  // what is asked sooner was asked for by an import
    write_file(folder.file("ajar.toml"), setting.text({open, closed}));
  }

  struct Done {
    int code = -1;
    std::string out, err;
  };
  Done import(const std::string& file) const {
    Process process({program("ajar"), "import", "shadowserver", file, "--config", folder.file("ajar.toml")}, folder.path());
    Done done;
    done.code = process.wait(seconds(60)).value_or(-1);
    done.out = process.out();
    done.err = process.err();
    return done;
  }

  std::string row(const std::string& time, const std::string& address, std::uint16_t port) const {
    return fmt::format("\"{}\",medium,{},tcp,{},http-connect,\"1.1 squid, <b>\"\r\n", time, address, port);
  }
  // Writes a report and returns its name.
  std::string report(const std::string& rows, const std::string& type = "scan_http_proxy") const {
    const std::string name = "2026-01-02-" + type + "-example_org-asn.csv";
    write_file(folder.file(name), "timestamp,severity,ip,protocol,port,tag,via\r\n" + rows);
    return name;
  }

  // Status by target and port; "" for what the API does not have.
  std::map<std::pair<std::string, int>, std::string> statuses() const {
    std::map<std::pair<std::string, int>, std::string> found;
    for (const json& one : agent->data("/api/v1/suspicions")) found[{one.at("target"), one.at("port")}] = one.at("status");
    return found;
  }
  std::string status(const LabPlace& place) const { return statuses()[{place.personality, place.port}]; }
  bool has_metric(const std::string& status, int count) const {
    return agent->get("/metrics")
               .body.find(fmt::format("\najar_suspicions{{source=\"shadowserver\",status=\"{}\"}} {}\n", status, count)) !=
           std::string::npos;
  }
  void start_agent() {
    agent = std::make_unique<RunningAgent>(folder.path(), setting.web_port);
    ASSERT_TRUE(agent->wait_ready()) << agent->process().err();
  }

  const Lab lab;
  const LabPlace open = lab.place("proxy_open"), closed = lab.place("proxy_closed");
  const TemporaryFolder folder;
  Setting setting;
  const std::string an_hour_ago = shown(std::chrono::system_clock::now() - std::chrono::hours(1));
  std::unique_ptr<RunningAgent> agent;
};

TEST_F(Import, WithoutAnAgentAndBesideOne) {
  const std::string file = report(row(an_hour_ago, open.address, open.port) + row(an_hour_ago, closed.address, closed.port) +
                                  row(an_hour_ago, open.address, 4711) +            // not asked there
                                  row(an_hour_ago, "203.0.113.9", 3128) +           // outside the scope
                                  row(an_hour_ago, "127.1.2.3", 3128) +             // of no target
                                  row("2020-01-02 03:04:05", open.address, 4712));  // old
  const Done first = import(file);
  EXPECT_EQ(first.code, 0) << first.err;
  EXPECT_EQ(first.err, "");
  EXPECT_EQ(
      first.out,
      "scan_http_proxy (open HTTP proxy), 6 rows: 3 taken (3 new, 0 reported again), 0 known already, 1 outside the scope, "
      "1 of no target, 1 older than 30 days, 0 not understood\n"
      "1 at a port where nothing is asked: the page of the target and /api/v1/suspicions say what to configure\n"
      "the next `ajar run` tests them\n");
  const Done second = import(file);
  EXPECT_EQ(second.code, 0) << second.err;
  EXPECT_THAT(second.out, HasSubstr("0 taken (0 new, 0 reported again), 3 known already"));

  start_agent();
  EXPECT_TRUE(wait_until(seconds(90), [&] { return status(open) == "confirmed" && status(closed) == "refuted"; }))
      << agent->get("/api/v1/suspicions").body;
  EXPECT_TRUE(has_metric("confirmed", 1) && has_metric("refuted", 1) && has_metric("untested", 1))
      << agent->get("/metrics").body;
  const json all = agent->data("/api/v1/suspicions");
  ASSERT_EQ(all.size(), 3U);
  std::set<json> cases;
  for (const json& exposure : agent->data("/api/v1/exposures?state=open")) {
    if (exposure.at("address") == open.address && exposure.at("port") == open.port) cases.insert(exposure.at("id"));
  }
  EXPECT_TRUE(cases.contains(all.at(0).at("exposure"))) << all.at(0);
  EXPECT_EQ(all.at(1).at("remedy").at(0), fmt::format("ports.http_connect = [{}, 4711]", open.port));
  const std::string page = agent->get("/targets/proxy_open").body;
  EXPECT_THAT(page, HasSubstr("</svg>confirmed</span>"));
  EXPECT_THAT(page, HasSubstr("1.1 squid, &lt;b&gt;"));
  EXPECT_THAT(page, HasSubstr("ports.http_forward"));

  // Beside the agent the same file changes nothing: nobody is asked again.
  const auto started = [&] {
    return agent->data("/api/v1/results?target=proxy_closed&check=http_connect").at(0).at("started");
  };
  const json before = started();
  const Done beside = import(file);
  EXPECT_EQ(beside.code, 0) << beside.err;
  EXPECT_THAT(beside.out, HasSubstr("0 taken (0 new, 0 reported again), 3 known already, 1 outside the scope, 1 of no target"));
  EXPECT_EQ(agent->data("/api/v1/suspicions"), all);
  EXPECT_EQ(started(), before);

  // A later report is tested now, although the hour is not over. Reports know seconds, so one must have passed.
  const auto seen = std::chrono::system_clock::now();
  ASSERT_TRUE(wait_until(seconds(10), [&] { return std::chrono::system_clock::now() - seen > seconds(2); }));
  const Done again = import(report(row(shown(seen + seconds(1)), closed.address, closed.port) + "x,y\r\n"));
  EXPECT_EQ(again.code, 1) << again.err;
  EXPECT_THAT(again.out, HasSubstr("2 rows: 1 taken (0 new, 1 reported again)"));
  EXPECT_THAT(again.out, HasSubstr("1 not understood\nthe agent on 127.0.0.1:" + std::to_string(setting.web_port)));
  EXPECT_EQ(again.err, file + ":3: 2 fields where the header has 7\n");
  EXPECT_TRUE(wait_until(seconds(60), [&] { return started() != before && status(closed) == "refuted"; }))
      << agent->get("/api/v1/suspicions").body;
}

// The door was open when they looked, and is closed since.
TEST_F(Import, WhatWasClosedSinceIsRefutedWithItsCase) {
  start_agent();
  ASSERT_TRUE(wait_until(seconds(90), [&] { return agent->data("/api/v1/exposures?state=open").size() >= 2; }));
  ASSERT_EQ(import(report(row(shown(std::chrono::system_clock::now()), open.address, open.port))).code, 0);
  EXPECT_EQ(status(open), "confirmed");
  ASSERT_TRUE(lab.change(open, "proxy_closed"));
  // The page's button has a limit of its own.
  ASSERT_TRUE(wait_until(seconds(60), [&] { return agent->post("/probe?target=proxy_open").status == 202; }));
  EXPECT_TRUE(wait_until(seconds(90), [&] { return status(open) == "refuted"; })) << agent->get("/api/v1/suspicions").body;
  const json one = agent->data("/api/v1/suspicions").at(0);
  EXPECT_THAT(one.at("because").get<std::string>(), HasSubstr("it was open, and all that we ask there is closed since"));
  EXPECT_TRUE(one.at("exposure").is_string());
}

TEST_F(Import, BlockListsNeedAllOfTheAddress) {
  start_agent();
  const std::string name = "2026-01-02-blocklist-example_org-asn.csv";
  write_file(folder.file(name), "ip,timestamp,source,reason\n" + open.address + "," + an_hour_ago + ",bl.example,spam\n" +
                                    closed.address + "," + an_hour_ago + ",bl.example,spam\n");
  const Done done = import(name);
  EXPECT_EQ(done.code, 0) << done.err;
  EXPECT_THAT(done.out, HasSubstr("blocklist (listed address), 2 rows: 2 taken"));
  EXPECT_TRUE(wait_until(seconds(90), [&] { return has_metric("confirmed", 1) && has_metric("refuted", 1); }))
      << agent->get("/api/v1/suspicions").body;
  EXPECT_EQ(agent->data("/api/v1/suspicions?target=proxy_open").at(0).at("list"), "bl.example");
}

TEST_F(Import, WhatIsOfNoUseIsRefused) {
  const std::string unknown = report("", "scan_dns");
  EXPECT_EQ(import(unknown).code, 3);
  EXPECT_THAT(import(unknown).err, HasSubstr("`scan_dns` is no report that ajar can test; types are scan_http_proxy,"));
  write_file(folder.file("report.csv"), "timestamp,ip,port\n");
  EXPECT_EQ(import("report.csv").code, 3);
  EXPECT_THAT(import("2026-01-02-scan_socks-none.csv").err, HasSubstr("2026-01-02-scan_socks-none.csv: no such file"));
  EXPECT_EQ(import("2026-01-02-scan_socks-none.csv").code, 3);
  write_file(folder.file("2026-01-02-scan_socks-x.csv"), "timestamp,ip\n");
  EXPECT_EQ(import("2026-01-02-scan_socks-x.csv").code, 3);
  EXPECT_EQ(import(report("")).code, 0) << "no rows are no trouble";
  write_file(folder.file("ajar.toml"), "scop = 1\n");
  EXPECT_EQ(import(report("")).code, 3);
  Process none({program("ajar"), "import", "shadowserver"}, folder.path());
  EXPECT_EQ(none.wait(seconds(30)), 3);
  Process help({program("ajar"), "import", "shadowserver", "--help"}, folder.path());
  EXPECT_EQ(help.wait(seconds(30)), 0);
}

TEST_F(Import, AStrangerCannotTellTheAgentAnything) {
  start_agent();
  EXPECT_EQ(agent->post("/api/v1/suspicions").status, 401);
  EXPECT_EQ(http_request("POST", "127.0.0.1", setting.web_port, "/api/v1/suspicions", {"Ajar-Auth: 1:00"}).status, 401);
  EXPECT_EQ(
      http_request("POST", "127.0.0.1", setting.web_port, "/api/v1/suspicions", {"Origin: https://elsewhere.example"}).status,
      403);
  // Another secret than the agent's (a new one is made) is not believed either.
  std::string text = read_file(folder.file("ajar.toml"));
  text.insert(text.find("[canary]\n") + 9, "secret_file = \"other.secret\"\n");
  write_file(folder.file("ajar.toml"), text);
  const Done done = import(report(row(an_hour_ago, open.address, open.port)));
  EXPECT_EQ(done.code, 3) << done.out;
  EXPECT_EQ(agent->data("/api/v1/suspicions"), json::array());
}

}  // namespace
}  // namespace ajar
