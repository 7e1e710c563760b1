// What a form of ours sends back, so that no other site can make one: a MAC of the hour under a key that dies with the process.
// Any thread.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "agent/time.h"

namespace ajar {

class FormToken {
 public:
  FormToken();  // a new key
  std::string at(Time now) const;
  // Made in this hour or in the one before.
  bool is_valid(std::string_view token, Time now) const;

 private:
  std::string of_hour(std::int64_t hour) const;
  std::array<unsigned char, 32> key_;
};

}  // namespace ajar
