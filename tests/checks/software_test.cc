// What real servers say of themselves, and what liars may.
#include "checks/software.h"

#include <set>
#include <string>
#include <vector>

#include <gmock/gmock.h>

namespace ajar {
namespace {

using testing::HasSubstr;
using testing::Le;
using testing::SizeIs;

using Lines = std::vector<std::string>;

// One conversation in which the peer says these lines after `asked`.
Lines heard(const std::string& asked, const Lines& said) {
  Lines lines = {"# ipv4:8025", "# connecting to 203.0.113.5:25"};
  if (!asked.empty()) lines.push_back("C: " + asked);
  for (const std::string& line : said) lines.push_back("S: " + line);
  return lines;
}

std::string id(const SoftwareGuess& guess) { return guess.software == nullptr ? "" : std::string(guess.software->id); }

struct Row {
  const char* software;
  const char* version;
  const char* ground;
  std::string asked;
  Lines said;
};

constexpr const char* kConnect = "CONNECT 198.51.100.7:8025 HTTP/1.1";
constexpr const char* kGet = "GET http://198.51.100.7:8025/<token> HTTP/1.1";

const Row kRows[] = {
    // -- mail: greetings
    {"postfix", "", "it greets with `220 mail.target.test ESMTP Postfix`", "", {"220 mail.target.test ESMTP Postfix"}},
    {"postfix", "", "(Debian/GNU)", "", {"220 mx.example.org ESMTP Postfix (Debian/GNU)"}},
    {"postfix", "3.7.11", "", "", {"220 mx.example.org ESMTP Postfix 3.7.11"}},
    {"exim", "4.96", "", "", {"220 mx.example.org ESMTP Exim 4.96 Tue, 24 Nov 2026 18:59:09 +0000"}},
    {"exim",
     "4.98.2",
     "",
     "",
     {"220-mx.example.org ESMTP Exim 4.98.2 #2 Tue, 24 Nov 2026 18:59:09 +0000", "220-We do not", "220 spam."}},
    {"sendmail",
     "8.17.1.9",
     "",
     "",
     {"220 mx.example.org ESMTP Sendmail 8.17.1.9/8.17.1.9/Debian-2; Tue, 24 Nov 2026 18:59:09 GMT"}},
    {"opensmtpd", "", "", "", {"220 mx.example.org ESMTP OpenSMTPD"}},
    {"courier", "1.0.16", "", "", {"220 mx.example.org ESMTP Courier 1.0.16"}},
    {"exchange", "", "", "", {"220 EX1.example.org Microsoft ESMTP MAIL Service ready at Tue, 24 Nov 2026 18:59:09 +0000"}},
    {"exchange",
     "10.0.17763.1697",
     "",
     "",
     {"220 ex1 Microsoft ESMTP MAIL Service, Version: 10.0.17763.1697 ready at  Tue, 24 Nov 2026 18:59:09 +0000"}},
    // -- HTTP
    {"squid",
     "5.7",
     "`X-Squid-Error: ERR_ACCESS_DENIED 0`",
     kConnect,
     {"HTTP/1.1 403 Forbidden", "Server: squid/5.7", "X-Squid-Error: ERR_ACCESS_DENIED 0", "Via: 1.1 p.example.org (squid/5.7)",
      ""}},
    {"squid",
     "5.7",
     "`Via: 1.1 squid.test (squid/5.7)`",
     kGet,
     {"HTTP/1.1 200 OK", "X-Cache: MISS from squid.test", "Via: 1.1 squid.test (squid/5.7)", "", "PROOF <proof>\\x0a"}},
    {"tinyproxy",
     "1.11.1",
     "it answers with `Proxy-agent: tinyproxy/1.11.1`",
     kConnect,
     {"HTTP/1.0 200 Connection established", "Proxy-agent: tinyproxy/1.11.1", "", "PROOF <proof>"}},
    {"tinyproxy",
     "1.11.1",
     "`Via: 1.1 vm (tinyproxy/1.11.1)`",
     kGet,
     {"HTTP/1.1 200 OK", "Via: 1.1 vm (tinyproxy/1.11.1)", ""}},
    {"tinyproxy", "1.8.3", "`Server: tinyproxy/1.8.3`", kGet, {"HTTP/1.0 403 Access denied", "Server: tinyproxy/1.8.3", ""}},
    {"3proxy",
     "",
     "`Access control list denies you to access this resource",
     kGet,
     {"HTTP/1.0 403 Forbidden", "Content-type: text/html; charset=utf-8", "",
      "<html><head><title>403 Access Denied</title></head>\\x0d\\x0a<body><h2>403 Access Denied</h2><h3>Access control list "
      "denies "
      "you to access this resource</body></html>\\x0d\\x0a"}},
    {"privoxy", "3.0.34", "", kConnect, {"HTTP/1.1 200 Connection established", "Proxy-Agent: Privoxy/3.0.34", ""}},
    {"privoxy",
     "3.0.34",
     "`This is Privoxy 3.0.34 on",
     kGet,
     {"HTTP/1.1 403 Forbidden", "", "<p>This is Privoxy 3.0.34 on proxy (127.0.0.1), port 8118</p>"}},
    {"apache",
     "2.4.57",
     "`Server: Apache/2.4.57 (Debian)`",
     kConnect,
     {"HTTP/1.1 405 Method Not Allowed", "Date: Tue, 24 Nov 2026 18:59:09 GMT", "Server: Apache/2.4.57 (Debian)", ""}},
    {"apache",
     "2.4.57",
     "`Proxy-agent: Apache/2.4.57 (Debian)`",
     kConnect,
     {"HTTP/1.0 200 Connection Established", "Proxy-agent: Apache/2.4.57 (Debian)", ""}},
    {"apache", "", "", kGet, {"HTTP/1.1 403 Forbidden", "Server: Apache", ""}},
    {"nginx", "1.22.1", "`Server: nginx/1.22.1`", kConnect, {"HTTP/1.1 400 Bad Request", "Server: nginx/1.22.1", ""}},
    {"nginx",
     "1.22.1",
     "its error page says `<center>nginx/1.22.1</center>",
     kGet,
     {"HTTP/1.1 400 Bad Request", "", "<html>\\x0d\\x0a<hr><center>nginx/1.22.1</center>\\x0d\\x0a</body>"}},
    {"nginx",
     "",
     "its error page says",
     "",
     {"<html>\\x0d\\x0a<head><title>400 Bad Request</title></head><hr><center>nginx</center>"}},
    {"nginx", "1.21.4.3", "", kGet, {"HTTP/1.1 200 OK", "Server: openresty/1.21.4.3", ""}},
    {"haproxy",
     "",
     "",
     kGet,
     {"HTTP/1.1 503 Service Unavailable", "content-length: 107", "",
      "<html><body><h1>503 Service Unavailable</h1>\\x0aNo server is available to handle this request.\\x0a</body></html>"}},
    {"haproxy", "", "", kGet, {"HTTP/1.1 400 Bad request", "", "<html><body><h1>400 Bad request</h1>\\x0aYour browser sent"}},
    {"caddy", "", "`Server: Caddy`", kGet, {"HTTP/1.1 200 OK", "Server: Caddy", ""}},
    {"caddy", "", "`Via: 1.1 Caddy`", kGet, {"HTTP/1.1 200 OK", "Via: 1.1 Caddy", ""}},
    {"trafficserver", "9.2.5", "`Server: ATS/9.2.5`", kGet, {"HTTP/1.1 404 Not Found on Accelerator", "Server: ATS/9.2.5", ""}},
    {"trafficserver",
     "9.2.5",
     "ApacheTrafficServer/9.2.5",
     kGet,
     {"HTTP/1.1 200 OK", "Via: http/1.1 traffic_server (ApacheTrafficServer/9.2.5 [uScMsSfWpSeN:t cCMp sF])", ""}},
    {"mikrotik", "", "`Server: Mikrotik HttpProxy`", kGet, {"HTTP/1.0 404 Not Found", "Server: Mikrotik HttpProxy", ""}},
    // -- others
    {"openssh",
     "9.2p1",
     "it greets with `SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3`",
     "",
     {"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3"}},
    {"proftpd", "1.3.8", "", "", {"220 ProFTPD 1.3.8 Server (Debian) [::ffff:203.0.113.5]"}},
    {"proftpd", "", "", "", {"220 ProFTPD Server (Debian) [203.0.113.5]"}},
    {"vsftpd", "3.0.3", "", "", {"220 (vsFTPd 3.0.3)"}},
};

TEST(Software, SaysItself) {
  std::set<std::string_view> seen = {"coturn"};  // below: it says so in another place
  for (const Row& row : kRows) {
    const SoftwareGuess guess = guess_software(heard(row.asked, row.said));
    EXPECT_EQ(id(guess), row.software) << testing::PrintToString(row.said);
    EXPECT_EQ(guess.version, row.version) << testing::PrintToString(row.said);
    EXPECT_THAT(guess.ground, HasSubstr(row.ground));
    if (guess.software != nullptr) seen.insert(guess.software->id);
  }
  for (const Software& software : known_software()) EXPECT_TRUE(seen.contains(software.id)) << software.id << " has no row";
}

TEST(Software, RepliesTellWhereTheGreetingDoesNot) {
  struct Reply {
    const char* software;
    const char* line;
  };
  for (const Reply& row :
       {Reply{"postfix", "454 4.7.1 <<token>@canary.example.net>: Relay access denied"},
        Reply{"postfix", "250 2.0.0 Ok: queued as 9209BA7A7DF"}, Reply{"exim", "250 OK id=1tFxyz-00000001aBc-1dEf"},
        Reply{"exim", "550 relay not permitted"}, Reply{"sendmail", "250 2.1.5 <<token>@canary.example.net>... Recipient ok"},
        Reply{"opensmtpd", "250 2.1.5 Destination address valid: Recipient ok"}}) {
    Lines lines = heard("", {"220 mx.example.org ESMTP"});
    lines.emplace_back("C: RCPT TO:<<token>@canary.example.net>");
    lines.push_back(std::string("S: ") + row.line);
    EXPECT_EQ(id(guess_software(lines)), row.software) << row.line;
  }
}

TEST(Software, TheAnswerToEhloTellsWhereTheGreetingDoesNot) {
  for (const auto& [line, software] :
       {std::pair("250-XVERP=Courier", "courier"), std::pair("250-X-EXPS GSSAPI NTLM", "exchange")}) {
    Lines lines = heard("", {"220 mx.example.org ESMTP"});
    for (const std::string& more : {std::string("C: EHLO probe.example.net"), std::string("S: 250-mx.example.org Ok."),
                                    std::string("S: ") + line, std::string("S: 250 8BITMIME")}) {
      lines.push_back(more);
    }
    const SoftwareGuess guess = guess_software(lines);
    EXPECT_EQ(id(guess), software);
    EXPECT_EQ(guess.ground, std::string("it answers EHLO with `") + line + "`");
  }
}

// RFC 8489 14.14, as turn_relay notes it.
TEST(Software, WhatAStunServerCallsItself) {
  const SoftwareGuess guess = guess_software(Lines{"S: 01 01 00 00", "# SOFTWARE Coturn-4.6.1 'Gorst'"});
  EXPECT_EQ(id(guess), "coturn");
  EXPECT_EQ(guess.version, "4.6.1");
  EXPECT_EQ(guess.ground, "it calls itself `Coturn-4.6.1 'Gorst'`");
  EXPECT_EQ(id(guess_software(Lines{"S: # SOFTWARE Coturn-4.6.1", "# SOFTWARE turnserver"})), "");
}

TEST(Software, NothingIsGuessedWithoutAName) {
  for (const Lines& said :
       {Lines{}, Lines{"05 00", "05 00 00 01 7f 00 00 01 94 22", "PROOF <proof>"},  // Dante
        Lines{"05 00", "05 00 00 01 00 00 00 00 00 00"},                            // microsocks
        Lines{"00 5a 94 10 7f 00 00 01"}, Lines{"220 mx.example.org ESMTP"}, Lines{"220"},
        Lines{"HTTP/1.1 200 Connection established", ""}, Lines{"HTTP/1.1 200 OK", "Server: Apache-Coyote/1.1", ""},
        Lines{"HTTP/1.1 200 OK", "Server: gunicorn", ""}, Lines{"SSH-2.0-dropbear_2022.83"},
        Lines{"220 postfix.example.org ESMTP"}, Lines{"220 exim.sendmail.example ESMTP ready"},
        Lines{"HTTP/1.1 200 OK", "Via: 1.1 squid.example.org (Varnish/6.0)", ""}}) {
    const SoftwareGuess guess = guess_software(heard(kGet, said));
    EXPECT_EQ(id(guess), "") << testing::PrintToString(said);
    EXPECT_EQ(guess.version + guess.ground, "");
  }
}

// The name of the host is not the name of the software.
TEST(Software, AHostMayBeCalledAnything) {
  EXPECT_EQ(id(guess_software(heard("", {"220 postfix.example.org ESMTP Exim 4.96 Tue"}))), "exim");
  EXPECT_EQ(id(guess_software(heard("", {"220 mx ESMTP not-Postfix, Sendmail 8.17.1/8.17.1"}))), "sendmail");
}

TEST(Software, TheNearestProxyCounts) {
  EXPECT_EQ(id(guess_software(heard(kGet, {"HTTP/1.1 200 OK", "Via: 1.1 a (squid/5.7), 1.1 b (tinyproxy/1.11.1)", ""}))),
            "tinyproxy");
  EXPECT_EQ(id(guess_software(heard(kGet, {"HTTP/1.1 200 OK", "Via: 1.1 a (squid/5.7)", "Via: 1.1 Caddy", ""}))), "caddy");
  EXPECT_EQ(id(guess_software(heard(kGet, {"HTTP/1.1 200 OK", "Server: nginx", "Via: 1.1 a (squid/5.7)", ""}))), "squid");
}

// What stands behind a tunnel, or on a page that was fetched, is another server.
TEST(Software, WhatCameThroughItIsNotItsOwn) {
  EXPECT_EQ(
      id(guess_software(heard(kConnect, {"HTTP/1.1 200 Connection established", "", "220 mx.example.org ESMTP Postfix"}))), "");
  EXPECT_EQ(id(guess_software(heard(kConnect, {"HTTP/1.1 200 Ok", "", "HTTP/1.1 400 Bad Request", "Server: nginx", ""}))), "");
  EXPECT_EQ(id(guess_software(heard("", {"05 00", "220 mx.example.org ESMTP Postfix"}))), "");
  EXPECT_EQ(id(guess_software(heard(kGet, {"HTTP/1.1 200 OK", "", "<address>Apache/2.4.57 Server</address>"}))), "");
  // A refused CONNECT is its own page; an interim reply is not the answer.
  EXPECT_EQ(id(guess_software(heard(kConnect, {"HTTP/1.1 403 No", "", "<address>Apache/2.4.57 Server</address>"}))), "apache");
  EXPECT_EQ(id(guess_software(heard(kGet, {"HTTP/1.1 100 Continue", "", "HTTP/1.1 200 OK", "Server: Caddy", ""}))), "caddy");
}

TEST(Software, ConversationsAreApart) {
  Lines lines = heard(kConnect, {"HTTP/1.1 200 Connection established", "", "PROOF <proof>"});
  for (const std::string& line : heard(kConnect, {"HTTP/1.1 500 No", "Server: squid/5.7", "", "x"})) lines.push_back(line);
  const SoftwareGuess guess = guess_software(lines);
  EXPECT_EQ(id(guess), "squid");
  EXPECT_EQ(guess.version, "5.7");
}

TEST(Software, AHostileBannerStaysBoundedText) {
  const std::string endless(100000, 'A');
  for (const std::string& banner : {"220 mx ESMTP Postfix " + endless, "220 mx ESMTP Postfix 9" + endless,
                                    "220 mx ESMTP Exim 1." + std::string(5000, '9') + "\x01\xff\x1b[2J\n<script>"}) {
    const SoftwareGuess guess = guess_software(heard("", {banner}));
    EXPECT_NE(guess.software, nullptr);
    EXPECT_THAT(guess.version, SizeIs(Le(40U)));
    EXPECT_THAT(guess.ground, SizeIs(Le(160U)));
  }
  const SoftwareGuess guess = guess_software(heard("", {"220 m ESMTP Exim\x01\xff\x1b[2J\r\n<script>"}));
  EXPECT_EQ(guess.ground, "it greets with `220 m ESMTP Exim\\x01\\xff\\x1b[2J\\x0d\\x0a<script>`");
  // A thousand names: one guess.
  Lines lines = heard(kGet, {"HTTP/1.1 200 OK"});
  for (int i = 0; i < 1000; ++i) lines.push_back("S: Server: nginx/" + std::to_string(i) + " squid Apache Caddy");
  EXPECT_EQ(id(guess_software(lines)), "squid");
}

}  // namespace
}  // namespace ajar
