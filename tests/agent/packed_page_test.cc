#include "agent/packed_page.h"

#include <random>

#include <gmock/gmock.h>
#include <zlib.h>

namespace ajar {
namespace {

// As any client unpacks it: one stream, nothing after it.
std::string gunzip(const std::string& packed) {
  z_stream z{};
  EXPECT_EQ(inflateInit2(&z, 15 + 16), Z_OK);
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  z.avail_in = static_cast<uInt>(packed.size());
  std::string out;
  int result = Z_OK;
  while (result == Z_OK) {
    std::string part(64 * 1024, '\0');
    z.next_out = reinterpret_cast<Bytef*>(part.data());
    z.avail_out = static_cast<uInt>(part.size());
    result = inflate(&z, Z_NO_FLUSH);
    out.append(part, 0, part.size() - z.avail_out);
  }
  EXPECT_EQ(result, Z_STREAM_END);
  EXPECT_EQ(z.avail_in, 0U);
  inflateEnd(&z);
  return out;
}

std::string lines(unsigned count, unsigned seed) {
  std::mt19937 random(seed);
  std::string text;
  for (unsigned i = 0; i < count; ++i) {
    text += "ajar_exposure_level{target=\"host" + std::to_string(i) + "\"} " + std::to_string(random()) + "\n";
  }
  return text;
}

TEST(PackedPage, SectionsStandInTheirOrderHoweverTheyAreWritten) {
  Packer packer;
  const Packer::Sink first = packer.section();
  const Packer::Sink empty = packer.section();
  const Packer::Sink third = packer.section();
  const std::string a = lines(20'000, 1), b = lines(30'000, 2);
  std::size_t at_a = 0, at_b = 0;
  std::mt19937 random(3);
  while (at_a < a.size() || at_b < b.size()) {
    const std::size_t n = random() % 70'000;
    third(std::string_view(b).substr(at_b, n));
    at_b = std::min(b.size(), at_b + n);
    first(std::string_view(a).substr(at_a, n));
    at_a = std::min(a.size(), at_a + n);
  }
  empty("");
  const auto page = packer.finish();
  EXPECT_EQ(page->plain_size(), a.size() + b.size());
  EXPECT_EQ(page->gzip().size(), page->size());
  EXPECT_EQ(gunzip(page->gzip()), a + b);
  EXPECT_EQ(page->plain(), a + b);
  EXPECT_LT(page->size(), (a + b).size() / 2);
}

TEST(PackedPage, AnEmptyOne) {
  for (int sections = 0; sections < 3; ++sections) {
    Packer packer;
    for (int i = 0; i < sections; ++i) packer.section();
    const auto page = packer.finish();
    EXPECT_EQ(page->plain_size(), 0U);
    EXPECT_EQ(gunzip(page->gzip()), "");
    EXPECT_EQ(page->plain(), "");
    EXPECT_TRUE(page->at(page->size()).empty());
    EXPECT_TRUE(PlainReader(page).at(0).empty());
  }
}

TEST(PackedPage, IsReadFromAnyPlace) {
  Packer packer;
  const Packer::Sink sink = packer.section();
  const std::string text = lines(50'000, 4);
  sink(text);
  const auto page = packer.finish();
  const std::string packed = page->gzip();
  std::string joined;
  while (joined.size() < page->size()) joined += page->at(joined.size());
  EXPECT_EQ(joined, packed);
  EXPECT_EQ(page->at(7).substr(0, 1), packed.substr(7, 1));
  PlainReader reader(page);
  std::mt19937 random(5);
  for (int i = 0; i < 50; ++i) {  // forwards and backwards, as ranges may ask
    const std::size_t offset = random() % text.size();
    const std::string_view piece = reader.at(offset);
    ASSERT_FALSE(piece.empty());
    EXPECT_EQ(piece, std::string_view(text).substr(offset, piece.size()));
  }
  EXPECT_TRUE(reader.at(text.size()).empty());
  EXPECT_TRUE(reader.at(text.size() + 1000).empty());
}

TEST(PackedPage, WhatCannotBeCompressedIsKeptWhole) {
  Packer packer;
  std::string noise(300'000, '\0');
  std::mt19937 random(6);
  for (char& c : noise) c = static_cast<char>(random());
  packer.section()(noise);
  packer.section()("after");
  const auto page = packer.finish();
  EXPECT_EQ(page->plain(), noise + "after");
}

}  // namespace
}  // namespace ajar
