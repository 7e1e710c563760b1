#include "agent/static_files.h"

#include <map>

#include <fmt/format.h>

#include "agent/canary_keys.h"

namespace ajar {
namespace {

struct Address {
  std::string hash, url;
};

const Address& address_of(std::string_view name) {
  static const std::map<std::string_view, Address> all = [] {
    std::map<std::string_view, Address> made;
    for (const StaticFile& file : static_files()) {
      const std::string hash = to_hex(sha256(file.text).substr(0, 8));
      made[file.name] = {hash, fmt::format("/static/{}?v={}", file.name, hash)};
    }
    return made;
  }();
  static const Address none;
  const auto found = all.find(name);
  return found == all.end() ? none : found->second;
}

}  // namespace

const StaticFile* find_static_file(std::string_view name) {
  for (const StaticFile& file : static_files()) {
    if (file.name == name) return &file;
  }
  return nullptr;
}

std::string_view static_type(std::string_view name) {
  if (name.ends_with(".css")) return "text/css; charset=utf-8";
  if (name.ends_with(".js")) return "text/javascript; charset=utf-8";
  return "image/svg+xml";
}

std::string_view static_hash(std::string_view name) { return address_of(name).hash; }

std::string_view static_url(std::string_view name) { return address_of(name).url; }

}  // namespace ajar
