// No text from an image, a store or another user's mount reaches a terminal as a command to it.
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/e2e/layerfs.h"
#include "tests/support/image.h"
#include "tests/support/tar.h"

namespace layerfs::test {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using ::testing::HasSubstr;

// Sets the title, rings, turns red, a C1 control, a line of its own, a tab, DEL, turned around.
const std::string kEvil =
    "\x1b]0;owned\x07\x1b[31m\xc2\x9b"
    "5n\r\nroot#\tx\x7f\u202e\u2066";
// In a file name, which need not be UTF-8.
const std::string kEvilName = kEvil + "\x9b\xff";

// What a terminal would obey, of the characters that are looked for here; "" if there is nothing.
std::string command_in(const std::string& text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const std::string_view rest = std::string_view(text).substr(i);
    const auto next = rest.size() > 1 ? static_cast<unsigned char>(rest[1]) : 0;
    if ((byte < 0x20 && byte != '\n') || byte == 0x7f) return "control at " + text.substr(0, i);
    if (byte == 0xc2 && next < 0xa0) return "C1 at " + text.substr(0, i);
    for (const std::string_view turn : {"\u202a", "\u202b", "\u202c", "\u202d", "\u202e", "\u2066",
                                        "\u2067", "\u2068", "\u2069", "\u2028", "\u2029"})
      if (rest.starts_with(turn)) return "a turn at " + text.substr(0, i);
  }
  try {
    static_cast<void>(Json(text).dump());
  } catch (const Json::exception&) {
    return "not UTF-8: " + text;
  }
  // A line that the evil text would have made its own.
  if (text.find("\nroot#") != text.npos) return "a line of another's: " + text;
  return "";
}

class Terminal : public ::testing::Test {
 protected:
  // Runs it, whatever its status, and looks at all it said.
  Ran said(const std::vector<std::string>& args) const { return looked_at(layerfs_(args), args); }

  // The same as the user 1000.
  Ran said_to_alice(const std::vector<std::string>& args) const {
    std::vector<std::string> all = {"setpriv", "--reuid",        "1000",           "--regid",
                                    "1000",    "--clear-groups", layerfs_program()};
    all.insert(all.end(), args.begin(), args.end());
    return looked_at(run(all), all);
  }

  static Ran looked_at(Ran ran, const std::vector<std::string>& args) {
    const std::string what = ::testing::PrintToString(args);
    EXPECT_EQ(command_in(ran.out), "") << what;
    EXPECT_EQ(command_in(ran.err), "") << what;
    EXPECT_FALSE(ran.out.empty() && ran.err.empty() && !ran.ok()) << what;
    return ran;
  }

  fs::path layout() const { return layerfs_.dir() / "layout"; }

  std::string add_blob(const std::string& data) const {
    write_file(layout() / "blobs/sha256" / sha256_hex(data), data);
    return "sha256:" + sha256_hex(data);
  }

  Json descriptor(const std::string& type, const std::string& data) const {
    return {{"mediaType", "application/vnd.oci.image." + type},
            {"digest", add_blob(data)},
            {"size", data.size()}};
  }

  static void add_missing(Json& object, const Json& members) {
    for (const auto& [key, value] : members.items())
      if (!object.contains(key)) object[key] = value;
  }

  static Json evil_config(const std::string& tar) {
    return {{"created", kEvil},
            {"author", kEvil},
            {"architecture", kEvil},
            {"os", kEvil},
            {"variant", kEvil},
            {"config",
             {{"User", kEvil},
              {"WorkingDir", "/" + kEvil},
              {"Env", {kEvil + "=" + kEvil}},
              {"Entrypoint", {kEvil}},
              {"Cmd", {kEvil, kEvil}},
              {"Volumes", {{"/" + kEvil, Json::object()}}},
              {"ExposedPorts", {{kEvil, Json::object()}}},
              {"StopSignal", kEvil},
              {"Labels", {{kEvil, kEvil}}}}},
            {"history", {{{"created_by", kEvil}, {"comment", kEvil}}}},
            {"rootfs", {{"type", "layers"}, {"diff_ids", {"sha256:" + sha256_hex(tar)}}}}};
  }

  // An image layout with one image, after `change` has seen its parts.
  void make_layout(const std::function<void(Json& config, Json& manifest, Json& entry)>& change) {
    fs::remove_all(layout());
    const std::string tar = make_tar({tar_dir("etc"), tar_file("etc/" + kEvilName, "x")});
    Json config = evil_config(tar);
    Json manifest = {{"schemaVersion", 2},
                     {"mediaType", "application/vnd.oci.image.manifest.v1+json"},
                     {"config", Json()},
                     {"layers", {descriptor("layer.v1.tar", tar)}},
                     {"annotations", {{kEvil, kEvil}}}};
    Json entry = {{"annotations", {{kEvil, kEvil}, {kRefName, "evil:1"}}}};
    change(config, manifest, entry);
    add_missing(manifest["config"], descriptor("config.v1+json", config.dump()));
    add_missing(entry, descriptor("manifest.v1+json", manifest.dump()));
    write_file(layout() / "oci-layout", R"({"imageLayoutVersion":"1.0.0"})");
    write_file(layout() / "index.json", Json{{"schemaVersion", 2}, {"manifests", {entry}}}.dump());
  }

