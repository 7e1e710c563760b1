// Task<T>: a coroutine that somebody awaits. Lazy: it runs when awaited, on the awaiting thread, and resumes its awaiter by
// symmetric transfer. Exceptions travel to the awaiter. Destroying a Task destroys the coroutine where it is suspended.
//
// House rule, memory safety with g++ 12: a co_await stands alone; its operand names variables, moves them or calls a function
// with them, never builds an aggregate or a capturing lambda in place (tests/lint/co_await_alone.py).
#pragma once

#include <coroutine>
#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "checks/frame_pool.h"

namespace ajar {

template <class T>
class Task;

namespace detail {

struct PromiseBase {
  std::coroutine_handle<> awaiter = std::noop_coroutine();
  std::exception_ptr failure;

  static void* operator new(std::size_t size) { return FramePool::take(size); }
  static void operator delete(void* frame, std::size_t size) noexcept { FramePool::give(frame, size); }
  std::suspend_always initial_suspend() noexcept { return {}; }
  struct Final {
    bool await_ready() noexcept { return false; }
    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> self) noexcept {
      return self.promise().awaiter;
    }
    void await_resume() noexcept {}
  };
  Final final_suspend() noexcept { return {}; }
  void unhandled_exception() noexcept { failure = std::current_exception(); }
};

// Where a result waits for the awaiter. A large one takes its place only once it is there: thousands of coroutines at rest hold
// none.
template <class T>
class Result {
 public:
  template <class U>
  void set(U&& result) {
    if constexpr (kLarge) {
      value_ = std::make_unique<T>(std::forward<U>(result));
    } else {
      value_.emplace(std::forward<U>(result));
    }
  }
  T take() { return std::move(*value_); }

 private:
  static constexpr bool kLarge = sizeof(T) > 64;
  std::conditional_t<kLarge, std::unique_ptr<T>, std::optional<T>> value_;
};

template <class T>
struct Promise : PromiseBase {
  Result<T> value;
  Task<T> get_return_object();
  template <class U>
  void return_value(U&& result) {
    value.set(std::forward<U>(result));
  }
  T take() {
    if (failure) std::rethrow_exception(failure);
    return value.take();
  }
};

template <>
struct Promise<void> : PromiseBase {
  Task<void> get_return_object();
  void return_void() noexcept {}
  void take() {
    if (failure) std::rethrow_exception(failure);
  }
};

}  // namespace detail

template <class T = void>
class [[nodiscard]] Task {
 public:
  using promise_type = detail::Promise<T>;

  Task() = default;
  explicit Task(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      if (handle_) handle_.destroy();
      handle_ = std::exchange(other.handle_, {});
    }
    return *this;
  }
  ~Task() {
    if (handle_) handle_.destroy();
  }

  explicit operator bool() const { return static_cast<bool>(handle_); }  // false: made without a coroutine

  bool await_ready() const noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiter) noexcept {
    handle_.promise().awaiter = awaiter;
    return handle_;
  }
  T await_resume() { return handle_.promise().take(); }

 private:
  std::coroutine_handle<promise_type> handle_;
};

namespace detail {

template <class T>
Task<T> Promise<T>::get_return_object() {
  return Task<T>(std::coroutine_handle<Promise<T>>::from_promise(*this));
}
inline Task<void> Promise<void>::get_return_object() {
  return Task<void>(std::coroutine_handle<Promise<void>>::from_promise(*this));
}

// The root of a chain: starts at once, frees itself at the end. An exception that reaches it is a bug of ours and terminates.
struct Detached {
  struct promise_type {
    Detached get_return_object() noexcept { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    [[noreturn]] void unhandled_exception() noexcept { std::terminate(); }
  };
};

}  // namespace detail

// Runs `task` now, until it first suspends; it lives until it ends, then `done` is called. Nobody may await it. `task` must not
// throw.
template <class Done>
detail::Detached start(Task<void> task, Done done) {
  co_await task;
  done();
}
inline detail::Detached start(Task<void> task) { co_await task; }

}  // namespace ajar
