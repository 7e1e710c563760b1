#include "agent/notice_command.h"

#include <cstdio>
#include <filesystem>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "agent/agent_client.h"
#include "agent/discovery.h"
#include "agent/ledger_options.h"
#include "agent/log.h"
#include "agent/notice_reply.h"
#include "checks/network.h"

namespace ajar {
namespace {

constexpr int kWritten = 0, kNothing = 1, kUsage = 3;

// By its name, else by its place. Where nobody of that name is configured, an agent may have discovered it.
std::string name_of(const Config& config, const std::string& wanted) {
  if (config.find_target(wanted) != nullptr) return wanted;
  for (const TargetConfig& target : config.targets) {
    if (place_text(target.place) == wanted) return target.name;
  }
  return wanted;
}

int fail(const std::string& why) {
  fmt::print(stderr, "ajar: {}\n", why);
  return kUsage;
}

int print(const std::string& notice, const std::string& target) {
  if (notice.empty()) {
    fmt::print(stderr, "{}\n", no_notice_text(target));
    return kNothing;
  }
  std::fwrite(notice.data(), 1, notice.size(), stdout);
  return std::fflush(stdout) == 0 ? kWritten : fail("the notice could not be written");
}

int from_agent(const Config& config, const NoticeOptions& options, const NoticeWish& wish, const std::string& target,
               const std::string& locked) {
  AgentClient client(config.web, CanaryKeys::load(config.path(config.canary.secret_file)));
  std::string languages;
  for (const NoticeLanguage* language : wish.languages) languages += (languages.empty() ? "" : ",") + language->code;
  const std::optional<std::string> notice = client.notice(target, languages, options.format);
  if (notice) return print(*notice, target);
  return fail(fmt::format("{}, but it gave no notice about {} on {}: {}", locked, escape(target), client.address(),
                          escape(client.trouble())));
}

int from_state(const Config& declared, const NoticeWish& wish, const std::string& name) {
  std::vector<std::string> troubles;
  const Config config = declared.find_target(name) != nullptr ? declared : with_discovered(declared, troubles);
  for (const std::string& trouble : troubles) spdlog::warn("{}", trouble);
  const TargetConfig* target = config.find_target(name);
  if (target == nullptr) return fail(fmt::format("unknown target `{}`: name one of {}", escape(name), config.file));
  Ledger ledger(ledger_options(config));
  const NoticeFacts facts = notice_facts(*target, ledger, config, nullptr, ledger.take_listings(), wall_now());
  if (!facts.last_probe && facts.empty()) {
    return fail(
        fmt::format("{} was never asked: `ajar check --config {} {}` asks now", escape(name), config.file, escape(name)));
  }
  return print(facts.empty() ? "" : make_notice(facts, wish, target->owner), name);
}

}  // namespace

int run_notice(const Config& config, const NoticeOptions& options) {
  set_up_log({"warn", "text"});
  const auto wish = parse_notice_wish(options.languages, options.format);
  if (const auto* wrong = std::get_if<std::string>(&wish)) return fail(*wrong);
  const std::string target = name_of(config, options.target);
  // A notice is read, never the reason for a new state file.
  const std::string state = config.path(config.agent.state);
  if (!std::filesystem::exists(state))
    return fail(fmt::format("{}: no state yet: `ajar check` or `ajar run` makes it", escape(state)));
  try {
    return from_state(config, std::get<NoticeWish>(wish), target);
  } catch (const LedgerLocked& locked) {
    try {
      return from_agent(config, options, std::get<NoticeWish>(wish), target, locked.what());
    } catch (const std::runtime_error& error) {
      return fail(error.what());
    }
  } catch (const std::runtime_error& error) {
    return fail(error.what());
  }
}

}  // namespace ajar
