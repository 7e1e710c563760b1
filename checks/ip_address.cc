#include "checks/ip_address.h"

#include <algorithm>
#include <charconv>

#include <arpa/inet.h>

namespace ajar {
namespace {

constexpr std::array<std::uint8_t, 12> kMappedPrefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

// Clears the bits after the first `length`.
void mask(std::span<std::uint8_t> bytes, unsigned length) {
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const unsigned bit = static_cast<unsigned>(i) * 8;
    if (bit >= length) {
      bytes[i] = 0;
    } else if (length - bit < 8) {
      bytes[i] = static_cast<std::uint8_t>(bytes[i] & (0xff00U >> (length - bit)));
    }
  }
}

template <class Number>
std::optional<Number> parse_number(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

IpAddress IpAddress::v4(std::array<std::uint8_t, 4> bytes) {
  IpAddress address;
  std::copy(bytes.begin(), bytes.end(), address.bytes_.begin());
  return address;
}

IpAddress IpAddress::v6(std::array<std::uint8_t, 16> bytes) {
  if (std::equal(kMappedPrefix.begin(), kMappedPrefix.end(), bytes.begin())) {
    return v4({bytes[12], bytes[13], bytes[14], bytes[15]});
  }
  IpAddress address;
  address.v4_ = false;
  address.bytes_ = bytes;
  return address;
}

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  if (text.size() >= INET6_ADDRSTRLEN || text.find('\0') != std::string_view::npos) return std::nullopt;
  const std::string copy(text);
  if (std::array<std::uint8_t, 4> four{}; inet_pton(AF_INET, copy.c_str(), four.data()) == 1) return v4(four);
  if (std::array<std::uint8_t, 16> sixteen{}; inet_pton(AF_INET6, copy.c_str(), sixteen.data()) == 1) return v6(sixteen);
  return std::nullopt;
}

bool IpAddress::is_loopback() const {
  if (v4_) return bytes_[0] == 127;
  return std::all_of(bytes_.begin(), bytes_.begin() + 15, [](std::uint8_t b) { return b == 0; }) && bytes_[15] == 1;
}

bool IpAddress::is_multicast() const { return v4_ ? (bytes_[0] & 0xf0) == 0xe0 : bytes_[0] == 0xff; }

bool IpAddress::is_link_local() const {
  return v4_ ? bytes_[0] == 169 && bytes_[1] == 254 : bytes_[0] == 0xfe && (bytes_[1] & 0xc0) == 0x80;
}

bool IpAddress::is_unspecified() const {
  return std::all_of(bytes_.begin(), bytes_.end(), [](std::uint8_t b) { return b == 0; });
}

std::string IpAddress::to_string() const {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (!v4_) return inet_ntop(AF_INET6, bytes_.data(), text.data(), text.size());
  char* end = text.data();  // inet_ntop prints by sprintf, and a probe writes its address often
  for (std::size_t i = 0; i < 4; ++i) {
    if (i > 0) *end++ = '.';
    end = std::to_chars(end, text.data() + text.size(), bytes_[i]).ptr;
  }
  return {text.data(), end};
}

std::string IpAddress::literal() const { return v4_ ? "[" + to_string() + "]" : "[IPv6:" + to_string() + "]"; }

std::string join_host_port(const IpAddress& address, std::uint16_t port) {
  const std::string host = address.to_string();
  return (address.is_v4() ? host : "[" + host + "]") + ":" + std::to_string(port);
}

std::optional<AddressPort> AddressPort::parse(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const auto port = parse_number<std::uint16_t>(text.substr(colon + 1));
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  const auto address = IpAddress::parse(host);
  if (!port || !address || bracketed != (host.find(':') != std::string_view::npos)) return std::nullopt;
  return AddressPort{*address, *port};
}

Cidr::Cidr(IpAddress first, unsigned length) : first_(first), length_(std::min(length, first.is_v4() ? 32U : 128U)) {
  if (first.is_v4()) {
    std::array<std::uint8_t, 4> bytes{};
    std::copy(first.bytes().begin(), first.bytes().end(), bytes.begin());
    mask(bytes, length_);
    first_ = IpAddress::v4(bytes);
  } else {
    std::array<std::uint8_t, 16> bytes{};
    std::copy(first.bytes().begin(), first.bytes().end(), bytes.begin());
    mask(bytes, length_);
    first_ = IpAddress::v6(bytes);
  }
}

std::optional<Cidr> Cidr::parse(std::string_view text) {
  const std::size_t slash = text.find('/');
  const auto address = IpAddress::parse(text.substr(0, slash));
  if (!address) return std::nullopt;
  const unsigned bits = address->is_v4() ? 32 : 128;
  if (slash == std::string_view::npos) return Cidr(*address, bits);
  const auto length = parse_number<unsigned>(text.substr(slash + 1));
  if (!length || *length > bits) return std::nullopt;
  Cidr network(*address, *length);
  if (network.first() != *address) return std::nullopt;
  return network;
}

bool Cidr::contains(const IpAddress& address) const {
  return address.is_v4() == first_.is_v4() && Cidr(address, length_).first_ == first_;
}

bool Cidr::contains(const Cidr& other) const { return other.length_ >= length_ && contains(other.first_); }

std::uint64_t Cidr::size() const {
  const unsigned host_bits = (first_.is_v4() ? 32U : 128U) - length_;
  return host_bits >= 64 ? UINT64_MAX : std::uint64_t{1} << host_bits;
}

std::optional<IpAddress> Cidr::at(std::uint64_t index) const {
  if (index >= size() && size() != UINT64_MAX) return std::nullopt;
  std::array<std::uint8_t, 16> bytes{};
  const auto first = first_.bytes();
  std::copy(first.begin(), first.end(), bytes.begin());
  for (std::size_t i = first.size(); i > 0 && index > 0; --i, index >>= 8) {
    bytes[i - 1] = static_cast<std::uint8_t>(bytes[i - 1] | (index & 0xff));
  }
  if (first_.is_v4()) return IpAddress::v4({bytes[0], bytes[1], bytes[2], bytes[3]});
  return IpAddress::v6(bytes);
}

std::optional<std::uint64_t> Cidr::index_of(const IpAddress& address) const {
  if (!contains(address)) return std::nullopt;
  const auto first = first_.bytes(), bytes = address.bytes();
  std::uint64_t index = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (index >> 56 != 0) return std::nullopt;
    index = index << 8 | static_cast<std::uint64_t>(bytes[i] ^ first[i]);
  }
  return index;
}

std::string Cidr::to_string() const { return first_.to_string() + "/" + std::to_string(length_); }

}  // namespace ajar
