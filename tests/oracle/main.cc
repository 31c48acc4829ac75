// The oracle by hand: long runs, other subjects, replays.
#include <chrono>
#include <map>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "tests/oracle/case_run.h"
#include "tests/oracle/generate.h"
#include "tests/oracle/process.h"
#include "tests/oracle/scratch_fs.h"
#include "tests/oracle/shrink.h"
#include "tests/oracle/text.h"

namespace layerfs::oracle {
namespace {

using Clock = std::chrono::steady_clock;

struct Arguments {
  uint64_t seed = 1;
  uint64_t count = 100;
  int ops = 40;
  int seconds = 0;
  std::string subject = "layerfs";
  std::string layerfs = "build/tools/layerfs";
  std::optional<std::string> options;
  std::optional<std::string> extra;
  std::string filesystem = "ext4";
  std::string lowers = "directory";
  std::string replay;
  std::string findings;
  int failures = 1;
  bool keep = false;
  bool shrink = true;
  bool print = false;
  bool trace = false;
};

void declare(CLI::App& app, Arguments& arguments) {
  app.add_option("--seed", arguments.seed, "first seed")->capture_default_str();
  app.add_option("--count", arguments.count, "cases")->capture_default_str();
  app.add_option("--ops", arguments.ops, "operations per case")->capture_default_str();
  app.add_option("--seconds", arguments.seconds, "end after so long, whatever the count");
  app.add_option("--subject", arguments.subject,
                 "layerfs, layerfs-indexed, fuse-overlayfs or overlay")
      ->capture_default_str();
  app.add_option("--layerfs", arguments.layerfs, "the program")->capture_default_str();
  app.add_option("--options", arguments.options, "mount options; default: drawn for each case");
  app.add_option("--extra", arguments.extra, "options that only the subject gets");
  app.add_option("--fs", arguments.filesystem, "below the layers: ext4, xfs or btrfs")
      ->capture_default_str();
  app.add_option("--lowers", arguments.lowers,
                 "each layer is a: directory, subvolume (of btrfs), tmpfs, squashfs or erofs")
      ->capture_default_str();
  app.add_option("--replay", arguments.replay, "run the script in this file and nothing else");
  app.add_option("--findings", arguments.findings, "directory for the script of each failure");
  app.add_option("--failures", arguments.failures, "end after so many kinds of failure")
      ->capture_default_str();
  app.add_flag("--keep", arguments.keep, "after a failure, leave everything and wait for a key");
  app.add_flag("!--no-shrink", arguments.shrink, "print a failing case as it was generated");
  app.add_flag("--trace", arguments.trace, "print what each operation returned");
  app.add_flag("--print", arguments.print, "print the cases and run nothing");
}

class Driver {
 public:
  Driver(const Arguments& arguments, Lab lab) : arguments_(arguments), lab_(std::move(lab)) {}

  Outcome<int> replay() {
    LAYERFS_TRY_ASSIGN(const Case test, parse_case(read_text(arguments_.replay)));
    LAYERFS_TRY_ASSIGN(const std::vector<Finding> findings, run_case(test, lab_));
    for (const Finding& finding : findings) fmt::print("{}\n{}\n", finding.signature, finding.text);
    if (findings.empty()) fmt::print("no difference\n");
    return findings.empty() ? 0 : 1;
  }

  Outcome<int> run() {
    const auto start = Clock::now();
    uint64_t done = 0;
    for (; done < arguments_.count && !over(start); ++done) {
      const Case test =
          generate_case(arguments_.seed + done, {arguments_.ops, arguments_.options, std::nullopt});
      LAYERFS_TRY_ASSIGN(const std::vector<Finding> findings, run_case(test, lab_));
      if (!findings.empty()) LAYERFS_TRY(report(test, findings.front()));
    }
    const std::chrono::duration<double> spent = Clock::now() - start;
    fmt::print("{} cases in {:.1f} s, {} kinds of failure\n", done, spent.count(), seen_.size());
    for (const auto& [signature, times] : seen_) fmt::print("  {:5} {}\n", times, signature);
    return seen_.empty() ? 0 : 1;
  }

