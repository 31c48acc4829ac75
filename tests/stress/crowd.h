// Operations on names that all threads fight for.
#pragma once

#include <initializer_list>
#include <string>

#include "fs/sys/unique_fd.h"
#include "tests/stress/actor.h"

namespace layerfs::test {

class Crowd : public Actor {
 public:
  // `passthrough`: as in LoadOptions.
  Crowd(int root, std::uint64_t seed, bool passthrough)
      : Actor(root, seed), passthrough_(passthrough) {}

  // One operation, or a few that belong together.
  void act();

 private:
  std::string any_dir();
  std::string any_path();
  // Like note(), and an error that no race explains is wrong.
  bool expect(const std::string& call, bool succeeded);
  sys::UniqueFd any_open(int flags);

  void create();
  void open_and_use();
  void use_data(int fd, bool writable);
  void use_mapping(int fd, bool writable);
  void change_size(int fd);
  void open_without_path();
  void unnamed();
  void rename();
  void rename_shared();
  void link();
  void remove();
  void make_dir();
  void make_other();
  void list();
  void look();
  void xattrs();
  void attributes();
  void attributes_by_descriptor();
  void copy_range();
  void lock();

  const bool passthrough_;
};

}  // namespace layerfs::test
