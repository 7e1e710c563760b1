#include "agent/form_token.h"

#include <new>

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

namespace ajar {
namespace {

std::int64_t hour_of(Time now) { return std::chrono::floor<std::chrono::hours>(now).time_since_epoch().count(); }

}  // namespace

FormToken::FormToken() {
  if (RAND_bytes(key_.data(), static_cast<int>(key_.size())) != 1) throw std::bad_alloc();
}

std::string FormToken::of_hour(std::int64_t hour) const {
  const std::string text = fmt::format("form {}", hour);
  std::array<unsigned char, EVP_MAX_MD_SIZE> mac;
  unsigned length = 0;
  HMAC(EVP_sha256(), key_.data(), static_cast<int>(key_.size()), reinterpret_cast<const unsigned char*>(text.data()),
       text.size(), mac.data(), &length);
  std::string hex;
  for (unsigned i = 0; i < length; ++i) hex += fmt::format("{:02x}", mac[i]);
  return hex;
}

std::string FormToken::at(Time now) const { return of_hour(hour_of(now)); }

bool FormToken::is_valid(std::string_view token, Time now) const {
  for (const std::int64_t hour : {hour_of(now), hour_of(now) - 1}) {
    const std::string expected = of_hour(hour);
    if (token.size() == expected.size() && CRYPTO_memcmp(token.data(), expected.data(), expected.size()) == 0) return true;
  }
  return false;
}

}  // namespace ajar
