// Operations on files of one's own, whose content is known at any time.
#pragma once

#include <sys/mman.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "fs/sys/unique_fd.h"
#include "tests/stress/actor.h"

namespace layerfs::test {

// Memory that shares a file's pages. Read and written by system calls: where the file has lost its
// pages that is a short count and no SIGBUS.
class SharedMapping {
 public:
  static constexpr std::size_t kSize = 128 * 1024;
  SharedMapping(int fd, bool writable);
  ~SharedMapping();
  SharedMapping(const SharedMapping&) = delete;
  SharedMapping& operator=(const SharedMapping&) = delete;

  bool valid() const { return memory_ != nullptr; }
  // The first `size` bytes, or as many as the file has.
  std::string read(std::size_t size) const;
  bool write(std::size_t at, const std::string& bytes) const;
  bool sync() const { return ::msync(memory_, kSize, MS_SYNC) == 0; }

 private:
  char* memory_;
};

using SharedDirs = std::vector<sys::UniqueFd>;

class Owner : public Actor {
 public:
  // `dirs` were opened before any of them was renamed.
  Owner(const SharedDirs& dirs, int root, std::uint64_t seed, unsigned thread);

  void act();
  // Checks every file, and every descriptor and mapping that is still held.
  void check_all();

 private:
  struct Held {
    sys::UniqueFd fd;
    bool writable;
    std::string since;  // what was done when it was opened
    std::unique_ptr<SharedMapping> mapping;
  };
  // A file, whatever its names; it may have none left and live by its descriptors.
  struct File {
    std::string content;
    std::vector<Held> held;
    std::string last;  // the last change
  };
  using Key = std::pair<unsigned, std::string>;  // shared directory and name
  using Names = std::map<Key, std::shared_ptr<File>>;

  // A call on one's own files never fails.
  bool must(const std::string& call, bool succeeded);
  Names::value_type& any();
  Key free_key();
  sys::UniqueFd open(const Key& key, int flags);
  std::string path(const Key& key) const;
  std::string random_bytes(std::size_t size);
  void changed(File& file, const std::string& how) { file.last = how; }

  void hold(Names::value_type& named);
  void write(Names::value_type& named);
  void store(Names::value_type& named);
  void resize(Names::value_type& named);
  void allocate(Names::value_type& named);
  void overwrite_all(Names::value_type& named);
  void change_attributes(Names::value_type& named);
  void move(Names::value_type& named);
  void link(Names::value_type& named);
  void remove(Names::value_type& named);
  void make();
  void drop(File& file);
  void check(const Key& key, File& file);
  void check_held(File& file);
  void compare(const File& file, const std::string& got, const std::string& by);

  const SharedDirs& dirs_;
  Names names_;
  std::vector<std::shared_ptr<File>> nameless_;
  const unsigned thread_;
  unsigned next_name_ = 100;
};

}  // namespace layerfs::test
