// Directories and files for one test.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace layerfs::test {

// A fresh directory below ${TMPDIR:-/tmp}. The destructor unmounts (lazily) whatever is still
// mounted below it, then removes it with all it holds; it never follows a mount out of the
// directory. Throws std::runtime_error if it can't be made: a test can't go on without.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::filesystem::path& path() const { return path_; }
  // The path of `name` in it; the entry need not exist.
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }
  // Makes the directory `name` (and its parents) in it and returns its path.
  std::filesystem::path make(std::string_view name) const;

 private:
  std::filesystem::path path_;
};

// Creates or truncates the file and writes `content`; parents are made. Throws on failure.
void write_file(const std::filesystem::path& file, std::string_view content);

// The whole content. Throws std::runtime_error if the file can't be read.
std::string read_file(const std::filesystem::path& file);

}  // namespace layerfs::test
