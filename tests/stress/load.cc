#include "tests/stress/load.h"

#include <fcntl.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "fs/sys/unique_fd.h"
#include "tests/stress/crowd.h"
#include "tests/stress/owner.h"

namespace layerfs::test {

void LoadReport::add(const LoadReport& other) {
  for (const auto& [what, count] : other.done) done[what] += count;
  wrong.insert(wrong.end(), other.wrong.begin(), other.wrong.end());
  wrong_count += other.wrong_count;
}

namespace {

LoadReport run_thread(int root, const SharedDirs& dirs, const LoadOptions& options,
                      unsigned thread) {
  const std::uint64_t seed = options.seed * 1000 + thread;
  Crowd crowd(root, seed, options.passthrough);
  Owner owner(dirs, root, seed, thread);
  const auto end = std::chrono::steady_clock::now() + options.time;
  while (std::chrono::steady_clock::now() < end) {
    for (int i = 0; i < 6; ++i) crowd.act();
    owner.act();
  }
  owner.check_all();
  LoadReport report = crowd.report();
  report.add(owner.report());
  return report;
}

// Makes the kernel forget inodes now and then, so that the daemon drops and finds nodes again.
void keep_forgetting(std::chrono::seconds time) {
  const auto end = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < end) {
    std::ofstream("/proc/sys/vm/drop_caches") << "2";
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
  }
}

}  // namespace

LoadReport run_load(const LoadOptions& options) {
  const sys::UniqueFd root(::open(options.root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root) throw std::runtime_error("cannot open " + options.root);
  SharedDirs dirs;
  for (unsigned i = 0; i < kSharedDirs; ++i)
    dirs.emplace_back(
        ::openat(root.get(), shared_dir(i).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  LoadReport report;
  std::mutex mutex;
  std::vector<std::thread> threads;
  threads.emplace_back(keep_forgetting, options.time);
  for (unsigned i = 0; i < options.threads; ++i) {
    threads.emplace_back([&, i] {
      const LoadReport own = run_thread(root.get(), dirs, options, i);
      const std::lock_guard lock(mutex);
      report.add(own);
    });
  }
  for (std::thread& thread : threads) thread.join();
  return report;
}

}  // namespace layerfs::test
