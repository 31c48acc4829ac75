// What images may be called, and that no name stands for another image's digest.
#include <string>
#include <vector>

#include "tests/store/store_fixture.h"
#include "tests/support/command.h"

namespace layerfs::test {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

class Names : public StoreTest {
 protected:
  // Two images, each of which has a file of its name.
  Names() {
    EXPECT_EQ(import_layers("good", layers("good")).status, 0);
    good_ = digest_of("good");
  }

  static std::vector<LayerSpec> layers(const std::string& content) {
    return {{make_tar({tar_file(content, content)})}};
  }
  std::string digest_of(const std::string& reference) const {
    const CommandResult shown = layerfs({"inspect", reference});
    EXPECT_EQ(shown.status, 0) << shown.err;
    const std::size_t at = shown.out.find("sha256:");
    return at == std::string::npos ? "" : shown.out.substr(at, 71);
  }
  // A layout and an archive of `docker save` with the attacker's image under that name.
  CommandResult import_evil(const std::string& name, const std::string& form) const {
    const std::filesystem::path source = dir_ / (form + std::to_string(next_++));
    if (form == "layout") {
      write_layout(source, name, layers("evil"));
    } else {
      write_docker_archive(source, name, layers("evil"));
    }
    return layerfs({"import", source});
  }
  // As an older version, or another program, may have left index.json.
  void rename_in_index(const std::string& from, const std::string& to) const {
    std::string index = read_file(root() / "index.json");
    // Not the digest of another entry, which may read the same.
    const std::string quoted = "ref.name\": \"" + from + '"';
    const std::size_t at = index.find(quoted);
    ASSERT_NE(at, std::string::npos);
    write_file(root() / "index.json",
               index.replace(at, quoted.size(), "ref.name\": \"" + to + '"'));
  }

  std::string good_;
  mutable int next_ = 0;
};

TEST_F(Names, OfAnArchiveAreNeverADigest) {
  const std::string names[] = {good_,
                               good_.substr(7),
                               good_.substr(0, 19),
                               "good@" + good_,
                               "localhost/evil@sha256:12",
                               "a b",
                               "sha512:" + good_.substr(7)};
  for (const std::string form : {"layout", "docker"}) {
    for (const std::string& name : names) {
      const CommandResult evil = import_evil(name, form);
      EXPECT_EQ(evil.status, 0) << evil.err;
      EXPECT_THAT(evil.err,
                  AllOf(HasSubstr(name), HasSubstr("it is left out, and the image sha256:")));
      EXPECT_THAT(evil.out, ContainsRegex("^sha256:[0-9a-f]+: 1 layer"));
      EXPECT_THAT(layerfs({"images"}).out, Not(HasSubstr(name)));
      for (const std::string& asked :
           {good_, good_.substr(7), good_.substr(0, 19), "good@" + good_})
        EXPECT_EQ(digest_of(asked), good_) << name;
      // The image itself is there.
      const std::string digest = evil.out.substr(0, 71);
      EXPECT_EQ(digest_of(digest), digest);
      EXPECT_EQ(layerfs({"rmi", digest}).status, 0);
    }
  }
}

TEST_F(Names, WithADigestHaveThatOfTheImage) {
  write_layout(dir_ / "evil", "evil", layers("evil"));
  const CommandResult refused = layerfs({"import", dir_ / "evil", "--name", "good:2@" + good_});
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.err, HasSubstr("is no name of this image, whose digest is sha256:"));
  EXPECT_EQ(layerfs({"inspect", "evil"}).status, 1) << "it was imported";
  for (const std::string& name : {good_, std::string("good@sha256:12"), std::string("a+b")})
    EXPECT_EQ(layerfs({"import", dir_ / "evil", "--name", name}).status, 2) << name;

  ASSERT_EQ(layerfs({"import", dir_ / "evil"}).status, 0);
  const std::string evil = digest_of("evil");
  ASSERT_EQ(layerfs({"import", dir_ / "evil", "--name", "named:2@" + evil}).status, 0);
  EXPECT_EQ(digest_of("named:2@" + evil), evil);
  EXPECT_EQ(digest_of("evil@" + evil), evil);
  EXPECT_THAT(layerfs({"inspect", "good@" + evil}).err,
              HasSubstr("the image 'good' has the digest " + good_ + " and not " + evil));
  EXPECT_EQ(layerfs({"inspect", "named:2@" + good_}).status, 1);
  EXPECT_THAT(layerfs({"inspect", "good@sha256:12"}).err, HasSubstr("is no valid reference"));
}

// As docker, which takes a name first; but not silently.
TEST_F(Names, ThatBeginAnotherDigestAreAmbiguous) {
  const std::string prefix = good_.substr(7, 12);
  ASSERT_EQ(import_evil(prefix, "layout").status, 0);
  const CommandResult asked = layerfs({"inspect", prefix});
  EXPECT_EQ(asked.status, 1);
  EXPECT_THAT(asked.err, AllOf(HasSubstr("may mean " + prefix), HasSubstr(good_)));
  EXPECT_EQ(layerfs({"rmi", prefix}).status, 1);
  EXPECT_EQ(digest_of("sha256:" + prefix), good_);
  EXPECT_EQ(digest_of(good_), good_);
  ASSERT_EQ(layerfs({"rmi", good_}).status, 0);
  EXPECT_NE(digest_of(prefix), good_);
}

TEST_F(Names, OfAnOlderStoreThatPassForDigestsCountForNothing) {
  ASSERT_EQ(import_evil("evil", "layout").status, 0);
  const std::string evil = digest_of("evil");
  std::string before = "evil";
  for (const std::string& name : {good_, "x/" + good_ + "@" + good_, "good@" + good_}) {
    rename_in_index(before, name);
    before = name;
    EXPECT_EQ(digest_of(good_), good_) << name;
    EXPECT_EQ(digest_of("good@" + good_), good_) << name;
    EXPECT_EQ(digest_of(evil), evil) << name;
    EXPECT_THAT(layerfs({"images"}).out, Not(HasSubstr(name)));
    EXPECT_THAT(layerfs({"images"}).err, HasSubstr("which would pass for another image's digest"));
    const CommandResult checked = layerfs({"check"});
    EXPECT_EQ(checked.status, 1);
    EXPECT_THAT(checked.out + checked.err, HasSubstr("has the reference '"));
  }
  ASSERT_EQ(layerfs({"rmi", evil}).status, 0);
  EXPECT_EQ(layerfs({"check"}).status, 0);
  EXPECT_EQ(digest_of("good"), good_);
}

TEST_F(Names, AreNotWhatSelectsADigest) {
  write_layout(dir_ / "both", "plain", layers("plain"));
  write_layout(dir_ / "both", good_, layers("evil"));
  EXPECT_THAT(layerfs({"import", dir_ / "both", "--select", good_}).err,
              HasSubstr("it holds no image"));
  write_docker_archive(dir_ / "docker.tar", good_, layers("evil"));
  EXPECT_THAT(layerfs({"import", dir_ / "docker.tar", "--select", good_}).err,
              HasSubstr("it holds no image"));
}

TEST_F(Names, ThatAreNoDigestsAreSaidToBe) {
  for (const std::string text : {"sha256:", "sha256:12", "sha256:xyzw", "sha512:1234"})
    EXPECT_THAT(layerfs({"inspect", text}).err, HasSubstr("is no digest")) << text;
}

}  // namespace
}  // namespace layerfs::test
