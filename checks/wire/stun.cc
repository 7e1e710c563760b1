#include "checks/wire/stun.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <stdexcept>

namespace ajar {
namespace {

constexpr std::size_t kAttributeHeader = 4;
constexpr std::uint32_t kFingerprintMask = 0x5354554e;  // RFC 8489 14.7
constexpr std::size_t kFingerprintSize = 8;             // with its header
constexpr std::uint8_t kFamilyV4 = 1, kFamilyV6 = 2;    // RFC 8489 14.1

unsigned at(std::string_view bytes, std::size_t i) { return static_cast<unsigned char>(bytes[i]); }
std::uint16_t word_at(std::string_view bytes, std::size_t i) {
  return static_cast<std::uint16_t>(at(bytes, i) << 8 | at(bytes, i + 1));
}
std::uint32_t number_at(std::string_view bytes, std::size_t i) {
  return std::uint32_t{word_at(bytes, i)} << 16 | word_at(bytes, i + 2);
}
std::string word_bytes(std::uint16_t word) { return {static_cast<char>(word >> 8), static_cast<char>(word & 0xff)}; }
std::size_t padded(std::size_t size) { return (size + 3) & ~std::size_t{3}; }

// RFC 8489 14.7: that of ITU-T V.42, as gzip has it.
std::uint32_t crc32(std::string_view bytes) {
  std::uint32_t crc = 0xffffffff;
  for (const char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1U) != 0 ? 0xedb88320U : 0U);
  }
  return ~crc;
}

// RFC 8489 5: the two bits of the class stand inside those of the method.
std::uint16_t type_of(std::uint16_t method, StunClass kind) {
  const unsigned m = method, c = static_cast<unsigned>(kind);
  return static_cast<std::uint16_t>((m & 0xf) | (c & 1) << 4 | (m & 0x70) << 1 | (c & 2) << 7 | (m & 0xf80) << 2);
}
std::uint16_t method_of(unsigned type) {
  return static_cast<std::uint16_t>((type & 0xf) | (type & 0xe0) >> 1 | (type & 0x3e00) >> 2);
}
StunClass class_of(unsigned type) { return static_cast<StunClass>((type >> 4 & 1) | (type >> 7 & 2)); }

// The bytes of an address attribute, XORed with the beginning of `mask` (RFC 8489 14.2); a mask of zeros: as they are.
std::string address_value(const AddressPort& place, std::string_view mask) {
  std::string value{'\0', static_cast<char>(place.address.is_v4() ? kFamilyV4 : kFamilyV6)};
  value += word_bytes(place.port);
  for (const std::uint8_t byte : place.address.bytes()) value += static_cast<char>(byte);
  for (std::size_t i = 0; i < 2; ++i) value[2 + i] = static_cast<char>(at(value, 2 + i) ^ at(mask, i));
  for (std::size_t i = 4; i < value.size(); ++i) value[i] = static_cast<char>(at(value, i) ^ at(mask, i - 4));
  return value;
}

std::optional<AddressPort> address_in(std::string_view value, std::string_view mask) {
  if (value.size() < 8) return std::nullopt;
  AddressPort place;
  place.port = static_cast<std::uint16_t>(word_at(value, 2) ^ word_at(mask, 0));
  const auto copy = [&](auto& into) {
    for (std::size_t i = 0; i < into.size(); ++i) into[i] = static_cast<std::uint8_t>(at(value, 4 + i) ^ at(mask, i));
  };
  if (at(value, 1) == kFamilyV4 && value.size() == 8) {
    std::array<std::uint8_t, 4> v4{};
    copy(v4);
    place.address = IpAddress::v4(v4);
    return place;
  }
  if (at(value, 1) == kFamilyV6 && value.size() == 20) {
    std::array<std::uint8_t, 16> v6{};
    copy(v6);
    place.address = IpAddress::v6(v6);
    return place;
  }
  return std::nullopt;
}

std::string mask_of(const std::string& id) { return stun_number_value(kStunCookie) + id; }
std::string no_mask() { return std::string(4 + kStunId, '\0'); }

