#include "tests/support/elf_file.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace layerfs::test {

std::string elf_file(unsigned type, std::size_t size) {
  Elf64_Ehdr header = {};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = std::endian::native == std::endian::little ? ELFDATA2LSB : ELFDATA2MSB;
  header.e_ident[EI_VERSION] = EV_CURRENT;
  header.e_type = static_cast<Elf64_Half>(type);
  header.e_version = EV_CURRENT;
  header.e_ehsize = sizeof header;
  std::string file(size, 'e');
  std::memcpy(file.data(), &header, std::min(sizeof header, size));
  return file;
}

}  // namespace layerfs::test
