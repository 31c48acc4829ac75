// A program of a lower layer that is written while somebody has it open: another inode takes its
// name, and what was open goes on with the lower file (doc/tree.md, "Open files").
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <string>

#include "fs/sys/unique_fd.h"
#include "tests/mount/union_fixture.h"

namespace layerfs::test {
namespace {

sys::UniqueFd open_path(const std::string& path, int flags) {
  return sys::UniqueFd(::open(path.c_str(), flags | O_CLOEXEC));
}

std::string fd_path(const sys::UniqueFd& fd) { return "/proc/self/fd/" + std::to_string(fd.get()); }

std::size_t bytes_of(int fd) {
  std::array<char, 4096> buffer{};
  std::size_t size = 0;
  ssize_t got = 0;
  while ((got = ::pread(fd, buffer.data(), buffer.size(), static_cast<off_t>(size))) > 0)
    size += static_cast<std::size_t>(got);
  return size;
}

std::size_t size_of(int fd) {
  struct stat attr = {};
  EXPECT_EQ(::fstat(fd, &attr), 0);
  return static_cast<std::size_t>(attr.st_size);
}

class Switch : public Union {
 protected:
  // Mounts, and has a program opened and then written.
  void SetUp() override {
    mount("cp /bin/true lower/program");
    program_ = root_ / "program";
    old_size_ = std::filesystem::file_size(program_);
    bound_ = dir_ / "bound";
    write_file(bound_, "");
    ASSERT_EQ(::mount(program_.c_str(), bound_.c_str(), nullptr, MS_BIND, nullptr), 0);
    open_path(program_, O_RDONLY).reset();  // what the daemon keeps of it serves the next
    reader_ = open_path(program_, O_RDONLY);
    unread_ = open_path(program_, O_PATH);
    append("more");
  }
  void TearDown() override { ::umount2(bound_.c_str(), MNT_DETACH); }

  void append(const std::string& text) const {
    const sys::UniqueFd writer = open_path(program_, O_WRONLY | O_APPEND);
    ASSERT_EQ(::write(writer.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }

  // Returns when the daemon knows.
  void close_reader() {
    mount_->requests_of([&] { reader_.reset(); });
  }

  std::string program_;
  std::string bound_;  // where a bind mount of it is
  std::size_t old_size_ = 0;
  sys::UniqueFd reader_;
  sys::UniqueFd unread_;
};

TEST_F(Switch, TheNameShowsWhatWasWritten) {
  EXPECT_EQ(read_file(program_).size(), old_size_ + 4);
  EXPECT_EQ(std::filesystem::file_size(program_), old_size_ + 4);
}

TEST_F(Switch, AnOlderDescriptorHasTheSizeOfWhatItReads) {
  EXPECT_EQ(bytes_of(reader_.get()), old_size_);
  EXPECT_EQ(size_of(reader_.get()), old_size_);
  append("and more");
  EXPECT_EQ(bytes_of(reader_.get()), old_size_);
  EXPECT_EQ(size_of(reader_.get()), old_size_);
}

TEST_F(Switch, ADescriptorOpenedFromAnOlderOneReadsTheSame) {
  const sys::UniqueFd again = open_path(fd_path(reader_), O_RDONLY);
  ASSERT_TRUE(again) << errno;
  EXPECT_EQ(bytes_of(again.get()), old_size_);
}

TEST_F(Switch, AnOlderDescriptorRuns) {
  const pid_t child = ::fork();
  if (child == 0) {
    char name[] = "program";
    char* arguments[] = {name, nullptr};
    ::fexecve(reader_.get(), arguments, environ);
    ::_exit(errno);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0) << WEXITSTATUS(status);
}

TEST_F(Switch, WritingThroughAnOlderDescriptorIsRefused) {
  EXPECT_FALSE(open_path(fd_path(reader_), O_RDWR));
  EXPECT_EQ(errno, ESTALE);
  EXPECT_EQ(read_file(program_).size(), old_size_ + 4);
}

TEST_F(Switch, ABindMountRunsMeanwhile) { EXPECT_TRUE(run({bound_}).ok()); }

TEST_F(Switch, WithoutOlderDescriptorsABindMountIsTheFileAgain) {
  close_reader();
  EXPECT_EQ(std::filesystem::file_size(bound_), old_size_ + 4);
  EXPECT_EQ(read_file(bound_).size(), old_size_ + 4);
  append("and more");
  EXPECT_EQ(std::filesystem::file_size(bound_), old_size_ + 12);
  EXPECT_EQ(read_file(bound_).size(), old_size_ + 12);
  EXPECT_TRUE(run({bound_}).ok());
}

TEST_F(Switch, WithoutOlderDescriptorsABindMountIsWritten) {
  close_reader();
  const sys::UniqueFd writer = open_path(bound_, O_RDWR | O_APPEND);
  ASSERT_TRUE(writer) << errno;
  EXPECT_EQ(::write(writer.get(), "through the mount", 17), 17);
  EXPECT_EQ(read_file(program_).size(), old_size_ + 21);
  EXPECT_EQ(std::filesystem::file_size(program_), old_size_ + 21);
}

TEST_F(Switch, WithoutOlderDescriptorsAPathDescriptorOpensTheFile) {
  close_reader();
  const sys::UniqueFd opened = open_path(fd_path(unread_), O_RDONLY);
  ASSERT_TRUE(opened) << errno;
  EXPECT_EQ(bytes_of(opened.get()), old_size_ + 4);
}

}  // namespace
}  // namespace layerfs::test
