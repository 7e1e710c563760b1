#include "tests/e2e/house.h"

#include <algorithm>
#include <cstdlib>
#include <sstream>
#include <stdexcept>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

namespace ajar {

using nlohmann::json;
using std::chrono::seconds;

std::string program(const std::string& name) { return std::string(AJAR_BINARY_DIR) + "/" + name; }

Lab::Lab(std::vector<std::string> options) : control_(free_port("127.0.0.1")) {
  std::vector<std::string> listed = {program("ajar-lab"), "--list"};
  listed.insert(listed.end(), options.begin(), options.end());
  Process list(listed);
  list.wait(seconds(30));
  std::istringstream lines(list.out());
  for (std::string line; std::getline(lines, line);) {
    const json one = json::parse(line);
    LabPlace place{one.at("personality"), one.at("address"),           {},
                   one.at("port"),        one.at("tls") == "implicit", one.at("transport") == "udp"};
    for (const auto& [check, verdict] : one.at("expect").items()) {
      place.expect.push_back({check, verdict, one.at("reasons").at(check)});
    }
    places_.push_back(std::move(place));
  }
  std::vector<std::string> argv = {program("ajar-lab"), "--control", "127.0.0.1:" + std::to_string(control_)};
  argv.insert(argv.end(), options.begin(), options.end());
  process_ = std::make_unique<Process>(argv);
  if (!wait_until(seconds(30), [&] { return process_->out().find("ready") != std::string::npos || !process_->running(); }) ||
      !process_->running()) {
    throw std::runtime_error("ajar-lab does not start: " + process_->out() + process_->err());
  }
}

const LabPlace& Lab::place(const std::string& personality) const {
  const auto found =
      std::find_if(places_.begin(), places_.end(), [&](const LabPlace& p) { return p.personality == personality; });
  if (found == places_.end()) throw std::runtime_error("no such personality: " + personality);
  return *found;
}

bool Lab::change(const LabPlace& place, const std::string& personality) const {
  const std::string path =
      "/personality?address=" + place.address + "&port=" + std::to_string(place.port) + "&name=" + personality;
  return http_request("POST", "127.0.0.1", control_, path).status == 200;
}

namespace {

std::string target_text(const LabPlace& place) {
  const std::string port = "[\"" + std::to_string(place.port) + (place.tls ? "/tls" : place.udp ? "/udp" : "") + "\"]\n";
  std::string checks, ports, domains;
  for (const Expected& one : place.expect) {
    if (one.check == "backscatter" || one.check == "smtp_smuggling") {
      // They write only to a domain that is declared: that of the lab's greeting.
      std::string name = place.personality;
      std::replace(name.begin(), name.end(), '_', '-');
      domains = "mail_domains = [\"";
      domains += name;
      domains += ".lab.test\"]\n";
    }
    checks += (checks.empty() ? "\"" : ", \"") + one.check + "\"";
    ports += "ports." + one.check + " = " + port;
  }
  return "[[target]]\nname = \"" + place.personality + "\"\naddress = \"" + place.address + "\"\nchecks = [" + checks + "]\n" +
         ports + domains + "owner = \"mail-team\"\n";
}

// The value of a label of a sample: empty where it has none.
std::string label(const std::string& sample, const std::string& name) {
  const std::string before = name + "=\"";
  const std::size_t at = sample.find(before);
  if (at == std::string::npos) return {};
  const std::size_t begin = at + before.size();
  return sample.substr(begin, sample.find('"', begin) - begin);
}

}  // namespace

std::string Setting::text(const std::vector<LabPlace>& places) const {
  const std::string smtp = std::string("[\"") + kCanaryAddress + ":" + kCanaryPort + "\"]";
  const std::string tcp = std::string("[\"") + kCanaryAddress + ":8025\", \"" + kCanaryAddress + ":8443\"]";
  const std::string udp = std::string("[\"") + kCanaryAddress + ":8025\"]";
  const std::string tls = std::string("[\"") + kCanaryAddress + ":8443\"]";  // beside plain TCP: the first byte tells
  std::string text = "scope = " + scope + R"(
[agent]
name = "probe.ajar.test"
contact = "mailto:postmaster@canary.test"
source_addresses = )" +
                     source_addresses + R"(
interval = ")" + interval +
                     R"("
retry_interval = ")" +
                     retry_interval + R"("
connect_timeout = "2s"
reply_timeout = "4s"
probe_timeout = "40s"
concurrency = )" + std::to_string(concurrency) +
                     R"(
