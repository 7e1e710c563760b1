#include "tests/lab/control.h"

#include <charconv>
#include <map>

#include <fmt/format.h>

#include "tests/lab/lab.h"
#include "tests/lab/mailbox.h"

namespace ajar::lab {
namespace {

constexpr int kMaxHeaders = 100;

int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string percent_decoded(std::string_view text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && hex(text[i + 1]) >= 0 && hex(text[i + 2]) >= 0) {
      result += static_cast<char>(hex(text[i + 1]) * 16 + hex(text[i + 2]));
      i += 2;
    } else {
      result += text[i] == '+' ? ' ' : text[i];
    }
  }
  return result;
}

std::map<std::string, std::string> parse_query(std::string_view query) {
  std::map<std::string, std::string> fields;
  while (!query.empty()) {
    const std::size_t end = std::min(query.find('&'), query.size());
    const std::string_view field = query.substr(0, end);
    const std::size_t equals = std::min(field.find('='), field.size());
    fields[percent_decoded(field.substr(0, equals))] = percent_decoded(field.substr(std::min(equals + 1, field.size())));
    query.remove_prefix(std::min(end + 1, query.size()));
  }
  return fields;
}

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
    case 409:
      return "Conflict";
    default:
      return "Error";
  }
}

HttpAnswer change_personality(Lab& lab, std::string_view query) {
  std::map<std::string, std::string> fields = parse_query(query);
  const std::optional<IpAddress> address = IpAddress::parse(fields["address"]);
  const std::string& digits = fields["port"];
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (!address || error != std::errc{} || end != digits.data() + digits.size()) {
    return {400, "write POST /personality?address=127.10.0.1&port=2525&name=open\n"};
  }
  switch (lab.change(AddressPort{*address, port}, fields["name"])) {
    case Lab::Change::done:
      return {200, "done\n"};
    case Lab::Change::no_such_place:
      return {404, "no such place: GET / lists them\n"};
    case Lab::Change::no_such_personality:
      return {400, "no such personality: ajar-lab --list shows all\n"};
    case Lab::Change::cannot_bind:
      return {409, "cannot listen there, or cannot stop listening there\n"};
  }
  return {500, "\n"};
}

}  // namespace

HttpAnswer answer_control(Lab& lab, std::string_view method, std::string_view target, bool foreign_origin) {
  const std::size_t mark = std::min(target.find('?'), target.size());
  const std::string_view path = target.substr(0, mark);
  if (path == "/") {
    if (method != "GET") return {405, "GET /\n"};
    HttpAnswer answer;
    lab.for_each([&answer](const Listing& listing) { answer.body += listing.to_json() + "\n"; });
    return answer;
  }
  if (path != "/personality") return {404, "GET / or POST /personality\n"};
  if (method != "POST") return {405, "POST /personality\n"};
  if (foreign_origin) return {403, "not from a web page\n"};
  return change_personality(lab, target.substr(std::min(mark + 1, target.size())));
}

Task<void> serve_control(Link& link, Lab& lab) {
  const std::string request = co_await link.hear();
  bool foreign_origin = false;
  for (int i = 0; i < kMaxHeaders; ++i) {
    const std::string header = co_await link.hear();
    if (header.empty()) break;
    if (to_lower(header.substr(0, 7)) == "origin:") foreign_origin = true;
  }
  const std::size_t first = request.find(' ');
  const std::size_t second = request.find(' ', std::min(first + 1, request.size()));
  HttpAnswer answer{400, "that was not HTTP\n"};
  if (first != std::string::npos && second != std::string::npos && request.find("HTTP/", second) == second + 1) {
    answer = answer_control(lab, std::string_view(request).substr(0, first),
                            std::string_view(request).substr(first + 1, second - first - 1), foreign_origin);
  }
  std::string wire = fmt::format("HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                                 answer.code, phrase(answer.code),
                                 answer.body.starts_with('{') ? "application/x-ndjson" : "text/plain", answer.body.size());
  wire += answer.body;
  co_await link.say_bytes(std::move(wire), "(the answer)");
}

}  // namespace ajar::lab
