// Tokens and proofs. A token says "this very question, until then"; a proof says "the canary saw that token". Three keys come
// from one secret by HKDF-SHA256 (RFC 5869), so a proof never helps to make a token, and the API never helps with either.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

#include "agent/time.h"

namespace ajar {

// The secret cannot be used; what() names the file, what is wrong and what to do.
class SecretError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

enum class TokenState { valid, expired, bad };

// Immutable: safe from any thread.
class CanaryKeys {
 public:
  static constexpr std::size_t kTokenLength = 32;   // characters, a-z2-7; 20 bytes
  static constexpr std::size_t kProofLength = 32;   // hex digits; 128 bits
  static constexpr std::size_t kSecretLength = 32;  // bytes

  // From a secret of at least kSecretLength bytes (std::invalid_argument).
  explicit CanaryKeys(std::string_view secret);
  // From a fresh secret that nobody else has: for one run.
  static CanaryKeys random();
  // From a file of one line of hexadecimal digits. A missing file is made: 32 random bytes, mode 0600, on disk before this
  // returns. SecretError: unreadable, readable by others, too short, not hexadecimal, or it cannot be made.
  static CanaryKeys load(const std::string& file);

  // A fresh token: 8 random bytes, the expiry in 4 bytes (minutes of the Unix epoch, big-endian, rounded up), and the first 8
  // bytes of HMAC-SHA256 over both; in lower-case base32 (RFC 4648 6). Valid as a mail local part and as a DNS label.
  std::string mint(Time now, std::chrono::milliseconds lifetime) const;
  // Whether it is one of ours. Exact: upper case is bad. Compares in constant time.
  TokenState check(std::string_view token, Time now) const;
  // HMAC-SHA256 of the token under another key. Whoever answers a stranger asks check() first.
  std::string proof(std::string_view token) const;
  // The key of the arrivals API.
  std::string_view api_key() const { return {reinterpret_cast<const char*>(api_.data()), api_.size()}; }

 private:
  using Key = std::array<unsigned char, 32>;
  Key token_{}, proof_{}, api_{};
};

// HMAC-SHA256 (32 bytes), SHA-256 and hexadecimal, for the API's authentication.
std::string hmac_sha256(std::string_view key, std::string_view message);
std::string sha256(std::string_view bytes);
std::string to_hex(std::string_view bytes);  // lower case
bool equal_in_constant_time(std::string_view left, std::string_view right);

}  // namespace ajar
