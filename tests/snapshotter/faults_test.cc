// A layerfs-snapshotter process, asked over its socket, with each of its calls to the file system
// failed in turn, and with its death there: nothing is lost, nothing is left, and the next try
// works.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <functional>
#include <memory>
#include <set>
#include <thread>

#include <grpcpp/grpcpp.h>

#include "fs/sys/unique_fd.h"
#include "tests/crash/control.h"
#include "tests/snapshotter/fixture.h"
#include "tests/support/command.h"
#include "tools/snapshotter/snapshots.grpc.pb.h"

namespace layerfs::test {
namespace {

namespace api = containerd::services::snapshots::v1;
namespace fs = std::filesystem;
using grpc::ClientContext;
using grpc::Status;
using grpc::StatusCode;

// The process and a connection to it.
class Server {
 public:
  Server(const fs::path& root, const fs::path& control) : socket_(root.parent_path() / "socket") {
    process_ = ::fork();
    if (process_ < 0) throw std::runtime_error("cannot fork");
    if (process_ == 0) become(root, control);
    for (int tries = 0; !listens(); ++tries) {
      if (tries == 2000 || has_ended()) throw std::runtime_error("the snapshotter does not start");
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    stub_ = api::Snapshots::NewStub(
        grpc::CreateChannel("unix:" + socket_.string(), grpc::InsecureChannelCredentials()));
  }
  ~Server() {
    if (process_ > 0) ::kill(process_, SIGKILL);
    static_cast<void>(has_ended(0));
    fs::remove(socket_);
  }

  bool has_ended(int how = WNOHANG) {
    int status = 0;
    if (process_ > 0 && ::waitpid(process_, &status, how) == process_) process_ = -1;
    return process_ < 0;
  }

  Status prepare(const std::string& key, const std::string& parent) {
    api::PrepareSnapshotRequest request;
    request.set_key(key);
    request.set_parent(parent);
    api::PrepareSnapshotResponse response;
    ClientContext context;
    return stub_->Prepare(&context, request, &response);
  }
  Status view(const std::string& key, const std::string& parent) {
    api::ViewSnapshotRequest request;
    request.set_key(key);
    request.set_parent(parent);
    api::ViewSnapshotResponse response;
    ClientContext context;
    return stub_->View(&context, request, &response);
  }
  Status commit(const std::string& name, const std::string& key) {
    api::CommitSnapshotRequest request;
    request.set_name(name);
    request.set_key(key);
    google::protobuf::Empty nothing;
    ClientContext context;
    return stub_->Commit(&context, request, &nothing);
  }
  Status remove(const std::string& key) {
    api::RemoveSnapshotRequest request;
    request.set_key(key);
    google::protobuf::Empty nothing;
    ClientContext context;
    return stub_->Remove(&context, request, &nothing);
  }
  Status mounts(const std::string& key) {
    api::MountsRequest request;
    request.set_key(key);
    api::MountsResponse response;
    ClientContext context;
    return stub_->Mounts(&context, request, &response);
  }
  Status label(const std::string& key, const std::string& value) {
    api::UpdateSnapshotRequest request;
    request.mutable_info()->set_name(key);
    (*request.mutable_info()->mutable_labels())["label"] = value;
    request.mutable_update_mask()->add_paths("labels.label");
    api::UpdateSnapshotResponse response;
    ClientContext context;
    return stub_->Update(&context, request, &response);
  }
  // A line for each snapshot: its kind, name, parent and label.
  std::set<std::string> state() {
    std::set<std::string> lines;
    ClientContext context;
    const auto reader = stub_->List(&context, {});
    for (api::ListSnapshotsResponse response; reader->Read(&response);) {
      for (const api::Info& info : response.info()) {
        const auto label = info.labels().find("label");
        lines.insert(api::Kind_Name(info.kind()) + " " + info.name() + " <" + info.parent() + "> " +
                     (label == info.labels().end() ? "" : label->second));
      }
    }
    const Status end = reader->Finish();
    EXPECT_TRUE(end.ok()) << end.error_message();
    return lines;
  }
  Status cleanup() {
    google::protobuf::Empty nothing;
    ClientContext context;
    return stub_->Cleanup(&context, {}, &nothing);
  }

 private:
  bool listens() const {
    const sys::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, socket_.c_str(), sizeof address.sun_path - 1);
    return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }

