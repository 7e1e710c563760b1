# Writes OUT, a C++ source that holds the catalogue of zones FILE: zones_text() of config/zones.h.
file(READ ${FILE} text)
file(WRITE ${OUT} "// Made of config/zones.toml by config/zones.cmake.
#include \"config/zones.h\"

namespace ajar {

std::string_view zones_text() { return R\"zones(${text})zones\"; }

}  // namespace ajar
")
