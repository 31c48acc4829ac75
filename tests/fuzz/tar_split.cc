// What is kept of a layer's archive so that it can be put together again.
#include "layerstore/tar_split.h"

#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include <nlohmann/json.hpp>

#include "layerstore/decompress.h"
#include "tests/fuzz/fuzz.h"

namespace store = layerfs::store;
namespace fuzz = layerfs::fuzz;

namespace {

std::string content_of(int fd) {
  std::string content(static_cast<std::size_t>(::lseek(fd, 0, SEEK_END)), '\0');
  const ssize_t got = ::pread(fd, content.data(), content.size(), 0);
  fuzz::require(got == static_cast<ssize_t>(content.size()), "the record cannot be read");
  return content;
}

std::string unpacked(const std::string& packed) {
  bool given = false;
  const auto decompressor = store::make_decompressor(
      store::Compression::kGzip, [&]() -> layerfs::Outcome<std::span<const std::byte>> {
        if (std::exchange(given, true)) return std::span<const std::byte>();
        return std::as_bytes(std::span(packed));
      });
  std::string text;
  std::array<std::byte, 4096> buffer;
  while (true) {
    const auto got = decompressor->read(buffer);
    fuzz::require(got.has_value(), "the record is no gzip stream");
    text.append(reinterpret_cast<const char*>(buffer.data()), *got);
    if (*got < buffer.size()) return text;
  }
}

void check(const std::string& record) {
  std::size_t begin = 0;
  while (begin < record.size()) {
    const std::size_t end = record.find('\n', begin);
    fuzz::require(end != std::string::npos, "the record's last line does not end");
    const auto line = nlohmann::json::parse(record.substr(begin, end - begin), nullptr, false);
    fuzz::require(line.is_object() && line.contains("type"), "a line of the record is no entry");
    begin = end + 1;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  store::LayerStream stream({fuzz::region_of(fuzz::with_tar_checksums(fuzz::text_of(data, size)))},
                            -1, nullptr);
  const layerfs::sys::UniqueFd out(::memfd_create("record", MFD_CLOEXEC));
  if (store::write_tar_split(stream, fuzz::scratch().fd(), out.get())) {
    check(unpacked(content_of(out.get())));
  }
  return 0;
}
