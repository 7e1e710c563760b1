# Writes OUT, a C++ source that holds the runbooks FOLDER/ALERTS.md: runbooks() of agent/runbooks.h, in this order.
set(entries "")
foreach(alert ${ALERTS})
  file(READ ${FOLDER}/${alert}.md text)
  string(APPEND entries "    {\"${alert}\", R\"runbook(${text})runbook\"},\n")
endforeach()
file(WRITE ${OUT} "// Made of dashboards/runbooks/*.md by agent/runbooks.cmake.
#include \"agent/runbooks.h\"

namespace ajar {
namespace {

constexpr Runbook kRunbooks[] = {
${entries}};

}  // namespace

std::span<const Runbook> runbooks() { return kRunbooks; }

}  // namespace ajar
")
