// Progress of an import on a terminal.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <thread>

#include "layerstore/import.h"
#include "tools/io.h"

namespace layerfs::tools {

// Draws a bar per layer on io.err, some times a second, until it dies; then the lines are gone.
// Does nothing where io.err is no terminal.
class ProgressBars {
 public:
  // Both must outlive this.
  ProgressBars(Io& io, const store::ImportProgress& progress);
  ~ProgressBars();
  ProgressBars(const ProgressBars&) = delete;
  ProgressBars& operator=(const ProgressBars&) = delete;

 private:
  void run();
  void draw();
  void erase();

  Io& io_;
  const store::ImportProgress& progress_;
  std::size_t lines_ = 0;  // drawn; of the drawing thread
  std::mutex mutex_;
  std::condition_variable ended_;
  bool end_ = false;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace layerfs::tools
