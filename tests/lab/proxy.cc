#include "tests/lab/proxy.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "tests/lab/http_request.h"
#include "tests/lab/mailbox.h"
#include "tests/lab/socks.h"

namespace ajar::lab {
namespace {

constexpr std::size_t kPiece = 16;  // of a slow answer
constexpr unsigned kGigabyte = 1'000'000'000;
constexpr unsigned kBlock = 62'500;

std::string_view phrase(int code) {
  switch (code) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 407:
      return "Proxy Authentication Required";
    case 413:
      return "Content Too Large";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    default:
      return "Error";
  }
}

std::string_view server_name(Software software) {
  switch (software) {
    case Software::squid:
      return "squid/5.7";
    case Software::apache:
      return "Apache/2.4.62 (Debian)";
    case Software::nginx:
      return "nginx/1.22.1";
    case Software::mikrotik:
      return "Mikrotik HttpProxy";
  }
  return "";
}

class Proxy {
 public:
  Proxy(Link& link, const ProxyManners& manners, const Setting& setting, World& world)
      : link_(link),
        manners_(manners),
        setting_(setting),
        world_(world),
        exit_(manners.other_exit ? std::string(kOtherExit) : setting.address) {}
  Task<void> serve();

 private:
  Task<void> serve_http(std::string begun);
  Task<void> serve_request(const HttpRequest& request);
  Way way_of(Form form) const;
  Task<void> refuse(int code);
  Task<void> answer(int code, std::string body);
  Task<void> say(std::string wire);
  Task<void> tunnel(const HttpRequest& request, bool port_443_only);
  Task<void> silent_tunnel();
  Task<void> own_tunnel();
  Task<void> forward(const HttpRequest& request, Way way);
  Task<int> exchange(Link& far, std::string wire);
  Task<void> stream_a_gigabyte();
  std::string rewritten(const HttpRequest& request, const std::string& host) const;
  std::string established() const;
  std::string via() const { return fmt::format("Via: 1.1 {} (squid/5.7)\r\n", setting_.host); }

