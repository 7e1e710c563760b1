#include "tests/support/transcript_case.h"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <sstream>
#include <stdexcept>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ajar {
namespace {

std::vector<std::string> words(const std::string& text) {
  std::istringstream in(text);
  return {std::istream_iterator<std::string>(in), std::istream_iterator<std::string>()};
}

std::vector<std::string> words_or_none(const std::string& text) {
  return text == "none" ? std::vector<std::string>{} : words(text);
}

AddressPort place(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos) throw std::runtime_error("no address and port: " + text);
  std::string address = text.substr(0, colon);
  if (address.starts_with('[')) address = address.substr(1, address.size() - 2);
  return {IpAddress::parse(address).value(), static_cast<std::uint16_t>(std::stoi(text.substr(colon + 1)))};
}

std::vector<AddressPort> places(const std::string& text) {
  std::vector<AddressPort> all;
  for (const std::string& word : words_or_none(text)) all.push_back(place(word));
  return all;
}

Permit parse_permit(const std::string& word) {
  const std::vector<std::string> names = {"granted", "pending", "recently_sent", "canary_down", "no_mail_domain"};
  const auto found = std::find(names.begin(), names.end(), word);
  if (found == names.end()) throw std::runtime_error("no such permit: " + word);
  return static_cast<Permit>(found - names.begin());
}

// "VARIANT from ADDRESS at ADDRESS:PORT METHOD [noproof]; FACT; FACT"
FixedCanary::Seen parse_seen(const std::string& text, const FixedCanary& canary) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find("; ", begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 2;
  }
  const std::vector<std::string> head = words(parts.front());
  if (head.size() < 6 || head[1] != "from" || head[3] != "at") throw std::runtime_error("no sighting: " + text);
  FixedCanary::Seen seen{head[0], {}};
  seen.sighting.exit = IpAddress::parse(head[2]).value();
  seen.sighting.listener = place(head[4]);
  seen.sighting.method = head[5];
  seen.sighting.proof = head.back() != "noproof";
  seen.sighting.facts.assign(parts.begin() + 1, parts.end());
  const std::vector<AddressPort>& mail = canary.mail_addresses;
  if (std::find(mail.begin(), mail.end(), seen.sighting.listener) != mail.end()) seen.sighting.kind = CanaryKind::smtp;
  const std::vector<AddressPort>& udp = canary.udp_addresses;
  if (std::find(udp.begin(), udp.end(), seen.sighting.listener) != udp.end()) seen.sighting.kind = CanaryKind::udp;
  return seen;
}

std::string shown(Verdict verdict, Reason reason) {
  return std::string(to_string(verdict)) + "/" + std::string(to_string(reason));
}

void expect_variants(const Script& script, const Finding& finding) {
  for (const auto& [key, value] : script.headers) {
    if (!key.starts_with("variant ")) continue;
    const std::string name = key.substr(8);
    const auto found =
        std::find_if(finding.variants.begin(), finding.variants.end(), [&](const Variant& v) { return v.name == name; });
    if (value == "absent") {
      EXPECT_EQ(found, finding.variants.end()) << name;
    } else if (found == finding.variants.end()) {
      ADD_FAILURE() << "no variant " << name;
    } else {
      EXPECT_EQ(shown(found->verdict, found->reason), value) << name;
    }
  }
}

// Where the header stands: its value must be this.
void expect_header(const Script& script, const char* key, const std::string& is) {
  const std::vector<std::string> wanted = script.all(key);
  if (wanted.empty()) return;
  EXPECT_EQ(is, wanted.front()) << key;
}

void expect_finding(const Script& script, const Finding& finding, const FixedCanary& canary) {
  EXPECT_EQ(to_string(finding.verdict), script.first("verdict")) << finding.because;
  EXPECT_EQ(to_string(finding.reason), script.first("reason")) << finding.because;
  EXPECT_THAT(finding.because, testing::EndsWith("."));
  EXPECT_THAT(finding.observations, testing::UnorderedElementsAreArray(script.all("observation")));
  EXPECT_THAT(finding.exit_addresses, testing::UnorderedElementsAreArray(script.all("exit")));
  EXPECT_EQ(to_string(finding.tls), script.first("tls", finding.tls == TlsMode::implicit ? "implicit" : "none"));
  expect_variants(script, finding);
  if (const std::vector<std::string> wanted = script.all("retry"); !wanted.empty()) {
    std::vector<std::string> retries;
    for (const Retry& retry : finding.retries) retries.push_back(retry.variant + " " + retry.token + " " + retry.sender_token);
    EXPECT_THAT(retries,
                testing::ElementsAreArray(wanted == std::vector<std::string>{"none"} ? words_or_none("none") : wanted));
  }
  if (const std::string late = script.first("late"); !late.empty()) {
    EXPECT_THAT(canary.late, testing::ElementsAreArray(words_or_none(late)));
  }
  for (const std::string& text : script.all("because")) EXPECT_THAT(finding.because, testing::HasSubstr(text));
  expect_header(script, "sent", std::to_string(canary.asked.size()));
  expect_header(script, "unsent", std::to_string(canary.unsent.size()));
  expect_header(script, "variants", std::to_string(finding.variants.size()));
  expect_header(script, "spoken", finding.spoken.empty() ? "none" : finding.spoken);
  expect_header(script, "whole", finding.whole ? "true" : "false");
}

