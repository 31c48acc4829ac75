#include "tools/container/seccomp.h"

#include <cerrno>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/support/temp_dir.h"

namespace layerfs::tools {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const SeccompSubject kSubject = {{"CAP_CHOWN", "CAP_SYS_CHROOT"}, "amd64", "5.10.0-8-amd64"};

// The names in the rules that a profile with this "syscalls" leaves.
std::vector<std::string> names_left(const std::string& rules,
                                    const SeccompSubject& subject = kSubject) {
  const auto filter = seccomp_filter(
      {"p", R"({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": )" + rules + "}"}, subject);
  EXPECT_TRUE(filter) << filter.error().sentence;
  std::vector<std::string> names;
  const json document = filter ? json::parse(*filter) : json{{"syscalls", json::array()}};
  for (const json& rule : document["syscalls"]) {
    for (const json& name : rule["names"]) names.push_back(name);
  }
  return names;
}

std::string rule(const std::string& name, const std::string& conditions) {
  return R"({"names": [")" + name + R"("], "action": "SCMP_ACT_ALLOW", )" + conditions + "}";
}

json filter_for(const std::string& text) {
  const auto filter = seccomp_filter({"p", text}, kSubject);
  EXPECT_TRUE(filter) << filter.error().sentence;
  return filter ? json::parse(*filter) : json();
}

std::string refusal(const std::string& text) {
  const auto filter = seccomp_filter({"/etc/p.json", text}, kSubject);
  return filter ? "" : filter.error().sentence;
}

TEST(Seccomp, RulesForOthersAreLeftOut) {
  const std::string rules =
      "[" + rule("with-all", R"("includes": {"caps": ["CAP_CHOWN", "CAP_SYS_CHROOT"]})") + "," +
      rule("with-more", R"("includes": {"caps": ["CAP_CHOWN", "CAP_BPF"]})") + "," +
      rule("without-any", R"("excludes": {"caps": ["CAP_BPF", "CAP_CHOWN"]})") + "," +
      rule("without", R"("excludes": {"caps": ["CAP_BPF"]})") + "," +
      rule("here", R"("includes": {"arches": ["x32", "amd64"]}, "excludes": {})") + "," +
      rule("there", R"("includes": {"arches": ["s390x"]})") + "," +
      rule("not-here", R"("excludes": {"arches": ["amd64"]})") + "," +
      rule("old", R"("includes": {"minKernel": "4.8"}, "excludes": null)") + "," +
      rule("new", R"("includes": {"minKernel": "5.11"})") + "," +
      rule("not-new", R"("excludes": {"minKernel": "5.10"})") + "]";
  EXPECT_THAT(names_left(rules), ElementsAre("with-all", "without", "here", "old"));
}

TEST(Seccomp, ARuleKeepsWhatTheRuntimeReads) {
  const json filter = filter_for(R"({
    "defaultAction": "SCMP_ACT_ERRNO", "defaultErrno": "ENOSYS", "defaultErrnoRet": 1,
    "archMap": [], "flags": ["SECCOMP_FILTER_FLAG_LOG"],
    "syscalls": [{"names": ["a", "b"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1, "errno": "EINVAL",
                  "comment": "why", "includes": {}, "excludes": {}, "args": [
                    {"index": 0, "value": 16, "valueTwo": 0, "op": "SCMP_CMP_EQ"},
                    {"index": 1, "value": 2080505856, "valueTwo": 7, "op": "SCMP_CMP_MASKED_EQ"}]},
                 {"name": "c", "action": "SCMP_ACT_ALLOW", "args": null}]})");
  EXPECT_EQ(filter, json::parse(R"({
    "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "flags": ["SECCOMP_FILTER_FLAG_LOG"],
    "syscalls": [{"names": ["a", "b"], "action": "SCMP_ACT_ERRNO", "errnoRet": 22, "args": [
                    {"index": 0, "value": 16, "op": "SCMP_CMP_EQ"},
                    {"index": 1, "value": 2080505856, "valueTwo": 7, "op": "SCMP_CMP_MASKED_EQ"}]},
                 {"names": ["c"], "action": "SCMP_ACT_ALLOW"}]})"));
}

TEST(Seccomp, AProfileOfTheRuntimesOwnFormIsTakenAsItIs) {
  const std::string text = R"({"defaultAction": "SCMP_ACT_ALLOW",
    "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
    "syscalls": [{"names": ["reboot"], "action": "SCMP_ACT_KILL_PROCESS"}]})";
  EXPECT_EQ(filter_for(text), json::parse(text));
}

