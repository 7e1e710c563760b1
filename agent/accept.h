// Accept and Accept-Encoding headers (RFC 9110 12.5), as far as a scrape needs them.
#pragma once

#include <string_view>
#include <vector>

namespace ajar {

struct AcceptItem {
  std::string_view name;     // "text/plain", "gzip", "*/*"
  std::string_view version;  // its version parameter; empty without one
  int quality = 1000;        // thousandths; 0: not wanted
};

// The items in order; the views point into `header`.
std::vector<AcceptItem> parse_accept(std::string_view header);
// Whether gzip is wanted by this Accept-Encoding.
bool accepts_gzip(std::string_view header);

}  // namespace ajar
