// TURN servers of the lab, in memory.
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checks/wire/stun.h"
#include "tests/lab/conversation.h"
#include "tests/lab/memory_world.h"

namespace ajar::lab {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

const AddressPort kCanary{IpAddress::v4({127, 9, 9, 9}), 8025};

StunMessage request(std::uint16_t method, unsigned number = 1) {
  return {method, StunClass::request, stun_transaction_id("test", number)};
}

std::string allocate(unsigned number = 1) {
  StunMessage message = request(stun_method::kAllocate, number);
  message.add(stun_attribute::kRequestedTransport, std::string("\x11\0\0\0", 4));
  return write_stun(message);
}

std::string refresh(std::uint32_t seconds) {
  StunMessage message = request(stun_method::kRefresh);
  message.add(stun_attribute::kLifetime, stun_number_value(seconds));
  return write_stun(message);
}

std::string permit(const AddressPort& peer = kCanary) {
  StunMessage message = request(stun_method::kCreatePermission);
  message.add_address(stun_attribute::kXorPeerAddress, peer);
  return write_stun(message);
}

std::string bind_channel() {
  StunMessage message = request(stun_method::kChannelBind);
  message.add(stun_attribute::kChannelNumber, stun_number_value(std::uint32_t{kFirstChannel} << 16U));
  message.add_address(stun_attribute::kXorPeerAddress, kCanary);
  return write_stun(message);
}

std::string send_to(const AddressPort& peer = kCanary) {
  StunMessage message = request(stun_method::kSend);
  message.kind = StunClass::indication;
  message.add_address(stun_attribute::kXorPeerAddress, peer);
  message.add(stun_attribute::kData, "TOKEN t");
  return write_stun(message);
}

std::string on_channel(bool padded = false) { return write_channel_data({kFirstChannel, "TOKEN t"}, padded); }

// A message of the server in words: "3 ok", "3 401", "data PROOF", "channel PROOF".
std::string told(const std::string& bytes) {
  if (const auto framed = parse_channel_data(bytes)) return "channel " + framed->data;
  const auto message = parse_stun(bytes);
  if (!message) return "(noise)";
  const std::string* const data = message->find(stun_attribute::kData);
  if (message->method == stun_method::kData && data != nullptr) return "data " + *data;
  const auto error = stun_error(*message);
  return std::to_string(message->method) + (error ? " " + std::to_string(error->code) : " ok");
}

class TurnLab : public testing::Test {
 protected:
  Setting setting() {
    Setting setting;
    setting.address = "127.10.1.1";
    setting.port = 3478;
    setting.peer = "127.66.0.1";
    setting.peer_port = peer_port_;
    setting.memory = &memory_;
    return setting;
  }
  // What comes back for these datagrams.
  std::vector<std::string> ask(const std::string& name, const std::vector<std::string>& datagrams) {
    std::vector<std::string> heard;
    const Reply reply = [&heard](const std::string& answer) { heard.push_back(told(answer)); };
    for (const std::string& one : datagrams) start(find_personality(name)->receive(one, setting(), world_, reply));
    return heard;
  }
  // … in one connection.
  std::vector<std::string> talk(const std::string& name, const std::vector<std::string>& messages) {
    Transcript transcript;
    MemoryLink link(transcript, {messages.begin(), messages.end()});
    start(hold(link, name));
    std::vector<std::string> heard;
    for (std::string_view rest = link.said(); !rest.empty();) {
      const std::size_t size = std::min(stun_frame_size(rest).value_or(rest.size()), rest.size());
      heard.push_back(told(std::string(rest.substr(0, size))));
      rest.remove_prefix(size);
    }
    return heard;
  }
  Task<void> hold(Link& link, std::string name) {
    try {
      co_await converse(link, *find_personality(name), setting(), world_, 0);
    } catch (const LinkError&) {
      // The peer leaves.
    }
  }

