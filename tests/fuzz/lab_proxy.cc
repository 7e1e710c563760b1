// Arbitrary client bytes into every simulated proxy: each conversation ends, what is said is bounded, and a closed one asks
// nobody. The first byte chooses the proxy; a byte FE in the rest ends a piece.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "tests/lab/conversation.h"
#include "tests/lab/memory_world.h"

namespace ajar::lab {
namespace {

void require(bool fact) {
  if (!fact) std::abort();
}

std::vector<const Personality*> proxies() {
  std::vector<const Personality*> all;
  for (const Personality& personality : personalities()) {
    if (personality.kind == Kind::proxy) all.push_back(&personality);
  }
  return all;
}

bool may_connect(const ProxyManners& manners) {
  for (const Way way : {manners.connect, manners.absolute, manners.origin}) {
    if (way == Way::connects || way == Way::connects_443 || way == Way::forwards || way == Way::forwards_one_port ||
        way == Way::forwards_fixed) {
      return true;
    }
  }
  return manners.socks4 == SocksWay::connects || manners.socks5 == SocksWay::connects;
}

std::deque<std::string> pieces_of(std::string_view input) {
  constexpr char kEnd = '\xfe';
  std::deque<std::string> pieces;
  while (!input.empty()) {
    const std::size_t end = std::min(input.find(kEnd), input.size());
    if (end > 0) pieces.emplace_back(input.substr(0, end));
    input.remove_prefix(std::min(end + 1, input.size()));
  }
  return pieces;
}

Task<void> hold(Link& link, const Personality& personality, World& world) {
  Setting setting;
  setting.host = "own.lab.test";
  setting.address = "127.10.0.30";
  setting.peer = "127.66.0.1";
  try {
    co_await converse(link, personality, std::move(setting), world, 1);
  } catch (const LinkError&) {
    // The peer left.
  }
}

void run(const Personality& personality, std::string_view input) {
  Transcript transcript;
  MemoryLink link(transcript, pieces_of(input));
  MemoryWorld world;
  world.answer = "HTTP/1.1 200 OK\r\n\r\nPROOF\n";
  bool ended = false;
  start(hold(link, personality, world), [&ended] { ended = true; });
  require(ended);
  require(link.said().size() <= 51U * 62'500U);  // the world's patience with big_body
  require(world.connections.size() <= (may_connect(personality.proxy) ? 1U : 0U));
  require(world.asked.empty() || world.connections.size() == 1);
}

}  // namespace
}  // namespace ajar::lab

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::vector<const ajar::lab::Personality*> all = ajar::lab::proxies();
  if (size == 0) return 0;
  ajar::lab::run(*all[data[0] % all.size()], {reinterpret_cast<const char*>(data + 1), size - 1});
  return 0;
}
