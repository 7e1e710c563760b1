// The first bytes of a peer: which protocol is it? Pure: bytes in, a name out.
#pragma once

#include <string_view>

namespace ajar {

// "HTTP", "SMTP" (also FTP and others that begin with three digits), "SSH", "POP3", "IMAP", "VNC", "TLS", "telnet", "SOCKS4",
// "SOCKS5", "MySQL", "Redis"; empty: not recognised. `bytes`: what came first, eight bytes where so many came.
std::string_view recognise(std::string_view bytes);

// Whether `bytes` begin as what we sent ourselves (RFC 862: echo). At least three bytes must agree.
bool is_echo(std::string_view bytes, std::string_view sent);

}  // namespace ajar
