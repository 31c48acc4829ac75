// Mixed ways of input and output by hand: long runs, and a seed that failed.
#include <chrono>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "tests/mixed_io/scene.h"
#include "tests/support/loop_fs.h"
#include "tests/support/temp_dir.h"

namespace layerfs::mixed_io {
namespace {

struct Arguments {
  std::uint64_t seed = 1;
  std::uint64_t count = 1'000'000;
  int actions = 1000;
  int seconds = 60;
  std::string setting;
  std::string filesystem = "ext4";
};

std::string run_seed(const Arguments& arguments, std::uint64_t seed) {
  const test::TempDir dir;
  test::mount_new_fs(dir, arguments.filesystem);
  std::string found;
  const std::string below = "fs-" + arguments.filesystem + "/";
  if (arguments.setting == "plain")
    return run_plain(dir.make(below + "plain"), seed, arguments.actions);
  for (const Setting& setting : settings()) {
    if (!arguments.setting.empty() && arguments.setting != setting.name) continue;
    found += run_mounted(dir.make(below + setting.name), setting, seed, arguments.actions);
  }
  return found;
}

int run(const Arguments& arguments) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(arguments.seconds);
  std::uint64_t done = 0;
  std::uint64_t failed = 0;
  for (; done < arguments.count && std::chrono::steady_clock::now() < end; ++done) {
    const std::string found = run_seed(arguments, arguments.seed + done);
    if (found.empty()) continue;
    ++failed;
    fmt::print("{}\n", found);
  }
  fmt::print("{} seeds of {} actions, {} failed\n", done, arguments.actions, failed);
  return failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace layerfs::mixed_io

int main(int argc, char** argv) {
  layerfs::mixed_io::Arguments arguments;
  CLI::App app("Reads and writes two files of a mount in all ways, at random");
  app.add_option("--seed", arguments.seed, "first seed")->capture_default_str();
  app.add_option("--count", arguments.count, "seeds")->capture_default_str();
  app.add_option("--actions", arguments.actions, "for each seed and setting")
      ->capture_default_str();
  app.add_option("--seconds", arguments.seconds, "end after so long")->capture_default_str();
  app.add_option("--setting", arguments.setting, "one of the test's, or plain; default: all");
  app.add_option("--fs", arguments.filesystem, "below the layers: ext4, xfs, btrfs or tmpfs")
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  return layerfs::mixed_io::run(arguments);
}
