// What the tests of checks by transcripts share: the headers that describe whom is asked and what our canary is, and those that
// say what must come of it.
//
//   # subject.port: 25                   and .host, .address, .transport, .tls, .mail_domains, .control_recipients,
//   .full_matrix, .must_ask,
//                                        .our_name; "none" empties a host or a list; subject.retry: VARIANT TOKEN SENDER_TOKEN
//   # canary.domain: canary.example.net  canary.permit: pending (mail)
//   # canary.tcp: 198.51.100.7:8025 …    its addresses, in this order; canary.smtp, .udp, .tls as well; "none"
//   # canary.reserved: 198.51.100.7:50000   what reserve() gives, in this order; canary.known: ADDRESS … of known_name()
//   # canary.resolver_name: NAME         … the same name for every token
//   # canary.host: none                  or its name
//   # canary.down: true                  canary.log_is_behind: true: what it saw is to be waited for
//   # canary.saw: VARIANT from 203.0.113.9 at 198.51.100.7:8025 GET; Via: 1.1 proxy
//                                        what its log has of the tokens of variants that begin so; "GET noproof" where it was
//                                        asked for under another name than its own; what follows are facts
//
//   # verdict: closed                    and reason; or "throws: timeout" where nothing was learnt
//   # variant NAME: closed/refused       or "absent"; variants: how many
//   # observation: TEXT                  one each, and no others
//   # exit: 203.0.113.9                  the same; because: a part of the sentence; late: the variants whose tokens may still
//                                        arrive ("none"); spoken, tls, whole; connections: how many were made
//   # retry, # sent, # unsent            of mail
#pragma once

#include <string>
#include <vector>

#include "checks/check.h"
#include "tests/support/fixed_canary.h"
#include "tests/support/scripted_network.h"

namespace ajar {

// mx.example.org, 203.0.113.5:25, asked by probe.example.net.
Subject example_subject();
// std::exception for a value that is none.
void apply_headers(const Script& script, Subject& subject, FixedCanary& canary);

// Runs the check against the file and expects what its headers say. Gives the transcript, as evidence would show it.
std::vector<std::string> expect_transcript(const std::string& file, CheckFunction check, const Subject& example);

// The transcripts of a folder of tests/transcripts, by name.
std::vector<std::string> transcripts_of(const std::string& folder);
// "closed/refused" of every one of them, or "throws/timeout".
std::vector<std::string> expectations_of(const std::string& folder);
// The name of a file without folder and ending.
std::string stem(const std::string& file);

}  // namespace ajar
