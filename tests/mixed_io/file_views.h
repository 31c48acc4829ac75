// One file, the ways by which it is looked at, and what it should hold.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "fs/sys/unique_fd.h"

namespace layerfs::mixed_io {

// Files do not grow beyond it, and mappings are so long.
inline constexpr std::size_t kMost = 256 * 1024;
inline constexpr std::size_t kBlock = 4096;

struct Descriptor {
  sys::UniqueFd fd;
  int flags = 0;

  bool reads() const;
  bool writes() const;
  bool appends() const;
  bool direct() const;
};

// Shared memory of a file. It is read and written by system calls: beyond the end of the file that
// is an error and no signal.
class Mapping {
 public:
  // Throws std::system_error.
  Mapping(int fd, bool writable);
  ~Mapping();
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  bool writable() const { return writable_; }
  std::string load(std::size_t at, std::size_t length) const;
  bool store(std::size_t at, const std::string& bytes) const;
  bool sync() const;
  void forget_pages() const;

 private:
  void* memory_;
  bool writable_;
};

// Memory for O_DIRECT.
class AlignedMemory {
 public:
  explicit AlignedMemory(std::size_t size);
  char* get() const { return memory_.get(); }

 private:
  struct Free {
    void operator()(char* memory) const;
  };
  std::unique_ptr<char, Free> memory_;
};

struct File {
  std::string path;
  std::string expected;
  std::vector<Descriptor> descriptors;
  std::vector<std::unique_ptr<Mapping>> mappings;

  // What the file should hold after a change.
  void put(std::size_t at, const std::string& bytes);
  void zero(std::size_t at, std::size_t length);  // as far as the file goes
  std::string part(std::size_t at, std::size_t length) const;

  // One of the descriptors that `suits`, chosen by `number`; null if there is none.
  const Descriptor* find(std::size_t number,
                         const std::function<bool(const Descriptor&)>& suits) const;
  // What is wrong with what any of its views shows; empty: nothing.
  std::string problem() const;
};

// At most `length` bytes, also where the descriptor wants them aligned; what the error is, in
// words, if there is one.
std::string read_part(const Descriptor& from, std::size_t at, std::size_t length);

// Reads by all views of a file, again and again, until it goes. What it reads is not looked at: it
// is there to fill the page cache while something else happens.
class Bystander {
 public:
  explicit Bystander(const File& file);
  ~Bystander();
  Bystander(const Bystander&) = delete;
  Bystander& operator=(const Bystander&) = delete;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace layerfs::mixed_io
