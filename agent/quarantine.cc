#include "agent/quarantine.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "agent/live_network.h"
#include "checks/catalogue.h"

namespace ajar {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxFile = 4 * 1024 * 1024;
constexpr int kFormat = 1;

Time time_of(const json& value) { return Time(std::chrono::milliseconds(value.get<std::int64_t>())); }
std::int64_t number_of(Time time) { return time.time_since_epoch().count(); }

// std::runtime_error or json::exception.
std::pair<ProbePlace, Quarantine::Entry> parse_entry(const json& value) {
  ProbePlace place;
  const auto address = IpAddress::parse(value.at("address").get<std::string>());
  const auto transport = parse_transport(value.at("transport").get<std::string>());
  place.check = value.at("check").get<std::string>();
  if (!address || !transport) throw std::runtime_error("an address or transport that is none");
  place.address = *address;
  place.transport = *transport;
  place.port = value.at("port").get<std::uint16_t>();
  Quarantine::Entry entry;
  entry.crashes = std::clamp(value.at("crashes").get<unsigned>(), 1U, Quarantine::kCrashes);
  entry.signal = value.at("signal").get<int>();
  entry.last = time_of(value.at("last"));
  entry.build = value.at("build").get<std::string>();
  if (!value.at("since").is_null()) entry.since = time_of(value.at("since"));
  return {place, entry};
}

json to_json(const ProbePlace& place, const Quarantine::Entry& entry) {
  return {{"address", place.address.to_string()},
          {"port", place.port},
          {"transport", to_string(place.transport)},
          {"check", place.check},
          {"crashes", entry.crashes},
          {"signal", entry.signal},
          {"last", number_of(entry.last)},
          {"since", entry.since ? json(number_of(*entry.since)) : json()},
          {"build", entry.build}};
}

// In place of the old file, whole or not at all. Empty: done; else why not.
std::string replace_file(const std::string& path, const std::string& text) {
  const std::string fresh = path + ".new";
  const auto why = [&] {
    const int error = errno;
    unlink(fresh.c_str());
    return std::generic_category().message(error);
  };
  FileDescriptor file(open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (file.get() < 0) return std::generic_category().message(errno);
  for (std::size_t written = 0; written < text.size();) {
    const ssize_t n = write(file.get(), text.data() + written, text.size() - written);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return why();
    written += static_cast<std::size_t>(n);
  }
  if (fsync(file.get()) != 0 || rename(fresh.c_str(), path.c_str()) != 0) return why();
  return {};
}

}  // namespace

std::string signal_name(int number) {
  const char* const name = sigabbrev_np(number);
  return name == nullptr ? fmt::format("signal {}", number) : fmt::format("SIG{}", name);
}

Quarantine::Quarantine(std::string path, std::string build, std::chrono::milliseconds period, WallClock now)
    : path_(std::move(path)), build_(std::move(build)), period_(period), now_(std::move(now)) {
  load();
  bool other_build = false;
  for (auto& [place, entry] : entries_) {
    if (!entry.since) {
      ++suspects_;
    } else if (entry.build != build_) {
      make_suspect(entry);
      other_build = true;
    }
  }
  if (other_build) changed();
}

void Quarantine::load() {
  std::error_code error;
  if (path_.empty() || !std::filesystem::exists(path_, error)) return;
  try {
    if (!std::filesystem::is_regular_file(path_) || std::filesystem::file_size(path_) > kMaxFile) {
      throw std::runtime_error("it is too large, or no file");
    }
    std::ifstream in(path_);
    if (!in) throw std::runtime_error("it cannot be read");
    const json all = json::parse(in);
    if (all.at("format").get<int>() != kFormat) throw std::runtime_error("it was written by another version");
    last_run_ = all.at("last_run").get<std::string>();
    for (const json& value : all.at("entries")) {
      auto [place, entry] = parse_entry(value);
      if (entries_.size() < kMost && find_check(place.check) != nullptr) entries_.emplace(std::move(place), std::move(entry));
    }
  } catch (const std::exception& trouble) {
    entries_.clear();
    last_run_.clear();
    std::filesystem::rename(path_, path_ + ".corrupt", error);
    notes_.push_back(fmt::format("{}: what crashed the agent before is not known: {}; {}", path_, trouble.what(),
                                 error ? "it is left as it is" : "it was moved aside to *.corrupt"));
  }
}

void Quarantine::make_suspect(Entry& entry) {
  entry.since.reset();
  entry.crashes = kCrashes - 1;
  entry.last = now_();
  ++suspects_;
}

void Quarantine::changed() {
  if (path_.empty()) return;
  json all = {{"format", kFormat}, {"last_run", last_run_}, {"entries", json::array()}};
  for (const auto& [place, entry] : entries_) all["entries"].push_back(to_json(place, entry));
  failure_ = replace_file(path_, all.dump(1, ' ', true, json::error_handler_t::replace) + "\n");
}

bool Quarantine::take(const Crash& crash) {
  if (!crash.in_hand || crash.run == last_run_) return false;
  last_run_ = crash.run;
  const auto [found, fresh] = entries_.try_emplace(*crash.in_hand);
  Entry& entry = found->second;
  if (fresh) ++suspects_;
  entry.crashes = std::min(entry.crashes + 1, kCrashes);
  entry.signal = crash.signal;
  entry.last = now_();
  entry.build = build_;
  const bool convicted = entry.crashes >= kCrashes && !entry.since;
  if (convicted) {
    entry.since = now_();
    --suspects_;
  }
  if (entries_.size() > kMost) {
    const auto oldest = std::min_element(entries_.begin(), entries_.end(), [](const auto& a, const auto& b) {
      return std::pair(a.second.since.has_value(), a.second.last) < std::pair(b.second.since.has_value(), b.second.last);
    });
    if (!oldest->second.since) --suspects_;
    entries_.erase(oldest);
  }
  changed();
  return convicted;
}

void Quarantine::survived(const ProbePlace& place) {
  if (suspects_ == 0) return;
  const auto found = entries_.find(place);
  if (found == entries_.end() || found->second.since) return;
  entries_.erase(found);
  --suspects_;
  changed();
}

bool Quarantine::release(const ProbePlace& place) {
  const auto found = entries_.find(place);
  if (found == entries_.end() || !found->second.since) return false;
  make_suspect(found->second);
  changed();
  return true;
}

std::vector<ProbePlace> Quarantine::expire() {
  std::vector<ProbePlace> ended;
  const Time now = now_();
  bool forgot = false;
  for (auto at = entries_.begin(); at != entries_.end();) {
    Entry& entry = at->second;
    if (entry.since && until(entry) <= now) {
      make_suspect(entry);
      ended.push_back(at->first);
    }
    const bool old = !entry.since && entry.last + kForget < now;
    if (old) {
      --suspects_;
      forgot = true;
      at = entries_.erase(at);
    } else {
      ++at;
    }
  }
  if (!ended.empty() || forgot) changed();
  return ended;
}

bool Quarantine::is_suspect(const ProbePlace& place) const {
  if (suspects_ == 0) return false;
  const auto found = entries_.find(place);
  return found != entries_.end() && !found->second.since;
}

const Quarantine::Entry* Quarantine::held(const ProbePlace& place) const {
  if (!any_held()) return nullptr;
  const auto found = entries_.find(place);
  return found != entries_.end() && found->second.since ? &found->second : nullptr;
}

}  // namespace ajar