TEST(Seccomp, TheArchitecturesAreThisMachines) {
  const SeccompSubject here = seccomp_subject({});
  const auto filter =
      seccomp_filter({"p", R"({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [], "archMap": [
         {"architecture": "SCMP_ARCH_S390X", "subArchitectures": ["SCMP_ARCH_S390"]},
         {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
         {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]}]})"},
                     here);
  ASSERT_TRUE(filter);
  const json expected = here.architecture == "amd64"   ? json{"SCMP_ARCH_X86_64", "SCMP_ARCH_X86"}
                        : here.architecture == "arm64" ? json{"SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"}
                        : here.architecture == "s390x" ? json{"SCMP_ARCH_S390X", "SCMP_ARCH_S390"}
                                                       : json();
  EXPECT_EQ(json::parse(*filter).value("architectures", json()), expected);
}

TEST(Seccomp, WhatIsNoProfileIsRefused) {
  EXPECT_THAT(refusal("{}"), HasSubstr("'/etc/p.json' is no seccomp profile: it has no default"));
  EXPECT_THAT(refusal("[1]"), HasSubstr("no JSON object"));
  EXPECT_THAT(refusal("{"), HasSubstr("is no seccomp profile"));
  EXPECT_THAT(refusal(R"({"defaultAction": 7})"), HasSubstr("is no seccomp profile"));
  EXPECT_THAT(refusal(R"({"defaultAction": "A", "syscalls": [{"names": "a"}]})"),
              HasSubstr("is no seccomp profile"));
  EXPECT_THAT(refusal(R"({"defaultAction": "A", "syscalls": [{"names": ["a"]}]})"),
              HasSubstr("is no seccomp profile"));
  EXPECT_THAT(refusal(R"({"defaultAction": "A", "defaultErrno": "EWHAT"})"),
              HasSubstr("there is no error 'EWHAT'"));
  EXPECT_THAT(refusal(R"({"defaultAction": "A", "architectures": ["B"], "archMap": [{}]})"),
              HasSubstr("both architectures and archMap"));
}

TEST(Seccomp, ProfilesThatCannotBeReadAreRefused) {
  const test::TempDir dir;
  EXPECT_THAT(read_seccomp_profile(dir / "none").error().sentence,
              HasSubstr("cannot be read: No such file"));
  EXPECT_THAT(read_seccomp_profile(dir.path()).error().sentence, HasSubstr("is no file"));
  EXPECT_THAT(read_seccomp_profile("/dev/zero").error().sentence, HasSubstr("is no file"));
  test::write_file(dir / "large", std::string((1 << 20) + 1, ' '));
  EXPECT_THAT(read_seccomp_profile(dir / "large").error().sentence, HasSubstr("too large"));
}

// What the machine's own profile, of containers-common, means for a container of `layerfs run`.
TEST(Seccomp, TheMachinesProfileRefusesWhatManagesTheMachine) {
  const auto profile = default_seccomp_profile();
  ASSERT_TRUE(profile) << profile.error().sentence;
  const auto filter = seccomp_filter(*profile, seccomp_subject({"CAP_CHOWN", "CAP_AUDIT_WRITE"}));
  ASSERT_TRUE(filter) << filter.error().sentence;
  const json document = json::parse(*filter);
  EXPECT_EQ(document["defaultErrnoRet"], ENOSYS);
  const auto actions = [&](const std::string& name) {
    std::vector<std::string> found;
    for (const json& each : document["syscalls"]) {
      for (const json& one : each["names"]) {
        if (one == name) found.push_back(each["action"]);
      }
    }
    return found;
  };
  for (const char* name : {"read", "openat", "execve", "futex", "fork"})
    EXPECT_THAT(actions(name), ElementsAre("SCMP_ACT_ALLOW")) << name;
  for (const char* name : {"init_module", "bpf", "kexec_load", "settimeofday", "userfaultfd"})
    EXPECT_THAT(actions(name), ElementsAre("SCMP_ACT_ERRNO")) << name;
  for (const char* name : {"io_uring_setup", "not_yet_invented"})
    EXPECT_THAT(actions(name), IsEmpty()) << name;
}

}  // namespace
}  // namespace layerfs::tools
