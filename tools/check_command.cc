// check.
#include <algorithm>

#include <nlohmann/json.hpp>

#include "fs/sys/interruption.h"
#include "layerstore/check.h"
#include "tools/command_line.h"
#include "tools/human.h"
#include "tools/store_commands.h"

namespace layerfs::tools {

namespace {

using store::CheckResult;
using store::Part;
using store::Problem;

const char* word_for(Part part) {
  switch (part) {
    case Part::kStore:
      return "store";
    case Part::kBlob:
      return "blob";
    case Part::kImage:
      return "image";
    case Part::kLayer:
      return "layer";
    case Part::kIndex:
      return "index";
    case Part::kSnapshot:
      return "snapshot";
    case Part::kLeftover:
      break;
  }
  return "leftover";
}

bool is_good(const CheckResult& result) {
  return std::ranges::all_of(result.problems, &Problem::repaired);
}

void print_json(const CheckResult& result, Io& io) {
  nlohmann::ordered_json problems = nlohmann::ordered_json::array();
  for (const Problem& problem : result.problems) {
    problems.push_back({{"part", word_for(problem.part)},
                        {"name", problem.name},
                        {"sentence", problem.sentence},
                        {"repaired", problem.repaired}});
  }
  const nlohmann::ordered_json all = {{"good", is_good(result)},       {"images", result.images},
                                      {"blobs", result.blobs},         {"layers", result.layers},
                                      {"snapshots", result.snapshots}, {"problems", problems}};
  io.out.document(all.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
}

void print_text(const CheckResult& result, Io& io) {
  for (const Problem& problem : result.problems) {
    io.out.print("{}{}\n", problem.repaired ? "repaired: " : "", problem.sentence);
  }
  io.out.print(
      "checked {}, {}, {} and {}: {}\n", counted(result.images, "image"),
      counted(result.blobs, "blob"), counted(result.layers, "layer"),
      counted(result.snapshots, "snapshot"),
      result.problems.empty() ? "all is well" : counted(result.problems.size(), "problem"));
}

}  // namespace

int run_check(const Args& args, Io& io) {
  CommandLine line("Verify the store: every blob, reference, layer and snapshot.", "layerfs check");
  CommonOptions common;
  bool repair = false;
  line.add_flag("--repair", repair,
                "Make indexes that are of no use again, and remove what killed processes left; "
                "nothing else is changed");
  add_root_option(line, common);
  add_json_option(line, common);
  line.footer(
      "Reads every blob, so it takes as long as reading the store. It may run while images are\n"
      "imported and mounted. Exit status: 0 if all is well, or has been repaired; else 1.");
  if (const std::optional<int> status = line.parse(args, io)) return *status;
  const sys::InterruptingSignals signals;
  const Outcome<store::Store> store = store::Store::open(common.root);
  if (!store) return report(io, store.error());
  const Outcome<CheckResult> result = store::check_store(*store, repair);
  if (!result) return report(io, result.error());
  common.json ? print_json(*result, io) : print_text(*result, io);
  return is_good(*result) ? kDone : kFailed;
}

}  // namespace layerfs::tools
