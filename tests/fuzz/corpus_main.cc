// main() for compilers without libFuzzer: runs a target over the files of its corpus, whole and cut
// short.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/fuzz/fuzz.h"

namespace {

// Cutting finds what trusts a length. Of a long file some cuts do.
constexpr std::size_t kMostCuts = 64;

void run(const std::string& bytes, std::size_t size) {
  // Of exactly that size, so that the address sanitizer sees who reads beyond.
  const std::vector<std::uint8_t> input(bytes.begin(),
                                        bytes.begin() + static_cast<std::ptrdiff_t>(size));
  LLVMFuzzerTestOneInput(input.data(), input.size());
}

void run_whole_and_cut(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  const std::size_t step = std::max<std::size_t>(1, bytes.size() / kMostCuts);
  for (std::size_t size = 0; size < bytes.size(); size += step) run(bytes, size);
  run(bytes, bytes.size());
}

}  // namespace

int main(int argc, char** argv) {
  int files = 0;
  for (int i = 1; i < argc; ++i) {
    for (const auto& entry : std::filesystem::directory_iterator(argv[i])) {
      std::printf("%s\n", entry.path().filename().c_str());
      std::fflush(stdout);
      run_whole_and_cut(entry.path());
      ++files;
    }
  }
  std::printf("%d files\n", files);
  // A corpus that is not there would test nothing.
  return files > 0 ? 0 : 1;
}