 private:
  bool over(Clock::time_point start) const {
    if (static_cast<int>(seen_.size()) >= arguments_.failures) return true;
    return arguments_.seconds > 0 &&
           Clock::now() - start > std::chrono::seconds(arguments_.seconds);
  }

  // Shrinks a failure of a kind not met before, and prints it as a script.
  Outcome<void> report(const Case& test, const Finding& finding) {
    if (seen_[finding.signature]++ > 0) return {};
    Case small = test;
    std::string text = finding.text;
    if (arguments_.shrink) {
      small = oracle::shrink(
          test,
          [&](const Case& candidate) {
            const auto findings = run_case(candidate, lab_);
            if (!findings || findings->empty() || findings->front().signature != finding.signature)
              return false;
            text = findings->front().text;
            return true;
          },
          {});
    }
    std::string script = fmt::format("# {}\n", finding.signature);
    for (const std::string& line : split_lines(text)) script += "#   " + line + '\n';
    script += to_text(small);
    fmt::print("{}\n", script);
    std::fflush(stdout);
    if (!arguments_.findings.empty()) LAYERFS_TRY(save(test.seed, script));
    if (arguments_.keep) wait_for_key(small);
    return {};
  }

  Outcome<void> save(uint64_t seed, const std::string& script) const {
    const std::string path = fmt::format("{}/seed-{}.case", arguments_.findings, seed);
    std::FILE* file = std::fopen(path.c_str(), "w");
    if (file == nullptr) return refuse("no file " + path, Errno::last());
    std::fputs(script.c_str(), file);
    std::fclose(file);
    return {};
  }

  void wait_for_key(const Case& test) {
    Lab keeping = lab_;
    keeping.keep = true;
    if (!run_case(test, keeping)) fmt::print("the yardstick failed\n");
    fmt::print("see {} by way of /proc/{}/root; a key ends\n", lab_.scratch, ::getpid());
    std::fflush(stdout);
    std::getchar();
  }

  const Arguments& arguments_;
  const Lab lab_;
  std::map<std::string, int> seen_;
};

void print_results(const Op& op, const std::string& expected, const std::string& got) {
  fmt::print("{}\n  -> {}\n", to_text(op), expected);
  if (got != expected) fmt::print("  != {}\n", got.empty() ? "(not run)" : got);
}

Outcome<int> run(const Arguments& arguments) {
  if (arguments.print) {
    for (uint64_t i = 0; i < arguments.count; ++i)
      fmt::print("{}\n", to_text(generate_case(arguments.seed + i,
                                               {arguments.ops, arguments.options, std::nullopt})));
    return 0;
  }
  LAYERFS_TRY(isolate_mounts());
  const ScratchFs scratch(arguments.filesystem);
  Lab lab;
  lab.scratch = scratch.path();
  lab.keep = arguments.keep && !arguments.replay.empty();
  LAYERFS_TRY_ASSIGN(lab.subject, parse_subject(arguments.subject, arguments.layerfs));
  LAYERFS_TRY_ASSIGN(lab.lowers, parse_lower_kind(arguments.lowers));
  if (arguments.extra) lab.subject.extra = *arguments.extra;
  if (arguments.trace) lab.trace = print_results;
  Driver driver(arguments, lab);
  return arguments.replay.empty() ? driver.run() : driver.replay();
}

int run_command_line(int argc, char** argv) {
  CLI::App app("Compares a union file system with the kernel's overlayfs on random operations.");
  Arguments arguments;
  declare(app, arguments);
  CLI11_PARSE(app, argc, argv);
  const Outcome<int> result = run(arguments);
  if (result) return *result;
  fmt::print(stderr, "{}\n", result.error().sentence);
  return 2;
}

}  // namespace
}  // namespace layerfs::oracle

int main(int argc, char** argv) { return layerfs::oracle::run_command_line(argc, argv); }
