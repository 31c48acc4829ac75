#include "tests/oracle/side.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

#include "tests/oracle/compare.h"
#include "tests/oracle/forked.h"
#include "tests/oracle/layer_build.h"
#include "tests/oracle/process.h"
#include "tests/oracle/text.h"

namespace layerfs::oracle {
namespace {

Outcome<void> make_directory(const std::string& path, mode_t mode) {
  if (::mkdir(path.c_str(), 0755) != 0 || ::chmod(path.c_str(), mode) != 0)
    return refuse("no directory " + path, Errno::last());
  // A root that looks the same on both sides, whenever it was made.
  const timespec times[2] = {{1100000001, 0}, {1100000000, 0}};
  if (::utimensat(AT_FDCWD, path.c_str(), times, 0) != 0)
    return refuse("no times for " + path, Errno::last());
  return {};
}

}  // namespace

Side::Side(std::string dir, const Case& test, Subject subject, Encoding encoding, const Lab& lab)
    : dir_(std::move(dir)),
      test_(test),
      subject_(std::move(subject)),
      encoding_(encoding),
      lab_(lab) {}

Side::~Side() {
  live_.reset();
  // An upper that became a layer is a directory.
  for (const Layer& layer : lowers_) release_lower(layer.kind, layer.path);
  std::error_code ignored;  // whatever stays is on the scratch file system, which goes as a whole
  if (!lab_.keep) std::filesystem::remove_all(dir_, ignored);
}

std::string Side::upper() const { return fmt::format("{}/u{}", dir_, uppers_); }
std::string Side::work() const { return fmt::format("{}/w{}", dir_, uppers_); }

Outcome<void> Side::build() {
  std::error_code ignored;
  std::filesystem::remove_all(dir_, ignored);
  LAYERFS_TRY(make_directory(dir_, 0755));
  LAYERFS_TRY(make_directory(dir_ + "/m", 0755));
  for (size_t i = 0; i < test_.layers.size(); ++i) {
    Layer layer{fmt::format("{}/l{}", dir_, i), {}, lab_.lowers};
    LAYERFS_TRY(begin_lower(layer.kind, layer.path));
    LAYERFS_TRY(build_layer(test_.layers[i], layer.path, encoding_, test_.userxattr()));
    LAYERFS_TRY(finish_lower(layer.kind, layer.path));
    LAYERFS_TRY_ASSIGN(layer.before, raw_snapshot(layer.path));
    lowers_.push_back(std::move(layer));
  }
  return make_upper();
}

Outcome<void> Side::make_upper() {
  ++uppers_;
  LAYERFS_TRY(make_directory(upper(), static_cast<mode_t>(test_.upper_mode)));
  return make_directory(work(), 0755);
}

MountPlan Side::plan() const {
  MountPlan plan;
  for (const Layer& layer : lowers_) plan.lowers.push_back(layer.path);
  plan.upper = upper();
  plan.work = work();
  plan.target = dir_ + "/m";
  plan.options = test_.options;
  plan.log = dir_ + "/log";
  return plan;
}

Outcome<void> Side::mount_as(const Subject& other) {
  LAYERFS_TRY_ASSIGN(live_, LiveMount::mount(other, plan()));
  return {};
}

Outcome<void> Side::unmount() {
  if (!live_) return refuse("nothing is mounted", EINVAL);
  Outcome<void> done = live_->unmount();
  live_.reset();
  return done;
}

Outcome<Snapshot> Side::raw_snapshot(const std::string& dir) {
  const ForkedResult result =
      run_forked([&](int out) { write_all(out, to_text(take_snapshot(dir, SnapshotScope::kRaw))); },
                 lab_.limit, [] {});
  if (result.end != ForkedEnd::kDone) return refuse("no snapshot of " + dir, EIO);
  return parse_snapshot(result.output);
}

void Side::stop(std::string signature, std::string text) {
  if (!stop_.signature.empty()) return;
  const std::string death = live_ ? live_->daemon_death() : "";
  if (!death.empty()) signature = "crash";
  if (!death.empty()) text += "; the daemon ended with " + death;
  stop_ = {std::move(signature), std::move(text)};
}

Snapshot Side::snapshot() {
  const ForkedResult result = run_forked(
      [&](int out) {
        write_all(out, to_text(take_snapshot(plan().target, SnapshotScope::kMount)));
      },
      lab_.limit, [&] { live_->abort(); });
  if (result.end == ForkedEnd::kDone) {
    Outcome<Snapshot> parsed = parse_snapshot(result.output);
    if (parsed) return *parsed;
  }
  stop(result.end == ForkedEnd::kHung ? "hang:snapshot" : "crash:snapshot",
       "while the tree was read: " + result.detail);
  return {};
}

std::vector<std::string> Side::run(const std::vector<bool>& skip) {
  std::vector<std::string> results;
  size_t from = 0;
  while (from < test_.ops.size()) {
    size_t to = from;
    while (to < test_.ops.size() && !is_remount(test_.ops[to])) ++to;
    if (!run_stretch(from, to, skip, results)) return results;
    from = to;
    if (to == test_.ops.size()) break;
    if (Outcome<void> done = perform_remount(test_.ops[to]); !done) {
      stop("remount", done.error().sentence);
      return results;
    }
    results.push_back("ok");
    ++from;
  }
  return results;
}

Outcome<void> Side::perform_remount(const Op& op) {
  LAYERFS_TRY(unmount());
  if (op.kind == OpKind::kStackUpper) {
    Layer layer{upper(), {}};
    LAYERFS_TRY_ASSIGN(layer.before, raw_snapshot(layer.path));
    lowers_.insert(lowers_.begin(), std::move(layer));
    LAYERFS_TRY(make_upper());
  }
  return mount();
}

void Side::perform(size_t from, size_t to, const std::vector<bool>& skip, int out) const {
  Runner runner(plan().target, aliases_);
  const bool tamper = lab_.tamper_op && dir_.ends_with("/subject");
  for (size_t i = from; i < to; ++i) {
    std::string result = i < skip.size() && skip[i] ? "skipped" : runner.run(test_.ops[i]);
    if (tamper) lab_.tamper_op(test_.ops[i], result);
    write_all(out, "result=" + quote(result) + '\n');
  }
  for (const auto& [ino, alias] : runner.finish())
    write_all(out, fmt::format("alias={} {}\n", alias, ino));
}

bool Side::run_stretch(size_t from, size_t to, const std::vector<bool>& skip,
                       std::vector<std::string>& results) {
  if (from == to) return true;
  const ForkedResult forked = run_forked([&](int out) { perform(from, to, skip, out); }, lab_.limit,
                                         [&] { live_->abort(); });
  aliases_.clear();
  for (const std::string& line : split_lines(forked.output)) {
    const Outcome<std::vector<Word>> words = split_words(line);
    if (!words || words->empty()) continue;
    if (words->front().key == "result") results.emplace_back(words->front().value);
    if (words->front().key == "alias" && words->size() == 2)
      aliases_[std::stoull((*words)[1].key)] = std::stoi(words->front().value);
  }
  if (forked.end == ForkedEnd::kDone) return true;
  const size_t at = std::min(results.size(), test_.ops.size() - 1);
  const char* how = forked.end == ForkedEnd::kHung ? "hang:" : "crash:";
  stop(how + std::string(kind_name(test_.ops[at].kind)),
       fmt::format("operation {} ({}): {}", at + 1, to_text(test_.ops[at]), forked.detail));
  return false;
}

Outcome<void> Side::reencode() {
  const size_t stacked = lowers_.size() - test_.layers.size();
  for (size_t i = 0; i < test_.layers.size(); ++i)
    LAYERFS_TRY(reencode_as_devices(test_.layers[i], lowers_[stacked + i].path, test_.userxattr()));
  return {};
}

std::vector<std::string> Side::changed_lowers() {
  std::vector<std::string> changed;
  for (const Layer& layer : lowers_) {
    const Outcome<Snapshot> now = raw_snapshot(layer.path);
    if (!now) {
      changed.push_back(now.error().sentence);
      continue;
    }
    for (const Difference& difference : compare_exactly(layer.before, *now))
      changed.push_back(layer.path.substr(dir_.size() + 1) + ": " + to_text(difference));
  }
  return changed;
}

std::vector<std::string> Side::leftovers() const {
  std::vector<std::string> found;
  for (int i = 1; i <= uppers_; ++i) {
    const std::filesystem::path work = fmt::format("{}/w{}", dir_, i);
    for (const auto& entry : std::filesystem::recursive_directory_iterator(work)) {
      const std::string name = entry.path().lexically_relative(work);
      // The kernel's own: its scratch directory, kept empty, and the index of hard links.
      if (name == "work" || name == "index" || name.starts_with("index/")) continue;
      // And one whiteout that it keeps to link it where the next ones are needed.
      struct stat st = {};
      if (::lstat(entry.path().c_str(), &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == 0)
        continue;
      found.push_back(fmt::format("w{}/{}", i, name));
    }
  }
  return found;
}

std::string Side::daemon_messages() const { return read_text(plan().log); }

}  // namespace layerfs::oracle
