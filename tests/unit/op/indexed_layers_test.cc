// A union whose layers have indexes is the same as one whose layers have none.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "fs/layer/index_writer.h"
#include "fs/op/attr.h"
#include "fs/op/dir.h"
#include "fs/op/file.h"
#include "fs/op/file_system.h"
#include "fs/op/lookup.h"
#include "fs/op/namespace.h"
#include "fs/op/xattr.h"
#include "fs/sys/unique_fd.h"
#include "tests/support/command.h"
#include "tests/support/temp_dir.h"

namespace layerfs::op {
namespace {

using std::filesystem::path;

const Caller kRoot = {.uid = 0, .gid = 0, .pid = ::getpid(), .umask = 0};

sys::UniqueFd open_dir(const path& directory) {
  return sys::UniqueFd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY));
}

// Three layers with all that a layer can say; each in <dir>/<n>/fs, its index beside it.
class Layers {
 public:
  Layers() {
    build("3",
          "mkdir -p a/b/c gone merged/sub closed redirected/deep aufs-dir file-over-dir linked;"
          "echo 3 > a/b/c/deep; echo 3 > gone/x; echo 3 > merged/low; echo 3 > merged/sub/low;"
          "echo 3 > closed/hidden; echo 3 > redirected/deep/found; echo 3 > aufs-dir/hidden;"
          "echo 3 > file-over-dir/x; echo 3 > top; ln -s ../a link; mkfifo fifo; mknod dev c 1 5;"
          "echo data > meta; echo 1 > linked/1; ln linked/1 linked/2; ln linked/1 linked-3;"
          "echo 3 > whited; echo 3 > aufs-whited; touch dir-over-file; chmod 6755 top;"
          "setfattr -n user.x -v y top; setfacl -m u:7:r meta; truncate -s 1G sparse");
    build("2",
          "mkdir -p merged/sub closed aufs-dir dir-over-file; echo 2 > merged/mid;"
          "echo 2 > merged/sub/low; echo 2 > closed/shown;"
          "setfattr -n trusted.overlay.opaque -v y closed; mknod gone c 0 0; mknod whited c 0 0;"
          "touch aufs-dir/.wh..wh..opq aufs-dir/shown .wh.aufs-whited; touch file-over-dir;"
          "echo 2 > dir-over-file/x; mkdir moved; echo 2 > moved/new;"
          "setfattr -n trusted.overlay.redirect -v /redirected moved;"
          "touch meta; truncate -s 5 meta; chmod 600 meta;"
          "setfattr -n trusted.overlay.metacopy -v '' meta");
    build("1",
          "mkdir -p merged/sub a/b; echo 1 > merged/top; mknod merged/sub/low c 0 0;"
          "echo 1 > a/b/new; setfattr -n trusted.overlay.overlay.kept -v 1 a/b/new");
  }

  StackOptions options(bool indexed) const {
    StackOptions options;
    for (const char* name : {"1", "2", "3"}) {
      options.lowerdirs.push_back(dir_ / name / "fs");
      if (indexed) options.layer_indexes.push_back(dir_ / name / "index");
      options.whiteouts.push_back(whiteouts_of(name));
    }
    return options;
  }
  StackOptions writable(bool indexed) const {
    StackOptions options = this->options(indexed);
    const std::string suffix = indexed ? "-indexed" : "-plain";
    options.upperdir = dir_.make("upper" + suffix);
    options.workdir = dir_.make("work" + suffix);
    return options;
  }
  path layer(const std::string& name) const { return dir_ / name / "fs"; }
  path upper(bool indexed) const { return dir_ / (indexed ? "upper-indexed" : "upper-plain"); }

 private:
  struct Directory {
    test::TempDir dir;
    path operator/(const std::string& name) const { return dir.path() / name; }
    path make(const std::string& name) const { return dir.make(name); }
  };

  // The layer 2 has whiteouts of AUFS.
  static layer::Whiteouts whiteouts_of(const std::string& name) {
    return name == "2" ? layer::Whiteouts::kAufs : layer::Whiteouts::kOverlay;
  }

  void build(const std::string& name, const std::string& script) {
    const path root = dir_.make(name + "/fs");
    const test::Ran ran = test::shell(script, {.directory = root});
    ASSERT_TRUE(ran.ok()) << ran.err;
    const auto written = layer::write_index(open_dir(root).get(), open_dir(dir_ / name).get(),
                                            "index", false, whiteouts_of(name));
    ASSERT_TRUE(written) << written.error().sentence;
  }

  const Directory dir_;
};

FileSystemPtr open_union(const StackOptions& options) {
  auto fs = open_file_system(options);
  EXPECT_TRUE(fs) << fs.error().sentence;
  return fs ? std::move(*fs) : nullptr;
}

