#include "fs/fuse/session.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "fs/fuse/awake.h"
#include "fs/fuse/burst.h"
#include "fs/fuse/choice.h"
#include "fs/fuse/confinement.h"
#include "fs/fuse/dispatch.h"
#include "fs/fuse/fusermount.h"
#include "fs/fuse/init.h"
#include "fs/fuse/kernel_mount.h"
#include "fs/fuse/libfuse.h"
#include "fs/fuse/passthrough.h"
#include "fs/fuse/pruner.h"
#include "fs/fuse/slow_work.h"
#include "fs/fuse/transport.h"
#include "fs/op/cost.h"
#include "fs/op/file.h"
#include "fs/sys/user_namespace.h"

namespace layerfs::fuse {

namespace {

// Requests that one processor may have under way in its ring. Each holds memory for the largest.
constexpr unsigned kRingDepth = 8;

// The same where layers may sleep: each sleeping request keeps its place in the ring.
constexpr unsigned kDeepRing = 64;

// Each may be copying data or waiting for the disk; more only where those do not come back.
constexpr unsigned kMostSlowThreads = 16;

// libfuse does without io_uring where its rings cannot be made, and says so in a message only. It
// comes on the thread that answers INIT.
thread_local bool ring_failed = false;  // NOLINT: see above

// libfuse's messages go where ours go.
void log_libfuse(fuse_log_level level, const char* format, std::va_list arguments) {
  char text[512];
  std::vsnprintf(text, sizeof text, format, arguments);
  std::string_view line = text;
  while (line.ends_with('\n')) line.remove_suffix(1);
  if (line.find("failed to start io-uring") != std::string_view::npos) ring_failed = true;
  if (level <= FUSE_LOG_ERR) {
    spdlog::error("{}", line);
  } else if (level <= FUSE_LOG_NOTICE) {
    spdlog::warn("{}", line);
  } else {
    spdlog::debug("{}", line);
  }
}

// Whether fuse.conf lets users without root have allow_other.
bool users_may_allow_other() {
  std::ifstream config("/etc/fuse.conf");
  for (std::string line; std::getline(config, line);) {
    if (line == "user_allow_other") return true;
  }
  return false;
}

KernelMount kernel_mount_of(const MountOptions& options) {
  KernelMount mount{.mountpoint = options.mountpoint,
                    .source = options.source,
                    .read_only = options.read_only,
                    .allow_other = options.allow_other,
                    .options = options.kernel_options};
  if (is_restricted(options)) forbid_setuid(mount);
  return mount;
}

// The kernel's table of descriptors is made this large at once. It grows by doubling, and while
// there are threads every time waits for a grace period (expand_fdtable()), which the request that
// needs the descriptor then pays: 10 ms and more.
constexpr int kDescriptors = 4096;

void make_room_for_descriptors() {
  const sys::UniqueFd any(::open("/", O_PATH | O_CLOEXEC));
  const sys::UniqueFd last(::fcntl(any.get(), F_DUPFD_CLOEXEC, kDescriptors - 1));
}

// Modes arrive with the callers' umask and must not meet ours, and each open file costs
// descriptors.
void prepare_process() {
  ::umask(0);
  rlimit files = {};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
    files.rlim_cur = files.rlim_max;
    // Without it large trees may see EMFILE; the mount works.
    if (::setrlimit(RLIMIT_NOFILE, &files) != 0) spdlog::warn("the limit of open files stays low");
  }
  make_room_for_descriptors();
}

struct SessionDeleter {
  void operator()(fuse_session* session) const noexcept { fuse_session_destroy(session); }
};

class MountedSession final : public Session {
 public:
  MountedSession(MountOptions options, op::FileSystemPtr fs);
  ~MountedSession() override;

  // Session::mount() but for opening the union. After a failure abandon() is called.
  Outcome<void> begin();
  void abandon() noexcept;

  Outcome<void> serve() override;
  void confine() override { fuse::confine(context_.agreed->io_uring); }
  void stop() noexcept override { workers_->wake(); }
  dev_t device() const override { return device_; }
  std::string description() const override;
  std::map<std::string, std::uint64_t> request_counts() const override {
    return context_.counts.by_name();
  }
  std::size_t known_inodes() const override { return op::known_inodes(*fs_); }

 private:
  Outcome<void> choose();
  Outcome<void> make_libfuse_session();
  Outcome<void> exchange_init();
  void prepare_threads();
  void watch_inodes();
  Outcome<void> take_away(Unmount how);
  void detach() noexcept;
  void end() noexcept;

