// TOML text to a table.
#pragma once

#include <optional>
#include <string_view>

#include <toml++/toml.h>

#include "config/section.h"

namespace ajar {

// The document, or nullopt when it cannot be read any further. Syntax errors are added to `errors`. A value without its quotes,
// the commonest slip (interval = 1h), is reported and then read as if it had them, so that the rest of the file is checked too.
std::optional<toml::table> parse_document(std::string_view text, Errors& errors);

}  // namespace ajar