template <typename T>
std::string error_of(const Result<T>& result) {
  return result ? "ok" : "errno " + std::to_string(result.error().code());
}

std::string describe(FileSystem& fs, NodeId node, const struct stat& st) {
  std::ostringstream text;
  text << std::oct << st.st_mode << std::dec << " ino " << st.st_ino << " nlink " << st.st_nlink
       << " uid " << st.st_uid << " gid " << st.st_gid << " size " << st.st_size << " blocks "
       << st.st_blocks << " blksize " << st.st_blksize << " rdev " << st.st_rdev << " mtime "
       << st.st_mtim.tv_sec << '.' << st.st_mtim.tv_nsec << " ctime " << st.st_ctim.tv_sec << '.'
       << st.st_ctim.tv_nsec;
  if (S_ISLNK(st.st_mode)) text << " -> " << readlink(fs, node).value_or("?");
  auto names = listxattr(fs, kRoot, node);
  text << " xattrs " << error_of(names);
  if (names) {
    for (std::size_t at = 0; at < names->size(); at += std::strlen(names->c_str() + at) + 1) {
      const std::string name = names->c_str() + at;
      text << ' ' << name << '=' << getxattr(fs, node, name).value_or("?");
    }
  }
  text << " capability " << error_of(getxattr(fs, node, "security.capability"));
  return text.str();
}

// Every path with what is there, by listing, lookup and getattr.
using Picture = std::map<std::string, std::string>;
void walk(FileSystem& fs, NodeId dir, const std::string& where, Picture& picture) {
  std::vector<std::pair<std::string, ino_t>> names;
  const auto listed = readdir(fs, dir, 0, [&](const DirEntry& entry) {
    if (entry.name != "." && entry.name != "..") names.emplace_back(entry.name, entry.ino);
    return true;
  });
  ASSERT_TRUE(listed) << where << ' ' << listed.error().code();
  for (const auto& [name, ino] : names) {
    const std::string at = where + "/" + name;
    const auto entry = lookup(fs, dir, name);
    ASSERT_TRUE(entry) << at << ' ' << entry.error().code();
    EXPECT_EQ(entry->attr.st_ino, ino) << at;
    picture[at] = describe(fs, entry->node, entry->attr);
    const auto again = getattr(fs, entry->node);
    ASSERT_TRUE(again) << at;
    EXPECT_EQ(describe(fs, entry->node, *again), picture[at]);
    if (S_ISDIR(entry->attr.st_mode)) walk(fs, entry->node, at, picture);
    forget(fs, entry->node, 1);
  }
}

Picture picture_of(FileSystem& fs) {
  Picture picture;
  picture["/"] = describe(fs, kRootNode, getattr(fs, kRootNode).value());
  walk(fs, kRootNode, "", picture);
  return picture;
}

TEST(IndexedLayers, ShowWhatPlainLayersShow) {
  const Layers layers;
  const auto plain = open_union(layers.options(false));
  const auto indexed = open_union(layers.options(true));
  const Picture picture = picture_of(*indexed);
  EXPECT_EQ(picture, picture_of(*plain));
  EXPECT_TRUE(picture.contains("/moved/deep/found"));
  EXPECT_TRUE(picture.contains("/closed/shown"));
  EXPECT_FALSE(picture.contains("/closed/hidden"));
  EXPECT_FALSE(picture.contains("/whited"));
  EXPECT_FALSE(picture.contains("/merged/sub/low"));
}

TEST(IndexedLayers, AreWalkedWithoutTheLayersThemselves) {
  const Layers layers;
  const auto indexed = open_union(layers.options(true));
  const Picture before = picture_of(*open_union(layers.options(false)));
  // Nothing with an xattr may be left: their values are in the layer only.
  for (const char* layer : {"1", "2", "3"}) {
    test::shell("rm -rf ../away; mkdir ../away; mv -- * ../away",
                {.directory = layers.layer(layer)});
  }
  const std::string bare = "xattrs ok capability errno 61";
  std::size_t compared = 0;
  Picture after;
  struct Visit {
    FileSystem& fs;
    Picture& picture;
    void dir(NodeId node, const std::string& where) {
      std::vector<std::string> names;
      ASSERT_TRUE(readdir(fs, node, 0, [&](const DirEntry& entry) {
        if (entry.name != "." && entry.name != "..") names.emplace_back(entry.name);
        return true;
      }));
      for (const std::string& name : names) {
        const auto entry = lookup(fs, node, name);
        ASSERT_TRUE(entry) << where << '/' << name << ' ' << entry.error().code();
        picture[where + "/" + name] = describe(fs, entry->node, entry->attr);
        if (S_ISDIR(entry->attr.st_mode)) dir(entry->node, where + "/" + name);
      }
    }
  };
  Visit{*indexed, after}.dir(kRootNode, "");
  for (const auto& [where, what] : before) {
    if (where == "/" || !what.ends_with(bare)) continue;
    EXPECT_EQ(after[where], what) << where;
    ++compared;
  }
  EXPECT_EQ(after.size() + 1, before.size());
  EXPECT_GT(compared, 25u);
  EXPECT_EQ(lookup(*indexed, kRootNode, "no such name").error().code(), ENOENT);
}

