#include "tools/progress.h"

#include <algorithm>
#include <chrono>
#include <string>

#include "tools/human.h"

namespace layerfs::tools {

namespace {

constexpr std::chrono::milliseconds kInterval(100);
constexpr std::size_t kMaxLines = 16;  // an image may have a hundred layers, a terminal has not
constexpr std::size_t kTextWidth = 42;
constexpr std::size_t kDigestDigits = 12;

std::string bar(std::uint64_t done, std::uint64_t total, std::size_t width) {
  const std::size_t filled = total == 0 ? width : static_cast<std::size_t>(width * done / total);
  return std::string(std::min(filled, width), '#') +
         std::string(width - std::min(filled, width), '.');
}

}  // namespace

ProgressBars::ProgressBars(Io& io, const store::ImportProgress& progress)
    : io_(io), progress_(progress) {
  if (io.is_terminal) thread_ = std::thread([this] { run(); });
}

ProgressBars::~ProgressBars() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    end_ = true;
  }
  ended_.notify_one();
  thread_.join();
}

void ProgressBars::run() {
  std::unique_lock lock(mutex_);
  while (!ended_.wait_for(lock, kInterval, [this] { return end_; })) draw();
  erase();
  io_.err.flush();
}

void ProgressBars::erase() {
  for (; lines_ > 0; --lines_) io_.err.print("\x1b[1A\x1b[2K");
}

void ProgressBars::draw() {
  erase();
  const auto columns = static_cast<std::size_t>(std::max(io_.width, 0));
  const std::size_t width = columns > kTextWidth + 10 ? columns - kTextWidth : 10;
  std::size_t finished = 0;
  std::size_t hidden = 0;
  for (const store::LayerProgress* layer : progress_.layers()) {
    if (layer->finished) {
      ++finished;
    } else if (lines_ >= kMaxLines) {
      ++hidden;
    } else {
      const std::uint64_t done = layer->done;
      io_.err.print("{}  [{}] {:>7} of {:>7}\n", layer->diff_id.hex().substr(0, kDigestDigits),
                    bar(done, layer->total, width), human_size(done), human_size(layer->total));
      ++lines_;
    }
  }
  if (finished + hidden > 0) {
    io_.err.print("{} done, {} waiting\n", counted(finished, "layer"), hidden);
    ++lines_;
  }
  io_.err.flush();
}

}  // namespace layerfs::tools
