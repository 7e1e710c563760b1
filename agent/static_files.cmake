# Writes OUT, a C++ source that holds the files FOLDER/NAMES: static_files() of agent/static_files.h, in this order.
set(entries "")
foreach(name ${NAMES})
  file(READ ${FOLDER}/${name} text)
  string(APPEND entries "    {\"${name}\", R\"static(${text})static\"},\n")
endforeach()
file(WRITE ${OUT} "// Made of agent/static/* by agent/static_files.cmake.
#include \"agent/static_files.h\"

namespace ajar {
namespace {

constexpr StaticFile kFiles[] = {
${entries}};

}  // namespace

std::span<const StaticFile> static_files() { return kFiles; }

}  // namespace ajar
")
