// Simulated FTP servers: RFC 959 as far as a client needs that logs in as anonymous and wants a listing.
#include "checks/wire/ftp.h"

#include <optional>

#include <fmt/format.h>

#include "tests/lab/personality.h"

namespace ajar::lab {
namespace {

constexpr std::uint16_t kFtp = 2121;
constexpr int kMaxCommands = 100;
constexpr const char* kOtherExit = "127.77.0.7";

// What it makes of PORT and EPRT.
enum class Named : std::uint8_t { refused, taken, taken_by_eprt_alone, silence };
// What it makes of LIST, once it has a place to send to.
enum class Data : std::uint8_t { connects, refuses, cannot, pretends };

struct FtpManners {
  const char* greeting = "(vsFTPd 3.0.3)";
  bool anonymous = true;
  Named named = Named::refused;
  Data data = Data::connects;
  bool proxy = false;  // takes the host with the name, and logs in nobody without
  bool other_exit = false;
};

// One conversation, as a value: a command in, a reply out; what to connect to, where that is asked for.
class FtpDialog {
 public:
  struct Answer {
    std::string reply;  // lines with LF between them; empty: silence
    std::optional<AddressPort> connect;
    bool hang_up = false;
  };
  explicit FtpDialog(const FtpManners& manners) : manners_(manners) {}
  Answer hear(const std::string& line);

 private:
  Answer user(const std::string& name);
  Answer name_place(const std::string& verb, const std::string& argument);
  Answer list();

