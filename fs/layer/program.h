// Which files are programs.
#pragma once

#include <cstddef>
#include <span>

#include "fs/sys/result.h"

namespace layerfs::layer {

// The size of an ELF header; a shorter file is no program.
inline constexpr std::size_t kSmallestProgram = 52;

// Whether a file that begins with `head` is an ELF program or shared library, of any machine. The
// other kinds of ELF files are data: linkers and strip(1) rewrite object files in place, and a core
// dump is only read.
bool begins_program(std::span<const std::byte> head);

// The same for the regular file `fd`, which is open for reading. Returns the error of reading it.
Result<bool> is_program(int fd);

}  // namespace layerfs::layer
