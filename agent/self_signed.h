// A certificate made in memory: for our canary's STARTTLS (nobody needs to trust it: mail servers encrypt opportunistically)
// and for simulated servers.
#pragma once

#include <memory>
#include <string>

#include <openssl/ssl.h>

namespace ajar {

// A server-side TLS context with a fresh EC P-256 key and a self-signed certificate for `name`, valid for a year.
// std::runtime_error when OpenSSL fails.
std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> self_signed_context(const std::string& name);

}  // namespace ajar
