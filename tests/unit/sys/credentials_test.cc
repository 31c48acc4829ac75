#include "fs/sys/credentials.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include <gtest/gtest.h>

#include "fs/sys/user_namespace.h"
#include "tests/support/temp_dir.h"

namespace layerfs::sys {
namespace {

// Runs `body` in a process whose user namespace has the ids 0 to 9, the machine's 0 to 9. Returns
// its answer.
bool in_small_namespace(const std::function<bool()>& body) {
  int ready[2];
  int mapped[2];
  if (::pipe(ready) != 0 || ::pipe(mapped) != 0) return false;
  const pid_t child = ::fork();
  char byte = 0;
  if (child == 0) {
    const bool alone = ::unshare(CLONE_NEWUSER) == 0;
    const bool told = ::write(ready[1], "x", 1) == 1 && ::read(mapped[0], &byte, 1) == 1;
    ::_exit(alone && told && ::setresuid(0, 0, 0) == 0 && body() ? 0 : 1);
  }
  EXPECT_EQ(::read(ready[0], &byte, 1), 1);
  for (const char* map : {"uid_map", "gid_map"})
    std::ofstream("/proc/" + std::to_string(child) + "/" + map) << "0 0 10\n";
  EXPECT_EQ(::write(mapped[1], "x", 1), 1);
  int status = 0;
  ::waitpid(child, &status, 0);
  for (const int fd : {ready[0], ready[1], mapped[0], mapped[1]}) ::close(fd);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

uid_t owner_of_new(const std::string& path) {
  struct stat st = {};
  ::close(::open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY, 0600));
  return ::stat(path.c_str(), &st) == 0 ? st.st_uid : static_cast<uid_t>(-1);
}

TEST(Credentials, OfAnIdThatTheNamespaceLacksAreNotThoseOfTheUserBefore) {
  const test::TempDir dir;
  std::filesystem::permissions(dir.path(), std::filesystem::perms::all);
  EXPECT_TRUE(in_small_namespace([&] {
    keep_capabilities_over_id_change();
    return may_create_as_others() && create_as(5, 5) && owner_of_new(dir / "five") == 5 &&
           !create_as(5000, 5) && owner_of_new(dir / "lacking") == 0;
  }));
}

TEST(UserNamespace, HasTheIdsOfItsMaps) {
  EXPECT_TRUE(in_small_namespace([] {
    const IdSpans users = namespace_users();
    return contains(users, 0) && contains(users, 9) && !contains(users, 10) &&
           contains(namespace_groups(), 9) && !contains(namespace_groups(), 10);
  }));
}

}  // namespace
}  // namespace layerfs::sys