std::filesystem::path folder_of(const std::string& name) { return AJAR_SOURCE_DIR "/tests/transcripts/" + name; }

}  // namespace

Subject example_subject() {
  Subject subject;
  subject.target = "mx1";
  subject.host = "mx.example.org";
  subject.address = IpAddress::v4({203, 0, 113, 5});
  subject.port = 25;
  subject.mail_domains = {"example.org"};
  subject.our_name = "probe.example.net";
  subject.contact = "mailto:sre@example.net";
  subject.date = "Fri, 02 Jan 2026 03:04:05 +0000";
  return subject;
}

void apply_headers(const Script& script, Subject& subject, FixedCanary& canary) {
  for (const auto& [key, value] : script.headers) {
    if (key == "subject.port") subject.port = static_cast<std::uint16_t>(std::stoi(value));
    if (key == "subject.host") subject.host = value == "none" ? "" : value;
    if (key == "subject.address") subject.address = IpAddress::parse(value).value();
    if (key == "subject.tls") subject.tls = parse_tls_mode(value).value();
    if (key == "subject.mail_domains") subject.mail_domains = words_or_none(value);
    if (key == "subject.control_recipients") subject.control_recipients = words(value);
    if (key == "subject.full_matrix") subject.full_matrix = value == "true";
    if (key == "subject.must_ask") subject.must_ask = words(value);
    if (key == "subject.our_addresses") {
      for (const std::string& word : words(value)) subject.our_addresses.push_back(IpAddress::parse(word).value());
    }
    if (key == "subject.our_name") subject.our_name = value;
    if (key == "subject.retry") {
      const std::vector<std::string> parts = words(value);
      subject.retries.push_back({parts.at(0), parts.at(1), parts.at(2)});
    }
    if (key == "canary.domain" || key == "canary.host") canary.domain = value == "none" ? "" : value;
    if (key == "canary.permit") canary.permit = parse_permit(value);
    if (key == "canary.down" && value == "true") canary.permit = Permit::canary_down;
    if (key == "canary.tcp") canary.addresses = places(value);
    if (key == "canary.smtp") canary.mail_addresses = places(value);
    if (key == "canary.udp") canary.udp_addresses = places(value);
    if (key == "canary.tls") canary.tls_addresses = places(value);
    if (key == "canary.reserved") canary.reserved = places(value);
    if (key == "canary.known") {
      for (const std::string& word : words_or_none(value)) canary.known_addresses.push_back(IpAddress::parse(word).value());
    }
    if (key == "canary.resolver_name") canary.resolver_name = value;
    if (key == "canary.log_is_behind") canary.log_is_behind = value == "true";
    if (key == "subject.transport") subject.transport = parse_transport(value).value();
  }
  for (const std::string& text : script.all("canary.saw")) canary.seen.push_back(parse_seen(text, canary));
}

std::vector<std::string> expect_transcript(const std::string& file, CheckFunction check, const Subject& example) {
  const Script script = Script::load(file);
  Subject subject = example;
  FixedCanary canary;
  apply_headers(script, subject, canary);
  ScriptedNetwork network(script);
  const std::string throws = script.first("throws");
  try {
    const Finding finding = run_now(check(network, canary, subject));
    EXPECT_EQ(throws, "");
    expect_finding(script, finding, canary);
  } catch (const LinkError& error) {
    EXPECT_EQ(to_string(error.reason()), throws) << error.what();
  }
  for (const std::string& complaint : network.complaints()) ADD_FAILURE() << complaint;
  expect_header(script, "connections", std::to_string(network.dials()));
  if (testing::Test::HasFailure()) {
    std::string text;
    for (const std::string& line : network.transcript().lines()) text += line + "\n";
    ADD_FAILURE() << text;
  }
  return network.transcript().lines();
}

std::vector<std::string> transcripts_of(const std::string& folder) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder_of(folder))) {
    if (entry.path().extension() == ".txt") files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::vector<std::string> expectations_of(const std::string& folder) {
  std::vector<std::string> all;
  for (const std::string& file : transcripts_of(folder)) {
    const Script script = Script::load(file);
    const std::string throws = script.first("throws");
    all.push_back(throws.empty() ? script.first("verdict") + "/" + script.first("reason") : "throws/" + throws);
  }
  return all;
}

std::string stem(const std::string& file) { return std::filesystem::path(file).stem().string(); }

}  // namespace ajar
