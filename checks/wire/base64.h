// Base64 (RFC 4648 4) as SASL wants it (RFC 4954 4): standard alphabet, padded, one line. Pure.
#pragma once

#include <string>
#include <string_view>

namespace ajar {

std::string base64(std::string_view bytes);

}  // namespace ajar
