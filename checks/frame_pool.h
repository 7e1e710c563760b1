// Where the frames of coroutines come from. A probe makes and ends several for each line that it says, thousands of probes do
// so in turn, and a general allocator would look for each frame, and join it with its neighbours, anew. Here those that ended
// wait for the next of their size, the last one first, while it is still in the processor's cache.
#pragma once

#include <array>
#include <cstddef>
#include <new>
#include <utility>

namespace ajar {

// A thread's own; a frame may end on another thread than it began on. What was once needed is kept for as long as the thread
// lives, and after it: no more than its largest number of frames at a time. Sanitizers see each frame come and go.
class FramePool {
 public:
  static void* take(std::size_t size) {
    const std::size_t kind = (size + kStep - 1) / kStep;
    if (!kPooled || kind >= kKinds) return ::operator new(size);
    Free*& first = free_[kind];
    if (first == nullptr) return ::operator new(kind * kStep);
    return std::exchange(first, first->next);
  }
  static void give(void* frame, std::size_t size) noexcept {
    const std::size_t kind = (size + kStep - 1) / kStep;
    if (!kPooled || kind >= kKinds) {
      ::operator delete(frame);
      return;
    }
    free_[kind] = new (frame) Free{free_[kind]};
  }

 private:
  struct Free {
    Free* next;
  };
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  static constexpr bool kPooled = false;
#elif defined(__clang__)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
  static constexpr bool kPooled = false;
#else
  static constexpr bool kPooled = true;
#endif
#else
  static constexpr bool kPooled = true;
#endif
  static constexpr std::size_t kStep = 32;
  static constexpr std::size_t kKinds = 64;  // up to 2016 bytes
  static inline thread_local constinit std::array<Free*, kKinds> free_{};
};

}  // namespace ajar
