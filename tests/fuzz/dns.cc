// What a DNS server answers. First byte: the type asked for; then the name asked for up to a NUL; then the message.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "checks/wire/dns_answer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  constexpr ajar::DnsType kTypes[] = {ajar::DnsType::a, ajar::DnsType::mx, ajar::DnsType::aaaa, ajar::DnsType::txt};
  const ajar::DnsType type = kTypes[data[0] % 4];
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::size_t end = rest.find('\0');
  if (end == std::string_view::npos) return 0;
  const auto records = ajar::parse_dns_answer(rest.substr(end + 1), rest.substr(0, end), type);
  if (!records) return 0;
  if (records->addresses.size() > ajar::kMaxDnsRecords || records->exchangers.size() > ajar::kMaxDnsRecords) std::abort();
  if (records->texts.size() > ajar::kMaxDnsRecords) std::abort();
  if (records->ttl > 0x7FFFFFFFU || records->negative_ttl.value_or(0) > 0x7FFFFFFFU) std::abort();
  if (type != ajar::DnsType::txt && !records->texts.empty()) std::abort();
  for (const std::string& text : records->texts) {
    if (text.size() > ajar::kMaxDnsText) std::abort();
  }
  if (type == ajar::DnsType::mx && !records->addresses.empty()) std::abort();
  if (records->null_mx && !records->exchangers.empty()) std::abort();
  for (const ajar::IpAddress& address : records->addresses) {
    if (type == ajar::DnsType::a && !address.is_v4()) std::abort();
  }
  for (const ajar::MailExchanger& exchanger : records->exchangers) {
    if (!ajar::is_dns_name(exchanger.host)) std::abort();
  }
  return 0;
}
