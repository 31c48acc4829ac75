#include "layerstore/staging.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <mutex>
#include <numeric>
#include <thread>
#include <utility>

#include "fs/sys/file.h"
#include "layerstore/file_util.h"
#include "layerstore/layer_dir.h"
#include "layerstore/unpack.h"

namespace layerfs::store {

namespace {

Outcome<sys::UniqueFd> create_blob(const TempDir& in, const std::string& name) {
  auto fd = sys::open_beneath(in.fd(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0644);
  if (!fd) return refuse("cannot make '" + in.path() + "/" + name + "'", fd.error());
  return std::move(*fd);
}

Outcome<sys::UniqueFd> create_tree(const TempDir& in, const std::string& name) {
  const std::string tree = name + "/" + kLayerTree;
  for (const std::string& directory : {name, tree}) {
    if (const auto made = make_dir(in.fd(), directory, 0700); !made) {
      return refuse("cannot make '" + in.path() + "/" + directory + "'", made.error());
    }
  }
  auto fd = open_dir(in.fd(), tree);
  if (!fd) return refuse("cannot open '" + in.path() + "/" + tree + "'", fd.error());
  return std::move(*fd);
}

Outcome<void> read_to_end(LayerStream& stream) {
  while (true) {
    LAYERFS_TRY_ASSIGN(const std::span<const std::byte> piece, stream.next());
    if (piece.empty()) return {};
  }
}

class Stager {
 public:
  Stager(std::vector<StagedLayer>& layers, const TempDir& temporary, const TreeFormat& format,
         const ImportLimits& limits, ImportProgress& progress)
      : layers_(layers),
        temporary_(temporary),
        format_(format),
        limits_(limits),
        progress_(progress) {
    for (StagedLayer& layer : layers_) {
      const std::uint64_t size = layer.input.region.size;
      progress_of_.push_back(&progress_.add(layer.diff_id, size));
      layer.input.cancelled = &cancelled_;
    }
    // The largest first, so that it does not run alone at the end.
    order_.resize(layers_.size());
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    std::ranges::sort(order_, [&](std::size_t a, std::size_t b) {
      return layers_[a].input.region.size > layers_[b].input.region.size;
    });
  }

  Outcome<void> run(unsigned threads) {
    std::vector<std::jthread> workers;
    const std::size_t count = std::min<std::size_t>(threads, layers_.size());
    for (std::size_t i = 1; i < count; ++i) workers.emplace_back([this] { work(); });
    work();
    workers.clear();
    if (failure_) return tl::make_unexpected(std::move(*failure_));
    return {};
  }

 private:
  void work() {
    for (std::size_t i = next_++; i < order_.size() && !cancelled_; i = next_++) {
      const std::size_t index = order_[i];
      Outcome<void> staged = stage_or_throw(index);
      if (!staged) give_up(layers_[index].label + ": " + staged.error().sentence, staged.error());
    }
  }

  Outcome<void> stage_or_throw(std::size_t index) {
    try {
      return stage(index);
    } catch (const std::exception& error) {
      return refuse(error.what(), ENOMEM);
    }
  }

  void give_up(std::string sentence, const Failure& failure) {
    const std::lock_guard lock(mutex_);
    // Those that stop because another failed are not the cause.
    if (!cancelled_.exchange(true)) failure_ = Failure{std::move(sentence), failure.code};
  }

  Outcome<void> stage(std::size_t index) {
    StagedLayer& layer = layers_[index];
    const std::string base = std::to_string(index);
    layer.place = temporary_.fd();
    sys::UniqueFd blob;
    if (layer.want_blob) {
      layer.blob_name = base + ".blob";
      LAYERFS_TRY_ASSIGN(blob, create_blob(temporary_, layer.blob_name));
    }
    LayerStream stream(layer.input, blob ? blob.get() : -1, &progress_of_[index]->done);
    if (layer.want_tree) {
      layer.layer_name = base + ".layer";
      LAYERFS_TRY_ASSIGN(const sys::UniqueFd tree, create_tree(temporary_, layer.layer_name));
      LAYERFS_TRY_ASSIGN(layer.notes, unpack_layer(stream, tree.get(), format_, limits_));
    } else {
      LAYERFS_TRY(read_to_end(stream));
    }
    layer.digests = stream.digests();
    progress_of_[index]->finished = true;
    return {};
  }

  std::vector<StagedLayer>& layers_;
  const TempDir& temporary_;
  const TreeFormat format_;
  const ImportLimits limits_;
  ImportProgress& progress_;
  std::vector<LayerProgress*> progress_of_;
  std::vector<std::size_t> order_;
  std::atomic<std::size_t> next_{0};
  std::atomic<bool> cancelled_{false};
  std::mutex mutex_;
  std::optional<Failure> failure_;  // guarded by mutex_
};

}  // namespace

Outcome<void> stage_layers(std::vector<StagedLayer>& layers, const TempDir& temporary,
                           const TreeFormat& format, const ImportLimits& limits, unsigned threads,
                           ImportProgress& progress) {
  return Stager(layers, temporary, format, limits, progress).run(std::max(threads, 1U));
}

}  // namespace layerfs::store
