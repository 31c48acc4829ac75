// Files that begin as ELF files do.
#pragma once

#include <elf.h>

#include <cstddef>
#include <string>

namespace layerfs::test {

// An ELF file of this machine's kind, `size` bytes long: a header of `type` (ET_DYN, ...), then the
// letter e. No machine can run it.
std::string elf_file(unsigned type, std::size_t size = sizeof(Elf64_Ehdr));

}  // namespace layerfs::test