// Whether the FINGERPRINT whose header begins at `begin` of a whole message is right, and the last.
bool fingerprint_is_right(std::string_view message, std::size_t begin, std::size_t size) {
  if (size != 4 || begin + kFingerprintSize != message.size()) return false;
  return number_at(message, begin + kAttributeHeader) == (crc32(message.substr(0, begin)) ^ kFingerprintMask);
}

constexpr std::uint16_t kKnownRequired[] = {
    0x0001, 0x0002, 0x0003, 0x0004, 0x0005, 0x0006, 0x0007, 0x0008, 0x0009, 0x000a, 0x000b,  // RFC 3489, 5389
    0x000c, 0x000d, 0x000e, 0x000f, 0x0010, 0x0011,                                          // drafts of TURN as well
    0x0012, 0x0013, 0x0014, 0x0015, 0x0016, 0x0017, 0x0018, 0x0019, 0x001a,                  // RFC 8489, 8656
    0x001b, 0x001c, 0x001d, 0x001e, 0x0020, 0x0021, 0x0022,                                  // RFC 7635, 8489
    0x0024, 0x0025, 0x0026, 0x0027, 0x002a,                                                  // RFC 8445, 5780, 6062
};

// splitmix64: every bit of the input reaches every bit of the output.
std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31);
}

// FNV-1a, then mixed.
std::uint64_t hash(std::string_view words, std::uint64_t start) {
  std::uint64_t h = start;
  for (const char c : words) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  return mix(h);
}

}  // namespace

std::string stun_number_value(std::uint32_t number) {
  return word_bytes(static_cast<std::uint16_t>(number >> 16)) + word_bytes(static_cast<std::uint16_t>(number & 0xffff));
}

const std::string* StunMessage::find(std::uint16_t type) const {
  const auto found = std::find_if(attributes.begin(), attributes.end(), [&](const auto& one) { return one.first == type; });
  return found == attributes.end() ? nullptr : &found->second;
}

void StunMessage::add_address(std::uint16_t type, const AddressPort& place) { add(type, address_value(place, mask_of(id))); }

std::optional<AddressPort> StunMessage::address(std::uint16_t type) const {
  const std::string* const value = find(type);
  return value == nullptr ? std::nullopt : address_in(*value, mask_of(id));
}

std::optional<std::uint32_t> StunMessage::number(std::uint16_t type) const {
  const std::string* const value = find(type);
  if (value == nullptr || value->size() != 4) return std::nullopt;
  return number_at(*value, 0);
}

std::string write_stun(const StunMessage& message, bool fingerprint) {
  std::string body;
  for (const auto& [type, value] : message.attributes) {
    if (value.size() > 0xffff) throw std::length_error("a STUN attribute of more than 65535 bytes");
    body += word_bytes(type) + word_bytes(static_cast<std::uint16_t>(value.size())) + value;
    body.resize(padded(body.size()), '\0');
  }
  const std::size_t size = body.size() + (fingerprint ? kFingerprintSize : 0);
  if (size > 0xffff) throw std::length_error("a STUN message of more than 65535 bytes");
  std::string bytes = word_bytes(type_of(message.method, message.kind)) + word_bytes(static_cast<std::uint16_t>(size)) +
                      stun_number_value(kStunCookie) + message.id + body;
  if (fingerprint) {
    const std::string sum = stun_number_value(crc32(bytes) ^ kFingerprintMask);
    bytes += word_bytes(stun_attribute::kFingerprint) + word_bytes(4) + sum;
  }
  return bytes;
}

std::optional<StunMessage> parse_stun(std::string_view bytes) {
  if (bytes.size() < kStunHeader || at(bytes, 0) > 0x3f || number_at(bytes, 4) != kStunCookie) return std::nullopt;
  if (bytes.size() != kStunHeader + word_at(bytes, 2) || bytes.size() % 4 != 0) return std::nullopt;
  StunMessage message;
  message.method = method_of(word_at(bytes, 0));
  message.kind = class_of(word_at(bytes, 0));
  message.id = bytes.substr(8, kStunId);
  for (std::size_t begin = kStunHeader; begin < bytes.size();) {
    const std::uint16_t type = word_at(bytes, begin);
    const std::size_t size = word_at(bytes, begin + 2), end = begin + kAttributeHeader + padded(size);
    if (end > bytes.size() || message.attributes.size() >= kMaxStunAttributes) return std::nullopt;
    if (type != stun_attribute::kFingerprint) {
      message.add(type, std::string(bytes.substr(begin + kAttributeHeader, size)));
    } else if (!fingerprint_is_right(bytes, begin, size)) {
      return std::nullopt;
    }
    begin = end;
  }
  return message;
}

