// The results as the ledger holds them: packed, ordered by key. What many say alike (targets, hosts, owners, checks, sentences)
// is kept once; what few have (a change that waits to be confirmed, a case, what must be asked again) stands beside the row. A
// `closed` result takes some 130 bytes, all included. Not thread-safe: the ledger's mutex guards it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "agent/heartbeat.h"
#include "agent/ledger.h"

namespace ajar {

// What of a result's latest evidence is stored.
struct StoredEvidence {
  std::uint32_t finding = 0;  // fingerprint(); 0: none, or to be stored anew with the next probe
  Time started{};             // of the probe whose record it is
  friend bool operator==(const StoredEvidence&, const StoredEvidence&) = default;
};

// A result and the number of its rows. Numbers are never used twice.
struct HeldResult {
  std::int64_t id = 0;
  ResultState state;
  StoredEvidence evidence = {};
};

// Texts that many hold. One that nobody holds any more is gone, and its number is another's.
class TextPool {
 public:
  // The number of `text`, for one more holder.
  std::uint32_t hold(std::string_view text);
  void release(std::uint32_t number);
  std::string_view operator[](std::uint32_t number) const { return {texts_[number].bytes.get(), texts_[number].length}; }
  // nullopt: nobody holds it.
  std::optional<std::uint32_t> find(std::string_view text) const;
  std::size_t size() const { return count_; }  // different texts

 private:
  struct Text {
    std::unique_ptr<char[]> bytes;
    std::uint32_t length = 0;
    std::uint32_t holders = 0;
  };
  std::size_t place_of(std::string_view text) const;
  void grow();
  std::vector<Text> texts_;
  std::vector<std::uint32_t> free_;
  std::vector<std::uint32_t> places_;  // of numbers, by hash, each in the first free place from there on; a power of two
  std::size_t count_ = 0;
};

class ResultTable {
 public:
  ResultTable();
  ~ResultTable();
  ResultTable(ResultTable&&) noexcept;
  ResultTable& operator=(ResultTable&&) noexcept;

  // Where a result stands; good until the table changes.
  struct Place {
    std::size_t leaf = 0, row = 0;
    friend bool operator==(const Place&, const Place&) = default;
  };

  std::size_t size() const { return size_; }
  std::size_t texts() const { return texts_.size(); }
  bool contains(const ResultKey& key) const;
  std::optional<HeldResult> find(const ResultKey& key) const;
  // Adds it, or replaces the one with its key. Times are kept within some 4,400 years of 1970.
  void put(const HeldResult& held);
  bool erase(const ResultKey& key);  // false: it was not there

  Place begin() const { return {}; }
  Place end() const { return {leaves_.size(), 0}; }
  Place next(Place place) const;
  Place lower_bound(const ResultKey& key) const;  // the first whose key is not before
  Place upper_bound(const ResultKey& key) const;  // the first whose key is behind
  // Reads into an object that is used again and again, so that nothing need be allocated.
  void read(Place place, HeldResult& into) const;
  Heartbeat heartbeat(Place place) const;
  std::string_view target(Place place) const;
  // Whether read() shows a case, or a level that only a case has.
  bool may_be_exposed(Place place) const;
  // Those of an endpoint and check, whatever the target is called. Looks at every result.
  std::vector<ResultKey> at(const IpAddress& address, std::uint16_t port, Transport transport, std::string_view check) const;

 private:
  struct Rare;
  struct Row;
  using Leaf = std::vector<Row>;
  const Row& row(Place place) const;
  int compare(const Row& row, const ResultKey& key) const;
  bool is_at(Place place, const ResultKey& key) const;
  void insert(Place place, const Row& row);
  void pack(const HeldResult& held, Row& row);
  void pack_rare(const ResultState& state, Row& row);
  void forget_rare(Row& row);
  void hold(std::uint32_t& number, std::string_view text, bool fresh);

  std::vector<Leaf> leaves_;  // none is empty
  std::vector<std::unique_ptr<Rare>> rare_;
  std::vector<std::uint32_t> free_;  // places in rare_
  std::size_t size_ = 0;
  TextPool texts_;
};

}  // namespace ajar
