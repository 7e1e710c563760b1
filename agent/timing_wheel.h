// Deadlines by the ten thousand: adding, moving and removing one is O(1) and allocates nothing. Pure: time is a tick number
// that the caller advances. Entries live in what waits (intrusive); destroying one removes it.
#pragma once

#include <array>
#include <cstdint>

namespace ajar {

class TimingWheel {
 public:
  class Entry {
   public:
    Entry() = default;
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;
    virtual ~Entry() { remove(); }
    bool pending() const { return next_ != nullptr; }
    void remove();
    // Called once, by advance(), after the entry has left the wheel; it may add itself again and may destroy itself.
    virtual void expire() {}

   private:
    friend class TimingWheel;
    void link_before(Entry& place);
    Entry* next_ = nullptr;
    Entry* previous_ = nullptr;
    std::uint64_t due_ = 0;
    TimingWheel* wheel_ = nullptr;
  };

  TimingWheel();
  ~TimingWheel();
  TimingWheel(const TimingWheel&) = delete;
  TimingWheel& operator=(const TimingWheel&) = delete;

  // Expires when advance() reaches tick `due` (at the next advance() when that has passed). Moves an entry that is pending.
  void add(Entry& entry, std::uint64_t due);
  // Expires everything due up to and including `tick`, in no promised order within a tick.
  void advance(std::uint64_t tick);
  // Expires everything now, including what expiring adds, up to a bounded number of rounds.
  void expire_all();
  std::uint64_t now() const { return now_; }
  std::size_t size() const { return size_; }

 private:
  static constexpr std::size_t kSlots = 2048;
  void run_list(Entry& list);
  std::array<Entry, kSlots> slots_;
  std::uint64_t now_ = 0;
  std::size_t size_ = 0;
};

}  // namespace ajar
