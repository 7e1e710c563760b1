#include "agent/ledger_options.h"

#include <filesystem>

namespace ajar {

LedgerOptions ledger_options(const Config& config) {
  LedgerOptions options;
  options.path = config.path(config.agent.state);
  options.delivery_timeout = config.canary.delivery_timeout;
  options.token_retention = config.canary.token_retention;
  options.message_interval = config.canary.message_interval;
  options.reopen_within = config.agent.reopen_within;
  options.case_retention = config.agent.case_retention;
  const auto folder = std::filesystem::path(options.path).parent_path();
  std::error_code ignored;  // the ledger says what is wrong with the folder
  if (!folder.empty()) std::filesystem::create_directories(folder, ignored);
  return options;
}

}  // namespace ajar
