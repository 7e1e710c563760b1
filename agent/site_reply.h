// How answers are made: for the files of Site.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/site.h"

namespace ajar {

inline constexpr std::string_view kHtml = "text/html; charset=utf-8";
inline constexpr std::string_view kJson = "application/json";
inline constexpr std::string_view kText = "text/plain; charset=utf-8";

SiteReply reply(int status, std::string body, std::string_view type = kText);
SiteReply not_found(std::string_view what);
// The same compressed, where the client takes that and it is worth it.
SiteReply packed(const SiteRequest& request, SiteReply plain);
bool wants_html(const SiteRequest& request);

// nullptr: no target has this name.
const TargetView* find_target(const std::vector<TargetView>& targets, std::string_view name);
// An answer where there is no such check; "" is none and right.
std::optional<SiteReply> bad_check(const std::string& check);

}  // namespace ajar
