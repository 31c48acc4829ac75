#include "tests/mixed_io/scene.h"

#include <fmt/format.h>

#include "tests/mixed_io/fuzzer.h"
#include "tests/support/command.h"
#include "tests/support/temp_dir.h"

namespace layerfs::mixed_io {
namespace {

using std::filesystem::path;

std::string report(const std::string& problem, const std::string& where, std::uint64_t seed) {
  return problem.empty() ? "" : fmt::format("{}, seed {}: {}", where, seed, problem);
}

void make_files(const path& directory, std::uint64_t seed) {
  const auto contents = first_contents(seed);
  test::write_file(directory / "a", contents[0]);
  test::write_file(directory / "b", contents[1]);
}

std::string script(const path& directory, const std::string& text) {
  const test::Ran ran = test::shell(text, {.directory = directory});
  return ran.ok() ? "" : fmt::format("'{}' fails: {}", text, ran.err);
}

std::string mount(const path& directory, const Setting& setting) {
  return script(directory,
                fmt::format("{} mount -o lowerdir=lower,upperdir=upper,workdir=work{} mnt",
                            test::layerfs_program(), setting.options));
}

std::string unmount(const path& directory) {
  return script(directory, test::layerfs_program() + " umount mnt");
}

// `seen_at` has what the mount shows at "mnt".
std::string compare(const Fuzzer& fuzzer, const path& directory, const char* seen_at) {
  for (const File& file : fuzzer.files()) {
    const path name = path(file.path).filename();
    path seen = directory / seen_at / name;
    if (!std::filesystem::exists(seen)) seen = directory / "lower" / name;
    if (test::read_file(seen) != file.expected)
      return fmt::format("{} differs in '{}' afterwards", name.string(), seen_at);
  }
  return "";
}

}  // namespace

const std::vector<Setting>& settings() {
  static const std::vector<Setting> all = {
      {"Default", ""},
      {"Metacopy", ",metacopy=on"},
      {"LowerCached", ",passthrough=upper"},
      {"NoPassthrough", ",passthrough=none"},
      {"WritebackCache", ",passthrough=none,writeback=on"},
      {"NoPassthroughDevFuse", ",passthrough=none,transport=dev_fuse"},
  };
  return all;
}

std::string run_mounted(const path& directory, const Setting& setting, std::uint64_t seed,
                        int actions) {
  for (const char* name : {"lower", "upper", "work", "mnt"})
    std::filesystem::create_directory(directory / name);
  make_files(directory / "lower", seed);
  std::string problem = mount(directory, setting);
  if (!problem.empty()) return report(problem, setting.name, seed);
  Fuzzer fuzzer(directory / "mnt", seed);
  problem = fuzzer.run(actions);
  if (problem.empty()) problem = compare(fuzzer, directory, "mnt");
  if (problem.empty()) problem = compare(fuzzer, directory, "upper");
  if (problem.empty()) problem = unmount(directory);
  if (problem.empty()) problem = compare(fuzzer, directory, "upper");
  if (problem.empty()) problem = mount(directory, setting);
  if (problem.empty()) problem = compare(fuzzer, directory, "mnt");
  if (problem.empty()) problem = unmount(directory);
  return report(problem, setting.name, seed);
}

std::string run_plain(const path& directory, std::uint64_t seed, int actions) {
  make_files(directory, seed);
  return report(Fuzzer(directory, seed).run(actions), "plain directory", seed);
}

}  // namespace layerfs::mixed_io
