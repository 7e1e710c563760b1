// What sweeps know, kept for the next start: a database of its own beside the agent's state, because losing it loses nothing
// but time. What is lost is swept again.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/database.h"
#include "agent/sweep_table.h"

namespace ajar {

// Loop thread only.
class SweepStore {
 public:
  // Opens or makes `path`. One that cannot be read is moved aside; one that cannot be opened at all is said in trouble(), and
  // nothing is kept.
  explicit SweepStore(const std::string& path, Time now);
  ~SweepStore();
  SweepStore(const SweepStore&) = delete;
  SweepStore& operator=(const SweepStore&) = delete;

  // As it was when it was saved last; the plan has the doors and no checks. nullptr: nothing is kept of it.
  std::unique_ptr<SweepTable> load(const std::string& target);
  // What changed since, in one transaction. `whole`: everything.
  struct Kept {
    std::string target;
    SweepTable* table = nullptr;
    bool whole = false;
  };
  void save(const std::vector<Kept>& tables);
  // Targets that are not among these are forgotten.
  void keep_only(const std::vector<std::string>& targets);
  // Why the latest attempt to write failed; empty: it did not.
  const std::string& trouble() const { return trouble_; }

 private:
  void write(const Kept& kept);
  std::unique_ptr<Database> database_;
  std::string trouble_;
};

}  // namespace ajar
