// Certificates for tests: an authority in memory and what it signs.
#pragma once

#include <memory>
#include <string>

#include <openssl/ssl.h>

namespace ajar {

struct PemPair {
  std::string certificate, key;  // PEM
};

class TestAuthority {
 public:
  explicit TestAuthority(const std::string& name);
  const std::string& certificate() const { return pem_; }
  // For both sides. `sans` as OpenSSL writes them: "DNS:ajar.example.net,IP:127.0.0.1"; empty: none. Valid from an hour ago for
  // so many days; negative: it has expired.
  PemPair issue(const std::string& name, const std::string& sans, int days = 1) const;

 private:
  std::shared_ptr<EVP_PKEY> key_;
  std::shared_ptr<X509> certificate_;
  std::string pem_;
};

}  // namespace ajar
