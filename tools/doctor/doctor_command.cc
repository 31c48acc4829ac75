#include "tools/doctor/doctor_command.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "tools/command_line.h"
#include "tools/doctor/findings.h"

namespace layerfs::tools {

namespace {

const char* word_for(Verdict verdict) {
  switch (verdict) {
    case Verdict::kGood:
      return "good";
    case Verdict::kAdvice:
      return "advice";
    case Verdict::kMissing:
      break;
  }
  return "missing";
}

void print_json(const std::vector<Finding>& findings, bool works, Io& io) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Finding& finding : findings) {
    list.push_back({{"topic", finding.topic},
                    {"verdict", word_for(finding.verdict)},
                    {"sentence", finding.sentence}});
  }
  const nlohmann::ordered_json all = {{"works", works}, {"findings", list}};
  io.out.document(all.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
}

void print_text(const std::vector<Finding>& findings, bool works, Io& io) {
  for (const Finding& finding : findings) {
    io.out.print("{:<8} {}: {}\n", word_for(finding.verdict), finding.topic, finding.sentence);
  }
  io.out.print("\n{}\n",
               works ? "layerfs works here." : "layerfs does not work here: see what is missing.");
}

}  // namespace

int run_doctor(const Args& args, Io& io) {
  CommandLine line("Check whether layerfs works on this machine, and how it could work better",
                   "layerfs doctor");
  CommonOptions common;
  add_root_option(line, common);
  add_json_option(line, common);
  line.footer(
      "A sentence about each thing that layerfs needs or can use: \"good\", \"advice\" (it works\n"
      "without, but slower, or not for everybody) or \"missing\". One mount is made, and ended.\n"
      "Exit status: 0 if nothing that is needed is missing, else 1.");
  if (const std::optional<int> status = line.parse(args, io)) return *status;
  const std::vector<Finding> findings = judge(look_at_machine(common.root));
  const bool works = std::ranges::none_of(
      findings, [](const Finding& finding) { return finding.verdict == Verdict::kMissing; });
  common.json ? print_json(findings, works, io) : print_text(findings, works, io);
  return works ? kDone : kFailed;
}

}  // namespace layerfs::tools
