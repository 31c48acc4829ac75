#include "snapshotter/mount_plan.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace layerfs::snapshotter {

std::vector<std::string> layerfs_options(const MountPlan& plan) {
  std::vector<std::string> options{fmt::format("lowerdir={}", fmt::join(plan.lowers, ":"))};
  const bool indexed =
      std::ranges::any_of(plan.indexes, [](const std::string& index) { return !index.empty(); });
  if (indexed) options.push_back(fmt::format("layerindex={}", fmt::join(plan.indexes, ":")));
  if (plan.upper.empty()) {
    options.emplace_back("ro");
    if (plan.root > 0) options.push_back(fmt::format("rootlayer={}", plan.root));
  } else {
    options.push_back("upperdir=" + plan.upper);
    options.push_back("workdir=" + plan.work);
  }
  options.insert(options.end(), plan.more.begin(), plan.more.end());
  return options;
}

Mount layerfs_mount(const MountPlan& plan, const std::string& helper) {
  return {"fuse3." + helper, "overlay", layerfs_options(plan)};
}

Mount overlay_mount(const MountPlan& plan) {
  return {"overlay",
          "overlay",
          {"workdir=" + plan.work, "upperdir=" + plan.upper,
           fmt::format("lowerdir={}", fmt::join(plan.lowers, ":"))}};
}

Mount bind_mount(const std::string& directory, bool read_only) {
  return {"bind", directory, {read_only ? "ro" : "rw", "rbind"}};
}

bool is_plain_path(const std::string& path) { return path.find_first_of(":,\\\"'\n") == path.npos; }

}  // namespace layerfs::snapshotter