  [[noreturn]] void become(const fs::path& root, const fs::path& control) const {
    const int log =
        ::open((root.parent_path() / "log").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    ::dup2(log, STDERR_FILENO);
    ::setenv("LD_PRELOAD", LAYERFS_FAULTS_LIBRARY, 1);
    ::setenv(kControlVariable, control.c_str(), 1);
    const std::string program = LAYERFS_BUILD_ROOT "/tools/snapshotter/layerfs-snapshotter";
    ::execl(program.c_str(), program.c_str(), "--root", root.c_str(), "--address", socket_.c_str(),
            "--helper", layerfs_program().c_str(), "--no-sync", "--log-level", "error",
            static_cast<char*>(nullptr));
    ::_exit(127);
  }

  const fs::path socket_;
  pid_t process_ = -1;
  std::unique_ptr<api::Snapshots::Stub> stub_;
};

struct Request {
  std::string name;
  std::function<void(Server&)> prepare;
  std::function<Status(Server&)> act;
  bool is_first = false;  // of a process that has read nothing yet
};

std::ostream& operator<<(std::ostream& out, const Request& request) { return out << request.name; }

class SnapshotterFaults : public SnapshotterTest, public testing::WithParamInterface<Request> {
 protected:
  using State = std::set<std::string>;

  SnapshotterFaults() {
    write_file(control_, std::string(sizeof(FaultControl), '\0'));
    const sys::UniqueFd fd(::open(control_.c_str(), O_RDWR | O_CLOEXEC));
    faults_ = static_cast<FaultControl*>(
        ::mmap(nullptr, sizeof(FaultControl), PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0));
    layer("base", "", "echo text >file");
    stop();
    renew();
  }
  ~SnapshotterFaults() override {
    server_.reset();
    ::munmap(faults_, sizeof(FaultControl));
  }

  // Another process, whatever became of the last.
  void renew() {
    server_.reset();
    server_ = std::make_unique<Server>(root(), control_);
  }

  // Removes all but the base.
  void clear() {
    for (int pass = 0; pass < 3; ++pass) {
      for (const std::string& line : server_->state()) {
        const std::size_t begin = line.find(' ') + 1;
        const std::string name = line.substr(begin, line.find(" <") - begin);
        if (name != "base") static_cast<void>(server_->remove(name));
      }
    }
  }

  void start_over() {
    clear();
    GetParam().prepare(*server_);
    if (GetParam().is_first) renew();
  }

  Status act(int call, int action) {
    faults_->seen = 0;
    faults_->fired = 0;
    faults_->target = call;
    faults_->action = action;
    faults_->armed = 1;
    const Status answer = GetParam().act(*server_);
    faults_->armed = 0;
    return answer;
  }

  void expect_no_leak(const State& state) {
    const Status cleaned = server_->cleanup();
    EXPECT_TRUE(cleaned.ok()) << cleaned.error_message();
    std::size_t workplaces = 0;
    for (const std::string& line : state) {
      if (line.starts_with("ACTIVE") || line.starts_with("VIEW view <>")) ++workplaces;
    }
    EXPECT_EQ(listed("containerd/snapshots").size(), workplaces);
    EXPECT_EQ(listed("pins/containerd"), listed("layers/sha256"));
    EXPECT_EQ(listed("tmp"), std::vector<std::string>());
  }

  // Of an error nothing is to be seen, and the next try works.
  void expect_refusal(const Status& answer) {
    ASSERT_FALSE(server_->has_ended());
    EXPECT_TRUE(answer.error_code() == StatusCode::RESOURCE_EXHAUSTED ||
                answer.error_code() == StatusCode::INTERNAL)
        << answer.error_code();
    EXPECT_NE(answer.error_message(), "");
    EXPECT_EQ(server_->state(), before_);
    const Status again = GetParam().act(*server_);
    EXPECT_TRUE(again.ok()) << "again: " << again.error_message();
  }

