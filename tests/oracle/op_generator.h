// How one random operation is made. Used by generate_ops.cc alone; its members are spread over
// generate_ops.cc (names and attributes) and generate_held_ops.cc (descriptors).
#pragma once

#include <fcntl.h>

#include <array>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "tests/oracle/model.h"
#include "tests/oracle/op.h"
#include "tests/oracle/rng.h"
#include "tests/oracle/runner.h"

namespace layerfs::oracle {

class OpGenerator {
 public:
  OpGenerator(Rng& rng, Model model) : rng_(rng), model_(std::move(model)) {}

  Op next() {
    Op op = draw();
    if (rng_.percent(15) && op.kind != OpKind::kDropCaches) op.as = 1 + rng_.below(2);
    if (!op.path.empty() && rng_.percent(4)) start_at_slot(op);
    if (rng_.percent(15)) op.umask = rng_.pick({0, 077, 027, 0777});
    return op;
  }

 private:
  using Make = Op (OpGenerator::*)();
  struct Choice {
    int weight;
    Make make;
  };
  static const Choice kChoices[];

  Op draw() {
    int total = 0;
    for (const Choice* choice = kChoices; choice->weight > 0; ++choice) total += choice->weight;
    int64_t at = rng_.below(total);
    const Choice* choice = kChoices;
    while (at >= choice->weight) at -= choice++->weight;
    return (this->*choice->make)();
  }

  static Op of(OpKind kind) {
    Op op;
    op.kind = kind;
    return op;
  }

  // Has the operation start from a directory that is held open, wherever that is by now.
  void start_at_slot(Op& op) {
    op.at = open_dir_slot();
    op.path = any_name(rng_);
    if (!op.path2.empty()) op.path2 = any_name(rng_);
  }

  // Paths: now and then one that cannot be.
  std::string fresh() {
    if (rng_.percent(2)) return join_path(model_.any(rng_), "a");
    if (rng_.percent(1))
      return rng_.pick(
          {std::string(256, 'L'), std::string("."), std::string("nowhere/a"), std::string("/")});
    return join_path(model_.any_dir(rng_), any_name(rng_));
  }
  std::string file() {
    return rng_.percent(80) ? model_.any_of(rng_, EntryKind::kFile) : existing();
  }
  std::string dir() {
    const std::string path = rng_.percent(85) ? model_.any_dir(rng_) : existing();
    return path.empty() ? "." : path;
  }
  std::string existing() { return rng_.percent(92) ? model_.any(rng_) : fresh(); }

  // What a slot most likely holds.
  enum class Held { kNothing, kReader, kWriter, kBoth, kDir, kOther };

  int64_t any_slot() { return rng_.below(kSlots); }
  // A slot that holds one of `wanted`, where there is one and most of the time.
  int64_t slot_with(std::initializer_list<Held> wanted) {
    std::vector<int64_t> fitting;
    for (int64_t slot = 0; slot < kSlots; ++slot)
      for (Held held : wanted)
        if (held_[static_cast<size_t>(slot)] == held) fitting.push_back(slot);
    return fitting.empty() || rng_.percent(5) ? any_slot() : rng_.pick(fitting);
  }
  int64_t readable() { return slot_with({Held::kReader, Held::kBoth}); }
  int64_t writable() { return slot_with({Held::kWriter, Held::kBoth}); }
  int64_t open_slot() {
    return slot_with({Held::kReader, Held::kWriter, Held::kBoth, Held::kDir, Held::kOther});
  }
  int64_t open_dir_slot() { return slot_with({Held::kDir}); }
  void hold(const Op& op, bool is_dir) {
    Held held = (op.flags & O_PATH) != 0 ? Held::kOther : Held::kReader;
    if (is_dir) held = Held::kDir;
    if ((op.flags & O_ACCMODE) == O_WRONLY) held = Held::kWriter;
    if ((op.flags & O_ACCMODE) == O_RDWR) held = Held::kBoth;
    held_[static_cast<size_t>(op.slot)] = held;
  }
  int64_t any_length() {
    return rng_.pick({int64_t{0}, int64_t{1}, int64_t{10}, int64_t{100}, int64_t{4096},
                      int64_t{5000}, int64_t{70000}, int64_t{205000}});
  }
  int64_t any_offset() {
    return rng_.pick({int64_t{0}, int64_t{0}, int64_t{3}, int64_t{4096}, int64_t{8192},
                      int64_t{60000}, int64_t{204800}, int64_t{400000}});
  }
  int64_t any_mode() {
    return rng_.pick({0644, 0600, 0755, 0777, 0666, 04755, 02755, 06777, 01777, 0, 0444, 02644});
  }
  std::string any_time() {
    if (rng_.percent(15)) return "now";
    if (rng_.percent(25)) return "omit";
    return rng_.pick({std::string("1000000001.5"), std::string("0.0"), std::string("-5.0"),
                      std::string("1234567890.123456789"), std::string("3.999999999")});
  }

  Op open();
  Op open_dir();
  Op temporary();
  Op reopen();
  Op slot_op();
  Op read();
  Op write();
  Op resize();
  Op fallocate();
  Op copy_range();
  Op seek();
  Op held_attributes();
  Op churn();
  Op slurp();
  Op poke();
  Op truncate();
  Op mkdir();
  Op rmdir();
  Op unlink();
  Op rename();
  Op link();
  Op link_fd();
  Op symlink();
  Op mknod();
  Op stat();
  Op chmod();
  Op chown();
  Op utimens();
  Op set_xattr();
  Op other_xattr();
  Op access();
  Op look();
  Op rm_tree();
  Op whole();

  // Whether an operation succeeds, as far as the model knows.
  bool is_empty(const std::string& dir) const;
  bool can_rename(const Op& op) const;
  // An xattr's name and, for setting, a value.
  void give_xattr(Op& op);

  Rng& rng_;
  Model model_;
  std::array<Held, kSlots> held_{};
};

}  // namespace layerfs::oracle