// The same changes through both; compared are the results, the union and the upper.
TEST(IndexedLayers, AreChangedAsPlainLayersAre) {
  const Layers layers;
  std::map<bool, std::vector<std::string>> results;
  std::map<bool, Picture> pictures;
  for (const bool with_index : {false, true}) {
    const auto fs = open_union(layers.writable(with_index));
    auto& log = results[with_index];
    const auto node = [&](const std::string& where) {
      NodeId at = kRootNode;
      for (const path& name : path(where)) {
        const auto entry = lookup(*fs, at, name.string());
        if (!entry) return NodeId{0};
        at = entry->node;
      }
      return at;
    };
    const auto chmod = [&](const std::string& where, mode_t mode) {
      AttrChange change;
      change.mode = mode;
      log.push_back(error_of(setattr(*fs, node(where), change)));
    };
    const auto append = [&](const std::string& where) {
      const auto opened = open(*fs, node(where), O_RDWR);
      log.push_back(error_of(opened));
      if (!opened) return;
      const std::byte bytes[] = {std::byte{'+'}};
      log.push_back(error_of(write(*fs, node(where), opened->handle, bytes, 1, std::nullopt)));
      release(*fs, node(where), opened->handle);
    };
    chmod("a/b/c/deep", 0600);
    chmod("meta", 0640);
    append("merged/low");
    append("meta");
    append("linked/1");
    chmod("linked/2", 0611);
    log.push_back(error_of(unlink(*fs, node("linked"), "2")));
    log.push_back(error_of(unlink(*fs, kRootNode, "top")));
    log.push_back(error_of(rename(*fs, kRootNode, "merged", kRootNode, "renamed", 0)));
    log.push_back(error_of(rename(*fs, node("moved"), "deep", kRootNode, "deep", 0)));
    log.push_back(error_of(rmdir(*fs, kRootNode, "closed")));
    log.push_back(error_of(unlink(*fs, node("closed"), "shown")));
    log.push_back(error_of(rmdir(*fs, kRootNode, "closed")));
    log.push_back(error_of(mkdir(*fs, kRoot, kRootNode, "closed", 0755)));
    log.push_back(error_of(mkdir(*fs, kRoot, kRootNode, "whited", 0755)));
    log.push_back(error_of(link(*fs, node("link"), node("a"), "second")));
    log.push_back(error_of(setxattr(*fs, node("fifo"), "trusted.t", "v", 0, false)));
    log.push_back(error_of(removexattr(*fs, node("renamed/top"), "user.none")));
    Picture picture;
    walk(*fs, kRootNode, "", picture);
    pictures[with_index] = picture;
  }
  EXPECT_EQ(results[true], results[false]);
  EXPECT_EQ(std::count(results[true].begin(), results[true].end(), "ok"),
            static_cast<long>(results[true].size()) - 2);
  // Times and numbers of what is new differ; names, types and sizes do not.
  const auto coarse = [](const Picture& picture) {
    Picture result;
    for (const auto& [where, what] : picture) {
      const auto size = what.find(" size ");
      result[where] = what.substr(0, what.find(" ino ")) +
                      what.substr(what.find(" nlink "), size - what.find(" nlink "));
    }
    return result;
  };
  EXPECT_EQ(coarse(pictures[true]), coarse(pictures[false]));
  const auto upper = [&](bool with_index) {
    return test::shell(
               "find . -printf '%p %M %n %s %l\\n' | sort; getfattr -Rhd -m trusted. . | "
               "grep -v overlay.origin",
               {.directory = layers.upper(with_index)})
        .out;
  };
  EXPECT_EQ(upper(true), upper(false));
}

TEST(IndexedLayers, AreReadFromTheDirectoryWhereTheIndexIsOfNoUse) {
  const Layers layers;
  const auto expected = [&] { return picture_of(*open_union(layers.options(false))); };
  // Not there, no index, and out of date.
  StackOptions options = layers.options(true);
  options.layer_indexes[0] = "/nonexistent/index";
  test::write_file(options.layer_indexes[1], std::string(4096, 'x'));
  test::write_file(layers.layer("3") / "new", "");
  EXPECT_EQ(picture_of(*open_union(options)), expected());
  EXPECT_TRUE(expected().contains("/new"));
}

}  // namespace
}  // namespace layerfs::op