  // As other programs may write it.
  void rename_in_store(const std::string& name) const {
    Json index = Json::parse(read_file(layerfs_.store() / "index.json"));
    index["manifests"][0]["annotations"][kRefName] = name;
    write_file(layerfs_.store() / "index.json", index.dump());
  }

  static constexpr const char* kRefName = "org.opencontainers.image.ref.name";

  Layerfs layerfs_;
};

TEST_F(Terminal, AnImageWhoseEveryFieldIsEvilIsShownAsText) {
  make_layout([](Json&, Json&, Json&) {});
  ASSERT_TRUE(said({"import", layout()}).ok());
  EXPECT_THAT(said({"inspect", "evil:1"}).out,
              HasSubstr("\\x1b[31m\\xc2\\x9b5n\\x0d\\x0aroot#\\x09x"));
  said({"images"});
  said({"mount", "evil:1", layerfs_.dir() / kEvil});
  said({"bundle", "evil:1", layerfs_.dir() / "bundle"});
  said({"run", "evil:1"});
  said({"run", "evil:1", "--user", "0", "--", kEvil});
  said({"run", "--user", kEvil, "evil:1", "--", "/bin/true"});
  rename_in_store(kEvil);
  for (const char* command : {"images", "snapshots", "check", "image-store", "gc", "doctor"})
    said({command});
  said({"image-store", "--remove"});
  said({"inspect", kEvil});
  said({"run", kEvil});
  said({"rmi", kEvil});
}

TEST_F(Terminal, DocumentsSayExactlyWhatTheImageSays) {
  make_layout([](Json&, Json&, Json&) {});
  ASSERT_TRUE(said({"import", layout(), "--json"}).ok());
  const Json shown = Json::parse(said({"inspect", "evil:1", "--json"}).out);
  EXPECT_EQ(shown["created"], kEvil);
  EXPECT_EQ(shown["os"], kEvil);
  EXPECT_EQ(shown["run"]["env"][0], kEvil + "=" + kEvil);
  EXPECT_EQ(shown["run"]["cmd"], Json({kEvil, kEvil}));
  EXPECT_EQ(shown["run"]["labels"][kEvil], kEvil);
  rename_in_store(kEvil);
  EXPECT_EQ(Json::parse(said({"images", "--json"}).out)[0]["name"], kEvil);
  for (const char* command : {"snapshots", "check", "doctor", "ps"})
    EXPECT_FALSE(Json::parse(said({command, "--json"}).out).is_discarded()) << command;
}

TEST_F(Terminal, ARefusedImageIsNamedAsText) {
  using Change = std::function<void(Json&, Json&, Json&)>;
  const std::vector<Change> changes = {
      [](Json&, Json&, Json& entry) { entry["mediaType"] = kEvil; },
      [](Json&, Json&, Json& entry) { entry["digest"] = kEvil; },
      [](Json&, Json&, Json& entry) { entry["digest"] = "sha256:" + kEvil; },
      [](Json&, Json& manifest, Json&) { manifest["mediaType"] = kEvil; },
      [](Json&, Json& manifest, Json&) {
        manifest["config"] = {{"mediaType", kEvil}};
      },
      [](Json&, Json& manifest, Json&) {
        manifest["config"] = {{"digest", kEvil}};
      },
      [](Json&, Json& manifest, Json&) { manifest["layers"][0]["mediaType"] = kEvil; },
      [](Json&, Json& manifest, Json&) { manifest["layers"][0]["digest"] = kEvil; },
      [](Json& config, Json&, Json&) { config["rootfs"]["diff_ids"][0] = kEvil; },
  };
  for (const Change& change : changes) {
    make_layout(change);
    EXPECT_FALSE(said({"import", layout()}).ok());
  }
  // Its name is left out, and said.
  make_layout([](Json&, Json&, Json& entry) { entry["annotations"][kRefName] = kEvil; });
  EXPECT_TRUE(said({"import", layout()}).ok());
  EXPECT_FALSE(said({"import", layout(), "--select", "other" + kEvil}).ok());
  EXPECT_FALSE(said({"import", layout(), "--name", kEvil}).ok());
  write_file(layout() / "oci-layout", Json{{"imageLayoutVersion", kEvil}}.dump());
  EXPECT_FALSE(said({"import", layout()}).ok());
  EXPECT_FALSE(said({"import", layerfs_.dir() / kEvilName}).ok());
}

