// What every fuzz target shares. A target is a program with one function, LLVMFuzzerTestOneInput:
// it hands the bytes to a piece of layerfs that reads what others wrote, and calls require() for
// what must hold whatever they are. doc/security.md says which piece reads whose bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "fs/sys/unique_fd.h"
#include "layerstore/region.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace layerfs::fuzz {

// Ends the program with a message unless `holds`: that is a finding.
void require(bool holds, const char* what);

std::string_view text_of(const std::uint8_t* data, std::size_t size);

// The parts of `text` between NUL bytes; exactly `count`, the last with all the rest.
std::vector<std::string> parts_of(std::string_view text, std::size_t count);

// A file of these bytes without a name.
sys::UniqueFd file_of(std::string_view bytes);
store::Region region_of(std::string_view bytes);

// The same bytes, but that what looks like headers of a tar archive has right checksums: they tell
// damage and keep nobody from writing anything.
std::string with_tar_checksums(std::string_view bytes);

// An empty directory on a memory file system where there is one, emptied by empty() and removed at
// the end of the program.
class Scratch {
 public:
  Scratch();
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  const std::string& path() const { return path_; }
  int fd() const { return fd_.get(); }
  void empty();

 private:
  std::string path_;
  sys::UniqueFd fd_;
};

// The one of this program.
Scratch& scratch();

}  // namespace layerfs::fuzz