std::optional<std::size_t> stun_frame_size(std::string_view bytes) {
  if (bytes.empty()) return 0;
  const unsigned first = at(bytes, 0);
  if (first >= 0x50) return std::nullopt;
  if (first >= 0x40) return bytes.size() < 4 ? 0 : kAttributeHeader + padded(word_at(bytes, 2));
  if (bytes.size() < 8) return 0;
  if (number_at(bytes, 4) != kStunCookie || word_at(bytes, 2) % 4 != 0) return std::nullopt;
  return kStunHeader + word_at(bytes, 2);
}

std::string stun_transaction_id(std::string_view seed, unsigned number) {
  const std::uint64_t first = hash(seed, mix(0xcbf29ce484222325U + number));
  const std::uint64_t second = hash(seed, mix(first ^ 0x9e3779b97f4a7c15U));
  std::string id;
  for (int shift = 56; shift >= 0; shift -= 8) id += static_cast<char>(first >> shift & 0xff);
  for (int shift = 24; shift >= 0; shift -= 8) id += static_cast<char>(second >> shift & 0xff);
  return id;
}

std::optional<StunError> stun_error(const StunMessage& message) {
  const std::string* const value = message.find(stun_attribute::kErrorCode);
  if (value == nullptr || value->size() < 4) return std::nullopt;
  const unsigned hundreds = at(*value, 2) & 7, rest = at(*value, 3);
  if (hundreds < 3 || hundreds > 6 || rest > 99) return std::nullopt;
  return StunError{static_cast<int>(hundreds * 100 + rest), value->substr(4)};
}

std::string stun_error_value(int code, std::string_view phrase) {
  return std::string{'\0', '\0', static_cast<char>(code / 100), static_cast<char>(code % 100)} + std::string(phrase);
}

std::optional<AddressPort> stun_plain_address(std::string_view value) { return address_in(value, no_mask()); }
std::string stun_plain_address_value(const AddressPort& place) { return address_value(place, no_mask()); }

std::vector<std::uint16_t> stun_unknown_attributes(const StunMessage& message) {
  std::vector<std::uint16_t> all;
  const std::string* const value = message.find(stun_attribute::kUnknownAttributes);
  if (value == nullptr) return all;
  for (std::size_t i = 0; i + 2 <= value->size() && all.size() < kMaxStunAttributes; i += 2) all.push_back(word_at(*value, i));
  return all;
}

bool has_unknown_required(const StunMessage& message) {
  return std::any_of(message.attributes.begin(), message.attributes.end(), [](const auto& one) {
    const bool known = std::find(std::begin(kKnownRequired), std::end(kKnownRequired), one.first) != std::end(kKnownRequired);
    return one.first < 0x8000 && !known;
  });
}

std::string write_channel_data(const ChannelData& message, bool pad) {
  if (message.data.size() > 0xffff) throw std::length_error("ChannelData of more than 65535 bytes");
  std::string bytes = word_bytes(message.channel) + word_bytes(static_cast<std::uint16_t>(message.data.size())) + message.data;
  if (pad) bytes.resize(padded(bytes.size()), '\0');
  return bytes;
}

std::optional<ChannelData> parse_channel_data(std::string_view bytes) {
  if (bytes.size() < 4 || at(bytes, 0) < 0x40 || at(bytes, 0) > 0x4f) return std::nullopt;
  const std::size_t size = word_at(bytes, 2);
  if (bytes.size() - 4 < size) return std::nullopt;
  return ChannelData{word_at(bytes, 0), std::string(bytes.substr(4, size))};
}

}  // namespace ajar
