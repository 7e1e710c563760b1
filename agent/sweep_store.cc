#include "agent/sweep_store.h"

#include <algorithm>
#include <array>
#include <charconv>

#include <fmt/format.h>

namespace ajar {
namespace {

constexpr std::array kMigrations = {
    Migration{1, R"(
CREATE TABLE sweep (
  target TEXT PRIMARY KEY,
  network TEXT NOT NULL,
  doors TEXT NOT NULL,
  key INTEGER NOT NULL,
  fresh INTEGER NOT NULL,
  cursor INTEGER NOT NULL,
  began INTEGER,
  entered INTEGER,
  completed INTEGER,
  asked TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE slice (
  target TEXT NOT NULL,
  number INTEGER NOT NULL,
  states BLOB NOT NULL,
  PRIMARY KEY (target, number)
) WITHOUT ROWID;
)"},
};

std::string doors_text(const std::vector<SweepDoor>& doors) {
  std::string text;
  for (const SweepDoor& door : doors) text += (text.empty() ? "" : ",") + format_port({door.port, door.transport, false});
  return text;
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  while (!text.empty() && begin <= text.size()) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

std::optional<std::vector<SweepDoor>> read_doors(const std::string& text) {
  std::vector<SweepDoor> doors;
  for (const std::string& part : split(text)) {
    const std::optional<Port> port = parse_port(part);
    if (!port) return std::nullopt;
    doors.push_back({port->number, port->transport, {}});
  }
  return doors;
}

// Milliseconds since the epoch, or nothing, for each segment.
std::string times_text(const std::vector<std::optional<Time>>& times) {
  std::string text;
  for (const std::optional<Time>& time : times) {
    if (&time != times.data()) text += ',';
    if (time) text += fmt::to_string(time->time_since_epoch().count());
  }
  return text;
}

std::vector<std::optional<Time>> read_times(const std::string& text) {
  std::vector<std::optional<Time>> times;
  for (const std::string& part : split(text)) {
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    const bool sound = error == std::errc() && end == part.data() + part.size();
    times.push_back(sound ? std::optional(Time(std::chrono::milliseconds(value))) : std::nullopt);
  }
  return times;
}

}  // namespace

SweepStore::SweepStore(const std::string& path, Time now) {
  try {
    try {
      database_ = std::make_unique<Database>(path, kMigrations);
    } catch (const DatabaseError& error) {
      if (!error.corrupt()) throw;
      move_aside(path, now);
      database_ = std::make_unique<Database>(path, kMigrations);
    }
  } catch (const std::runtime_error& error) {
    trouble_ = error.what();
  }
}

SweepStore::~SweepStore() = default;

std::unique_ptr<SweepTable> SweepStore::load(const std::string& target) {
  if (!database_) return nullptr;
  try {
    Statement about(*database_,
                    "SELECT network, doors, key, fresh, cursor, began, entered, completed, asked FROM sweep WHERE target = ?");
    about.start(std::string_view(target));
    if (!about.step()) return nullptr;
    const std::optional<Cidr> network = Cidr::parse(about.text(0));
    const std::optional<std::vector<SweepDoor>> doors = read_doors(about.text(1));
    SweepTable::Progress progress;
    progress.key = static_cast<std::uint64_t>(about.integer(2));
    progress.fresh = static_cast<std::uint64_t>(about.integer(3));
    progress.cursor = static_cast<std::uint64_t>(about.integer(4));
    progress.began = about.optional_time(5);
    progress.entered = about.optional_time(6);
    progress.completed = about.optional_time(7);
    progress.asked = read_times(about.text(8));
    about.finish();
    if (!network || !doors || doors->empty()) return nullptr;
    std::vector<std::pair<std::uint64_t, std::string>> slices;
    Statement states(*database_, "SELECT number, states FROM slice WHERE target = ? ORDER BY number");
    states.start(std::string_view(target));
    while (states.step()) slices.emplace_back(static_cast<std::uint64_t>(states.integer(0)), states.blob(1));
    SweepPlan plan;
    plan.network = *network;
    plan.addresses = std::min(network->size(), kMaxSwept);
    plan.doors = *doors;
    auto table = std::make_unique<SweepTable>(std::move(plan), progress.key);
    return table->restore(progress, slices) ? std::move(table) : nullptr;
  } catch (const std::runtime_error& error) {
    trouble_ = error.what();
    return nullptr;
  }
}

void SweepStore::write(const Kept& kept) {
  const SweepTable::Progress progress = kept.table->progress();
  const std::string_view target = kept.target;
  const std::string network = kept.table->plan().network.to_string(), doors = doors_text(kept.table->plan().doors);
  const std::string asked = times_text(progress.asked);
  Statement about(*database_, "INSERT OR REPLACE INTO sweep VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  about.run(target, std::string_view(network), std::string_view(doors), static_cast<std::int64_t>(progress.key),
            static_cast<std::int64_t>(progress.fresh), static_cast<std::int64_t>(progress.cursor), progress.began,
            progress.entered, progress.completed, std::string_view(asked));
  std::vector<std::uint64_t> numbers = kept.table->take_changed();
  if (kept.whole) {
    Statement(*database_, "DELETE FROM slice WHERE target = ?").run(target);
    numbers.clear();
    for (std::uint64_t number = 0; number < kept.table->slices(); ++number) numbers.push_back(number);
  }
  Statement states(*database_, "INSERT OR REPLACE INTO slice VALUES (?, ?, ?)");
  for (const std::uint64_t number : numbers) {
    const std::string bytes = kept.table->slice(number);
    // What was not asked needs no row, unless one is there that says otherwise.
    if (kept.whole && bytes.find_first_not_of('\0') == std::string::npos) continue;
    states.run(target, static_cast<std::int64_t>(number), Blob{bytes});
  }
}

void SweepStore::save(const std::vector<Kept>& tables) {
  if (!database_) return;
  try {
    database_->execute("BEGIN IMMEDIATE");
    for (const Kept& kept : tables) write(kept);
    database_->execute("COMMIT");
    trouble_.clear();
  } catch (const std::runtime_error& error) {
    trouble_ = error.what();
    try {
      database_->execute("ROLLBACK");
    } catch (const std::runtime_error&) {
      return;  // it was rolled back already
    }
  }
}

void SweepStore::keep_only(const std::vector<std::string>& targets) {
  if (!database_) return;
  try {
    std::vector<std::string> gone;
    Statement names(*database_, "SELECT target FROM sweep");
    names.start();
    while (names.step()) {
      const std::string name = names.text(0);
      if (std::find(targets.begin(), targets.end(), name) == targets.end()) gone.push_back(name);
    }
    for (const std::string& name : gone) {
      Statement(*database_, "DELETE FROM slice WHERE target = ?").run(std::string_view(name));
      Statement(*database_, "DELETE FROM sweep WHERE target = ?").run(std::string_view(name));
    }
  } catch (const std::runtime_error& error) {
    trouble_ = error.what();
  }
}

}  // namespace ajar
