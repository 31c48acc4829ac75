#include "tests/snapshotter/fixture.h"

#include <algorithm>
#include <sstream>
#include <stdexcept>

#include "layerstore/digest.h"
#include "layerstore/layer_dir.h"
#include "tests/support/command.h"
#include "tools/commands.h"

namespace layerfs::test {

namespace fs = std::filesystem;

namespace {

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ",") + word;
  return text;
}

void run_or_throw(const std::vector<std::string>& argv) {
  const Ran ran = run(argv);
  if (!ran.ok()) throw std::runtime_error(argv[0] + ": " + ran.err);
}

}  // namespace

SnapshotterTest::SnapshotterTest() {
  options_.helper = layerfs_program();
  options_.sync = false;
  restart();
}

SnapshotterTest::~SnapshotterTest() = default;

void SnapshotterTest::restart() {
  snapshotter_.reset();
  auto opened = snapshotter::Snapshotter::open(root(), options_);
  if (!opened) throw std::runtime_error(opened.error().sentence);
  snapshotter_ = std::move(*opened);
}

fs::path SnapshotterTest::mount(const std::vector<Mount>& mounts) {
  const fs::path point = dir_.make("mnt-" + std::to_string(next_++));
  mount_at(mounts, point);
  return point;
}

void SnapshotterTest::mount_at(const std::vector<Mount>& mounts, const fs::path& point) {
  if (mounts.size() != 1) throw std::runtime_error("not one mount");
  const Mount& mount = mounts[0];
  if (mount.type == "bind") {
    run_or_throw({"mount", "--rbind", mount.source, point});
    if (mount.options[0] == "ro") run_or_throw({"mount", "-o", "remount,bind,ro", point});
  } else if (mount.type == "overlay") {
    run_or_throw({"mount", "-t", "overlay", "-o", joined(mount.options), "overlay", point});
  } else if (mount.type.starts_with("fuse3.")) {
    run_or_throw({"mount.fuse3", mount.source, point, "-o", joined(mount.options) + ",dev,suid",
                  "-t", mount.type.substr(6)});
  } else {
    throw std::runtime_error("a mount of the type " + mount.type);
  }
}

void SnapshotterTest::unmount(const fs::path& point) { run_or_throw({"umount", point}); }

void SnapshotterTest::layer(const std::string& name, const std::string& parent,
                            const std::string& script) {
  const std::string key = name + "-active";
  const auto prepared = snapshots().prepare(key, parent, {});
  ASSERT_THAT(prepared, Granted());
  const fs::path point = mount(*prepared);
  const Ran ran = shell(script, {.directory = point});
  ASSERT_TRUE(ran.ok()) << ran.err;
  unmount(point);
  ASSERT_THAT(snapshots().commit(name, key, {}), Granted());
}

std::string SnapshotterTest::unpack(const std::string& name_space,
                                    const std::vector<std::string>& diff_ids,
                                    const std::string& parent, const std::string& script,
                                    const Labels& labels) {
  const std::string chain = chain_id(diff_ids);
  const std::string number = std::to_string(next_++);
  const std::string key = name_space + "/" + number + "/extract-" + number + "-Abc_ " + chain;
  const std::string name = name_space + "/" + number + "/" + chain;
  const auto prepared = snapshots().prepare(key, parent, labels);
  EXPECT_THAT(prepared, Granted());
  if (!prepared) return "";
  const fs::path point = mount(*prepared);
  const Ran ran = shell(script, {.directory = point});
  EXPECT_TRUE(ran.ok()) << ran.err;
  unmount(point);
  EXPECT_THAT(snapshots().commit(name, key, labels), Granted());
  return name;
}

std::string SnapshotterTest::shown(const std::string& name, const std::string& script) {
  const std::string key = "shown-" + std::to_string(next_++);
  const auto viewed = snapshots().view(key, name, {});
  EXPECT_THAT(viewed, Granted());
  if (!viewed) return "";
  const fs::path point = mount(*viewed);
  const Ran ran = shell(script, {.directory = point});
  unmount(point);
  EXPECT_THAT(snapshots().remove(key), Granted());
  return ran.out + ran.err;
}

void SnapshotterTest::expect_consistent() {
  EXPECT_THAT(snapshots().cleanup(), Granted());
  std::vector<Info> all;
  EXPECT_THAT(snapshots().list({},
                               [&](const std::vector<Info>& infos) {
                                 all.insert(all.end(), infos.begin(), infos.end());
                                 return true;
                               }),
              Granted());
  std::size_t workplaces = 0;
  for (const Info& info : all) {
    if (info.kind == Kind::kActive || (info.kind == Kind::kView && info.parent.empty())) {
      ++workplaces;
    }
    if (info.kind == Kind::kCommitted) shown(info.name, "ls >/dev/null");
    EXPECT_THAT(snapshots().usage(info.name), Granted());
  }
  EXPECT_EQ(listed("containerd/snapshots").size(), workplaces);
  EXPECT_EQ(listed("pins/containerd"), listed("layers/sha256"));
  EXPECT_EQ(listed("tmp"), std::vector<std::string>());
}

std::string SnapshotterTest::layerfs(std::vector<std::string> args) const {
  args.push_back("--root=" + root().string());
  std::ostringstream out, err;
  tools::Io io{out, err};
  EXPECT_EQ(tools::run_layerfs(args, io), 0) << err.str();
  return out.str();
}

void SnapshotterTest::import_layers(const std::string& name,
                                    const std::vector<LayerSpec>& layers) const {
  const TempDir layout;
  write_layout(layout.path(), name, layers);
  layerfs({"import", layout.path().string()});
}

std::vector<std::string> SnapshotterTest::listed(const std::string& name) const {
  std::vector<std::string> names;
  if (!fs::exists(root() / name)) return names;
  for (const auto& entry : fs::directory_iterator(root() / name)) {
    names.push_back(entry.path().filename());
  }
  std::ranges::sort(names);
  return names;
}

std::string chain_id(const std::vector<std::string>& diff_ids) {
  std::vector<store::Digest> digests;
  for (const std::string& text : diff_ids) digests.push_back(*store::Digest::parse(text));
  return store::chain_ids(digests).back().text();
}

}  // namespace layerfs::test
