// The lab's control port: HTTP/1.1, one request a connection, loopback only.
//   GET /                                         the places as JSON lines
//   POST /personality?address=&port=&name=        changes one at once
#pragma once

#include <string>
#include <string_view>

#include "checks/network.h"
#include "checks/task.h"

namespace ajar::lab {

class Lab;

struct HttpAnswer {
  int code = 200;
  std::string body;
};

// `target` as in the request line. `foreign_origin`: the request came from a web page (Origin header), which may not change
// anything.
HttpAnswer answer_control(Lab& lab, std::string_view method, std::string_view target, bool foreign_origin);

// Reads one request and answers it. LinkError when the peer leaves.
Task<void> serve_control(Link& link, Lab& lab);

}  // namespace ajar::lab