  Link& link_;
  const ProxyManners& manners_;
  const Setting& setting_;
  World& world_;
  std::string exit_;
  std::string method_;  // of the request
};

Task<void> Proxy::serve() {
  std::string first = co_await link_.hear_bytes(1);
  if (first[0] == 4 && manners_.socks4 != SocksWay::unknown) {
    co_await converse_as_socks4(link_, manners_.socks4, exit_, world_);
  } else if (first[0] == 5 && manners_.socks5 != SocksWay::unknown) {
    co_await converse_as_socks5(link_, manners_.socks5, exit_, world_);
  } else if (manners_.http) {
    // To it, SOCKS is a line that does not end yet.
    co_await serve_http(std::move(first));
  }
}

Task<void> Proxy::serve_http(std::string begun) {
  std::vector<std::string> lines;
  const bool whole = co_await hear_request_head(link_, std::move(begun), lines);
  const std::optional<HttpRequest> request = whole ? parse_http_request(lines) : std::nullopt;
  if (!request) {
    co_await refuse(400);
  } else {
    co_await serve_request(*request);
  }
}

Way Proxy::way_of(Form form) const {
  switch (form) {
    case Form::authority:
      return manners_.connect;
    case Form::absolute:
      return manners_.absolute;
    case Form::origin:
      return manners_.origin;
    case Form::other:
      break;
  }
  return Way::bad_request;
}

Task<void> Proxy::serve_request(const HttpRequest& request) {
  method_ = request.method;
  const Way way = way_of(request.form);
  const bool ordinary = method_ == "GET" || method_ == "HEAD" || method_ == "POST" || method_ == "CONNECT";
  int code = 400;
  std::string body;
  switch (way) {
    case Way::connects:
    case Way::connects_443:
      co_await tunnel(request, way == Way::connects_443);
      co_return;
    case Way::silent_tunnel:
      co_await silent_tunnel();
      co_return;
    case Way::own_tunnel:
      co_await own_tunnel();
      co_return;
    case Way::forwards:
    case Way::forwards_one_port:
    case Way::forwards_fixed:
      co_await forward(request, way);
      co_return;
    case Way::endless_body:
      co_await stream_a_gigabyte();
      co_return;
    case Way::page:
      code = ordinary ? 200 : 405;
      if (code == 200) body = "<html><body><h1>It works!</h1></body></html>\n";
      break;
    case Way::site:
      code = request.path == "/" ? 200 : 404;
      if (code == 200) body = fmt::format("<html><body><h1>Welcome to {}</h1></body></html>\n", setting_.host);
      break;
    case Way::bad_request:
      break;
    case Way::forbidden:
      code = 403;
      break;
    case Way::not_allowed:
      code = 405;
      break;
    case Way::wants_auth:
      code = 407;
      break;
    case Way::unavailable:
      code = 503;
      break;
    case Way::gateway_timeout:
      code = 504;
      break;
  }
  if (body.empty()) {
    co_await refuse(code);
  } else {
    co_await answer(code, std::move(body));
  }
}

Task<void> Proxy::refuse(int code) {
  std::string body = fmt::format("<html><head><title>{0} {1}</title></head>\n<body><h1>{1}</h1><hr>{2}</body></html>\n", code,
                                 phrase(code), server_name(manners_.software));
  co_await answer(code, std::move(body));
}

Task<void> Proxy::answer(int code, std::string body) {
  const bool squid = manners_.software == Software::squid;
  std::string wire = fmt::format("HTTP/1.{} {} {}\r\nServer: {}\r\n", manners_.software == Software::mikrotik ? 0 : 1, code,
                                 phrase(code), server_name(manners_.software));
  if (squid && code == 403) wire += "X-Squid-Error: ERR_ACCESS_DENIED 0\r\n";
  if (squid && code == 503) wire += "X-Squid-Error: ERR_CONNECT_FAIL 113\r\n";
  if (code == 405) wire += "Allow: GET,POST,OPTIONS,HEAD\r\n";
  if (code == 407) wire += "Proxy-Authenticate: Basic realm=\"lab\"\r\n";
  if (squid) wire += via();
  wire += fmt::format("Content-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.size());
  if (method_ != "HEAD") wire += body;
  co_await say(std::move(wire));
  co_await world_.linger(link_);
}

Task<void> Proxy::say(std::string wire) {
  if (!manners_.slow) {
    co_await link_.say_bytes(std::move(wire));
    co_return;
  }
  co_await world_.pause(setting_.pace.proxy_delay);
  for (std::size_t from = 0; from < wire.size(); from += kPiece) {
    std::string piece = wire.substr(from, kPiece);
    co_await link_.say_bytes(std::move(piece));
    co_await world_.pause(milliseconds(1));
  }
}

std::string Proxy::established() const {
  return fmt::format("HTTP/1.{} 200 Connection established\r\n\r\n", manners_.software == Software::mikrotik ? 0 : 1);
}

Task<void> Proxy::tunnel(const HttpRequest& request, bool port_443_only) {
  const std::optional<Destination> to = parse_authority(request.authority, 0);
  int refusal = 0;
  std::unique_ptr<Link> far;
  if (!to) {
    refusal = 400;
  } else if (port_443_only && to->port != 443 && to->port != 8443) {
    refusal = 403;
  } else {
    if (manners_.wants_crlf) co_await link_.hear();
    far = co_await world_.connect(exit_, to->host, to->port);
    if (!far) refusal = 503;
  }
  if (refusal != 0) {
    co_await refuse(refusal);
    co_return;
  }
  std::string reply = established();
  co_await say(std::move(reply));
  co_await world_.join(link_, *far);
}

Task<void> Proxy::silent_tunnel() {
  std::string reply = established();
  co_await say(std::move(reply));
  while (true) {
    const std::string bytes = co_await link_.hear_some();
    if (bytes.empty()) co_return;
  }
}

// "You cannot instruct the proxy to connect to itself": here one can.
Task<void> Proxy::own_tunnel() {
  std::string reply = established();
  co_await say(std::move(reply));
  const std::string bytes = co_await link_.hear_some();
  if (!bytes.empty()) co_await refuse(400);
}

// The request as it goes on: origin form, own Host, one request a connection.
std::string Proxy::rewritten(const HttpRequest& request, const std::string& host) const {
  std::string wire = fmt::format("{} {} HTTP/1.1\r\nHost: {}\r\n", request.method, request.path, host);
  for (const auto& [name, value] : request.fields) {
    constexpr std::string_view kOwn[] = {"host",       "connection", "proxy-connection", "proxy-authorization",
                                         "keep-alive", "expect"};
    if (std::ranges::find(kOwn, to_lower(name)) == std::end(kOwn)) wire += fmt::format("{}: {}\r\n", name, value);
  }
  if (manners_.software == Software::squid) {
    wire += via();
    wire += fmt::format("X-Forwarded-For: {}\r\n", setting_.peer);
  }
  return wire + "Connection: close\r\n\r\n";
}

Task<void> Proxy::forward(const HttpRequest& request, Way way) {
  std::optional<Destination> to = parse_authority(request.authority, 80);
  std::string host = request.authority;
  if (way == Way::forwards_fixed) {
    to = Destination{setting_.canary, setting_.canary_http_port};
    host = fmt::format("{}:{}", setting_.canary, setting_.canary_http_port);
  }
  int code = 0;
  if (!to) code = 400;
  if (request.chunked) code = 501;
  if (request.body > kMaxRequestBody) code = 413;
  if (code == 0) {
    if (way == Way::forwards_one_port) to->port = setting_.canary_http_port;
    std::string wire = rewritten(request, host);
    const std::string body = co_await link_.hear_bytes(static_cast<std::size_t>(request.body));
    wire += body;
    const std::unique_ptr<Link> far = co_await world_.connect(exit_, to->host, to->port);
    if (far) {
      code = co_await exchange(*far, std::move(wire));
    } else {
      code = manners_.software == Software::squid ? 503 : 502;
    }
  }
  if (code != 0) co_await refuse(code);
}

// Asks the origin and passes its answer on. 0, or the code to answer with because nothing was passed on.
Task<int> Proxy::exchange(Link& far, std::string wire) {
  bool begun = false;
  int code = 502;
  try {
    co_await far.say_bytes(std::move(wire));
    std::string line = co_await far.hear();
    line += "\r\n";
    if (manners_.software == Software::squid && line.starts_with("HTTP/")) line += via();
    begun = true;
    while (!line.empty()) {
      co_await say(std::move(line));
      line = co_await far.hear_some();
    }
  } catch (const LinkError& error) {
    if (begun) throw;
    if (error.reason() == Reason::timeout) code = 504;
  }
  if (!begun) co_return code;
  co_await world_.linger(link_);
  co_return 0;
}

Task<void> Proxy::stream_a_gigabyte() {
  std::string head = fmt::format(
      "HTTP/1.1 200 OK\r\nServer: {}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
      server_name(manners_.software), kGigabyte);
  co_await link_.say_bytes(std::move(head));
  constexpr unsigned kBlocks = kGigabyte / kBlock;
  for (unsigned i = 0; i < kBlocks && !world_.gone(link_); ++i) {
    std::string block(kBlock, 'x');
    co_await link_.say_bytes(std::move(block), "(a part of the gigabyte)");
    if (i % 64 == 63) co_await world_.pause(milliseconds(1));  // the others' turn
  }
}

}  // namespace

Task<bool> hear_request_head(Link& link, std::string begun, std::vector<std::string>& lines) {
  std::size_t bytes = 0;
  for (std::size_t heard = 0; heard < kMaxHeadLines && bytes <= kMaxHead; ++heard) {
    std::string line = std::exchange(begun, {});
    if (!line.ends_with('\n')) {
      const std::string rest = co_await link.hear();
      line += rest;
    }
    while (line.ends_with('\n') || line.ends_with('\r')) line.pop_back();
    bytes += line.size();
    if (!line.empty()) {
      lines.push_back(std::move(line));
    } else if (!lines.empty()) {  // RFC 9112 2.2: empty lines before the request are passed over
      co_return true;
    }
  }
  co_return false;
}

Task<void> converse_as_proxy(Link& link, const ProxyManners& manners, const Setting& setting, World& world) {
  Proxy proxy(link, manners, setting, world);
  co_await proxy.serve();
}

}  // namespace ajar::lab
