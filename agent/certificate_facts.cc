#include "agent/certificate_facts.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <ctime>
#include <memory>
#include <string_view>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "checks/ip_address.h"

namespace ajar {
namespace {

constexpr std::size_t kMaxName = 100;  // bytes of a subject, an issuer, a name
constexpr int kMaxNames = 4;

template <auto Function>
struct Free {
  template <typename T>
  void operator()(T* object) const {
    Function(object);
  }
};
using Certificate = std::unique_ptr<X509, Free<X509_free>>;
using Bio = std::unique_ptr<BIO, Free<BIO_free_all>>;
using Names = std::unique_ptr<GENERAL_NAMES, Free<GENERAL_NAMES_free>>;

std::string shortened(std::string_view text) {
  return std::string(text.substr(0, kMaxName)) + (text.size() > kMaxName ? "..." : "");
}

std::string shown(const X509_NAME* name) {
  const Bio out(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(out.get(), name, 0, XN_FLAG_ONELINE & ~ASN1_STRFLGS_ESC_MSB);
  char* text = nullptr;
  const long size = BIO_get_mem_data(out.get(), &text);
  return size > 0 ? shortened({text, static_cast<std::size_t>(size)}) : "(empty)";
}

std::string shown(const ASN1_TIME* time) {
  std::tm at{};
  if (ASN1_TIME_to_tm(time, &at) != 1) return "?";
  return fmt::format("{:%Y-%m-%d}", at);
}

std::string shown(const GENERAL_NAME& name) {
  const auto text = [&](const ASN1_STRING* string) {
    return std::string_view(reinterpret_cast<const char*>(ASN1_STRING_get0_data(string)),
                            static_cast<std::size_t>(ASN1_STRING_length(string)));
  };
  if (name.type == GEN_DNS) return shortened(text(name.d.dNSName));
  if (name.type != GEN_IPADD) return {};
  const std::string_view bytes = text(name.d.iPAddress);
  std::array<std::uint8_t, 4> v4{};
  std::array<std::uint8_t, 16> v6{};
  if (bytes.size() == v4.size()) {
    std::copy(bytes.begin(), bytes.end(), v4.begin());
    return IpAddress::v4(v4).to_string();
  }
  if (bytes.size() != v6.size()) return {};
  std::copy(bytes.begin(), bytes.end(), v6.begin());
  return IpAddress::v6(v6).to_string();
}

// Host names and addresses: what else a certificate may name is not what a server is reached by.
std::string names_of(const X509* certificate) {
  const Names names(static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  const int count = names ? sk_GENERAL_NAME_num(names.get()) : 0;
  std::string list;
  int told = 0, more = 0;
  for (int i = 0; i < count; ++i) {
    const std::string one = shown(*sk_GENERAL_NAME_value(names.get(), i));
    if (one.empty()) continue;
    if (told == kMaxNames) {
      ++more;
      continue;
    }
    list += (told++ == 0 ? "" : ", ") + one;
  }
  if (more > 0) list += fmt::format(" and {} more", more);
  return list.empty() ? "none" : list;
}

std::string verification(const SSL* ssl, X509* certificate, const std::string& name) {
  const long result = SSL_get_verify_result(ssl);
  if (result != X509_V_OK) return fmt::format("it does not verify: {}", X509_verify_cert_error_string(result));
  if (name.empty()) return "it verifies";
  const bool fits = IpAddress::parse(name) ? X509_check_ip_asc(certificate, name.c_str(), 0) == 1
                                           : X509_check_host(certificate, name.data(), name.size(), 0, nullptr) == 1;
  return fmt::format("it verifies{} for {}", fits ? "" : ", but not", shortened(name));
}

}  // namespace

std::vector<std::string> certificate_facts(const SSL* ssl, const std::string& name) {
  const Certificate certificate(SSL_get1_peer_certificate(ssl));
  if (!certificate) return {};
  X509* const its = certificate.get();
  std::vector<std::string> facts = {
      fmt::format("TLS certificate: subject {}; issuer {}; from {} to {}; {}", shown(X509_get_subject_name(its)),
                  shown(X509_get_issuer_name(its)), shown(X509_get0_notBefore(its)), shown(X509_get0_notAfter(its)),
                  verification(ssl, its, name)),
      "TLS certificate names: " + names_of(its)};
  ERR_clear_error();
  return facts;
}

}  // namespace ajar
