#include "agent/shadowserver.h"

#include <gmock/gmock.h>

#include "agent/csv.h"

namespace ajar {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::SizeIs;

// 2026-01-02T12:00:00Z
constexpr Time kNow{std::chrono::milliseconds(1767355200000)};

struct Read {
  std::vector<Suspicion> suspicions;
  ReportSummary summary;
};

Read read(const std::string& type, const std::string& text) {
  Read made;
  made.summary = read_shadowserver(text, *find_report_type(type), kNow,
                                   [&](Suspicion suspicion) { made.suspicions.push_back(std::move(suspicion)); });
  return made;
}

std::string error_of(const std::string& type, const std::string& text) {
  try {
    read(type, text);
  } catch (const ReportError& error) {
    return error.what();
  }
  return "";
}

std::string type_error(const std::string& file) {
  try {
    return std::string(shadowserver_type(file).name);
  } catch (const ReportError& error) {
    return error.what();
  }
}

std::vector<std::string> rows_of(const std::string& text) {
  std::vector<std::string> rows;
  CsvReader reader(text);
  while (const auto row = reader.next()) {
    std::string shown = std::to_string(row->line) + ":";
    for (const std::string& field : row->fields) shown += "[" + field + "]";
    if (!row->trouble.empty()) shown += "!" + row->trouble;
    rows.push_back(shown);
  }
  return rows;
}

TEST(Csv, AsRfc4180HasIt) {
  struct Row {
    const char* text;
    std::vector<std::string> rows;
  };
  const Row table[] = {
      {"", {}},
      {"\n\r\n\n", {}},
      {"a,b\r\nc,d\r\n", {"1:[a][b]", "2:[c][d]"}},
      {"a,b\nc,d", {"1:[a][b]", "2:[c][d]"}},
      {"\xEF\xBB\xBF\"a\",b\n", {"1:[a][b]"}},
      {"a,,\n,\n", {"1:[a][][]", "2:[][]"}},
      {"\"a,b\",\"c\"\"d\"\"\",\"\"\n", {"1:[a,b][c\"d\"][]"}},
      {"\"a\r\nb\",c\nd,e\n", {"1:[a\r\nb][c]", "3:[d][e]"}},
      {"a\n\nb\n", {"1:[a]", "3:[b]"}},
      {"a\rb,c\n", {"1:[a\rb][c]"}},
      {"a\"b,c\nd\n", {"1:!a quote inside a field that does not begin with one", "2:[d]"}},
      {"\"a\"b,c\nd\n", {"1:!something between a closing quote and the comma", "2:[d]"}},
      {"a\n\"b\nc\n", {"1:[a]", "2:!a quote that nothing closes: the rest of the file was not read"}},
      {"a\n\"", {"1:[a]", "2:!a quote that nothing closes: the rest of the file was not read"}},
  };
  for (const Row& row : table) EXPECT_EQ(rows_of(row.text), row.rows) << row.text;
}

TEST(Csv, IsBounded) {
  const std::string most(kMaxCsvField, 'x');
  EXPECT_THAT(rows_of(most + "\n\"" + most + "\"\n"), ElementsAre("1:[" + most + "]", "2:[" + most + "]"));
  EXPECT_THAT(rows_of("a," + most + "x\nb\n"), ElementsAre(HasSubstr("1:!a field of more than"), "2:[b]"));
  EXPECT_THAT(rows_of("\"" + most + "\nx\",a\nb\n"), ElementsAre(HasSubstr("1:!a field of more than"), "3:[b]"));
  EXPECT_THAT(rows_of(std::string(kMaxCsvFields - 1, ',') + "\nb\n"), SizeIs(2));
  EXPECT_THAT(rows_of(std::string(kMaxCsvFields, ',') + "\nb\n"), ElementsAre(HasSubstr("1:!more than 512 fields"), "2:[b]"));
}

TEST(Shadowserver, TheTypeComesFromTheName) {
  EXPECT_EQ(type_error("2026-01-02-scan_http_proxy-example_org-asn.csv"), "scan_http_proxy");
  EXPECT_EQ(type_error("/var/mail/2026-01-02-scan6_smtp_vulnerable-x-y.csv"), "scan6_smtp_vulnerable");
  EXPECT_EQ(type_error("./2026-01-02-blocklist.csv"), "blocklist");
  for (const char* file : {"", "report.csv", "2026-01-02-scan_socks-x.txt", "scan_socks-x.csv", "2026-1-2-scan_socks-x.csv",
                           "2026-01-02-scan_socks-x.csv/", "2026-01-02-.csv.gz"}) {
    EXPECT_THAT(type_error(file), HasSubstr("the name says no type of report")) << file;
  }
  EXPECT_THAT(type_error("2026-01-02-scan_dns-x.csv"),
              testing::AllOf(HasSubstr("`scan_dns` is no report"), HasSubstr("scan_socks")));
  EXPECT_THAT(type_error("2026-01-02-.csv"), HasSubstr("`` is no report"));
  EXPECT_THAT(type_error("2026-01-02-\n-x.csv"), HasSubstr("`\\x0a` is no report"));
}

const std::string kBase = "timestamp,severity,ip,protocol,port,hostname,tag,asn,geo,region,city,naics,hostname_source,sector";

TEST(Shadowserver, HttpProxies) {
  for (const char* type : {"scan_http_proxy", "scan6_http_proxy", "population_http_proxy", "population6_http_proxy"}) {
    const Read found = read(
        type, kBase +
                  ",http,http_code,http_reason,content_type,connection,proxy_authenticate,via,server,content_length,"
                  "transfer_encoding,http_date\r\n"
                  "\"2026-01-01 03:04:05\",medium,203.0.113.5,tcp,3128,proxy.example.org,http-connect,64500,CH,ZH,Zurich,0,,,"
                  "HTTP/1.1,407,\"Proxy, auth\",text/html,close,\"Basic realm=\"\"x\"\"\",1.1 squid,squid/5.7,12,,\r\n"
                  "2026-01-01T03:04:06Z,medium,2001:DB8::5,tcp,8080,,,,,,,,,,,,,,,,,,,,\r\n");
    EXPECT_EQ(found.summary.rows, 2U);
    EXPECT_EQ(found.summary.broken, 0U);
    ASSERT_THAT(found.suspicions, SizeIs(2)) << type;
    const Suspicion& first = found.suspicions[0];
    EXPECT_EQ(first.key.source, "shadowserver");
    EXPECT_EQ(first.key.report, type);
    EXPECT_EQ(first.key.address.to_string(), "203.0.113.5");
    EXPECT_EQ(first.key.port, 3128);
    EXPECT_EQ(first.key.list, "");
    EXPECT_EQ(to_rfc3339(first.reported), "2026-01-01T03:04:05.000Z");
    EXPECT_EQ(first.imported, kNow);
    EXPECT_THAT(first.saw, ElementsAre(Pair("tag", "http-connect"), Pair("http", "HTTP/1.1"), Pair("http_code", "407"),
                                       Pair("http_reason", "Proxy, auth"), Pair("via", "1.1 squid"),
                                       Pair("server", "squid/5.7"), Pair("proxy_authenticate", "Basic realm=\"x\"")));
    EXPECT_EQ(found.suspicions[1].key.address.to_string(), "2001:db8::5");
    EXPECT_THAT(found.suspicions[1].saw, IsEmpty());
  }
}

TEST(Shadowserver, SocksAndMail) {
  for (const char* type : {"scan_socks", "scan6_socks"}) {
    const Read found = read(type, kBase + "\n2026-01-01 03:04:05,medium,203.0.113.5,tcp,1080,,socks5,1,CH,,,0,,\n");
    ASSERT_THAT(found.suspicions, SizeIs(1));
    EXPECT_EQ(found.suspicions[0].key.port, 1080);
    EXPECT_THAT(found.suspicions[0].saw, ElementsAre(Pair("tag", "socks5")));
  }
  for (const char* type : {"scan_smtp", "scan6_smtp", "scan_smtp_vulnerable", "scan6_smtp_vulnerable"}) {
    const Read found =
        read(type, kBase + ",banner\n2026-01-01 03:04:05,info,203.0.113.5,,25,,smtp,1,CH,,,0,,,\"220 mx\r\nESMTP \xC3\xBC\"\n");
    ASSERT_THAT(found.suspicions, SizeIs(1));
    EXPECT_THAT(found.suspicions[0].saw, ElementsAre(Pair("tag", "smtp"), Pair("banner", "220 mx\\x0d\\x0aESMTP \\xc3\\xbc")));
  }
}

TEST(Shadowserver, BlockListsHaveNoPortAndOneSuspicionForEachList) {
  const Read found = read("blocklist",
                          "timestamp,severity,ip,hostname,source,reason,asn,geo,region,city,naics,sector,tag\n"
                          "2026-01-01 03:04:05,low,203.0.113.5,,bl.example,spam,1,CH,,,0,,\n"
                          "2026-01-01 03:04:05,low,203.0.113.5,,other.example,open proxy,1,CH,,,0,,x\n");
  ASSERT_THAT(found.suspicions, SizeIs(2));
  EXPECT_EQ(found.suspicions[0].key.port, 0);
  EXPECT_EQ(found.suspicions[0].key.list, "bl.example");
  EXPECT_EQ(found.suspicions[1].key.list, "other.example");
  EXPECT_THAT(found.suspicions[1].saw,
              ElementsAre(Pair("tag", "x"), Pair("source", "other.example"), Pair("reason", "open proxy")));
}

TEST(Shadowserver, ColumnsAreFoundByTheirNames) {
  const Read found = read("scan_http_proxy",
                          "\xEF\xBB\xBFvia,port,new_column,ip,timestamp,tag\n1.1 x,3128,y,203.0.113.5,2026-01-01 03:04:05,t\n");
  ASSERT_THAT(found.suspicions, SizeIs(1));
  EXPECT_EQ(found.suspicions[0].key.port, 3128);
  EXPECT_THAT(found.suspicions[0].saw, ElementsAre(Pair("tag", "t"), Pair("via", "1.1 x")));
}

TEST(Shadowserver, BrokenRowsAreNamedAndTheRestIsTaken) {
  const Read found = read("scan_socks",
                          "timestamp,ip,port,protocol\n"
                          "2026-01-01 03:04:05,203.0.113.1,1080,tcp\n"
                          "2026-01-01 03:04:05,203.0.113.555,1080,tcp\n"
                          "2026-01-01 03:04:05,203.0.113.1,0,tcp\n"
                          "2026-01-01 03:04:05,203.0.113.1,65536,tcp\n"
                          "2026-01-01 03:04:05,203.0.113.1,1080\n"
                          "2026-01-01 03:04:05,203.0.113.1,1080,tcp,x\n"
                          "2026-13-01 03:04:05,203.0.113.1,1080,tcp\n"
                          "2026-01-02 13:00:00,203.0.113.1,1080,tcp\n"
                          "2026-01-01 03:04:05+01:00,203.0.113.1,1080,tcp\n"
                          "2026-01-01 03:04:05,203.0.113.1,1080,udp\n"
                          "2026-01-01 03:04:05,\"203.0.113.1\"x,1080,tcp\n"
                          "\"2026-01-01\n03:04:05\",203.0.113.1,1080,tcp\n"
                          "2026-01-01 03:04:05,203.0.113.2,1080,tcp\n");
  ASSERT_THAT(found.suspicions, SizeIs(2));
  EXPECT_EQ(found.suspicions[1].key.address.to_string(), "203.0.113.2");
  EXPECT_EQ(found.summary.rows, 13U);
  EXPECT_EQ(found.summary.broken, 11U);
  std::vector<std::string> named;
  for (const BrokenRow& row : found.summary.named) named.push_back(std::to_string(row.line) + ": " + row.why);
  EXPECT_THAT(named, ElementsAre("3: ip `203.0.113.555` is no address", "4: port `0` is no port", "5: port `65536` is no port",
                                 "6: 3 fields where the header has 4", "7: 5 fields where the header has 4",
                                 "8: timestamp `2026-13-01 03:04:05` is no time such as 2026-01-02 03:04:05",
                                 "9: timestamp `2026-01-02 13:00:00` lies in the future", HasSubstr("10: timestamp"),
                                 "11: protocol `udp` is not tcp", "12: something between a closing quote and the comma",
                                 HasSubstr("13: timestamp `2026-01-01\\x0a")));
}

TEST(Shadowserver, WhatIsSaidOfBrokenRowsIsBounded) {
  std::string text = "timestamp,ip,port\n";
  for (int i = 0; i < 100; ++i) text += std::string(1000, 'x') + ",203.0.113.1,1\n";
  const Read found = read("scan_socks", text);
  EXPECT_EQ(found.summary.broken, 100U);
  ASSERT_THAT(found.summary.named, SizeIs(kMaxBrokenRows));
  EXPECT_LT(found.summary.named[0].why.size(), 200U);
  EXPECT_THAT(found.suspicions, IsEmpty());
}

TEST(Shadowserver, TextsAreBounded) {
  const Read found = read(
      "scan_smtp", "timestamp,ip,port,banner\n2026-01-01 03:04:05,203.0.113.1,25," + std::string(kMaxCsvField, 'x') + "\n");
  ASSERT_THAT(found.suspicions, SizeIs(1));
  EXPECT_EQ(found.suspicions[0].saw.at(0).second, std::string(kMaxSawText, 'x') + "…");
  const Read huge = read("scan_smtp", "timestamp,ip,port,banner\n2026-01-01 03:04:05,203.0.113.1,25,\"" +
                                          std::string(kMaxCsvField + 1, 'x') + "\"\n2026-01-01 03:04:05,203.0.113.2,25,\n");
  EXPECT_THAT(huge.suspicions, SizeIs(1));
  EXPECT_EQ(huge.summary.broken, 1U);
}

TEST(Shadowserver, AFileThatIsNoReport) {
  EXPECT_THAT(error_of("scan_socks", ""), HasSubstr("not even a header"));
  EXPECT_THAT(error_of("scan_socks", "\n\n"), HasSubstr("not even a header"));
  EXPECT_THAT(error_of("scan_socks", "timestamp,ip\nx,y\n"), HasSubstr("line 1: the header has no column `port`"));
  EXPECT_THAT(error_of("blocklist", "<html>\n"), HasSubstr("no column `timestamp`"));
  EXPECT_THAT(error_of("blocklist", "a\"\n"), HasSubstr("the header cannot be read"));
  EXPECT_EQ(error_of("blocklist", "timestamp,ip\n"), "");
}

}  // namespace
}  // namespace ajar
