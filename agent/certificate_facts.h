// What a server's certificate says of itself, as notes in the evidence.
#pragma once

#include <string>
#include <vector>

#include <openssl/ssl.h>

namespace ajar {

// Of the peer of a finished handshake: "TLS certificate: subject CN = mx.example.org; issuer CN = …; from 2026-01-02 to
// 2027-01-02; it verifies for mx.example.org" and "TLS certificate names: mx.example.org, 203.0.113.5". Whether it verifies is
// asked of this machine's authorities; `name`: what it has to be for, may be empty. Bounded, but not escaped: a transcript does
// that. None where the peer has no certificate.
std::vector<std::string> certificate_facts(const SSL* ssl, const std::string& name);

}  // namespace ajar