threads = )" + std::to_string(threads) +
                     R"(
state = ")" + state + R"("
)" + agent + R"([web]
listen = [")" + (web_listen.empty() ? "127.0.0.1:" + std::to_string(web_port) : web_listen) +
                     R"("]
[canary]
listen_smtp = )" + smtp +
                     "\nadvertise_smtp = " + smtp + "\nlisten_tcp = " + tcp + "\nadvertise_tcp = " + tcp +
                     "\nlisten_udp = " + udp + "\nadvertise_udp = " + udp + "\nlisten_tls = " + tls +
                     "\nadvertise_tls = " + tls + R"(
host = "canary.test"
mail_domain = "canary.test"
delivery_timeout = ")" +
                     delivery_timeout + R"("
message_interval = ")" +
                     message_interval + "\"\n";
  for (const LabPlace& place : places) text += target_text(place);
  return text + more;
}

RunningAgent::RunningAgent(const std::string& folder, std::uint16_t web_port, std::vector<std::string> before)
    : port_(web_port) {
  std::vector<std::string> argv = std::move(before);
  for (const std::string& word : {program("ajar"), std::string("run"), std::string("--config"), folder + "/ajar.toml"})
    argv.push_back(word);
  process_ = std::make_unique<Process>(argv, folder);
}

bool RunningAgent::wait_ready(seconds limit) {
  bool ready = false;
  wait_until(limit, [&] {
    if (!process_->running()) return true;
    ready = get("/-/ready").status == 200;
    return ready;
  });
  return ready;
}

json RunningAgent::data(const std::string& path) const {
  const json answer = json::parse(get(path).body, nullptr, false);
  return answer.is_object() && answer.contains("data") ? answer.at("data") : json::array();
}

std::map<std::pair<std::string, std::string>, int> RunningAgent::levels_by_check() const {
  std::map<std::pair<std::string, std::string>, int> levels;
  std::istringstream lines(get("/metrics").body);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("ajar_exposure_level{")) continue;
    levels[{label(line, "target"), label(line, "check")}] = line.back() - '0';
  }
  return levels;
}

std::map<std::string, int> RunningAgent::levels() const {
  std::map<std::string, int> levels;
  for (const auto& [place, level] : levels_by_check()) {
    if (place.second == "smtp_relay") levels[place.first] = level;
  }
  return levels;
}

namespace {

constexpr const char* kInside = "AJAR_IN_OWN_NETWORK";

}  // namespace

bool in_own_network() { return std::getenv(kInside) != nullptr; }  // NOLINT(concurrency-mt-unsafe): nobody sets it

void expect_in_own_network(const std::string& test, const std::vector<std::string>& addresses, const std::string& hosts) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root for a network namespace of its own";
  const TemporaryFolder folder;
  std::string batch = "link set lo up\n";
  for (const std::string& address : addresses) batch += "addr add " + address + "/128 dev lo nodad\n";
  write_file(folder.file("batch"), batch);
  write_file(folder.file("hosts"), "127.0.0.1 localhost\n" + hosts);
  const std::string script = "ip -batch " + folder.file("batch") + " && mount --bind " + folder.file("hosts") +
                             " /etc/hosts && exec env " + kInside + "=1 \"$@\"";
  Process child({"unshare", "-n", "-m", "sh", "-c", script, "sh", program("e2e_test"), "--gtest_filter=" + test});
  EXPECT_EQ(child.wait(seconds(400)), 0) << child.out() << child.err();
  EXPECT_THAT(child.out(), testing::HasSubstr("[  PASSED  ] 1 test.")) << child.out() << child.err();
}

}  // namespace ajar
