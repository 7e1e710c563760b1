// The whole way, from a door that opens to the message that somebody reads: a real Prometheus with the rules of dashboards/, a
// real Alertmanager with the routes of dashboards/alertmanager.yml, and a webhook that counts.
#include <csignal>
#include <filesystem>
#include <mutex>
#include <sstream>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <nlohmann/json.hpp>

#include "agent/pages.h"
#include "tests/e2e/house.h"

namespace ajar {
namespace {

using nlohmann::json;
using std::chrono::seconds;
using testing::HasSubstr;

const std::string kDashboards = std::string(AJAR_SOURCE_DIR) + "/dashboards/";
// Everything happens once a second; a machine may be busy.
constexpr seconds kSoon{60};

// One message of Alertmanager: to whom it goes is its path.
struct Message {
  std::string receiver;
  json body;
};

// Takes every message, and keeps it.
class Webhook {
 public:
  Webhook() {
    server_.Post("/(.*)", [this](const httplib::Request& request, httplib::Response&) {
      const std::lock_guard lock(mutex_);
      messages_.push_back({request.path.substr(1), json::parse(request.body)});
    });
    port_ = server_.bind_to_any_port("127.0.0.1");
    thread_ = std::thread([this] { server_.listen_after_bind(); });
  }
  ~Webhook() {
    server_.stop();
    thread_.join();
  }
  Webhook(const Webhook&) = delete;
  Webhook& operator=(const Webhook&) = delete;

  int port() const { return port_; }
  std::vector<Message> messages() const {
    const std::lock_guard lock(mutex_);
    return messages_;
  }
  // Those about a target, by who got them and what they say: "security firing" -> 1.
  std::map<std::string, int> heard(const std::string& target) const {
    std::map<std::string, int> counts;
    for (const Message& message : messages()) {
      if (message.body.at("groupLabels").value("target", "") != target) continue;
      ++counts[message.receiver + " " + message.body.at("status").get<std::string>()];
    }
    return counts;
  }

