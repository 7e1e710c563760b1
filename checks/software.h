// Which server software answered, guessed from its own words in a transcript. Only good enough to choose what to tell its
// owner: a banner is what its owner wrote, or a liar. Never a part of a verdict. Pure: lines in, a guess out.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace ajar {

// Software that can be recognised, and what it can be guilty of.
struct Software {
  std::string_view id;                         // "postfix"
  std::string_view name;                       // "Postfix"
  std::span<const std::string_view> can_fail;  // names of checks; empty: none of ours
};

struct SoftwareGuess {
  const Software* software = nullptr;  // nullptr: not recognised
  std::string version;                 // as it says it, at most 40 characters; empty: it does not
  // "it greets with `220 mx.example.org ESMTP Postfix`": what was heard is escaped, and at most 120 bytes of it.
  std::string ground;
};

// `transcript`: the lines of a Record. What was said through a tunnel is another server's, and is left out.
SoftwareGuess guess_software(std::span<const std::string> transcript);

// All that guess_software() can name.
std::span<const Software> known_software();

}  // namespace ajar