  // Death is seen before or after, and if before, the next try works.
  void expect_whole() {
    ASSERT_TRUE(server_->has_ended(0));
    renew();
    if (server_->state() == after_) return;
    EXPECT_EQ(server_->state(), before_);
    expect_no_leak(before_);
    const Status again = GetParam().act(*server_);
    EXPECT_TRUE(again.ok()) << "again: " << again.error_message();
  }

  // False if there is no call of that number.
  bool fail(int call, int action) {
    start_over();
    const Status answer = act(call, action);
    if (faults_->fired.load() == 0) {
      EXPECT_TRUE(answer.ok()) << answer.error_message();
      return false;
    }
    SCOPED_TRACE("call " + std::to_string(call) + " (" + static_cast<const char*>(faults_->call) +
                 "), " + (action == kKill ? "killed" : std::string(::strerror(action))) + ": " +
                 answer.error_message());
    if (action == kKill) {
      expect_whole();
    } else if (!answer.ok()) {
      expect_refusal(answer);
    }
    if (action != kKill) renew();
    EXPECT_EQ(server_->state(), after_);
    expect_no_leak(after_);
    return true;
  }

  FaultControl* faults_ = nullptr;
  const fs::path control_ = dir_ / "faults";
  std::unique_ptr<Server> server_;
  State before_, after_;
};

TEST_P(SnapshotterFaults, LoseNothingAndLeaveNothing) {
  start_over();
  before_ = server_->state();
  ASSERT_TRUE(GetParam().act(*server_).ok());
  after_ = server_->state();
  int call = 1;
  while (fail(call, call % 3 == 0 ? EIO : ENOSPC) && fail(call, kKill) && !HasFailure()) ++call;
  EXPECT_GT(call, 1);
}

const std::string kChain = "sha256:" + std::string(64, 'c');
const std::string kUnpacked = "ns/1/extract-1-Abc_ " + kChain;

INSTANTIATE_TEST_SUITE_P(
    Of, SnapshotterFaults,
    testing::Values(
        Request{"Prepare", [](Server&) {}, [](Server& s) { return s.prepare("key", "base"); }},
        Request{"ViewOfNothing", [](Server&) {}, [](Server& s) { return s.view("view", ""); }},
        Request{"View", [](Server&) {}, [](Server& s) { return s.view("key", "base"); }},
        Request{"Commit", [](Server& s) { EXPECT_TRUE(s.prepare("key", "base").ok()); },
                [](Server& s) { return s.commit("name", "key"); }},
        Request{"CommitOfALayer", [](Server& s) { EXPECT_TRUE(s.prepare(kUnpacked, "").ok()); },
                [](Server& s) { return s.commit("ns/1/" + kChain, kUnpacked); }},
        Request{"Remove", [](Server& s) { EXPECT_TRUE(s.prepare("key", "base").ok()); },
                [](Server& s) { return s.remove("key"); }},
        Request{"RemoveOfALayer",
                [](Server& s) {
                  EXPECT_TRUE(s.prepare("key", "base").ok());
                  EXPECT_TRUE(s.commit("name", "key").ok());
                },
                [](Server& s) { return s.remove("name"); }},
        Request{"Update", [](Server& s) { EXPECT_TRUE(s.prepare("key", "base").ok()); },
                [](Server& s) { return s.label("key", "value"); }},
        Request{"Cleanup",
                [](Server& s) {
                  EXPECT_TRUE(s.prepare("key", "base").ok());
                  EXPECT_TRUE(s.commit("name", "key").ok());
                  EXPECT_TRUE(s.remove("name").ok());
                },
                [](Server& s) { return s.cleanup(); }},
        Request{"Mounts", [](Server& s) { EXPECT_TRUE(s.prepare("key", "base").ok()); },
                [](Server& s) { return s.mounts("key"); }, true}),
    [](const testing::TestParamInfo<Request>& test) { return test.param.name; });

}  // namespace
}  // namespace layerfs::test
