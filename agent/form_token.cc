#include "agent/form_token.h"

#include <new>

#include <fmt/format.h>
#include <openssl/rand.h>

#include "agent/canary_keys.h"

namespace ajar {
namespace {

std::int64_t hour_of(Time now) { return std::chrono::floor<std::chrono::hours>(now).time_since_epoch().count(); }

}  // namespace

FormToken::FormToken() {
  if (RAND_bytes(key_.data(), static_cast<int>(key_.size())) != 1) throw std::bad_alloc();
}

std::string FormToken::of_hour(std::int64_t hour) const {
  return to_hex(hmac_sha256({reinterpret_cast<const char*>(key_.data()), key_.size()}, fmt::format("form {}", hour)));
}

std::string FormToken::at(Time now) const { return of_hour(hour_of(now)); }

bool FormToken::is_valid(std::string_view token, Time now) const {
  return equal_in_constant_time(token, of_hour(hour_of(now))) || equal_in_constant_time(token, of_hour(hour_of(now) - 1));
}

}  // namespace ajar
