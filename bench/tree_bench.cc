// The merged tree without a kernel: lookups, misses, listings, creation, copy-up of attributes.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <benchmark/benchmark.h>

#include "fs/op/attr.h"
#include "fs/op/dir.h"
#include "fs/op/file_system.h"
#include "fs/op/lookup.h"
#include "fs/op/namespace.h"

namespace {

using namespace layerfs;

constexpr int kFiles = 1000;

std::string name_of(int i) { return "some-file-" + std::to_string(i) + ".h"; }

// `layers` directories that all have the directory "common", with 1,000 files together, and an
// upper; removed at the end.
class Union {
 public:
  explicit Union(int layers) {
    std::string path = std::filesystem::temp_directory_path() / "layerfs-bench-XXXXXX";
    if (mkdtemp(path.data()) == nullptr) std::abort();
    root_ = path;
    op::StackOptions options;
    for (int layer = 0; layer < layers; ++layer) {
      const auto directory = root_ / std::to_string(layer);
      std::filesystem::create_directories(directory / "common");
      for (int i = layer; i < kFiles; i += layers)
        std::ofstream(directory / "common" / name_of(i)) << i;
      options.lowerdirs.push_back(directory);
    }
    options.upperdir = root_ / "upper";
    options.workdir = root_ / "work";
    for (const auto& directory : {options.upperdir, options.workdir})
      std::filesystem::create_directory(directory);
    auto opened = op::open_file_system(options);
    if (!opened) std::abort();
    fs_ = std::move(*opened);
    common_ = op::lookup(*fs_, op::kRootNode, "common")->node;
  }
  ~Union() {
    fs_.reset();
    std::filesystem::remove_all(root_);
  }
  Union(const Union&) = delete;
  Union& operator=(const Union&) = delete;

  op::FileSystem& fs() { return *fs_; }
  op::NodeId common() const { return common_; }

 private:
  std::filesystem::path root_;
  op::FileSystemPtr fs_;
  op::NodeId common_ = 0;
};

void Lookup(benchmark::State& state) {
  Union merged(static_cast<int>(state.range(0)));
  int at = 0;
  for (auto _ : state) {
    const auto found = op::lookup(merged.fs(), merged.common(), name_of(at++ % kFiles));
    op::forget(merged.fs(), found->node, 1);
  }
}
BENCHMARK(Lookup)->Arg(1)->Arg(100);

void LookupOfNothing(benchmark::State& state) {
  Union merged(static_cast<int>(state.range(0)));
  for (auto _ : state)
    benchmark::DoNotOptimize(op::lookup(merged.fs(), merged.common(), "no-such-name"));
}
BENCHMARK(LookupOfNothing)->Arg(1)->Arg(100);

void ListWithAttributes(benchmark::State& state) {
  Union merged(static_cast<int>(state.range(0)));
  std::int64_t entries = 0;
  for (auto _ : state) {
    (void)op::readdirplus(merged.fs(), merged.common(), 0, op::ListedAttr::kOfAll,
                          [&](const op::DirEntry&, const op::Entry& entry) {
                            if (entry.node != 0) op::forget(merged.fs(), entry.node, 1);
                            ++entries;
                            return true;
                          });
  }
  state.SetItemsProcessed(entries);
}
BENCHMARK(ListWithAttributes)->Arg(1)->Arg(100);

void CreateAndUnlink(benchmark::State& state) {
  Union merged(1);
  for (auto _ : state) {
    const auto made = op::mknod(merged.fs(), {}, merged.common(), "new", S_IFREG | 0644, 0);
    if (!made || !op::unlink(merged.fs(), merged.common(), "new")) std::abort();
    op::forget(merged.fs(), made->node, 1);
  }
}
BENCHMARK(CreateAndUnlink);

void ChownOfALowerFile(benchmark::State& state) {
  Union merged(1);
  op::AttrChange change;
  change.uid = 1;
  int at = 0;
  for (auto _ : state) {
    const auto found = op::lookup(merged.fs(), merged.common(), name_of(at++));
    if (!found || !op::setattr(merged.fs(), found->node, change)) std::abort();
  }
}
BENCHMARK(ChownOfALowerFile)->Iterations(kFiles);

}  // namespace

BENCHMARK_MAIN();
