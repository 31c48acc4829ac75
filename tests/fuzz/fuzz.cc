#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

namespace layerfs::fuzz {

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "finding: %s\n", what);
  std::abort();
}

std::string_view text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

std::vector<std::string> parts_of(std::string_view text, std::size_t count) {
  std::vector<std::string> parts;
  while (parts.size() + 1 < count) {
    const std::size_t end = std::min(text.find('\0'), text.size());
    parts.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  parts.emplace_back(text);
  return parts;
}

sys::UniqueFd file_of(std::string_view bytes) {
  sys::UniqueFd file(::memfd_create("fuzz", MFD_CLOEXEC));
  require(static_cast<bool>(file), "no memory for a file");
  const ssize_t written = ::write(file.get(), bytes.data(), bytes.size());
  require(written == static_cast<ssize_t>(bytes.size()), "no memory for a file's content");
  return file;
}

store::Region region_of(std::string_view bytes) {
  return {std::make_shared<const sys::UniqueFd>(file_of(bytes)), 0, bytes.size()};
}

std::string with_tar_checksums(std::string_view bytes) {
  constexpr std::size_t kBlock = 512;
  constexpr std::size_t kSum = 148;
  constexpr std::size_t kSumSize = 8;
  std::string archive(bytes);
  for (std::size_t at = 0; at + kBlock <= archive.size(); at += kBlock) {
    if (archive.compare(at + 257, 5, "ustar") != 0) continue;
    archive.replace(at + kSum, kSumSize, kSumSize, ' ');
    unsigned sum = 0;
    for (std::size_t i = at; i < at + kBlock; ++i) sum += static_cast<unsigned char>(archive[i]);
    std::array<char, kSumSize + 1> text;
    std::snprintf(text.data(), text.size(), "%06o", sum);
    archive.replace(at + kSum, kSumSize - 1, text.data(), kSumSize - 1);
  }
  return archive;
}

Scratch::Scratch() {
  const bool memory = ::access("/dev/shm", W_OK) == 0;
  path_ = std::string(memory ? "/dev/shm" : "/tmp") + "/layerfs-fuzz-XXXXXX";
  require(::mkdtemp(path_.data()) != nullptr, "no directory to work in");
  fd_.reset(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

Scratch::~Scratch() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void Scratch::empty() {
  for (const auto& entry : std::filesystem::directory_iterator(path_)) {
    std::filesystem::remove_all(entry.path());
  }
}

Scratch& scratch() {
  static Scratch only;
  return only;
}

}  // namespace layerfs::fuzz