 private:
  httplib::Server server_;
  int port_ = -1;
  mutable std::mutex mutex_;
  std::vector<Message> messages_;
  std::thread thread_;
};

// `text` with another value at each place; std::runtime_error where there is no such place.
std::string changed(std::string text, const std::vector<std::pair<std::string, std::string>>& changes) {
  for (const auto& [before, after] : changes) {
    const std::size_t at = text.find(before);
    if (at == std::string::npos) throw std::runtime_error("nothing to change: " + before);
    text.replace(at, before.size(), after);
  }
  return text;
}

// dashboards/alertmanager.yml with a webhook for each receiver, and little to wait for. How soon it repeats itself stays.
std::string alertmanager_config(int webhook) {
  std::istringstream lines(read_file(kDashboards + "alertmanager.yml"));
  std::string config;
  bool receivers = false;
  for (std::string line; std::getline(lines, line);) {
    const std::string key = line.substr(0, line.find(':'));
    if (key.ends_with("group_wait") || key.ends_with("group_interval")) line = key + ": 1s";
    receivers = receivers || line == "receivers:";
    const std::string name = "  - name: ";
    if (!receivers || line == "receivers:") {
      config += line + '\n';
    } else if (line.starts_with(name)) {
      config += line + "\n    webhook_configs: [{url: 'http://127.0.0.1:" + std::to_string(webhook) + "/" +
                line.substr(name.size()) + "'}]\n";
    }
  }
  return config;
}

// The rules of the mixin, evaluated each second. An agent that answers again is not believed that nothing is open for ten
// seconds instead of two minutes; nothing else differs from dashboards/alerts/ajar.rules.yml.
std::string quick_rules() {
  Process jsonnet({"jsonnet", "-J", kDashboards, "-e", R"(
      local mixin = (import 'mixin.libsonnet') + { _config+:: { startGrace: '10s' } };
      { groups: [group { interval: '1s' } for group in mixin.prometheusRules.groups + mixin.prometheusAlerts.groups] })"});
  if (jsonnet.wait(kSoon) != 0) throw std::runtime_error(jsonnet.err());
  return jsonnet.out();
}

// Prometheus and Alertmanager as dashboards/ has them configured, but with everything at once.
class Monitoring {
 public:
  Monitoring(const std::string& folder, std::uint16_t agent, int webhook)
      : prometheus_port_(free_port("127.0.0.1")), alertmanager_port_(free_port("127.0.0.1")) {
    std::filesystem::create_directories(folder + "/rules");
    std::filesystem::create_directories(folder + "/targets");
    write_file(folder + "/rules/ajar.rules.yml", quick_rules());
    write_file(folder + "/targets/ajar.json", R"([{"targets": ["127.0.0.1:)" + std::to_string(agent) + R"("]}])");
    write_file(folder + "/prometheus.yml", changed(read_file(kDashboards + "provisioning/prometheus/prometheus.yml"),
                                                   {{"scrape_interval: 30s", "scrape_interval: 1s"},
                                                    {"evaluation_interval: 1m", "evaluation_interval: 1s"},
                                                    {"scrape_timeout: 10s", "scrape_timeout: 1s"},
                                                    {"127.0.0.1:9093", address(alertmanager_port_)}}));
    write_file(folder + "/alertmanager.yml", alertmanager_config(webhook));
    alertmanager_ = std::make_unique<Process>(
        std::vector<std::string>{"prometheus-alertmanager", "--config.file=alertmanager.yml", "--storage.path=alerts",
                                 "--web.listen-address=" + address(alertmanager_port_), "--cluster.listen-address="},
        folder);
    // It knows Alertmanager only after five seconds, and says an alert that was lost before then again after a minute.
    prometheus_ = std::make_unique<Process>(
        std::vector<std::string>{"prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data",
                                 "--rules.alert.resend-delay=10s", "--web.listen-address=" + address(prometheus_port_)},
        folder);
  }

  bool wait_ready() {
    return wait_until(kSoon, [&] {
      return http_get("127.0.0.1", alertmanager_port_, "/-/ready").status == 200 &&
             http_get("127.0.0.1", prometheus_port_, "/-/ready").status == 200;
    });
  }
  // How many series an expression has now; -1 when it cannot be asked.
  int series(const std::string& expression) const {
    const std::string path = "/api/v1/query?query=" + url_encode(expression);
    const json answer = json::parse(http_get("127.0.0.1", prometheus_port_, path).body, nullptr, false);
    if (!answer.is_object() || answer.value("status", "") != "success") return -1;
    return static_cast<int>(answer.at("data").at("result").size());
  }
  bool wait_for(const std::string& expression, seconds limit = kSoon) const {
    return wait_until(limit, [&] { return series(expression) > 0; });
  }
  std::string url() const { return "http://" + address(prometheus_port_); }
  std::string log() const { return prometheus_->err() + alertmanager_->err(); }

 private:
  static std::string address(std::uint16_t port) { return "127.0.0.1:" + std::to_string(port); }

  std::uint16_t prometheus_port_, alertmanager_port_;
  std::unique_ptr<Process> prometheus_, alertmanager_;
};

// The page that an annotation leads to.
HttpAnswer follow(const std::string& url, std::uint16_t agent) {
  const std::string before = "http://127.0.0.1:" + std::to_string(agent);
  EXPECT_THAT(url, testing::StartsWith(before + "/"));
  return http_get("127.0.0.1", agent, url.substr(std::min(url.size(), before.size())));
}

// The alert that a door is open: what it says, and where its links lead.
void expect_door_open(const json& message, const LabPlace& place, std::uint16_t agent) {
  ASSERT_EQ(message.at("alerts").size(), 1U) << message;
  const json& alert = message.at("alerts").at(0);
  EXPECT_EQ(alert.at("labels").at("alertname"), "AjarDoorOpen");
  EXPECT_EQ(alert.at("labels").at("severity"), "critical");
  EXPECT_EQ(alert.at("labels").at("owner"), "mail-team");
  EXPECT_EQ(alert.at("labels").at("address"), place.address);
  EXPECT_EQ(alert.at("labels").at("port"), std::to_string(place.port));
  const json& annotations = alert.at("annotations");
  EXPECT_THAT(annotations.at("description").get<std::string>(), HasSubstr("Open since 20"));
  const HttpAnswer evidence = follow(annotations.at("evidence_url"), agent);
  EXPECT_EQ(evidence.status, 200);
  EXPECT_THAT(evidence.body, HasSubstr("message_delivered"));
  EXPECT_THAT(evidence.body, HasSubstr("RCPT TO:"));
  const HttpAnswer runbook = follow(annotations.at("runbook_url"), agent);
  EXPECT_EQ(runbook.status, 200);
  EXPECT_THAT(runbook.body, HasSubstr("<h1>AjarDoorOpen</h1>"));
}

using Heard = std::map<std::string, int>;
const Heard kFiring = {{"mail-team-pager firing", 1}, {"security firing", 1}};
const Heard kResolved = {
    {"mail-team-pager firing", 1}, {"mail-team-pager resolved", 1}, {"security firing", 1}, {"security resolved", 1}};

// `mended` is opened, proven, announced once though the agent dies meanwhile, and closed. `open` is so all the time, `exempt`
// too.
TEST(Alerting, OneMessageWhenADoorOpensAndOneWhenItIsClosed) {
  const Lab lab;
  const TemporaryFolder folder;
  Setting setting;
  setting.more = R"(
[[target]]
name = "nobody"
address = "127.10.0.29"
checks = ["smtp_relay"]
ports.smtp_relay = [2525]
[[exemption]]
target = "open_forged_local"
check = "smtp_relay"
until = 2099-12-31
who = "the test"
why = "open on purpose"
)";
  const LabPlace& mended = lab.place("closed");
  write_file(folder.file("ajar.toml"), setting.text({mended, lab.place("open"), lab.place("open_forged_local"),
                                                     lab.place("accept_and_discard"), lab.place("blocks_us")}));
  auto agent = std::make_unique<RunningAgent>(folder.path(), setting.web_port);
  ASSERT_TRUE(agent->wait_ready()) << agent->process().err();
  const Webhook webhook;
  Monitoring monitoring(folder.path(), setting.web_port, webhook.port());
  ASSERT_TRUE(monitoring.wait_ready()) << monitoring.log();

  // What was open before is announced; what is closed, exempt, or said yes without proof, is not.
  ASSERT_TRUE(wait_until(kSoon, [&] { return webhook.heard("open") == kFiring; })) << monitoring.log();
  ASSERT_TRUE(wait_until(kSoon, [&] { return !webhook.heard("").empty(); })) << monitoring.log();
  ASSERT_TRUE(monitoring.wait_for("ajar_exposure_level{target='closed'} == 0"));
  ASSERT_TRUE(monitoring.wait_for("ajar_exposure_level{target='open_forged_local'} == 4"));
  EXPECT_EQ(webhook.heard("closed"), Heard());

  ASSERT_TRUE(lab.change(mended, "open"));
  ASSERT_TRUE(wait_until(kSoon, [&] { return webhook.heard("closed") == kFiring; })) << monitoring.log();
  for (const Message& message : webhook.messages()) {
    if (message.body.at("groupLabels").value("target", "") == "closed")
      expect_door_open(message.body, mended, setting.web_port);
  }

  // The agent dies; Prometheus sees that; it comes back, and is believed again.
  agent->process().signal(SIGKILL);
  ASSERT_TRUE(agent->process().wait(seconds(5)));
  ASSERT_TRUE(monitoring.wait_for("up{job='ajar'} == 0"));
  agent = std::make_unique<RunningAgent>(folder.path(), setting.web_port);
  ASSERT_TRUE(agent->wait_ready()) << agent->process().err();
  ASSERT_TRUE(monitoring.wait_for("time() - process_start_time_seconds{job='ajar'} > 15"));
  EXPECT_EQ(monitoring.series("ALERTS{alertname='AjarDoorOpen', alertstate='firing'}"), 2);
  EXPECT_EQ(webhook.heard("closed"), kFiring);

  ASSERT_TRUE(lab.change(mended, "closed"));
  EXPECT_TRUE(wait_until(kSoon, [&] { return webhook.heard("closed") == kResolved; })) << monitoring.log();
  // Anything more would have come within a few evaluations.
  ASSERT_TRUE(monitoring.wait_for("max_over_time(ajar_exposure_level{target='closed'}[10s]) == 0"));
  EXPECT_EQ(webhook.heard("closed"), kResolved);
  EXPECT_EQ(webhook.heard("open"), kFiring);
  for (const char* quiet : {"open_forged_local", "accept_and_discard", "blocks_us", "nobody"}) {
    EXPECT_EQ(webhook.heard(quiet), Heard()) << quiet;
  }
  EXPECT_EQ(webhook.heard(""), (Heard{{"dead-man firing", 1}}));

  // What the dashboards ask of such an agent is answered.
  Process dashboards({"python3", std::string(AJAR_SOURCE_DIR) + "/tests/e2e/dashboards.py", monitoring.url(), kDashboards});
  EXPECT_EQ(dashboards.wait(seconds(120)), 0) << dashboards.out() << dashboards.err();
}

}  // namespace
}  // namespace ajar
