#include <dirent.h>

#include <span>
#include <string>
#include <vector>

#include "fs/fuse/dispatch.h"
#include "fs/op/dir.h"
#include "fs/op/lookup.h"

namespace layerfs::fuse {

namespace {

// What a directory request is answered with, filled entry by entry up to the kernel's size. Unless
// it is delivered, the lookups in it are taken back at its end.
class Listing {
 public:
  Listing(Context& context, fuse_req_t request, std::size_t size)
      : context_(context), request_(request), bytes_(size) {}
  Listing(const Listing&) = delete;
  Listing& operator=(const Listing&) = delete;
  ~Listing() {
    for (const op::NodeId node : nodes_) op::forget(*context_.fs, node, 1);
  }

  // False if the entry does not fit.
  bool add(const op::DirEntry& entry) {
    struct stat attr = {};
    attr.st_ino = entry.ino;
    attr.st_mode = DTTOIF(entry.type);
    name_.assign(entry.name);
    return grow(fuse_add_direntry(request_, rest(), room(), name_.c_str(), &attr,
                                  static_cast<off_t>(entry.cookie)));
  }

  // The same with what was looked up; node 0 tells the kernel to look up itself.
  bool add(const op::DirEntry& entry, op::Entry found) {
    if (found.node == 0) {
      found.attr.st_ino = entry.ino;
      found.attr.st_mode = DTTOIF(entry.type);
    } else {
      nodes_.reserve(nodes_.size() + 1);  // push_back below must not fail
    }
    const fuse_entry_param param = entry_param(found);
    name_.assign(entry.name);
    if (!grow(fuse_add_direntry_plus(request_, rest(), room(), name_.c_str(), &param,
                                     static_cast<off_t>(entry.cookie)))) {
      return false;
    }
    if (found.node != 0) nodes_.push_back(found.node);
    return true;
  }

  // An error counts only where nothing was found before it: the rest is asked for again.
  void answer(Reply& reply, const Result<void>& result) noexcept {
    if (!result && used_ == 0) {
      reply.error(result.error().code());
    } else if (reply.data({bytes_.data(), used_})) {
      nodes_.clear();
    }
  }

 private:
  char* rest() { return bytes_.data() + used_; }
  std::size_t room() const { return bytes_.size() - used_; }
  bool grow(std::size_t needed) {
    if (needed > room()) return false;
    used_ += needed;
    return true;
  }

  Context& context_;
  fuse_req_t request_;
  std::vector<char> bytes_;
  std::size_t used_ = 0;
  std::string name_;
  std::vector<op::NodeId> nodes_;  // each owes a forget
};

// There is nothing to remember between listings. After ENOSYS the kernel opens directories without
// asking and keeps their listings until one changes.
void opendir(fuse_req_t request, fuse_ino_t, fuse_file_info*) {
  dispatch(request, RequestKind::kOpendir, [](Context&, Reply& reply) { reply.error(ENOSYS); });
}

void readdir(fuse_req_t request, fuse_ino_t node, std::size_t size, off_t cookie, fuse_file_info*) {
  dispatch(request, RequestKind::kReaddir, [=](Context& context, Reply& reply) {
    Listing listing(context, request, size);
    const auto result = op::readdir(*context.fs, node, static_cast<std::uint64_t>(cookie),
                                    [&](const op::DirEntry& entry) { return listing.add(entry); });
    listing.answer(reply, result);
  });
}

void readdirplus(fuse_req_t request, fuse_ino_t node, std::size_t size, off_t cookie,
                 fuse_file_info*) {
  dispatch(request, RequestKind::kReaddirplus, [=](Context& context, Reply& reply) {
    Listing listing(context, request, size);
    const auto wanted =
        context.agreed->writeback ? op::ListedAttr::kButOfFiles : op::ListedAttr::kOfAll;
    const auto result =
        op::readdirplus(*context.fs, node, static_cast<std::uint64_t>(cookie), wanted,
                        [&](const op::DirEntry& entry, const op::Entry& found) {
                          return listing.add(entry, found);
                        });
    listing.answer(reply, result);
  });
}

void fsyncdir(fuse_req_t request, fuse_ino_t node, int data_only, fuse_file_info*) {
  dispatch_sync(request, RequestKind::kFsyncdir,
                [=](Context& context) { return op::fsyncdir(*context.fs, node, data_only != 0); });
}

}  // namespace

void add_dir_handlers(fuse_lowlevel_ops& handlers) {
  handlers.opendir = opendir;
  handlers.readdir = readdir;
  handlers.readdirplus = readdirplus;
  handlers.fsyncdir = fsyncdir;
}

}  // namespace layerfs::fuse
