#include "agent/runbooks.h"

#include <algorithm>
#include <cmark-gfm-core-extensions.h>
#include <cmark-gfm.h>
#include <cstdlib>
#include <memory>
#include <mutex>

#include "agent/pages.h"

namespace ajar {
namespace {

struct Free {
  void operator()(cmark_parser* parser) const { cmark_parser_free(parser); }
  void operator()(cmark_node* node) const { cmark_node_free(node); }
  void operator()(cmark_iter* iter) const { cmark_iter_free(iter); }
  void operator()(char* text) const { std::free(text); }
};
template <class T>
using Owned = std::unique_ptr<T, Free>;

// Nothing of CMARK_OPT_UNSAFE: HTML in the text and links to javascript: are left out.
constexpr int kOptions = CMARK_OPT_DEFAULT | CMARK_OPT_VALIDATE_UTF8;

void lead_to_pages(cmark_node* document) {
  const Owned<cmark_iter> iter(cmark_iter_new(document));
  for (cmark_event_type event; (event = cmark_iter_next(iter.get())) != CMARK_EVENT_DONE;) {
    cmark_node* node = cmark_iter_get_node(iter.get());
    if (event != CMARK_EVENT_ENTER || cmark_node_get_type(node) != CMARK_NODE_LINK) continue;
    const std::string_view url = cmark_node_get_url(node);
    if (!url.ends_with(".md") || url.find('/') != std::string_view::npos) continue;
    const std::string page = "/runbooks/" + url_encode(url.substr(0, url.size() - 3));
    cmark_node_set_url(node, page.c_str());
  }
}

}  // namespace

const Runbook* find_runbook(std::string_view alert) {
  const std::span<const Runbook> all = runbooks();
  const auto found = std::find_if(all.begin(), all.end(), [&](const Runbook& runbook) { return runbook.alert == alert; });
  return found == all.end() ? nullptr : &*found;
}

std::string markdown_html(std::string_view markdown) {
  // The library keeps its extensions, and what characters they look at, in static memory.
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  cmark_gfm_core_extensions_ensure_registered();
  const Owned<cmark_parser> parser(cmark_parser_new(kOptions));
  cmark_parser_attach_syntax_extension(parser.get(), cmark_find_syntax_extension("table"));
  cmark_parser_feed(parser.get(), markdown.data(), markdown.size());
  const Owned<cmark_node> document(cmark_parser_finish(parser.get()));
  lead_to_pages(document.get());
  const Owned<char> text(cmark_render_html(document.get(), kOptions, cmark_parser_get_syntax_extensions(parser.get())));
  return text.get();
}

}  // namespace ajar
