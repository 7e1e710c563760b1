#include "checks/wire/dns_query.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checks/network.h"

namespace ajar {
namespace {

TEST(DnsQuery, IsWritten) {
  EXPECT_EQ(hex(dns_query(0x1234, "a.example", 1)),
            "12 34 01 00 00 01 00 00 00 00 00 00 01 61 07 65 78 61 6d 70 6c 65 00 00 01 00 01");
  EXPECT_EQ(dns_query(1, "a.example.", 1), dns_query(1, "a.example", 1));
  EXPECT_EQ(hex(dns_query(1, ".", kDnsTypeNs, true)),
            "00 01 01 00 00 01 00 00 00 00 00 01 00 00 02 00 01 00 00 29 10 00 00 00 80 00 00 00");
  // A label is never longer than its length byte can say.
  const std::string longest = dns_query(1, std::string(70, 'x'), 1);
  EXPECT_EQ(longest[12], 63);
}

TEST(DnsQuery, HeadOfAnAnswer) {
  EXPECT_EQ(parse_dns_head(std::string(11, '\0')), std::nullopt);
  const std::string bytes("\x12\x34\x87\x85\x00\x01\x00\x02\x00\x03\x00\x04", 12);
  const std::optional<DnsHead> head = parse_dns_head(bytes);
  ASSERT_TRUE(head);
  EXPECT_EQ(head->id, 0x1234);
  EXPECT_TRUE(head->response && head->authoritative && head->truncated && head->recursion_available);
  EXPECT_EQ(head->rcode, 5U);
  EXPECT_EQ(head->questions, 1);
  EXPECT_EQ(head->answers, 2);
  EXPECT_EQ(head->authorities, 3);
}

std::string answer_to(std::string query, unsigned flags) {
  query[2] = static_cast<char>(flags >> 8U);
  query[3] = static_cast<char>(flags & 0xffU);
  return query;
}

TEST(DnsQuery, KnowsItsAnswer) {
  const std::string query = dns_query(0x1234, "a.example", 1);
  EXPECT_TRUE(answers_dns_query(answer_to(query, 0x8180), query));
  std::string mixed = answer_to(query, 0x8180);
  mixed[13] = 'A';
  EXPECT_TRUE(answers_dns_query(mixed, query)) << "the case of names means nothing";
  EXPECT_FALSE(answers_dns_query(query, query)) << "an echo is no answer";
  EXPECT_FALSE(answers_dns_query(answer_to(dns_query(0x1235, "a.example", 1), 0x8180), query));
  EXPECT_FALSE(answers_dns_query(answer_to(dns_query(0x1234, "b.example", 1), 0x8180), query));
  EXPECT_FALSE(answers_dns_query(answer_to(dns_query(0x1234, "a.example", 28), 0x8180), query));
  EXPECT_FALSE(answers_dns_query(answer_to(query, 0x8180).substr(0, 20), query));
  EXPECT_FALSE(answers_dns_query("", query));
  // An error may leave the question out; an answer may not.
  std::string bare = answer_to(query, 0x8105).substr(0, 12);
  bare[5] = 0;
  EXPECT_TRUE(answers_dns_query(bare, query));
  bare[3] = '\x80';
  EXPECT_FALSE(answers_dns_query(bare, query));
}

TEST(DnsQuery, CodesHaveNames) {
  EXPECT_EQ(dns_rcode_text(5), "REFUSED");
  EXPECT_EQ(dns_rcode_text(9), "NOTAUTH");
  EXPECT_EQ(dns_rcode_text(12), "RCODE 12");
}

}  // namespace
}  // namespace ajar
