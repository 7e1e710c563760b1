// The public JSON objects, all keys always present, and the way back (for `ajar check` storing through the agent's API).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "agent/ledger.h"
#include "agent/record.h"
#include "agent/suspicions.h"
#include "agent/zones.h"

namespace ajar {

nlohmann::ordered_json to_json(const Record& record);               // {"kind":"result",…}
nlohmann::ordered_json to_json(const Case& exposure, bool exempt);  // {"kind":"exposure",…}
nlohmann::ordered_json to_json(const Arrival& arrival);
nlohmann::ordered_json to_json(const ListingView& listing);      // {"kind":"listing",…}
nlohmann::ordered_json to_json(const SuspicionView& suspicion);  // {"kind":"suspicion",…}
// The same with everything that a stored record needs besides (probe_id, owner, retries); throws std::runtime_error on a bad
// shape.
std::string serialise(const Record& record);
std::string serialise(const Message& message);
Record parse_record(const std::string& text);
Message parse_message(const std::string& text);
Arrival parse_arrival(const std::string& text);
// What `ajar import` hands to a running agent, and its answer.
std::string serialise(const std::vector<Suspicion>& suspicions);
std::vector<Suspicion> parse_suspicions(const std::string& text);
std::string serialise(const ImportCounts& counts);
ImportCounts parse_import_counts(const std::string& text);

}  // namespace ajar
