#include "fs/layer/program.h"

#include <elf.h>

#include <array>
#include <cstring>

#include "fs/sys/file.h"

namespace layerfs::layer {
namespace {

// Where e_type lies in files of both classes.
static_assert(offsetof(Elf32_Ehdr, e_type) == offsetof(Elf64_Ehdr, e_type));
static_assert(sizeof(Elf32_Ehdr) == kSmallestProgram);
constexpr std::size_t kType = offsetof(Elf64_Ehdr, e_type);

unsigned at(std::span<const std::byte> head, std::size_t offset) {
  return std::to_integer<unsigned>(head[offset]);
}

}  // namespace

bool begins_program(std::span<const std::byte> head) {
  if (head.size() < kSmallestProgram || std::memcmp(head.data(), ELFMAG, SELFMAG) != 0)
    return false;
  const unsigned first = at(head, kType);
  const unsigned second = at(head, kType + 1);
  const bool big_endian = at(head, EI_DATA) == ELFDATA2MSB;
  const unsigned type = big_endian ? first << 8 | second : second << 8 | first;
  return type == ET_EXEC || type == ET_DYN;
}

Result<bool> is_program(int fd) {
  std::array<std::byte, kSmallestProgram> head{};
  LAYERFS_TRY_ASSIGN(const std::size_t length, sys::read_at(fd, head, 0));
  return begins_program(std::span(head).first(length));
}

}  // namespace layerfs::layer
