// Style, script and drawings of the pages: agent/static/*, carried in the program. Their addresses hold a hash of their
// content, so that a browser may keep them for good. Any thread.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace ajar {

struct StaticFile {
  std::string_view name;  // "ajar.css"
  std::string_view text;
};

std::span<const StaticFile> static_files();
// nullptr where no file has this name.
const StaticFile* find_static_file(std::string_view name);
std::string_view static_type(std::string_view name);  // its Content-Type
std::string_view static_hash(std::string_view name);  // of its content; empty for an unknown name
std::string_view static_url(std::string_view name);   // "/static/ajar.css?v=0123456789abcdef"

}  // namespace ajar
