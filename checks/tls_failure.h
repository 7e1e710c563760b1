// How a TLS handshake ended, where that tells something: for the check whose question is in the ClientHello. Others need no
// more than the LinkError.
#pragma once

#include <string>

#include "checks/network.h"

namespace ajar {

class TlsFailure : public LinkError {
 public:
  enum class How {
    alert,        // the server refused by an alert (RFC 8446 6): it speaks TLS
    no_protocol,  // … by the one that says that it knows none of TlsHello::protocols (RFC 7301 3.2)
    ended,        // it closed or reset the connection and had sent nothing
    clear,        // it answered with bytes that are no TLS, which are still to be heard
    silent,       // it said nothing in time
  };
  TlsFailure(How how, std::string what) : LinkError(Reason::tls_failed, std::move(what)), how_(how) {}
  How how() const { return how_; }

 private:
  How how_;
};

}  // namespace ajar