  const FtpManners& manners_;
  bool logged_in_ = false;
  std::string user_;
  std::optional<AddressPort> place_;
};

FtpDialog::Answer FtpDialog::user(const std::string& name) {
  user_ = name;
  const std::size_t at = name.rfind('@');
  if (!manners_.proxy) return {"331 Please specify the password.", {}, false};
  if (at == std::string::npos) return {"530 Login with username@host:port", {}, false};
  return {"501 Unable to connect to server", AddressPort::parse(name.substr(at + 1)), false};
}

FtpDialog::Answer FtpDialog::name_place(const std::string& verb, const std::string& argument) {
  const bool extended = verb == "EPRT";
  place_ = extended ? parse_ftp_eprt(argument) : parse_ftp_port(argument);
  if (!place_) return {"501 Syntax error", {}, false};
  const bool taken =
      manners_.named == Named::taken || (manners_.named == Named::taken_by_eprt_alone && extended && place_->address.is_v4());
  if (manners_.named == Named::silence) return {"", {}, false};
  if (taken) return {fmt::format("200 {} command successful. Consider using PASV.", verb), {}, false};
  place_.reset();
  return {fmt::format("500 Illegal {} command.", verb), {}, false};
}

FtpDialog::Answer FtpDialog::list() {
  if (!place_) return {"425 Use PORT or PASV first.", {}, false};
  switch (manners_.data) {
    case Data::connects:
      return {"150 Here comes the directory listing.\n226 Directory send OK.", place_, false};
    case Data::refuses:
      return {"425 Security: Bad IP connecting.", {}, false};
    case Data::cannot:
      return {"150 Opening ASCII mode data connection.\n425 Can't build data connection: Connection refused.", {}, false};
    case Data::pretends:
      break;
  }
  return {"150 Here comes the directory listing.\n226 Directory send OK.", {}, false};
}

FtpDialog::Answer FtpDialog::hear(const std::string& line) {
  const std::size_t space = line.find(' ');
  std::string verb = line.substr(0, space);
  const std::string argument = space == std::string::npos ? "" : line.substr(space + 1);
  for (char& c : verb) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  if (verb == "QUIT") return {"221 Goodbye.", {}, true};
  if (verb == "USER") return user(argument);
  if (verb == "PASS") {
    logged_in_ = manners_.anonymous && user_ == "anonymous";
    return {logged_in_ ? "230 Login successful." : "530 Login incorrect.", {}, false};
  }
  if (!logged_in_) return {"530 Please login with USER and PASS.", {}, false};
  if (verb == "PORT" || verb == "EPRT") return name_place(verb, argument);
  if (verb == "LIST" || verb == "NLST") return list();
  return {"500 Unknown command.", {}, false};
}

Task<void> serve(Link& link, const FtpManners& manners, Setting setting, World& world) {
  FtpDialog dialog(manners);
  const std::string greeting = fmt::format("220 {}", manners.greeting);
  co_await link.say(greeting);
  for (int i = 0; i < kMaxCommands; ++i) {
    const std::string line = co_await link.hear();
    const FtpDialog::Answer answer = dialog.hear(line);
    std::unique_ptr<Link> data;
    if (answer.connect) {
      std::string from = manners.other_exit ? kOtherExit : setting.address;
      std::string host = answer.connect->address.to_string();
      data = co_await world.connect(std::move(from), std::move(host), answer.connect->port);
      if (data && !manners.proxy) co_await data->say("drwxr-xr-x 2 0 0 4096 Jan 02 03:04 pub");
    }
    std::string rest = answer.reply;
    while (!rest.empty()) {
      const std::size_t end = rest.find('\n');
      std::string first = rest.substr(0, end);
      rest.erase(0, end == std::string::npos ? rest.size() : end + 1);
      co_await link.say(std::move(first));
    }
    if (answer.hang_up) break;
  }
  co_await world.linger(link);
}

constexpr FtpManners kClosed{};
constexpr FtpManners kOpen{.named = Named::taken};
constexpr FtpManners kLogin{.anonymous = false};
constexpr FtpManners kChecksAtList{.greeting = "FTP server ready.", .named = Named::taken, .data = Data::refuses};
constexpr FtpManners kEprtOpen{.greeting = "FTP server ready.", .named = Named::taken_by_eprt_alone};
constexpr FtpManners kCannot{.greeting = "FTP server (Version 6.00LS) ready.", .named = Named::taken, .data = Data::cannot};
constexpr FtpManners kPretends{.greeting = "FTP server ready.", .named = Named::taken, .data = Data::pretends};
constexpr FtpManners kProxy{.greeting = "Frox transparent ftp proxy. Login with username[@host[:port]]", .proxy = true};
constexpr FtpManners kOtherExitOpen{.named = Named::taken, .other_exit = true};
constexpr FtpManners kSilent{.greeting = "FTP server ready.", .named = Named::silence};

template <const FtpManners& manners>
Task<void> speak(Link& link, Setting setting, World& world) {
  return serve(link, manners, std::move(setting), world);
}

constexpr Expectations says(std::string_view verdict, std::string_view reason) { return {{"ftp_bounce", verdict, reason}}; }

constexpr Personality ftp(std::string_view name, std::string_view imitates, Expectations expect, Speak speaks) {
  Personality personality{name, imitates, expect, Kind::other, {}, kFtp};
  personality.speak = speaks;
  return personality;
}

constexpr Personality kPersonalities[] = {
    ftp("ftp_closed", "vsftpd 3.0.3, anonymous_enable=YES", says("closed", "refused"), speak<kClosed>),
    ftp("ftp_open", "vsftpd 3.0.3, anonymous_enable=YES, port_promiscuous=YES", says("open", "token_returned"), speak<kOpen>),
    ftp("ftp_login", "vsftpd 3.0.3, anonymous_enable=NO", says("closed", "auth_required"), speak<kLogin>),
    ftp("ftp_checks_at_list", "A server that looks at the address when it is to connect", says("closed", "refused"),
        speak<kChecksAtList>),
    ftp("ftp_eprt_open", "A server that looks at PORT, and not at EPRT", says("open", "token_returned"), speak<kEprtOpen>),
    ftp("ftp_cannot_connect", "BSD ftpd without a check, behind a firewall", says("accepted", "no_proof"), speak<kCannot>),
    ftp("ftp_pretends", "A honeypot that says yes and sends nothing", says("accepted", "no_proof"), speak<kPretends>),
    ftp("ftp_proxy", "frox 0.7, an FTP proxy for everybody", says("open", "token_returned"), speak<kProxy>),
    ftp("ftp_other_exit", "vsftpd 3.0.3, port_promiscuous=YES, behind NAT", says("open", "token_returned"),
        speak<kOtherExitOpen>),
    ftp("ftp_silent_at_port", "A server that dies when it hears PORT", says("unclear", "timeout"), speak<kSilent>),
};

}  // namespace

std::span<const Personality> ftp_personalities() { return kPersonalities; }

}  // namespace ajar::lab
