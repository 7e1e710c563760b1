// Writing mail: header fields and bodies in UTF-8, as any mail program reads them. Pure.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ajar {

// A text in a header field: as it is where it is plain ASCII and short, else encoded words (RFC 2047), folded. `used`: columns
// that the field's name has taken. Control characters are dropped, so that no line can be added.
std::string header_text(std::string_view text, std::size_t used);
// RFC 2045 6.7: lines of at most 76 characters, CRLF ends. `text` has LF ends.
std::string quoted_printable(std::string_view text);
// RFC 2045 6.8: lines of 76 characters with CRLF ends; one line without a CRLF where `lines` is false.
std::string base64(std::string_view bytes, bool lines = true);

// A leaf of the message.
struct MimePart {
  std::string type;       // "text/plain; charset=utf-8"
  std::string languages;  // Content-Language (RFC 3282): "de, fr"; may be empty
  std::string text;       // UTF-8, LF ends
};

struct MailDraft {
  std::string from;                // "Name <address>" or an address: ASCII
  std::string to;                  // an address; may be empty
  std::string subject;             // UTF-8
  std::string date;                // RFC 5322 3.3
  std::string message_id;          // without angle brackets
  std::vector<MimePart> versions;  // of the same matter, the plainest first: multipart/alternative
};

// RFC 5322, CRLF ends. The boundary comes from the content: the same draft is the same bytes.
std::string write_mail(const MailDraft& draft);

}  // namespace ajar
