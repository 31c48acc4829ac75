#include "layerstore/decompress.h"

#include <algorithm>
#include <string>

#include <gtest/gtest.h>

#include "tests/support/image.h"

namespace layerfs::store {
namespace {

// Gives the data away in pieces of `piece` bytes.
Outcome<std::string> decompressed(Compression how, const std::string& data, std::size_t piece) {
  std::size_t at = 0;
  const auto decompressor = make_decompressor(how, [&]() -> Outcome<std::span<const std::byte>> {
    const std::size_t size = std::min(piece, data.size() - at);
    const auto bytes = std::as_bytes(std::span(data)).subspan(at, size);
    at += size;
    return bytes;
  });
  std::string out;
  std::vector<std::byte> buffer(1000);
  while (true) {
    LAYERFS_TRY_ASSIGN(const std::size_t size, decompressor->read(buffer));
    if (size == 0) return out;
    out.append(reinterpret_cast<const char*>(buffer.data()), size);
  }
}

std::string sample() {
  std::string text;
  for (int i = 0; i < 20'000; ++i) text += std::to_string(i * 7919 % 10'007) + " ";
  return text;
}

std::string compressed(Compression how, const std::string& data) {
  return how == Compression::kGzip ? test::gzipped(data) : test::zstd_compressed(data);
}

class Decompress : public testing::TestWithParam<Compression> {};

TEST_P(Decompress, GivesBackWhatWasCompressedInWhateverPieces) {
  const std::string data = compressed(GetParam(), sample());
  for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, std::size_t{4096}, data.size()}) {
    EXPECT_EQ(decompressed(GetParam(), data, piece).value_or("failed"), sample()) << piece;
  }
}

TEST_P(Decompress, ReadsOnAfterAMember) {
  const std::string data =
      compressed(GetParam(), "one ") + compressed(GetParam(), "") + compressed(GetParam(), "two");
  EXPECT_EQ(decompressed(GetParam(), data, 5).value_or("failed"), "one two");
}

TEST_P(Decompress, RefusesWhatEndsTooEarly) {
  const std::string data = compressed(GetParam(), sample());
  for (const std::size_t size : {std::size_t{5}, data.size() / 2, data.size() - 1}) {
    EXPECT_FALSE(decompressed(GetParam(), data.substr(0, size), 4096)) << size;
  }
}

TEST_P(Decompress, RefusesWhatIsDamaged) {
  std::string data = compressed(GetParam(), sample());
  for (std::size_t i = data.size() / 2; i < data.size() / 2 + 64; ++i) data[i] ^= 0x55;
  const Outcome<std::string> out = decompressed(GetParam(), data, 4096);
  EXPECT_TRUE(!out || *out != sample());
}

TEST_P(Decompress, RefusesGarbageAfterTheEnd) {
  EXPECT_FALSE(decompressed(GetParam(), compressed(GetParam(), "x") + "garbage", 4096));
}

INSTANTIATE_TEST_SUITE_P(Forms, Decompress, testing::Values(Compression::kGzip, Compression::kZstd),
                         [](const auto& form) {
                           return form.param == Compression::kGzip ? "Gzip" : "Zstd";
                         });

TEST(Gunzip, IgnoresZerosAfterTheEnd) {
  EXPECT_EQ(decompressed(Compression::kGzip, test::gzipped("x") + std::string(600, '\0'), 64)
                .value_or("failed"),
            "x");
}

TEST(Gunzip, ChecksTheChecksum) {
  std::string data = test::gzipped("something");
  data[data.size() - 8] ^= 1;
  EXPECT_FALSE(decompressed(Compression::kGzip, data, 4096));
}

}  // namespace
}  // namespace layerfs::store