TEST_F(Terminal, AnEvilArchiveIsNamedAsText) {
  const std::string name = "../" + kEvilName;
  write_layout(layerfs_.dir() / "tar", "tar:1", {{make_tar({tar_file(name, "x")})}});
  EXPECT_FALSE(said({"import", layerfs_.dir() / "tar"}).ok());
  fs::create_directories(layerfs_.dir() / "docker");
  write_file(layerfs_.dir() / "docker/manifest.json",
             Json{{{"Config", kEvil}, {"RepoTags", {kEvil}}, {"Layers", {kEvil}}}}.dump());
  EXPECT_FALSE(said({"import", layerfs_.dir() / "docker"}).ok());
  EXPECT_FALSE(said({"import", layerfs_.dir() / "docker", "--select", kEvil + "x"}).ok());
}

TEST_F(Terminal, MountsOfOthersAreListedAsText) {
  const fs::path lower = layerfs_.dir().make(kEvilName + "lower");
  const fs::path point = layerfs_.dir().make(kEvilName + "point");
  const fs::path other = layerfs_.dir().make(kEvilName + "other");
  for (const fs::path& at : {point, other})
    ASSERT_TRUE(said({"mount", kEvil, "-o", "lowerdir=" + lower.string(), at}).ok());
  EXPECT_THAT(said({"ps"}).out, HasSubstr("\\x1b[31m"));
  said({"ps", "--json"});
  // Who has no record of it shows its source.
  EXPECT_THAT(said_to_alice({"ps"}).out, HasSubstr("\\x1b]0;owned\\x07"));
  said_to_alice({"ps", "--json"});
  EXPECT_TRUE(said({"umount", point}).ok());
  EXPECT_FALSE(said({"umount", point}).ok());
  EXPECT_TRUE(said({"umount", other}).ok());
}

TEST_F(Terminal, DamageOfTheStoreIsNamedAsText) {
  make_layout([](Json&, Json&, Json&) {});
  ASSERT_TRUE(said({"import", layout()}).ok());
  const fs::path store = layerfs_.store();
  write_file(store / "blobs/sha256" / kEvilName, "x");
  for (const char* place : {"layers/sha256", "snapshots", "tmp"})
    fs::create_directory(store / place / kEvilName);
  EXPECT_FALSE(said({"check"}).ok());
  EXPECT_FALSE(said({"check", "--json"}).ok());
  const fs::path point = layerfs_.dir().make("point");
  ASSERT_TRUE(said({"mount", "--snapshot", "kept", "evil:1", point}).ok());
  ASSERT_TRUE(said({"umount", point}).ok());
  Json record = Json::parse(read_file(store / "snapshots/kept/snapshot.json"));
  record["image"] = record["created"] = kEvil;
  record["layers"] = {kEvil};
  write_file(store / "snapshots/kept/snapshot.json", record.dump());
  EXPECT_THAT(said({"snapshots"}).out, HasSubstr("\\x1b[31m"));
  EXPECT_EQ(Json::parse(said({"snapshots", "--json"}).out)[0]["image"], kEvil);
  EXPECT_FALSE(said({"check"}).ok());
  EXPECT_FALSE(said({"mount", "--snapshot", "kept", point}).ok());
  write_file(store / "index.json", kEvil);
  EXPECT_FALSE(said({"images"}).ok());
}

TEST_F(Terminal, WordsOfTheCommandLineAreRepeatedAsText) {
  for (const std::vector<std::string>& args : std::vector<std::vector<std::string>>{
           {kEvil},
           {"images", kEvil},
           {"images", "--" + kEvil},
           {"inspect", kEvil},
           {"rmi", kEvil},
           {"snapshots", "--rm", kEvil},
           {"mount", kEvil, layerfs_.dir() / kEvil},
           {"mount", "-o", kEvil, layerfs_.dir().path()},
           {"mount", "-o", "lowerdir=" + kEvilName, layerfs_.dir().path()},
           {"mount", "-o", "lowerdir=" + kEvil + ",upperdir=" + kEvil, layerfs_.dir().path()},
           {"umount", kEvil},
           {"index", kEvil, kEvil},
           {"run", "--runtime", kEvil, "image"},
           {"run", "-v", kEvil, "image"},
           {"bundle", kEvil, kEvil},
           {"images", "--root", layerfs_.dir() / kEvilName},
           {"check", "--root", kEvil}})
    EXPECT_FALSE(said(args).ok()) << ::testing::PrintToString(args);
}

// The daemon of a mount in the foreground, and what it logs of layers.
TEST_F(Terminal, MessagesOfADaemonAreText) {
  const fs::path lower = layerfs_.dir().make("lower");
  const fs::path index = layerfs_.dir() / kEvilName;
  ASSERT_TRUE(said({"index", lower, index}).ok());
  write_file(lower / "changed", "x");
  const fs::path point = layerfs_.dir().make(kEvilName + "point");
  const std::string script =
      "\"$0\" mount -f -o \"lowerdir=$1,layerindex=$2\" \"$3\" & "
      "while ! mountpoint -q \"$3\"; do sleep 0.05; done; umount \"$3\"; wait";
  const Ran ran = run({"sh", "-c", script, layerfs_program(), lower, index, point});
  EXPECT_THAT(looked_at(ran, {"mount", "-f"}).err, HasSubstr("it is not used"));
}

}  // namespace
}  // namespace layerfs::test
