// Where the ledger of a configuration is, and for how long it keeps what.
#pragma once

#include "agent/ledger.h"
#include "config/config.h"

namespace ajar {

// Makes the folder of the state where it is missing.
LedgerOptions ledger_options(const Config& config);

}  // namespace ajar
