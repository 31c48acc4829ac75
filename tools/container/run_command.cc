// run.
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <random>
#include <sstream>

#include <fmt/format.h>

#include "fs/sys/trusted_dir.h"
#include "layerstore/quote.h"
#include "layerstore/store.h"
#include "tools/command_line.h"
#include "tools/container/bundle.h"
#include "tools/container/commands.h"
#include "tools/container/janitor.h"
#include "tools/container/options.h"
#include "tools/container/place.h"
#include "tools/container/runtime.h"
#include "tools/container/signals.h"
#include "tools/runtime_state.h"

namespace layerfs::tools {

namespace {

struct RunOrder : ContainerOrder {
  std::string name;     // of the container
  std::string runtime;  // empty: the first that is found
  bool keep = false;
};

std::string fresh_name() {
  std::random_device device;
  return fmt::format("layerfs-{:08x}", device() & 0xffffffffU);
}

Outcome<void> check_name(const std::string& name) {
  const auto good = [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '.' || c == '-';
  };
  if (name.size() <= 128 && std::isalnum(static_cast<unsigned char>(name[0])) != 0 &&
      std::ranges::all_of(name, good)) {
    return {};
  }
  return refuse(
      store::quote(name) + " is no name for a container: letters, digits, '_', '.' and '-'",
      EINVAL);
}

// A bundle of its own for each container.
Outcome<std::string> bundle_directory(const std::string& name) {
  LAYERFS_TRY_ASSIGN(const sys::TrustedDir base, runtime_directory());
  const std::string containers = base.path + "/containers";
  LAYERFS_TRY(sys::make_trusted(containers, 0700));
  return containers + "/" + name;
}

class ContainerRun {
 public:
  ContainerRun(const RunOrder& order, Io& io) : order_(order), io_(io) {}
  ContainerRun(const ContainerRun&) = delete;
  ContainerRun& operator=(const ContainerRun&) = delete;
  ~ContainerRun() { place_.clean(io_); }

  Outcome<int> run() {
    LAYERFS_TRY(prepare());
    if (const int signal = signals_.asked_to_end()) return kKilledBy + signal;
    LAYERFS_TRY_ASSIGN(const Janitor janitor, hire_janitor());
    place_.name = order_.name;
    auto ended = place_.runtime->run(place_.bundle, order_.name, signals_);
    keep_if_wanted(ended.has_value() && ended->sentence.empty());
    place_.clean(io_);
    LAYERFS_TRY(ended);
    if (!ended->sentence.empty()) report(io_, ended->sentence);
    return ended->status;
  }

 private:
  Outcome<void> prepare() {
    LAYERFS_TRY_ASSIGN(place_.runtime, Runtime::find(order_.runtime));
    LAYERFS_TRY_ASSIGN(const store::Store store, store::Store::open(order_.root));
    LAYERFS_TRY_ASSIGN(const store::Image image, store.find(order_.image));
    if (place_.runtime->knows(order_.name)) {
      return refuse(fmt::format("there is a container '{}' already; `{} list` shows it",
                                order_.name, place_.runtime->program()),
                    EEXIST);
    }
    place_.store = order_.root;
    LAYERFS_TRY_ASSIGN(const std::string bundle, bundle_directory(order_.name));
    LAYERFS_TRY(make_bundle(bundle));
    place_.bundle = bundle;
    LAYERFS_TRY_ASSIGN(snapshot_,
                       mount_rootfs(place_, order_.image, order_.snapshot,
                                    is_kept() ? RootfsUse::kKeep : RootfsUse::kThrowAway, io_));
    const bool terminal = ::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1;
    return write_bundle(bundle, image.config, order_.container, terminal, false);
  }

  Outcome<Janitor> hire_janitor() {
    return Janitor::hire([place = place_, name = order_.name]() mutable {
      std::ostringstream nobody;
      Io io{nobody, nobody};
      place.name = name;
      place.clean(io);
    });
  }

  bool is_kept() const { return order_.keep || !order_.snapshot.empty(); }

  // A container that never ran has written nothing.
  void keep_if_wanted(bool ran) {
    if (!ran || place_.snapshot.empty() || !is_kept()) return;
    place_.snapshot.clear();
    if (order_.snapshot.empty()) {
      io_.err.print(
          "layerfs: what it wrote is kept: `layerfs run --snapshot {0} {1}` goes on with it, "
          "`layerfs snapshots --rm {0}` removes it\n",
          snapshot_, order_.image);
    }
  }

  const RunOrder& order_;
  Io& io_;
  const SignalWatch signals_;
  ContainerPlace place_;
  std::string snapshot_;
};

int carry_out_run(const RunOrder& order, Io& io) {
  keep_mounts_to_oneself();
  const Outcome<int> status = ContainerRun(order, io).run();
  if (status) return *status;
  report(io, status.error());
  return kNotStarted;
}

}  // namespace

int run_run(const Args& args, Io& io) {
  ContainerCommandLine line("Run a container of an image", "layerfs run", args);
  RunOrder order;
  line.own()
      .add_option("--name", order.name, "The container's name, for `runc exec NAME` and the like")
      .type_name("NAME");
  line.own().add_flag("--keep", order.keep, "Keep what the container wrote, and say where");
  line.own()
      .add_option("--runtime", order.runtime, "The program that makes the container: runc or crun")
      .type_name("PROGRAM");
  line.own().footer(
      "layerfs run [OPTIONS] IMAGE [-- COMMAND [ARGUMENT]...]\n\n"
      "Without a COMMAND the image's own is run. The container gets a writable directory of its\n"
      "own over the image's layers, which goes with it. It has a terminal if standard input and\n"
      "output are one; signals reach it.\n\n"
      "  layerfs run debian -- cat /etc/os-release\n"
      "  layerfs run --snapshot work -v ~/src:/src -w /src debian -- make\n\n"
      "Exit status: the command's; 128 and the signal's number if a signal ended it; 127 if there\n"
      "is no such command in the image, 126 if it is no program, 125 if no container came about,\n"
      "each with a sentence that says why.");
  if (const std::optional<int> status = line.parse(io))
    return *status == kUsage ? kNotStarted : *status;
  if (order.name.empty()) order.name = fresh_name();
  const auto meant = [&]() -> Outcome<void> {
    LAYERFS_TRY(check_name(order.name));
    LAYERFS_TRY_ASSIGN(static_cast<ContainerOrder&>(order), line.order(order.name));
    return {};
  }();
  if (meant) return carry_out_run(order, io);
  report(io, meant.error());
  return kNotStarted;
}

}  // namespace layerfs::tools
