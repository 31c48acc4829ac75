// Tar archives, byte by byte: also those that no decent program writes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace layerfs::test {

struct TarEntry {
  std::string name;
  char type = '0';  // '0' file, '1' hard link, '2' symlink, '3' char, '4' block, '5' directory, '6'
  std::string data{};
  std::string link{};
  unsigned mode = 0644;
  unsigned uid = 0;
  unsigned gid = 0;
  std::int64_t mtime = 1'000'000'000;
  unsigned major = 0;
  unsigned minor = 0;
  std::vector<std::pair<std::string, std::string>> pax{};  // records before the entry
};

TarEntry tar_dir(const std::string& name, unsigned mode = 0755);
TarEntry tar_file(const std::string& name, const std::string& data = "", unsigned mode = 0644);
TarEntry tar_symlink(const std::string& name, const std::string& target);
TarEntry tar_hard_link(const std::string& name, const std::string& target);
TarEntry tar_whiteout(const std::string& directory, const std::string& name);
TarEntry tar_opaque(const std::string& directory);

// The archive, with the two zero blocks that end it.
std::string make_tar(const std::vector<TarEntry>& entries);
// The same without them.
std::string make_unended_tar(const std::vector<TarEntry>& entries);

}  // namespace layerfs::test
