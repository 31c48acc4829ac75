// Processors that do not go to sleep.
#pragma once

#include <memory>

namespace layerfs::fuse {

// While it is held, processors with nothing to do wait awake, so that a task that is woken on one
// runs at once. Between the calls the processors sleep as they like. For one thread at a time.
class AwakeProcessors {
 public:
  virtual ~AwakeProcessors() = default;
  virtual void hold() noexcept = 0;
  virtual void release() noexcept = 0;
};

// The best that this process may have: the kernel's own request for a short latency
// (/dev/cpu_dma_latency, root's; Documentation/power/pm_qos_interface.rst of Linux), else threads
// of the idle class that spin, one for each processor of a small machine. Null where there is
// neither.
std::unique_ptr<AwakeProcessors> awake_processors();

}  // namespace layerfs::fuse
