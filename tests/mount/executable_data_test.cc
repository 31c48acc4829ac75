// Files of a lower layer that are no programs, whatever their mode says: what has one open follows
// those who change it, as over kernel overlayfs.
#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include "fs/sys/unique_fd.h"
#include "tests/support/command.h"
#include "tests/support/loop_fs.h"
#include "tests/support/temp_dir.h"

namespace layerfs::test {
namespace {

enum class Side { kKernel, kLayerfs };

// Whose mount it is, and the mode of the file in the lower layer.
class ExecutableData : public testing::TestWithParam<std::tuple<Side, mode_t>> {
 protected:
  ExecutableData() {
    for (const char* name : {"l", "u", "w", "m"}) std::filesystem::create_directory(disk_ / name);
  }
  ~ExecutableData() override { shell("umount m 2>&1", {.directory = disk_}); }

  // Gives `name` of the lower layer its mode, and mounts.
  void mount_with(const std::string& name) {
    file_ = disk_ / "m" / name;
    ASSERT_EQ(::chmod((disk_ / "l" / name).c_str(), std::get<1>(GetParam())), 0);
    const bool kernel = std::get<0>(GetParam()) == Side::kKernel;
    const Ran ran = shell(
        (kernel ? "mount -t overlay none" : layerfs_program() + " mount") +
            fmt::format(" -o lowerdir={0}/l,upperdir={0}/u,workdir={0}/w {0}/m", disk_.string()),
        {.directory = disk_});
    ASSERT_TRUE(ran.ok()) << ran.err;
  }
  void write_lower(const std::string& name, const std::string& content) {
    write_file(disk_ / "l" / name, content);
    mount_with(name);
  }
  void append(const std::string& text) const {
    const sys::UniqueFd fd(::open(file_.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
    ASSERT_EQ(::write(fd.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  // The output of a script that runs beside the layers and has to succeed.
  std::string out(const std::string& script) const {
    const Ran ran = shell(script, {.directory = disk_, .timeout_seconds = 30});
    EXPECT_TRUE(ran.ok()) << ran.err;
    return ran.out;
  }

  const TempDir dir_;
  const std::filesystem::path disk_ = mount_new_fs(dir_, "ext4");
  std::filesystem::path file_;
};

// flock(1)'s own idiom, with somebody who touches the script meanwhile.
TEST_P(ExecutableData, AScriptThatLocksItselfRunsOnce) {
  write_lower("job",
              "[ \"$FLOCKER\" = \"$0\" ] || FLOCKER=$0 exec flock -en \"$0\" sh \"$0\" \"$@\"\n"
              "echo runs\n[ $# = 0 ] || read -r end < \"$1\"\n");
  EXPECT_EQ(out("mkfifo end; sh m/job end > first & until [ -s first ]; do sleep 0.01; done\n"
                "touch m/job; sh m/job || echo refused; echo > end; wait; cat first; sh m/job"),
            "refused\nruns\nruns\n");
}

TEST_P(ExecutableData, TailFollowsIt) {
  write_lower("log", "one\n");
  EXPECT_EQ(out("tail -n +1 -f m/log > seen & until [ -s seen ]; do sleep 0.01; done\n"
                "echo two >> m/log; echo three >> m/log\n"
                "i=0; until grep -q three seen || [ $i = 300 ]; do sleep 0.01; i=$((i+1)); done\n"
                "kill $!; cat seen"),
            "one\ntwo\nthree\n");
}

// Whether one of `events` comes within a second; all that has come is taken.
bool hears(int notify, std::uint32_t events) {
  pollfd waiting{notify, POLLIN, 0};
  std::uint32_t heard = 0;
  while ((heard & events) == 0 && ::poll(&waiting, 1, 1000) == 1) {
    alignas(inotify_event) std::array<char, 4096> buffer{};
    const ssize_t got = ::read(notify, buffer.data(), buffer.size());
    for (ssize_t at = 0; at < got;) {
      inotify_event event{};
      std::memcpy(&event, buffer.data() + at, sizeof event);
      heard |= event.mask;
      at += static_cast<ssize_t>(sizeof event) + event.len;
    }
  }
  return (heard & events) != 0;
}

TEST_P(ExecutableData, InotifyTellsOfItsChanges) {
  write_lower("watched", "text\n");
  const sys::UniqueFd held(::open(file_.c_str(), O_RDONLY | O_CLOEXEC));
  const sys::UniqueFd notify(::inotify_init1(IN_CLOEXEC));
  ASSERT_GE(::inotify_add_watch(notify.get(), file_.c_str(), IN_MODIFY | IN_ATTRIB), 0);
  append("more\n");
  EXPECT_TRUE(hears(notify.get(), IN_MODIFY));
  ASSERT_EQ(::chmod(file_.c_str(), 0700), 0);
  EXPECT_TRUE(hears(notify.get(), IN_ATTRIB));
  append("more\n");
  EXPECT_TRUE(hears(notify.get(), IN_MODIFY));
}

TEST_P(ExecutableData, ItsSizeIsWhereReadingEnds) {
  write_lower("grows", "hello\n");
  const sys::UniqueFd fd(::open(file_.c_str(), O_RDONLY | O_CLOEXEC));
  std::array<char, 100> buffer{};
  ASSERT_EQ(::read(fd.get(), buffer.data(), buffer.size()), 6);
  append("world\n");
  struct stat attr = {};
  ASSERT_EQ(::fstat(fd.get(), &attr), 0);
  EXPECT_EQ(attr.st_size, 12);
  EXPECT_EQ(::pread(fd.get(), buffer.data(), buffer.size(), 0), 12);
  EXPECT_EQ(std::string(buffer.data(), 12), "hello\nworld\n");
}

class Database {
 public:
  Database(const std::filesystem::path& file, const std::string& mode) {
    sqlite3* made = nullptr;
    const int status =
        ::sqlite3_open_v2(("file:" + file.string() + "?mode=" + mode).c_str(), &made,
                          SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_URI, nullptr);
    database_.reset(made);
    if (status != SQLITE_OK) throw std::runtime_error(::sqlite3_errmsg(made));
  }
  // The last value of the last row, or what is wrong.
  std::string ask(const std::string& sql) {
    std::string answer;
    char* error = nullptr;
    const auto row = [](void* to, int count, char** values, char** /*names*/) {
      *static_cast<std::string*>(to) = values[count - 1];
      return 0;
    };
    if (::sqlite3_exec(database_.get(), sql.c_str(), row, &answer, &error) == SQLITE_OK)
      return answer;
    answer = error;
    ::sqlite3_free(error);
    return answer;
  }

 private:
  std::unique_ptr<sqlite3, int (*)(sqlite3*)> database_{nullptr, &::sqlite3_close};
};

std::string insertion(int rows) {
  return "with recursive n(i) as (select 1 union all select i + 1 from n where i < " +
         std::to_string(rows) + ") insert into t select i, hex(randomblob(100)) from n;";
}

TEST_P(ExecutableData, SqliteReadersOpenBeforeTheFirstWriterSeeWhatItWrites) {
  Database(disk_ / "l/db", "rwc")
      .ask("pragma journal_mode=wal; create table t(a, b);" + insertion(500));
  mount_with("db");
  Database reader(file_, "ro");
  EXPECT_EQ(reader.ask("select count(*) from t"), "500");
  Database writer(file_, "rw");
  EXPECT_EQ(writer.ask(insertion(2500) + "pragma wal_checkpoint(passive);" + insertion(500) +
                       "select count(*) from t"),
            "3500");
  EXPECT_EQ(reader.ask("select count(*) from t"), "3500");
  EXPECT_EQ(reader.ask("pragma integrity_check"), "ok");
}

INSTANTIATE_TEST_SUITE_P(Everywhere, ExecutableData,
                         testing::Combine(testing::Values(Side::kKernel, Side::kLayerfs),
                                          testing::Values(0644, 0755, 0777)),
                         [](const auto& cell) {
                           return fmt::format(
                               "{}Mode{:o}",
                               std::get<0>(cell.param) == Side::kKernel ? "Kernel" : "Layerfs",
                               std::get<1>(cell.param));
                         });

}  // namespace
}  // namespace layerfs::test
