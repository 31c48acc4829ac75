// What an additional image store of containers-storage consists of; tests/runtime reads one with
// podman.
#include "layerstore/image_store.h"

#include <fcntl.h>

#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fs/sys/file.h"
#include "layerstore/tar_split.h"
#include "tests/support/command.h"
#include "tests/support/tar.h"
#include "tests/support/temp_dir.h"

namespace layerfs::store {
namespace {

using test::make_tar;
using test::tar_file;

// What containers-storage does with a layer's tree and the rest of the archive.
constexpr const char* kAssemble = R"(
import base64, gzip, json, os, sys
def crc64(data):
    crc = 0xffffffffffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8): crc = crc >> 1 ^ (0xd800000000000000 if crc & 1 else 0)
    return (crc ^ 0xffffffffffffffff).to_bytes(8, 'big')
out, files = open('again.tar', 'wb'), []
for place, line in enumerate(gzip.open('rest')):
    entry = json.loads(line)
    assert entry['position'] == place
    payload = base64.b64decode(entry['payload'])
    if entry['type'] == 1:
        name = base64.b64decode(entry['name_raw']) if 'name_raw' in entry else entry['name'].encode()
        files.append(name.decode(errors='backslashreplace'))
        content = open(os.path.join(b'tree', name), 'rb').read()
        assert len(content) == entry['size'] and crc64(content) == payload, name
        payload = content
    out.write(payload)
assert len(set(files)) == len(files)
print(*files)
)";

class TarSplit : public testing::Test {
 protected:
  TarSplit() { dir_.make("tree"); }

  void put(const std::string& name, const std::string& content) const {
    test::write_file(dir_ / "tree" / name, content);
  }
  // The names of the files whose content is not in the rest; fails unless the archive comes out of
  // it and the tree again.
  std::string split(const std::string& archive) const {
    test::write_file(dir_ / "archive.tar", archive);
    auto in = sys::open_path((dir_ / "archive.tar").c_str(), O_RDONLY);
    const auto tree = sys::open_path((dir_ / "tree").c_str(), O_PATH | O_DIRECTORY);
    const auto out = sys::open_path((dir_ / "rest").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    LayerInput input;
    input.region = {std::make_shared<const sys::UniqueFd>(std::move(*in)), 0, archive.size()};
    LayerStream stream(std::move(input), -1, nullptr);
    const auto done = write_tar_split(stream, tree->get(), out->get());
    EXPECT_TRUE(done) << done.error().sentence;
    const test::Ran ran = test::run({"python3", "-c", kAssemble}, {.directory = dir_.path()});
    EXPECT_TRUE(ran.ok()) << ran.err;
    EXPECT_TRUE(test::read_file(dir_ / "again.tar") == archive);
    return ran.out;
  }

  const test::TempDir dir_;
};

TEST_F(TarSplit, LeavesOutTheContentThatTheTreeHas) {
  const std::string big(200000, 'x');
  put("file", "content");
  put("d/big", big);
  EXPECT_EQ(split(make_tar({tar_file("file", "content"), test::tar_dir("d"), tar_file("d/big", big),
                            tar_file("empty"), test::tar_symlink("link", "file"),
                            test::tar_hard_link("more", "file"), test::tar_whiteout("d", "x")})),
            "file d/big\n");
}

TEST_F(TarSplit, KeepsWhatTheTreeHasNot) {
  put("other-size", "con");
  put("target", "content");
  std::filesystem::create_symlink("target", dir_ / "tree" / "link");
  EXPECT_EQ(split(make_tar({tar_file("gone", "content"), tar_file("other-size", "content"),
                            tar_file("link", "content"), tar_file("../target", "content")})),
            "\n");
}

TEST_F(TarSplit, LeavesOutOneOfSeveralThatTheTreeHas) {
  put("file", "last one");
  EXPECT_EQ(split(make_tar({tar_file("file", "first"), tar_file("file", "last one"),
                            tar_file("./file", "last one")})),
            "file\n");
}

// Of several entries the tree has the last, or what a layer's rules have made of them.
TEST_F(TarSplit, KeepsContentThatTheTreeHasOtherwiseThoughOfTheSameSize) {
  const std::string first = std::string(150000, 'x') + "1", last = std::string(150000, 'x') + "2";
  put("file", last);
  put("changed", "tree");
  EXPECT_EQ(split(make_tar(
                {tar_file("file", first), tar_file("file", last), tar_file("changed", "TREE")})),
            "file\n");
}

TEST_F(TarSplit, KnowsLongAndStrangeNames) {
  const std::string name = std::string(120, 'n') + "/" + std::string(200, 'm');
  put(name, "content");
  put("\xff", "raw");
  test::TarEntry entry = tar_file("short", "content");
  entry.pax = {{"path", name}};
  EXPECT_EQ(split(make_tar({entry, tar_file("\xff", "raw")})), name + " \\xff\n");
}

TEST_F(TarSplit, KeepsArchivesWithoutAnEndAndWithSomethingBehindIt) {
  put("file", "content");
  EXPECT_EQ(split(test::make_unended_tar({tar_file("file", "content")})), "file\n");
  EXPECT_EQ(split(make_tar({tar_file("file", "content")}) + "behind"), "file\n");
  EXPECT_EQ(split("no archive"), "\n");
  EXPECT_EQ(split(""), "\n");
}

TEST_F(TarSplit, KeepsWhatItDoesNotUnderstand) {
  put("file", "content");
  test::TarEntry sparse = tar_file("sparse", std::string(1024, 's'));
  sparse.type = 'S';
  EXPECT_EQ(split(make_tar({tar_file("file", "content"), sparse, tar_file("x", "y")})), "file\n");
}

TEST(ImageStoreName, IsAsPodmanWritesIt) {
  EXPECT_EQ(registry_name("demo"), "localhost/demo:latest");
  EXPECT_EQ(registry_name("debian:12"), "localhost/debian:12");
  EXPECT_EQ(registry_name("a/b"), "localhost/a/b:latest");
  EXPECT_EQ(registry_name("localhost/t/py:1"), "localhost/t/py:1");
  EXPECT_EQ(registry_name("example.com/x"), "example.com/x:latest");
  EXPECT_EQ(registry_name("host:5000/x:y"), "host:5000/x:y");
  for (const char* none : {"", "Upper", "a//b", "a:", "a@b", "-a", "a b", "x:y:z", "/a"}) {
    EXPECT_EQ(registry_name(none), std::nullopt) << none;
  }
  EXPECT_EQ(registry_name(std::string(300, 'a')), std::nullopt);
}

TEST(ImageStoreTime, IsInUtcWhateverTheImageSays) {
  EXPECT_EQ(utc_time("2024-03-01T12:34:56.789Z"), "2024-03-01T12:34:56Z");
  EXPECT_EQ(utc_time("2024-03-01T00:30:00+01:00"), "2024-02-29T23:30:00Z");
  EXPECT_EQ(utc_time("0001-01-01T00:00:00Z"), "0001-01-01T00:00:00Z");
  EXPECT_EQ(utc_time("2024-99-99T99:99:99Z").substr(0, 2), "20") << "some time";
  for (const char* none : {"", "yesterday", "2024-03-01", "2024-03-01T12:34:56"}) {
    EXPECT_EQ(utc_time(none), "1970-01-01T00:00:00Z") << none;
  }
}

}  // namespace
}  // namespace layerfs::store
