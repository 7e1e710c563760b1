// How a door is closed, for each software that may have left it open: config/remedies/*.toml, carried in the program.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ajar {

// One mistake. `wrong` and `why` are sentences, to be translated; the rest is verbatim.
struct RemedyCause {
  std::string wrong;          // "mynetworks has the whole Internet in it."
  std::string why;            // one or two sentences
  std::string file;           // where it stands; where that is no file, in words
  std::string before, after;  // the directive; `before` may be empty: something is missing
  friend bool operator==(const RemedyCause&, const RemedyCause&) = default;
};

// What one software is told for some checks.
struct Remedy {
  std::string software;             // "postfix"; "generic": any
  std::string name;                 // "Postfix"
  std::vector<std::string> checks;  // of the catalogue
  std::vector<RemedyCause> causes;  // at least one, the commonest first
  std::string test;                 // the command that says whether the configuration is right; may be empty
  std::string reload;               // the command after which it holds; empty: it holds at once
  std::string note;                 // sentences, to be translated; may be empty
  std::string reference;            // a URL
  friend bool operator==(const Remedy&, const Remedy&) = default;
};

// How a person sees whether the door is shut.
struct ByHand {
  std::string check;
  std::string command;  // {address}, {port}, {endpoint} stand for those of the server
  std::string tls;      // the same where the port speaks TLS from the first byte
  std::string closed;   // what says that it is shut: sentences, to be translated
};

struct RemedyBook {
  std::vector<Remedy> remedies;
  std::vector<ByHand> by_hand;
};

// One file. `file`: its name in errors. std::logic_error for what is wrong in it: an unknown key, a check that is not in the
// catalogue, a key that is missing.
RemedyBook parse_remedies(std::string_view file, std::string_view text);

// All of them, software by software. Any thread; read at the first call.
std::span<const Remedy> remedies();
// That of the software, else the generic one; nullptr for an unknown check.
const Remedy* find_remedy(std::string_view check, std::string_view software);
const ByHand* find_by_hand(std::string_view check);

// {address}, {port} and {endpoint} in a directive or a command replaced; other braces stay.
std::string fill_in(std::string_view text, std::string_view address, unsigned port);

struct RemedyFile {
  std::string_view name;  // "squid"
  std::string_view text;
};
std::span<const RemedyFile> remedy_files();

}  // namespace ajar