  const MountOptions options_;
  const bool read_only_;
  const bool layers_may_sleep_;
  Context context_;
  dev_t device_ = 0;
  bool mounted_ = false;
  bool ended_ = false;
  unsigned threads_ = 0;
  // In this order: the file system gives its backing ids back before the registry goes, and the
  // registry uses the descriptor that the session owns.
  std::unique_ptr<fuse_session, SessionDeleter> session_;
  std::unique_ptr<KernelBacking> backing_;
  op::FileSystemPtr fs_;
  std::unique_ptr<SlowWork> slow_work_;
  std::unique_ptr<Burst> burst_;
  std::unique_ptr<Workers> workers_;
  std::unique_ptr<Pruner> pruner_;
  std::unique_ptr<Unmounter> unmounter_;
};

MountedSession::MountedSession(MountOptions options, op::FileSystemPtr fs)
    : options_(std::move(options)),
      read_only_(options_.read_only || op::is_read_only(*fs)),
      layers_may_sleep_(op::layers_may_sleep(*fs)),
      fs_(std::move(fs)) {
  context_.fs = fs_.get();
  context_.volatile_upper = options_.stack.volatile_upper;
}

MountedSession::~MountedSession() {
  if (session_) end();
}

Outcome<void> MountedSession::begin() {
  LAYERFS_TRY(choose());
  LAYERFS_TRY(make_libfuse_session());
  KernelMount mount = kernel_mount_of(options_);
  mount.read_only = read_only_;
  if (::geteuid() != 0 && mount.allow_other) mount.allow_other = users_may_allow_other();
  LAYERFS_TRY_ASSIGN(Connection connection, mount_kernel(mount));
  mounted_ = true;
  unmounter_ = std::move(connection.unmounter);
  sys::UniqueFd& device = connection.device;

  backing_ = std::make_unique<KernelBacking>(device.get());
  context_.backing = backing_.get();
  const std::string name = fmt::format("/dev/fd/{}", device.get());
  if (fuse_session_mount(session_.get(), name.c_str()) != 0) {
    return refuse("libfuse does not take the connection", EIO);
  }
  // fuse_session_destroy() closes it.
  [[maybe_unused]] const int given_away = device.release();
  if (options_.spin) {
    burst_ = std::make_unique<Burst>(awake_processors(), [this] { op::rest(*fs_); });
    context_.burst = burst_.get();
  }
  LAYERFS_TRY(exchange_init());
  prepare_threads();
  device_ = device_of(options_.mountpoint);
  raise_read_ahead(device_);
  return {};
}

// What to ask the kernel for.
Outcome<void> MountedSession::choose() {
  context_.wishes.passthrough =
      options_.stack.passthrough != op::PassthroughPolicy::kNone && may_pass_through();
  context_.wishes.writeback = options_.writeback && !read_only_;
  context_.wishes.over_stacked = op::lies_on_stacked(*fs_);
  if (options_.transport == Transport::kIoUring) {
    LAYERFS_TRY(io_uring_available());
    context_.wishes.io_uring = true;
  } else if (options_.transport == Transport::kAuto) {
    // Threads were asked for; those of io_uring are libfuse's, one for each processor.
    // A ring has room for so many requests that sleep, and for no more.
    context_.wishes.io_uring =
        options_.threads == 0 && !layers_may_sleep_ && automatic_transport().io_uring;
  }
  return {};
}

Outcome<void> MountedSession::make_libfuse_session() {
  std::vector<std::string> words = {"layerfs"};
  if (options_.debug) words.insert(words.end(), {"-o", "debug"});
  if (context_.wishes.io_uring) {
    words.insert(words.end(), {"-o", fmt::format("io_uring,io_uring_q_depth={}",
                                                 layers_may_sleep_ ? kDeepRing : kRingDepth)});
  }
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  fuse_args arguments = FUSE_ARGS_INIT(static_cast<int>(argv.size()), argv.data());
  fuse_set_log_func(log_libfuse);
  const fuse_lowlevel_ops all = handlers();
  session_.reset(fuse_session_new(&arguments, &all, sizeof all, &context_));
  fuse_opt_free_args(&arguments);
  if (!session_) return refuse("libfuse makes no session", EINVAL);
  context_.session = session_.get();
  return {};
}

// The kernel sent INIT when it mounted; every other request waits for the answer.
Outcome<void> MountedSession::exchange_init() {
  fuse_buf buffer = {};
  ring_failed = false;
  const int got = fuse_session_receive_buf(session_.get(), &buffer);
  if (got > 0) fuse_session_process_buf(session_.get(), &buffer);
  std::free(buffer.mem);
  if (got <= 0 || !context_.agreed || fuse_session_exited(session_.get())) {
    return refuse("the kernel and libfuse do not agree on a protocol", EPROTO);
  }
  if (context_.agreed->io_uring && ring_failed) context_.agreed->io_uring = false;
  if (options_.transport == Transport::kIoUring && !context_.agreed->io_uring) {
    return refuse("the kernel grants this process no rings for FUSE over io_uring", EPERM);
  }
  return {};
}

void MountedSession::prepare_threads() {
  const bool io_uring = context_.agreed->io_uring;
  threads_ = thread_count(options_, io_uring);
  if (io_uring ? any_thread_answers() : threads_ == 1) {
    slow_work_ = std::make_unique<SlowWork>(kMostSlowThreads);
    context_.slow_work = slow_work_.get();
    context_.layers_sleep = io_uring && layers_may_sleep_;
  }
  workers_ = std::make_unique<Workers>(session_.get(), options_.spin && !io_uring, io_uring);
  if (options_.max_inodes > 0) watch_inodes();
}

void MountedSession::watch_inodes() {
  const int device = fuse_session_fd(session_.get());
  Pruner::Nodes nodes;
  nodes.count = [this] { return op::known_inodes(*fs_); };
  nodes.idle = [this] { return op::idle_inodes(*fs_); };
  nodes.forget = [device](std::span<const op::NodeId> ids) { return notify_prune(device, ids); };
  pruner_ = std::make_unique<Pruner>(options_.max_inodes, std::move(nodes));
  op::watch_inodes(*fs_, options_.max_inodes, [this] { pruner_->crowded(); });
}

Outcome<void> MountedSession::serve() {
  LAYERFS_TRY(workers_->start(threads_));
  workers_->wait();
  end();
  return {};
}

Outcome<void> MountedSession::take_away(Unmount how) {
  return unmounter_ ? unmounter_->unmount(how) : unmount(options_.mountpoint, how);
}

// Without INIT no request is ever answered: the mount goes at once, whoever looks at it.
void MountedSession::abandon() noexcept {
  if (!mounted_) return;
  mounted_ = false;
  fuse_session_exit(session_.get());
  if (const auto gone = take_away(Unmount::kLazy); !gone) {
    spdlog::error("{}", gone.error().sentence);
  }
}

// Takes the mount point away while requests are still answered, so that written data arrives.
void MountedSession::detach() noexcept {
  // Something else may be mounted on top by now, and is not ours to take away.
  if (device_of(options_.mountpoint) != device_) return;
  if (take_away(Unmount::kNow)) return;
  const sys::UniqueFd root(::open(options_.mountpoint.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (root) ::syncfs(root.get());
  if (const auto gone = take_away(Unmount::kLazy); !gone) {
    spdlog::error("{}", gone.error().sentence);
  }
}

void MountedSession::end() noexcept {
  if (pruner_) pruner_->finish();
  if (mounted_ && !fuse_session_exited(session_.get())) detach();
  mounted_ = false;
  op::announce_end(*fs_);
  if (workers_) workers_->stop();  // the object stays: a signal may still call stop()
  if (slow_work_) slow_work_->drain();
  // Only the end of libfuse's loop ends its threads for io_uring, and must do so once.
  if (!ended_ && context_.agreed && context_.agreed->io_uring) fuse_session_loop(session_.get());
  ended_ = true;
  if (slow_work_) slow_work_->finish();
  // What did not change is as it was when the last mount ended.
  if (!context_.changed.exchange(false)) return;
  // As any file system at its end. Nobody waits who did not ask for it: umount(2) has returned.
  if (const auto synced = op::syncfs(*fs_); !synced) {
    spdlog::error("what was written last may not be on the disk: {}",
                  std::strerror(synced.error().code()));
  }
}

std::string MountedSession::description() const {
  const Agreed& agreed = *context_.agreed;
  const std::string transport =
      agreed.io_uring ? "io_uring"
                      : fmt::format("/dev/fuse, {} thread{}", threads_, threads_ == 1 ? "" : "s");
  return fmt::format("{}, {}{}", transport,
                     agreed.passthrough ? "passthrough"
                     : agreed.writeback ? "writeback cache"
                                        : "page cache",
                     read_only_ ? ", read-only" : "");
}

}  // namespace

bool is_restricted(const MountOptions& options) {
  return options.stack.record_owners == layer::RecordKind::kContainers && sys::is_privileged();
}

Outcome<std::unique_ptr<Session>> Session::mount(const MountOptions& options) {
  prepare_process();
  op::StackOptions stack = options.stack;
  stack.atime = atime_of(kernel_mount_of(options));
  LAYERFS_TRY_ASSIGN(op::FileSystemPtr fs, op::open_file_system(stack));
  auto session = std::make_unique<MountedSession>(options, std::move(fs));
  if (auto begun = session->begin(); !begun) {
    session->abandon();
    return tl::make_unexpected(std::move(begun.error()));
  }
  return session;
}

}  // namespace layerfs::fuse
