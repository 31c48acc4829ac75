#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <filesystem>
#include <stdexcept>

#include "tests/stress/actor.h"
#include "tests/support/elf_file.h"
#include "tests/support/temp_dir.h"

namespace layerfs::test {
namespace {

namespace fs = std::filesystem;

void must(bool succeeded, const std::string& what) {
  if (!succeeded) throw std::runtime_error("cannot make " + what);
}

std::string text(std::size_t size, char fill) { return std::string(size, fill); }

void make_dir_content(const fs::path& dir, char fill) {
  for (int i = 0; i < 8; ++i)
    write_file(dir / ("f" + std::to_string(i)), text(static_cast<std::size_t>(i) * 9000, fill));
  write_file(dir / "f6", elf_file(ET_EXEC) + text(20'000, fill));
  must(::chmod((dir / "f6").c_str(), 0755) == 0, "a program");
  fs::remove(dir / "f7");
  fs::create_symlink("f1", dir / "f7");
}

void make_bottom(const fs::path& bottom, unsigned threads) {
  for (unsigned d = 0; d < kSharedDirs; ++d) {
    const fs::path dir = bottom / shared_dir(d);
    make_dir_content(dir, 'b');
    make_dir_content(dir / "s0", 'c');
    write_file(dir / "s1/f0", text(70'000, 'd'));
    for (unsigned i = 0; i < 3; ++i) {
      const fs::path first = bottom / shared_dir(0) / ("h" + std::to_string(i));
      if (d == 0)
        write_file(first, text(5000, 'h'));
      else
        fs::create_hard_link(first, dir / first.filename());
    }
    for (unsigned t = 0; t < threads; ++t) {
      write_file(dir / own_file(t, 0), text(1000 * (t + 1), 'o'));
      write_file(dir / own_file(t, 1), text(50'000, 'p'));
    }
  }
}

void make_middle(const fs::path& middle) {
  for (unsigned d = 0; d < 2; ++d) {
    const fs::path dir = middle / shared_dir(d);
    write_file(dir / "f1", text(40'000, 'm'));
    must(::mknod((dir / "f2").c_str(), S_IFCHR, makedev(0, 0)) == 0, "a whiteout");
    must(::mknod((dir / "f3").c_str(), S_IFIFO | 0600, 0) == 0, "a pipe");
  }
}

void make_top(const fs::path& top) {
  const fs::path opaque = top / shared_dir(1) / "s0";
  write_file(opaque / "f0", text(30'000, 't'));
  must(::setxattr(opaque.c_str(), "trusted.overlay.opaque", "y", 1, 0) == 0, "an opaque directory");
  write_file(top / "m0/f5", text(200, 't'));
}

}  // namespace

void make_layers(const std::string& dir, unsigned threads) {
  const fs::path base(dir);
  make_bottom(base / "bottom", threads);
  make_middle(base / "middle");
  make_top(base / "top");
}

}  // namespace layerfs::test