  MemoryWorld world_;
  std::map<std::string, std::string> memory_;
  std::uint16_t peer_port_ = 40001;
};

TEST_F(TurnLab, RelaysAndForgets) {
  EXPECT_THAT(ask("turn_open", {write_stun(request(stun_method::kBinding)), allocate(), permit(), send_to()}),
              ElementsAre("1 ok", "3 ok", "8 ok", "data PROOF"));
  EXPECT_THAT(world_.connections, ElementsAre("127.10.1.1 -> 127.9.9.9:8025/udp"));
  EXPECT_EQ(world_.asked, "TOKEN t");
  EXPECT_THAT(ask("turn_open", {bind_channel(), on_channel(), refresh(60)}), ElementsAre("9 ok", "channel PROOF", "4 ok"));
  EXPECT_THAT(ask("turn_open", {refresh(0)}), ElementsAre("4 ok"));
  EXPECT_THAT(memory_, IsEmpty());
  EXPECT_THAT(ask("turn_open", {send_to(), on_channel(), permit(), refresh(0)}), ElementsAre("8 437", "4 437"));
}

// A question that comes twice gets one answer; a second allocation of the same port none, and another port one of its own.
TEST_F(TurnLab, OneAllocationForAPort) {
  EXPECT_THAT(ask("turn_open", {allocate(1), allocate(1), allocate(2)}), ElementsAre("3 ok", "3 ok", "3 437"));
  peer_port_ = 4000;  // its digits begin those of the other
  EXPECT_THAT(ask("turn_open", {permit(), allocate(2)}), ElementsAre("8 437", "3 ok"));
  EXPECT_THAT(ask("turn_open", {refresh(0)}), ElementsAre("4 ok"));
  EXPECT_THAT(memory_, SizeIs(1));
  peer_port_ = 40001;
  EXPECT_THAT(ask("turn_open", {refresh(0)}), ElementsAre("4 ok"));
}

TEST_F(TurnLab, WhatItKeepsIsBounded) {
  for (unsigned port = 1; port <= 3000; ++port) {
    peer_port_ = static_cast<std::uint16_t>(port);
    ASSERT_THAT(ask("turn_open", {allocate()}), ElementsAre("3 ok"));
    ASSERT_LE(memory_.size(), 1000U);
  }
}

TEST_F(TurnLab, ReachesNobodyElse) {
  const AddressPort other{IpAddress::v4({192, 0, 2, 1}), 53};
  EXPECT_THAT(ask("turn_open", {allocate(), send_to(), on_channel()}), ElementsAre("3 ok")) << "nothing is permitted";
  EXPECT_THAT(world_.connections, IsEmpty());
  EXPECT_THAT(ask("turn_open", {permit(other), send_to(other)}), ElementsAre("8 ok"));
  EXPECT_EQ(world_.asked, "");
}

TEST_F(TurnLab, Refusals) {
  EXPECT_THAT(ask("turn_closed", {allocate()}), ElementsAre("3 401"));
  EXPECT_THAT(ask("turn_stale_nonce", {allocate()}), ElementsAre("3 438"));
  EXPECT_THAT(ask("turn_forbidden", {allocate()}), ElementsAre("3 403"));
  EXPECT_THAT(ask("turn_elsewhere", {allocate()}), ElementsAre("3 300"));
  EXPECT_THAT(ask("turn_full", {allocate()}), ElementsAre("3 486"));
  EXPECT_THAT(ask("turn_stun_only", {write_stun(request(stun_method::kBinding)), allocate()}), ElementsAre("1 ok"));
  EXPECT_THAT(memory_, IsEmpty());
  StunMessage tcp = request(stun_method::kAllocate), six = tcp;
  tcp.add(stun_attribute::kRequestedTransport, std::string("\x06\0\0\0", 4));
  six.add(stun_attribute::kRequestedTransport, std::string("\x11\0\0\0", 4));
  six.add(stun_attribute::kRequestedAddressFamily, std::string("\x02\0\0\0", 4));
  EXPECT_THAT(ask("turn_open", {write_stun(request(stun_method::kAllocate)), write_stun(tcp), write_stun(six)}),
              ElementsAre("3 400", "3 442", "3 440"));
}

TEST_F(TurnLab, GrantsOfOtherKinds) {
  EXPECT_THAT(ask("turn_denies_peers", {allocate(), permit(), bind_channel(), send_to(), refresh(0)}),
              ElementsAre("3 ok", "8 403", "9 403", "4 ok"));
  EXPECT_THAT(ask("turn_channels_only", {allocate(), permit(), send_to(), bind_channel(), on_channel(), refresh(0)}),
              ElementsAre("3 ok", "8 403", "9 ok", "channel PROOF", "4 ok"));
  EXPECT_THAT(ask("turn_one_way", {allocate(), permit(), send_to(), refresh(0)}), ElementsAre("3 ok", "8 ok", "4 ok"));
  EXPECT_EQ(world_.asked, "TOKEN tTOKEN t");
  EXPECT_THAT(ask("turn_reflects", {allocate(), permit(), send_to(), bind_channel(), on_channel(), refresh(0)}),
              ElementsAre("3 ok", "8 ok", "data TOKEN t", "9 ok", "channel TOKEN t", "4 ok"));
  EXPECT_EQ(world_.asked, "TOKEN tTOKEN t");
}

TEST_F(TurnLab, WhatIsNoQuestion) {
  const std::string whole = allocate();
  StunMessage no_method = request(0x3ff);
  EXPECT_THAT(ask("turn_open", {"", "noise", whole.substr(0, 19), whole + "x"}), IsEmpty());
  EXPECT_THAT(ask("turn_open", {write_stun(no_method)}), ElementsAre("1023 400"));
  EXPECT_THAT(ask("turn_echo", {whole}), ElementsAre("3 ok")) << "its own words";
  EXPECT_THAT(ask("turn_silent", {whole}), IsEmpty());
}

// Its messages follow each other, channel data padded; what it granted ends with the connection.
TEST_F(TurnLab, InAConnection) {
  const std::string all = allocate() + permit() + send_to() + bind_channel() + on_channel(true) + refresh(60);
  const std::vector<std::string> heard = {"3 ok", "8 ok", "data PROOF", "9 ok", "channel PROOF", "4 ok"};
  EXPECT_EQ(talk("turn_tcp_open", {all}), heard);
  EXPECT_EQ(talk("turn_tls_open", {all.substr(0, 9), all.substr(9, 70), all.substr(79)}), heard);
  EXPECT_THAT(talk("turn_tcp_open", {refresh(0)}), ElementsAre("4 437"));
  EXPECT_THAT(memory_, IsEmpty());
  EXPECT_THAT(talk("turn_tcp_closed", {allocate()}), ElementsAre("3 401"));
  EXPECT_THAT(talk("turn_tcp_open", {"GET / HTTP/1.1\r\n\r\n"}), IsEmpty());
  EXPECT_THAT(talk("turn_tcp_hangs_up", {write_stun(request(stun_method::kBinding)), allocate(), allocate()}),
              ElementsAre("1 ok"));
}

}  // namespace
}  // namespace ajar::lab
