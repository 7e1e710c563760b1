// How a TLS handshake ended, where that tells something: for the check whose question is in the ClientHello. Others need no
// more than the LinkError.
#pragma once

#include <string>

#include "checks/network.h"

namespace ajar {

class TlsFailure : public LinkError {
 public:
  enum class How {
    alert,   // the server refused by an alert (RFC 8446 6): it speaks TLS
    ended,   // it closed or reset the connection and had sent nothing
    clear,   // it answered with bytes that are no TLS, which are still to be heard
    silent,  // it said nothing in time
  };
  static constexpr int kUnrecognizedName = 112;       // RFC 6066 3
  static constexpr int kNoApplicationProtocol = 120;  // RFC 7301 3.2: it knows none of TlsHello::protocols

  TlsFailure(How how, std::string what, int alert = 0)
      : LinkError(Reason::tls_failed, std::move(what)), how_(how), alert_(alert) {}
  How how() const { return how_; }
  int alert() const { return alert_; }  // its number, where `how` is alert

 private:
  How how_;
  int alert_;
};

}  // namespace ajar
