#include "tests/oracle/case_run.h"

#include <algorithm>

#include <fmt/format.h>

#include "tests/oracle/compare.h"
#include "tests/oracle/side.h"

namespace layerfs::oracle {
namespace {

std::string join(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + '\n';
  return text;
}

// A difference without what varies between runs of the same defect.
std::string signature_of(const std::string& stage, const Difference& difference) {
  std::string field = difference.field.substr(0, difference.field.rfind('.') + 1);
  if (!difference.field.starts_with("x:")) field = difference.field;
  return stage + ":" + field;
}

class CaseRun {
 public:
  CaseRun(const Case& test, const Lab& lab)
      : test_(test),
        lab_(lab),
        kernel_(lab.scratch + "/kernel", test, Subject{}, kernel_encoding(test), lab),
        reads_aufs_(test.encoding == Encoding::kAufs && lab.subject.kind != SubjectKind::kOverlay),
        subject_(lab.scratch + "/subject", test, subject_of(lab, reads_aufs_),
                 reads_aufs_ ? Encoding::kAufs : kernel_encoding(test), lab) {}

  Outcome<std::vector<Finding>> run() {
    LAYERFS_TRY(run_kernel());
    if (run_subject() && findings_.empty()) cross_mount();
    if (!findings_.empty() && !subject_.daemon_messages().empty())
      findings_.front().text += "the daemon says:\n" + subject_.daemon_messages();
    return findings_;
  }

 private:
  static Subject subject_of(const Lab& lab, bool reads_aufs) {
    Subject subject = lab.subject;
    subject.aufs = reads_aufs;
    return subject;
  }

  static Encoding kernel_encoding(const Case& test) {
    return test.encoding == Encoding::kAufs ? Encoding::kDevice : test.encoding;
  }

  Outcome<void> run_kernel() {
    LAYERFS_TRY(kernel_.build());
    LAYERFS_TRY(kernel_.mount());
    expected_results_ = kernel_.run({});
    if (kernel_.stop().signature.empty()) expected_tree_ = kernel_.snapshot();
    if (!kernel_.stop().signature.empty())
      return refuse("the yardstick failed: " + kernel_.stop().text, EIO);
    return kernel_.unmount();
  }

  // False when the subject's state is not worth looking at any further.
  bool run_subject() {
    if (Outcome<void> built = subject_.build(); !built) return add("build", built.error().sentence);
    if (Outcome<void> mounted = subject_.mount(); !mounted)
      return add("mount", mounted.error().sentence);
    std::vector<bool> skip;
    for (size_t i = 0; i < expected_results_.size(); ++i)
      skip.push_back(lab_.subject.kind != SubjectKind::kOverlay &&
                     yardstick_declines(test_, test_.ops[i], expected_results_[i]));
    const std::vector<std::string> results = subject_.run(skip);
    if (lab_.trace) trace(results);
    compare_all_results(results, skip);
    Snapshot tree;
    if (subject_.stop().signature.empty()) tree = subject_.snapshot();
    if (!subject_.stop().signature.empty())
      return add(subject_.stop().signature, subject_.stop().text);
    compare("tree", expected_tree_, tree);
    if (Outcome<void> done = subject_.unmount(); !done)
      return add("unmount", done.error().sentence);
    if (lab_.tamper_disk) lab_.tamper_disk(subject_.dir());
    check_disk(subject_, "");
    return true;
  }

  void trace(const std::vector<std::string>& results) const {
    for (size_t i = 0; i < expected_results_.size(); ++i)
      lab_.trace(test_.ops[i], expected_results_[i], i < results.size() ? results[i] : "");
  }

  void compare_all_results(const std::vector<std::string>& results, const std::vector<bool>& skip) {
    for (size_t i = 0; i < results.size(); ++i) {
      if (skip[i]) continue;
      const std::vector<Difference> differences =
          compare_results(test_, test_.ops[i], expected_results_[i], results[i]);
      if (differences.empty()) continue;
      std::string text = fmt::format("operation {}: {}\n", i + 1, to_text(test_.ops[i]));
      for (const Difference& difference : differences) text += "  " + to_text(difference) + '\n';
      std::string stage = "result:" + std::string(kind_name(test_.ops[i].kind));
      // Where one side failed, its errno says more than the words that it did not return.
      const auto failed = std::find_if(differences.begin(), differences.end(),
                                       [](const auto& other) { return other.field == "result"; });
      const Difference& first = failed == differences.end() ? differences.front() : *failed;
      std::string signature = signature_of(stage, first);
      if (first.field == "result") signature += ":" + first.expected + ":" + first.got;
      add(signature, text);
      return;  // what follows is mostly a consequence
    }
  }

  void compare(const std::string& stage, const Snapshot& expected, const Snapshot& got) {
    const std::vector<Difference> differences = compare_trees(test_, expected, got);
    if (differences.empty()) return;
    std::string text = stage + ":\n";
    for (const Difference& difference : differences) text += "  " + to_text(difference) + '\n';
    add(signature_of(stage, differences.front()), text);
  }

  void check_disk(Side& side, const std::string& stage) {
    const std::vector<std::string> changed = side.changed_lowers();
    if (!changed.empty()) add(stage + "lower-changed", join(changed));
    const std::vector<std::string> leftovers = side.leftovers();
    if (!leftovers.empty())
      add(stage + "leftovers", "left in the work directory:\n" + join(leftovers));
  }

  // Each file system mounts what the other wrote.
  void cross_mount() {
    cross("kernel-on-subject-upper", subject_, Subject{});
    cross("subject-on-kernel-upper", kernel_, lab_.subject);
  }

  void cross(const std::string& stage, Side& side, const Subject& other) {
    if (reads_aufs_ && &side == &subject_) {
      if (Outcome<void> done = side.reencode(); !done) {
        add(stage + ":reencode", done.error().sentence);
        return;
      }
    }
    if (Outcome<void> mounted = side.mount_as(other); !mounted) {
      add(stage + ":mount", mounted.error().sentence);
      return;
    }
    const Snapshot tree = side.snapshot();
    if (!side.stop().signature.empty()) {
      add(stage + ":" + side.stop().signature, side.stop().text);
      return;
    }
    compare(stage, expected_tree_, tree);
    if (Outcome<void> done = side.unmount(); !done) add(stage + ":unmount", done.error().sentence);
    if (&side == &kernel_) check_disk(side, stage + ":");
  }

  bool add(std::string signature, std::string text) {
    findings_.push_back({std::move(signature), std::move(text)});
    return false;
  }

  const Case& test_;
  const Lab& lab_;
  Side kernel_;
  const bool reads_aufs_;  // the subject's lowers have `.wh.` names
  Side subject_;
  std::vector<std::string> expected_results_;
  Snapshot expected_tree_;
  std::vector<Finding> findings_;
};

}  // namespace

Outcome<std::vector<Finding>> run_case(const Case& test, const Lab& lab) {
  return CaseRun(test, lab).run();
}

}  // namespace layerfs::oracle
