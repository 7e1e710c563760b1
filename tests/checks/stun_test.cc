// STUN and TURN messages: as RFC 5769 and RFC 8489 write them, and as nobody should.
#include "checks/wire/stun.h"

#include <set>
#include <stdexcept>

#include <gmock/gmock.h>

#include "checks/network.h"

namespace ajar {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::string bytes(std::string_view words) {
  std::string out;
  for (std::size_t i = 0; i + 2 <= words.size(); i += 3)
    out += static_cast<char>(std::stoi(std::string(words.substr(i, 2)), nullptr, 16));
  return out;
}

const std::string kId = bytes("b7 e7 a7 01 bc 34 d6 86 fa 87 df ae");
const std::string kCookie = "21 12 a4 42 ";
const AddressPort kV4 = *AddressPort::parse("192.0.2.1:32853");
const AddressPort kV6 = *AddressPort::parse("[2001:db8:1234:5678:11:2233:4455:6677]:32853");

StunMessage message(std::uint16_t method, StunClass kind) { return {method, kind, kId}; }

// RFC 5769 2.2 and 2.3: sample responses, with SOFTWARE, MESSAGE-INTEGRITY and FINGERPRINT.
const std::string kSampleV4 = bytes(
    "01 01 00 3c 21 12 a4 42 b7 e7 a7 01 bc 34 d6 86 fa 87 df ae 80 22 00 0b 74 65 73 74 20 76 65 63 74 6f 72 20 "
    "00 20 00 08 00 01 a1 47 e1 12 a6 43 00 08 00 14 2b 91 f5 99 fd 9e 90 c3 8c 74 89 f9 2a f9 ba 53 f0 6b e7 d7 "
    "80 28 00 04 c0 7d 4c 96");
const std::string kSampleV6 = bytes(
    "01 01 00 48 21 12 a4 42 b7 e7 a7 01 bc 34 d6 86 fa 87 df ae 80 22 00 0b 74 65 73 74 20 76 65 63 74 6f 72 20 "
    "00 20 00 14 00 02 a1 47 01 13 a9 fa a5 d3 f1 79 bc 25 f4 b5 be d2 b9 d9 00 08 00 14 a3 82 95 4e 4b e6 7b f1 "
    "17 84 c9 7c 82 92 c2 75 bf e3 ed 41 80 28 00 04 c8 fb 0b 4c");

TEST(Stun, ReadsTheSamplesOfRfc5769) {
  for (const auto& [sample, place] : {std::pair{kSampleV4, kV4}, std::pair{kSampleV6, kV6}}) {
    const auto read = parse_stun(sample);
    ASSERT_TRUE(read);
    EXPECT_EQ(read->method, stun_method::kBinding);
    EXPECT_EQ(read->kind, StunClass::success);
    EXPECT_EQ(read->id, kId);
    ASSERT_NE(read->find(stun_attribute::kSoftware), nullptr);
    EXPECT_EQ(*read->find(stun_attribute::kSoftware), "test vector");
    ASSERT_TRUE(read->address(stun_attribute::kXorMappedAddress));
    EXPECT_EQ(*read->address(stun_attribute::kXorMappedAddress), place);
    EXPECT_EQ(stun_frame_size(sample), sample.size());
    EXPECT_FALSE(has_unknown_required(*read));
    // Padding apart (the samples pad by spaces), it is written as it was read.
    std::string again = write_stun(*read, true);
    EXPECT_EQ(again.size(), sample.size());
    EXPECT_EQ(again.substr(0, 35), sample.substr(0, 35));
    EXPECT_TRUE(parse_stun(again));
  }
}

TEST(Stun, FingerprintMustBeRightAndLast) {
  for (std::size_t i = 0; i < kSampleV4.size(); ++i) {
    if (i == 72 || i == 73) continue;  // its type: then it is something else
    std::string broken = kSampleV4;
    broken[i] = static_cast<char>(broken[i] ^ 1);
    EXPECT_FALSE(parse_stun(broken)) << "byte " << i;
  }
  StunMessage one = message(stun_method::kBinding, StunClass::success);
  std::string whole = write_stun(one, true);
  EXPECT_TRUE(parse_stun(whole));
  whole += bytes("80 22 00 00");  // something behind it
  whole[3] = static_cast<char>(whole[3] + 4);
  EXPECT_FALSE(parse_stun(whole));
}

TEST(Stun, TypesOfTheRfcs) {
  struct Row {
    std::uint16_t method;
    StunClass kind;
    const char* type;
  };
  using namespace stun_method;
  const Row rows[] = {
      {kBinding, StunClass::request, "00 01"},
      {kBinding, StunClass::indication, "00 11"},
      {kBinding, StunClass::success, "01 01"},
      {kBinding, StunClass::error, "01 11"},
      {kAllocate, StunClass::request, "00 03"},
      {kAllocate, StunClass::success, "01 03"},
      {kAllocate, StunClass::error, "01 13"},
      {kRefresh, StunClass::request, "00 04"},
      {kSend, StunClass::indication, "00 16"},
      {kData, StunClass::indication, "00 17"},
      {kCreatePermission, StunClass::request, "00 08"},
      {kChannelBind, StunClass::success, "01 09"},
      {0xfff, StunClass::error, "3f ff"},
      {0xfff, StunClass::request, "3e ef"},
  };
  for (const Row& row : rows) {
    const std::string written = write_stun(message(row.method, row.kind));
    EXPECT_EQ(hex(written), std::string(row.type) + " 00 00 " + kCookie + hex(kId));
    const auto read = parse_stun(written);
    ASSERT_TRUE(read);
    EXPECT_EQ(read->method, row.method);
    EXPECT_EQ(read->kind, row.kind);
  }
}

TEST(Stun, WritesAnAllocateRequest) {
  StunMessage allocate = message(stun_method::kAllocate, StunClass::request);
  allocate.add(stun_attribute::kRequestedTransport, std::string("\x11\0\0\0", 4));
  EXPECT_EQ(hex(write_stun(allocate)), "00 03 00 08 " + kCookie + hex(kId) + " 00 19 00 04 11 00 00 00");
}

TEST(Stun, PadsAttributes) {
  for (std::size_t size = 0; size < 9; ++size) {
    StunMessage data = message(stun_method::kSend, StunClass::indication);
    data.add_address(stun_attribute::kXorPeerAddress, kV6);
    data.add(stun_attribute::kData, std::string(size, 'x'));
    const std::string written = write_stun(data);
    EXPECT_EQ(written.size() % 4, 0U);
    const auto read = parse_stun(written);
    ASSERT_TRUE(read) << size;
    EXPECT_EQ(*read->find(stun_attribute::kData), std::string(size, 'x'));
    EXPECT_EQ(read->address(stun_attribute::kXorPeerAddress), kV6);
  }
}

TEST(Stun, RefusesWhatIsNoMessage) {
  const std::string id = hex(kId);
  const std::string none[] = {
      "",
      bytes("01 01 00 00"),
      bytes("01 01 00 00 21 12 a4 43 " + id),                               // another cookie
      bytes("81 01 00 00 21 12 a4 42 " + id),                               // the first two bits
      bytes("01 01 00 04 21 12 a4 42 " + id),                               // cut
      bytes("01 01 00 00 21 12 a4 42 " + id + " 80 22 00 00"),              // longer than it says
      bytes("01 01 00 02 21 12 a4 42 " + id + " 80 22"),                    // not a multiple of four
      bytes("01 01 00 04 21 12 a4 42 " + id + " 80 22 00 01"),              // the attribute ends outside
      bytes("01 01 00 08 21 12 a4 42 " + id + " 80 22 ff ff 00 00 00 00"),  // far outside
      bytes("01 01 00 08 21 12 a4 42 " + id + " 80 28 00 02 00 00 00 00"),  // FINGERPRINT of another length
      "HTTP/1.1 400 Bad Request\r\n",
  };
  for (const std::string& one : none) EXPECT_FALSE(parse_stun(one)) << hex(one);
  StunMessage many = message(stun_method::kBinding, StunClass::success);
  for (std::size_t i = 0; i < kMaxStunAttributes; ++i) many.add(stun_attribute::kSoftware, "");
  EXPECT_TRUE(parse_stun(write_stun(many)));
  many.add(stun_attribute::kSoftware, "");
  EXPECT_FALSE(parse_stun(write_stun(many)));
}

TEST(Stun, CutAnywhereItIsNone) {
  for (std::size_t size = 0; size < kSampleV6.size(); ++size) EXPECT_FALSE(parse_stun(kSampleV6.substr(0, size))) << size;
}

TEST(Stun, TheFirstOfSeveralCounts) {
  StunMessage twice = message(stun_method::kAllocate, StunClass::error);
  twice.add(stun_attribute::kErrorCode, stun_error_value(401, "Unauthorized"));
  twice.add(stun_attribute::kErrorCode, stun_error_value(403, "Forbidden"));
  EXPECT_EQ(stun_error(twice)->code, 401);
  EXPECT_EQ(stun_error(twice)->phrase, "Unauthorized");
}

TEST(Stun, ErrorCodes) {
  EXPECT_EQ(hex(stun_error_value(438, "")), "00 00 04 26");
  const auto code = [](const std::string& value) {
    StunMessage one = message(stun_method::kAllocate, StunClass::error);
    one.add(stun_attribute::kErrorCode, value);
    const auto error = stun_error(one);
    return error ? error->code : -1;
  };
  EXPECT_EQ(code(bytes("00 00 04 01")), 401);
  EXPECT_EQ(code(bytes("ff ff fc 01")), 401) << "reserved bits";
  EXPECT_EQ(code(bytes("00 00 03 00")), 300);
  EXPECT_EQ(code(bytes("00 00 06 63")), 699);
  EXPECT_EQ(code(bytes("00 00 06 64")), -1);
  EXPECT_EQ(code(bytes("00 00 02 00")), -1);
  EXPECT_EQ(code(bytes("00 00 07 00")), -1);
  EXPECT_EQ(code(bytes("00 00 04")), -1);
  EXPECT_FALSE(stun_error(message(stun_method::kAllocate, StunClass::error)));
}

TEST(Stun, Addresses) {
  const auto read = [](std::uint16_t type, const std::string& value) {
    StunMessage one = message(stun_method::kAllocate, StunClass::success);
    one.add(type, value);
    const auto place = one.address(type);
    return place ? place->to_string() : "none";
  };
  const std::uint16_t relayed = stun_attribute::kXorRelayedAddress;
  EXPECT_EQ(read(relayed, bytes("00 01 a1 47 e1 12 a6 43")), "192.0.2.1:32853");
  EXPECT_EQ(read(relayed, bytes("07 01 a1 47 e1 12 a6 43")), "192.0.2.1:32853") << "the first byte is ignored";
  EXPECT_EQ(read(relayed, bytes("00 03 a1 47 e1 12 a6 43")), "none") << "family";
  EXPECT_EQ(read(relayed, bytes("00 01 a1 47 e1 12 a6")), "none");
  EXPECT_EQ(read(relayed, bytes("00 01 a1 47 e1 12 a6 43 00")), "none");
  EXPECT_EQ(read(relayed, bytes("00 02 a1 47 e1 12 a6 43")), "none");
  EXPECT_EQ(read(relayed, ""), "none");
  EXPECT_EQ(stun_plain_address(bytes("00 01 0d 96 cb 00 71 09"))->to_string(), "203.0.113.9:3478");
  EXPECT_EQ(stun_plain_address(stun_plain_address_value(kV6)), kV6);
  EXPECT_FALSE(stun_plain_address("x"));
  EXPECT_FALSE(message(stun_method::kAllocate, StunClass::success).address(relayed));
}

TEST(Stun, NumbersAndUnknownAttributes) {
  StunMessage one = message(stun_method::kAllocate, StunClass::success);
  EXPECT_FALSE(one.number(stun_attribute::kLifetime));
  one.add(stun_attribute::kLifetime, stun_number_value(600));
  EXPECT_EQ(one.number(stun_attribute::kLifetime), 600U);
  one.add(stun_attribute::kChannelNumber, "abc");
  EXPECT_FALSE(one.number(stun_attribute::kChannelNumber));
  EXPECT_THAT(stun_unknown_attributes(one), IsEmpty());
  one.add(stun_attribute::kUnknownAttributes, bytes("00 19 00 17 00"));
  EXPECT_THAT(stun_unknown_attributes(one), ElementsAre(0x19, 0x17));
  EXPECT_FALSE(has_unknown_required(one));
  one.add(0x9999, "");  // may be passed over
  EXPECT_FALSE(has_unknown_required(one));
  one.add(0x7777, "");
  EXPECT_TRUE(has_unknown_required(one));
}

TEST(Stun, FramesOfAStream) {
  const std::optional<std::size_t> none, more = 0;
  EXPECT_EQ(stun_frame_size(""), more);
  EXPECT_EQ(stun_frame_size(bytes("01 03 00 08")), more);
  EXPECT_EQ(stun_frame_size(bytes("01 03 00 08 21 12 a4 42")), 28U);
  EXPECT_EQ(stun_frame_size(bytes("01 03 00 07 21 12 a4 42")), none);
  EXPECT_EQ(stun_frame_size(bytes("01 03 00 08 21 12 a4 41")), none);
  EXPECT_EQ(stun_frame_size(bytes("40 00 00")), more);
  EXPECT_EQ(stun_frame_size(bytes("40 00 00 05")), 12U);
  EXPECT_EQ(stun_frame_size(bytes("4f ff ff ff")), 4U + 65536);
  EXPECT_EQ(stun_frame_size(bytes("50")), none);
  EXPECT_EQ(stun_frame_size(bytes("80")), none);
  EXPECT_EQ(stun_frame_size("SSH-"), none);
}

TEST(Stun, ChannelDataIsPaddedInStreams) {
  EXPECT_EQ(hex(write_channel_data({0x4000, "abc"}, false)), "40 00 00 03 61 62 63");
  EXPECT_EQ(hex(write_channel_data({0x4000, "abc"}, true)), "40 00 00 03 61 62 63 00");
  for (const bool padded : {false, true}) {
    const auto read = parse_channel_data(write_channel_data({0x4001, "hello"}, padded));
    ASSERT_TRUE(read);
    EXPECT_EQ(read->channel, 0x4001);
    EXPECT_EQ(read->data, "hello");
  }
  for (const char* none : {"40 00 00", "40 00 00 01", "3f ff 00 00", "50 00 00 00"})
    EXPECT_FALSE(parse_channel_data(bytes(none))) << none;
  EXPECT_EQ(parse_channel_data(bytes("40 00 00 00"))->data, "");
}

TEST(Stun, TransactionIdsDiffer) {
  std::set<std::string> all;
  for (unsigned i = 0; i < 1000; ++i) {
    all.insert(stun_transaction_id("token1", i));
    all.insert(stun_transaction_id("token" + std::to_string(i + 2), 0));
  }
  EXPECT_EQ(all.size(), 2000U);
  for (const std::string& id : all) EXPECT_EQ(id.size(), kStunId);
  EXPECT_EQ(stun_transaction_id("token1", 3), stun_transaction_id("token1", 3));
}

TEST(Stun, TooLongToWrite) {
  StunMessage one = message(stun_method::kSend, StunClass::indication);
  one.add(stun_attribute::kData, std::string(65536, 'x'));
  EXPECT_THROW(write_stun(one), std::length_error);
  one.attributes.front().second.resize(65532);
  EXPECT_THROW(write_stun(one), std::length_error);
  EXPECT_THROW(write_channel_data({0x4000, std::string(65536, 'x')}, true), std::length_error);
}

}  // namespace
}  // namespace ajar
