// What calls on xattrs, mode and size are about.
#pragma once

namespace layerfs::sys {

// What the descriptor `fd`, which may be O_PATH, refers to; or the entry `name` of the directory
// `fd`, a symlink itself then. Borrows both.
struct At {
  explicit At(int fd_) : fd(fd_) {}
  At(int dirfd, const char* name_) : fd(dirfd), name(name_) {}

  bool is_entry() const { return *name != '\0'; }

  int fd;
  const char* name = "";
};

}  // namespace layerfs::sys
