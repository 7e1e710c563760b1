# Writes OUT, a C++ source that holds the remedies FOLDER/NAMES.toml: remedy_files() of config/remedies.h, in this order.
set(entries "")
foreach(name ${NAMES})
  file(READ ${FOLDER}/${name}.toml text)
  string(APPEND entries "    {\"${name}\", R\"remedy(${text})remedy\"},\n")
endforeach()
file(WRITE ${OUT} "// Made of config/remedies/*.toml by config/remedies.cmake.
#include \"config/remedies.h\"

namespace ajar {
namespace {

constexpr RemedyFile kFiles[] = {
${entries}};

}  // namespace

std::span<const RemedyFile> remedy_files() { return kFiles; }

}  // namespace ajar
")
