#include "tests/support/icmp.h"

#include <array>
#include <cstddef>
#include <cstring>
#include <string>

#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <sys/socket.h>

#include "agent/live_network.h"

namespace ajar {
namespace {

sockaddr_in place_of(const IpAddress& address) {
  sockaddr_in place{};
  place.sin_family = AF_INET;
  const auto bytes = address.bytes();
  std::memcpy(&place.sin_addr, bytes.data(), bytes.size());
  return place;
}

void put(std::string& packet, std::uint16_t number) {
  packet += static_cast<char>(number >> 8);
  packet += static_cast<char>(number & 0xff);
}

void put(std::string& packet, const IpAddress& address) {
  for (const std::uint8_t byte : address.bytes()) packet += static_cast<char>(byte);
}

// RFC 1071
std::uint16_t sum_of(const std::string& packet) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i + 1 < packet.size(); i += 2) {
    sum += static_cast<std::uint32_t>(static_cast<unsigned char>(packet[i])) << 8 | static_cast<unsigned char>(packet[i + 1]);
  }
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

}  // namespace

bool send_unreachable(const IpAddress& sender, std::uint8_t code, const AddressPort& from, const AddressPort& to) {
  const FileDescriptor fd(socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP));
  const sockaddr_in source = place_of(sender), target = place_of(from.address);
  if (fd.get() < 0 || bind(fd.get(), reinterpret_cast<const sockaddr*>(&source), sizeof source) != 0) return false;
  std::string packet{static_cast<char>(ICMP_DEST_UNREACH), static_cast<char>(code), 0, 0, 0, 0, 0, 0};
  const std::string head{0x45, 0, 0, 28, 0, 0, 0, 0, 64, IPPROTO_UDP, 0, 0};  // of the datagram: its sums are nobody's business
  packet += head;
  put(packet, from.address);
  put(packet, to.address);
  put(packet, from.port);
  put(packet, to.port);
  put(packet, std::uint16_t{8});
  put(packet, std::uint16_t{0});
  const std::uint16_t sum = sum_of(packet);
  packet[2] = static_cast<char>(sum >> 8);
  packet[3] = static_cast<char>(sum & 0xff);
  const ssize_t sent =
      sendto(fd.get(), packet.data(), packet.size(), 0, reinterpret_cast<const sockaddr*>(&target), sizeof target);
  return sent == static_cast<ssize_t>(packet.size());
}

}  // namespace ajar
