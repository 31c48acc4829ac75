// The layer index: what a lookup, a miss, a listing and a whole walk cost.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "fs/layer/index.h"
#include "fs/layer/index_builder.h"
#include "fs/sys/unique_fd.h"

namespace {

using namespace layerfs;
using namespace layerfs::layer;

constexpr int kPerDirectory = 30;

std::string name_of(int i) { return "some-file-" + std::to_string(i) + ".h"; }

// An index of directories with 30 files each, as images have it.
std::unique_ptr<Index> make_index(int directories) {
  struct stat st = {};
  st.st_mode = S_IFDIR | 0755;
  IndexBuilder builder({}, st, 0);
  for (int d = 0; d < directories; ++d) {
    st.st_mode = S_IFDIR | 0755;
    const auto dir = builder.add_inode(st, 0).value();
    (void)builder.add_entry(0, "directory" + std::to_string(d), dir);
    st.st_mode = S_IFREG | 0644;
    for (int f = 0; f < kPerDirectory; ++f) {
      (void)builder.add_entry(dir, name_of(f), builder.add_inode(st, 0).value());
    }
  }
  std::string file = std::filesystem::temp_directory_path() / "layerfs-bench-XXXXXX";
  const sys::UniqueFd fd(mkstemp(file.data()));
  if (!builder.write(fd.get())) std::abort();
  auto index = Index::open(AT_FDCWD, file.c_str());
  std::filesystem::remove(file);
  return std::move(index.value());
}

void find(benchmark::State& state, const char* suffix) {
  const auto directories = static_cast<int>(state.range(0));
  const auto index = make_index(directories);
  std::vector<IndexSlot> slots;
  for (int d = 0; d < directories; ++d) {
    slots.push_back(index->find(kIndexRoot, "directory" + std::to_string(d)).value()->slot);
  }
  std::vector<std::string> names;
  for (int f = 0; f < kPerDirectory; ++f) names.push_back(name_of(f) + suffix);
  std::size_t at = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        index->find(slots[at * 7919 % slots.size()], names[at % names.size()]));
    ++at;
  }
}

void Hit(benchmark::State& state) { find(state, ""); }
void Miss(benchmark::State& state) { find(state, "~"); }
BENCHMARK(Hit)->Arg(10)->Arg(1000);
BENCHMARK(Miss)->Arg(10)->Arg(1000);

std::size_t walk(const Index& index, IndexSlot dir) {
  std::size_t seen = 0;
  (void)index.for_each(dir, 0, [&](const IndexedEntry& entry) -> Result<void> {
    ++seen;
    benchmark::DoNotOptimize(index.inode(entry.slot));
    if (entry.type == DT_DIR) seen += walk(index, entry.slot);
    return {};
  });
  return seen;
}

void WalkWithAttributes(benchmark::State& state) {
  const auto index = make_index(static_cast<int>(state.range(0)));
  std::size_t seen = 0;
  for (auto _ : state) seen += walk(*index, kIndexRoot);
  state.SetItemsProcessed(static_cast<std::int64_t>(seen));
}
BENCHMARK(WalkWithAttributes)->Arg(1000);

}  // namespace

BENCHMARK_MAIN();
