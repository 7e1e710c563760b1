// STUN messages and what TURN adds: bytes in, values out. Pure and bounded.
//   STUN  RFC 8489 (before: 5389, 3489)            TURN  RFC 8656 (before: 5766)
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "checks/ip_address.h"

namespace ajar {

// RFC 8489 5
enum class StunClass : std::uint8_t { request = 0, indication = 1, success = 2, error = 3 };

// Methods (RFC 8489 18.2, RFC 8656 17).
namespace stun_method {
inline constexpr std::uint16_t kBinding = 0x001;
inline constexpr std::uint16_t kAllocate = 0x003;
inline constexpr std::uint16_t kRefresh = 0x004;
inline constexpr std::uint16_t kSend = 0x006;
inline constexpr std::uint16_t kData = 0x007;
inline constexpr std::uint16_t kCreatePermission = 0x008;
inline constexpr std::uint16_t kChannelBind = 0x009;
}  // namespace stun_method

// Attributes (RFC 8489 18.3, RFC 8656 18).
namespace stun_attribute {
inline constexpr std::uint16_t kErrorCode = 0x0009;
inline constexpr std::uint16_t kUnknownAttributes = 0x000a;
inline constexpr std::uint16_t kChannelNumber = 0x000c;
inline constexpr std::uint16_t kLifetime = 0x000d;
inline constexpr std::uint16_t kXorPeerAddress = 0x0012;
inline constexpr std::uint16_t kData = 0x0013;
inline constexpr std::uint16_t kXorRelayedAddress = 0x0016;
inline constexpr std::uint16_t kRequestedAddressFamily = 0x0017;
inline constexpr std::uint16_t kRequestedTransport = 0x0019;
inline constexpr std::uint16_t kXorMappedAddress = 0x0020;
inline constexpr std::uint16_t kSoftware = 0x8022;
inline constexpr std::uint16_t kAlternateServer = 0x8023;
inline constexpr std::uint16_t kFingerprint = 0x8028;
}  // namespace stun_attribute

inline constexpr std::uint32_t kStunCookie = 0x2112a442;  // RFC 8489 5
inline constexpr std::size_t kStunHeader = 20;
inline constexpr std::size_t kStunId = 12;
inline constexpr std::size_t kMaxStunAttributes = 64;

struct StunMessage {
  std::uint16_t method = 0;
  StunClass kind = StunClass::request;
  std::string id;                                                   // transaction id, kStunId bytes
  std::vector<std::pair<std::uint16_t, std::string>> attributes{};  // in their order, FINGERPRINT left out

  // The first of that type, which alone counts (RFC 8489 14); nullptr: none.
  const std::string* find(std::uint16_t type) const;
  void add(std::uint16_t type, std::string value) { attributes.emplace_back(type, std::move(value)); }
  void add_address(std::uint16_t type, const AddressPort& place);  // XOR-…-ADDRESS (RFC 8489 14.2)
  std::optional<AddressPort> address(std::uint16_t type) const;    // the same
  std::optional<std::uint32_t> number(std::uint16_t type) const;   // of four bytes: LIFETIME
};

// `fingerprint`: a FINGERPRINT at the end (RFC 8489 14.7). At most 65535 bytes of attributes: std::length_error.
std::string write_stun(const StunMessage& message, bool fingerprint = false);

// Exactly one message. nullopt: not STUN (the two first bits, the cookie, a length that is not that of `bytes`, an attribute
// that ends outside, more than kMaxStunAttributes), or a FINGERPRINT that is wrong or not the last.
std::optional<StunMessage> parse_stun(std::string_view bytes);

// Of a stream (RFC 8656 3.1 and 12.5): how long the message or ChannelData is that begins with these bytes, with the padding
// that only a stream has. nullopt: they begin neither; 0: more of them are needed to say, at most kStunHeader.
std::optional<std::size_t> stun_frame_size(std::string_view bytes);

// The same transaction id for the same words, a different one for others: twelve bytes that nobody guesses who knows neither
// `seed` nor another id made of it. No secret: a mixture that can be calculated backwards, so who saw one may tell the next.
std::string stun_transaction_id(std::string_view seed, unsigned number);

// RFC 8489 14.8
struct StunError {
  int code = 0;        // 300 to 699
  std::string phrase;  // as it came
};
std::optional<StunError> stun_error(const StunMessage& message);
std::string stun_error_value(int code, std::string_view phrase);

// ALTERNATE-SERVER, MAPPED-ADDRESS: not hidden from NATs by XOR (RFC 8489 14.1).
std::optional<AddressPort> stun_plain_address(std::string_view value);
std::string stun_plain_address_value(const AddressPort& place);

// UNKNOWN-ATTRIBUTES (RFC 8489 14.10), empty where it has none.
std::vector<std::uint16_t> stun_unknown_attributes(const StunMessage& message);
// An attribute below 0x8000 that no document of STUN or TURN has: its receiver must give the transaction up (RFC 8489 6.3.3).
bool has_unknown_required(const StunMessage& message);

// RFC 8656 12. Channels are 0x4000 to 0x4fff.
inline constexpr std::uint16_t kFirstChannel = 0x4000;
struct ChannelData {
  std::uint16_t channel = 0;
  std::string data;
};
std::string write_channel_data(const ChannelData& message, bool padded);
// nullopt: no such message, or cut short. What follows it is padding.
std::optional<ChannelData> parse_channel_data(std::string_view bytes);

std::string stun_number_value(std::uint32_t number);  // four bytes

}  // namespace ajar
