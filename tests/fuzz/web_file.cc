// A web.yml of arbitrary bytes: it is read, or every error has its file, a place in it and words without control characters.
// What is read can be used: hashes that bcrypt takes, paths in their simplest form, limits that let something through. And the
// Authorization header of a client, which says a name and a password or nothing.
#include "config/web_file.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "agent/access.h"

namespace {

void require(bool good, const char* what) {
  if (good) return;
  std::fprintf(stderr, "broken promise: %s\n", what);
  std::abort();
}

bool printable(const std::string& text) {
  return std::none_of(text.begin(), text.end(), [](char c) { return (c >= 0 && c < ' ') || c == 0x7f; });
}

void check_file(const ajar::WebFile& file) {
  for (const auto& [name, hash] : file.users) {
    require(!name.empty() && printable(name) && name.find(':') == std::string::npos, "user name");
    require(ajar::bcrypt_cost(hash).value_or(99) <= ajar::kMostBcryptCost, "hash");
  }
  for (const std::string& path : file.open_paths)
    require(path.starts_with('/') && path.find("//") == std::string::npos, "path");
  for (const auto& [name, value] : file.headers) require(printable(value), "header");
  require(file.rate_interval.count() == 0 || file.rate_burst > 0, "rate");
  if (!file.tls) return;
  const ajar::WebTls& tls = *file.tls;
  require(tls.certificate.is_set() && tls.key.is_set() && tls.certificate.line > 0, "certificate");
  require(tls.min_version >= 12 && tls.min_version <= tls.max_version, "versions");
  require(tls.client_auth != ajar::ClientAuth::require_and_verify || tls.client_ca.is_set(), "authority");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)ajar::parse_basic(std::string(text));
  (void)ajar::is_own_host(std::string(text), ajar::Config());
  const auto result = ajar::parse_web_file(text, "fuzz.yml");
  if (const auto* file = std::get_if<ajar::WebFile>(&result)) {
    check_file(*file);
    return 0;
  }
  const auto& errors = std::get<std::vector<ajar::ConfigError>>(result);
  require(!errors.empty(), "an error");
  unsigned last_line = 0;
  for (const ajar::ConfigError& error : errors) {
    require(error.file == "fuzz.yml" && error.line > 0 && error.column > 0, "a place");
    require(error.line >= last_line, "order of appearance");
    require(!error.message.empty() && printable(error.message), "words");
    last_line = error.line;
  }
  return 0;
}
