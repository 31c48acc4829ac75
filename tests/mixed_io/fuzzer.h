// Random ways to read and write two files, compared with what they should hold.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/mixed_io/file_views.h"
#include "tests/oracle/rng.h"
#include "tests/support/async_io.h"

namespace layerfs::mixed_io {

// What the two files hold at first, "a" and "b" in the directory that the fuzzer gets.
std::array<std::string, 2> first_contents(std::uint64_t seed);

class Fuzzer {
 public:
  Fuzzer(const std::filesystem::path& directory, std::uint64_t seed);

  // Does so many things, closes all, and returns what was wrong and what was done before; empty:
  // nothing.
  std::string run(int actions);
  // Where the files are now, and what they should hold.
  const std::array<File, 2>& files() const { return files_; }

 private:
  struct Action {
    const char* name;
    int weight;
    void (Fuzzer::*act)(File&);
  };
  static const std::vector<Action> kActions;

  void open(File& file);
  void close(File& file);
  void map(File& file);
  void unmap(File& file);
  void read(File& file);
  void write(File& file);
  void append(File& file);
  void write_async(File& file);
  void read_async(File& file);
  void store(File& file);
  void sync(File& file);
  void forget_pages(File& file);
  void truncate(File& file);
  void allocate(File& file);
  void copy_range(File& file);
  void send_file(File& file);
  void splice(File& file);
  void change_mode(File& file);
  void rename(File& file);
  void link(File& file);

  const Action& choose();
  // A descriptor that can be written anywhere; null if there is none.
  const Descriptor* writer(const File& file);
  std::size_t number(std::size_t bound);
  std::string bytes(std::size_t length);
  // Offset and length within kMost, aligned if the descriptor wants it.
  struct Range {
    std::size_t at, length;
  };
  Range range(bool aligned);
  // Notes what is done, for the report.
  template <typename... Values>
  void note(const char* format, const Values&... values);
  // `ok` is what a call has to say. If not, the run ends with `what` and errno.
  bool must(bool ok, const char* what);

  oracle::Rng rng_;
  std::array<File, 2> files_;
  std::array<std::unique_ptr<test::AsyncQueue>, 2> queues_;
  std::vector<std::string> notes_;
  std::string problem_;
};

}  // namespace layerfs::mixed_io
