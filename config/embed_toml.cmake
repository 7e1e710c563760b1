# Writes OUT, a C++ source that holds FOLDER/NAME.toml for each of NAMES: FUNCTION() of HEADER, a span of TYPE {name, text} in this order.
set(entries "")
foreach(name ${NAMES})
  file(READ ${FOLDER}/${name}.toml text)
  string(APPEND entries "    {\"${name}\", R\"file(${text})file\"},\n")
endforeach()
file(WRITE ${OUT} "// Made of *.toml by config/embed_toml.cmake.
#include \"${HEADER}\"

namespace ajar {
namespace {

constexpr ${TYPE} kFiles[] = {
${entries}};

}  // namespace

std::span<const ${TYPE}> ${FUNCTION}() { return kFiles; }

}  // namespace ajar
")
