// The metrics of databases and listings (contract: the table of metrics). A zone is shown by its name, never with its key; what
// a database says in words is in no label.
#pragma once

#include <cstddef>
#include <string>

#include "agent/exposition.h"
#include "agent/zones.h"

namespace ajar {

// ajar_dnsbl_listed and ajar_dnsbl_listing_info: a section each.
class ListingSeries {
 public:
  explicit ListingSeries(Sections& sections);
  // `any`: false writes none; `not_listed`: those that are 0 too. Of one target, or of all where it is nullptr.
  void write(const ZonesView& view, bool any, bool not_listed, const std::string* target);

 private:
  Exposition listed_, info_;
};
// Adds how many series they have: where an address is not listed, and where it is.
void count_listings(const ZonesView& view, std::size_t& not_listed, std::size_t& listed);

// The families of the databases themselves.
void write_zones(Exposition& out, const ZonesView& view);

}  // namespace ajar
