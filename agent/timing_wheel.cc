#include "agent/timing_wheel.h"

#include <algorithm>

namespace ajar {

void TimingWheel::Entry::remove() {
  if (next_ == nullptr) return;
  next_->previous_ = previous_;
  previous_->next_ = next_;
  next_ = previous_ = nullptr;
  if (wheel_ != nullptr) --wheel_->size_;
  wheel_ = nullptr;
}

void TimingWheel::Entry::link_before(Entry& place) {
  next_ = &place;
  previous_ = place.previous_;
  place.previous_->next_ = this;
  place.previous_ = this;
}

TimingWheel::TimingWheel() {
  for (Entry& slot : slots_) slot.next_ = slot.previous_ = &slot;
}

TimingWheel::~TimingWheel() {
  for (Entry& slot : slots_) {
    while (slot.next_ != &slot) slot.next_->remove();
    slot.next_ = slot.previous_ = nullptr;  // the heads are not removed from anything
  }
}

void TimingWheel::add(Entry& entry, std::uint64_t due) {
  entry.remove();
  entry.due_ = due;
  entry.wheel_ = this;
  entry.link_before(slots_[std::max(due, now_ + 1) % kSlots]);
  ++size_;
}

// Takes the whole list first: what an expiring entry adds, removes or destroys cannot disturb the walk.
void TimingWheel::run_list(Entry& list) {
  while (list.next_ != &list) {
    Entry& entry = *list.next_;
    entry.remove();
    entry.expire();
  }
}

void TimingWheel::advance(std::uint64_t tick) {
  Entry due;
  due.next_ = due.previous_ = &due;
  const std::uint64_t steps = std::min<std::uint64_t>(tick > now_ ? tick - now_ : 0, kSlots);
  const std::uint64_t first = now_ + 1;
  now_ = std::max(now_, tick);
  for (std::uint64_t step = 0; step < steps; ++step) {
    Entry& slot = slots_[(first + step) % kSlots];
    for (Entry* entry = slot.next_; entry != &slot;) {
      Entry* const next = entry->next_;
      if (entry->due_ <= now_) {
        entry->remove();
        entry->wheel_ = this;
        entry->link_before(due);
        ++size_;
      }
      entry = next;
    }
  }
  run_list(due);
  due.next_ = due.previous_ = nullptr;
}

void TimingWheel::expire_all() {
  for (int round = 0; round < 100 && size_ > 0; ++round) {
    for (Entry& slot : slots_) {
      if (slot.next_ == &slot) continue;
      Entry all;
      all.next_ = slot.next_;
      all.previous_ = slot.previous_;
      all.next_->previous_ = &all;
      all.previous_->next_ = &all;
      slot.next_ = slot.previous_ = &slot;
      run_list(all);
      all.next_ = all.previous_ = nullptr;
    }
  }
}

}  // namespace ajar
