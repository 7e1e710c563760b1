// The dialog of an anonymous client with an FTP server: greeting, TLS where it is wanted, login, commands and their replies.
// RFC 959, RFC 1635 (anonymous), RFC 4217 (AUTH TLS). Never another login than anonymous.
#pragma once

#include <memory>
#include <string>

#include "checks/network.h"
#include "checks/wire/ftp.h"

namespace ajar {

class FtpSession {
 public:
  // Both outlive the session.
  FtpSession(Network& network, const Subject& subject) : network_(network), subject_(subject) {}

  enum class Entry {
    granted,
    wants_login,     // anonymous is nobody there, or an account is wanted besides
    other_protocol,  // it greets in another; other_protocol() says which
    busy,            // put off
    source_blocked,  // refused for where we come from
    refused,         // at the greeting, whoever we are
    tls_failed,      // it wants TLS and grants none
  };
  // A new connection, its greeting, and the login as `user`: "anonymous", or that name at another host, as proxies take it.
  // last() is the reply that decided. LinkError.
  Task<Entry> enter(std::string user);

  // Sends a command and hears its reply. Bytes that came before the command are a protocol_error. LinkError.
  Task<FtpReply> command(std::string line);
  // A further reply to it: after 1yz. LinkError.
  Task<FtpReply> hear_reply();
  // QUIT; does not wait for the reply where `patient` is false, since the server may still be at work. Never throws.
  Task<void> quit(bool patient);

  // From the next connection on it begins with TLS.
  void want_tls() { wants_tls_ = true; }
  bool encrypted() const { return link_ && link_->tls(); }

  const FtpReply& last() const { return last_; }
  const std::string& other_protocol() const { return other_protocol_; }
  bool shaped() const { return shaped_; }        // it answered a login as an FTP server does: the control
  bool spoken_to() const { return spoken_to_; }  // it sent anything, in this connection or the one before
  bool tls_reached() const { return tls_reached_; }

 private:
  Task<Entry> greet();
  Task<Entry> meet();
  Task<bool> start_tls();
  Task<Entry> log_in(std::string user);
  Entry judge_refusal() const;
  std::string password() const;

  Network& network_;
  const Subject& subject_;
  std::unique_ptr<Link> link_;
  FtpReply last_;
  std::string other_protocol_;
  bool shaped_ = false;
  bool spoken_to_ = false;
  bool wants_tls_ = false;  // the server does: it said so, in an earlier connection
  bool tls_reached_ = false;
};

}  // namespace ajar
