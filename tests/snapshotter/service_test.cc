// The service as a client on the other end of a socket has it.
#include "tools/snapshotter/service.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <random>

#include <grpcpp/create_channel_posix.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/client_unary_call.h>

#include "tests/snapshotter/fixture.h"
#include "tests/support/command.h"
#include "tools/snapshotter/snapshots.grpc.pb.h"

namespace layerfs::test {
namespace {

namespace api = containerd::services::snapshots::v1;
using grpc::ClientContext;
using grpc::Status;
using grpc::StatusCode;

class ServiceTest : public SnapshotterTest {
 protected:
  ServiceTest() : stub_(api::Snapshots::NewStub(channel())) {}

  // One end of a new connection; the other is served.
  int connection() {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) ::abort();
    service_.serve(sys::UniqueFd(ends[0]));
    return ends[1];
  }
  std::shared_ptr<grpc::Channel> channel() {
    const int fd = connection();
    ::fcntl(fd, F_SETFL, O_NONBLOCK);
    return grpc::CreateInsecureChannelFromFd("snapshotter", fd);
  }

  Status prepare(const std::string& key, const std::string& parent = "",
                 const Labels& labels = {}) {
    api::PrepareSnapshotRequest request;
    request.set_key(key);
    request.set_parent(parent);
    request.mutable_labels()->insert(labels.begin(), labels.end());
    ClientContext context;
    return stub_->Prepare(&context, request, &prepared_);
  }
  Status commit(const std::string& name, const std::string& key) {
    api::CommitSnapshotRequest request;
    request.set_name(name);
    request.set_key(key);
    ClientContext context;
    google::protobuf::Empty nothing;
    return stub_->Commit(&context, request, &nothing);
  }
  Status remove(const std::string& key) {
    api::RemoveSnapshotRequest request;
    request.set_key(key);
    ClientContext context;
    google::protobuf::Empty nothing;
    return stub_->Remove(&context, request, &nothing);
  }
  Status stat(const std::string& key) {
    api::StatSnapshotRequest request;
    request.set_key(key);
    ClientContext context;
    return stub_->Stat(&context, request, &stat_);
  }

  snapshotter::Service service_{snapshots()};
  std::unique_ptr<api::Snapshots::Stub> stub_;
  api::PrepareSnapshotResponse prepared_;
  api::StatSnapshotResponse stat_;
};

TEST_F(ServiceTest, AnswersInContainerdsWords) {
  ASSERT_TRUE(prepare("key").ok());
  ASSERT_EQ(prepared_.mounts_size(), 1);
  EXPECT_EQ(prepared_.mounts(0).type(), "bind");
  ASSERT_TRUE(commit("name", "key").ok());
  ASSERT_TRUE(stat("name").ok());
  EXPECT_EQ(stat_.info().kind(), api::COMMITTED);
  EXPECT_GT(stat_.info().created_at().seconds(), 1'000'000'000);
  ASSERT_TRUE(prepare("next", "name", {{"a", "b"}}).ok());
  ASSERT_TRUE(stat("next").ok());
  EXPECT_EQ(stat_.info().parent(), "name");
  EXPECT_EQ(stat_.info().labels().at("a"), "b");
}

TEST_F(ServiceTest, RefusesWithContainerdsCodes) {
  ASSERT_TRUE(prepare("key").ok());
  EXPECT_EQ(prepare("key").error_code(), StatusCode::ALREADY_EXISTS);
  EXPECT_EQ(prepare("other", "nobody").error_code(), StatusCode::NOT_FOUND);
  EXPECT_EQ(prepare("other", "key").error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(stat("nobody").error_code(), StatusCode::NOT_FOUND);
  ASSERT_TRUE(commit("name", "key").ok());
  ASSERT_TRUE(prepare("child", "name").ok());
  EXPECT_EQ(remove("name").error_code(), StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(commit("x", "name").error_code(), StatusCode::FAILED_PRECONDITION);
}

TEST_F(ServiceTest, StreamsALongList) {
  for (int i = 0; i < 120; ++i) ASSERT_THAT(snapshots().view(std::to_string(i), "", {}), Granted());
  ClientContext context;
  const auto reader = stub_->List(&context, {});
  api::ListSnapshotsResponse response;
  int infos = 0, messages = 0;
  while (reader->Read(&response)) {
    ++messages;
    infos += response.info_size();
  }
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(infos, 120);
  EXPECT_GT(messages, 1);
}

TEST_F(ServiceTest, UpdatesByItsMask) {
  ASSERT_TRUE(prepare("key", "", {{"a", "1"}, {"b", "2"}}).ok());
  api::UpdateSnapshotRequest request;
  request.mutable_info()->set_name("key");
  (*request.mutable_info()->mutable_labels())["a"] = "changed";
  request.mutable_update_mask()->add_paths("labels.a");
  ClientContext context;
  api::UpdateSnapshotResponse response;
  ASSERT_TRUE(stub_->Update(&context, request, &response).ok());
  EXPECT_EQ(response.info().labels().at("a"), "changed");
  EXPECT_EQ(response.info().labels().at("b"), "2");
}

TEST_F(ServiceTest, RefusesWhatIsTooLargeAndGoesOn) {
  EXPECT_EQ(prepare("k", "", {{"label", std::string(1'000'000, 'v')}}).error_code(),
            StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(prepare(std::string(1'000'000, 'k')).error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(prepare(std::string(10'000'000, 'k')).error_code(), StatusCode::RESOURCE_EXHAUSTED);
  const std::string long_key(30'000, 'k');  // more than a header has room for
  EXPECT_TRUE(prepare(long_key).ok());
  EXPECT_EQ(prepare(long_key).error_code(), StatusCode::ALREADY_EXISTS);
  EXPECT_TRUE(prepare("../../x").ok());
  EXPECT_TRUE(stat("../../x").ok());
}

TEST_F(ServiceTest, SurvivesMalformedMessages) {
  std::mt19937 random(11);
  const std::string base = "/containerd.services.snapshots.v1.Snapshots/";
  const std::vector<std::string> methods{"Prepare", "View", "Mounts", "Commit", "Remove",
                                         "Stat",    "List", "Update", "Usage",  "Unknown"};
  const auto to_server = channel();
  for (int i = 0; i < 1000; ++i) {
    std::string bytes(random() % 64, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    // Often a field that exists, with a length that does not.
    if (bytes.size() > 2 && i % 2) bytes[0] = static_cast<char>(10 + 8 * (random() % 4));
    const std::string method = base + methods[random() % methods.size()];
    const grpc::Slice slice(bytes);
    const grpc::ByteBuffer request(&slice, 1);
    grpc::ByteBuffer response;
    ClientContext context;
    const grpc::internal::RpcMethod rpc(method.c_str(), grpc::internal::RpcMethod::NORMAL_RPC);
    const Status status = grpc::internal::BlockingUnaryCall<grpc::ByteBuffer, grpc::ByteBuffer>(
        to_server.get(), rpc, &context, request, &response);
    EXPECT_NE(status.error_code(), StatusCode::UNAVAILABLE) << status.error_message();
  }
  for (int i = 0; i < 100; ++i) {
    const int fd = connection();
    std::string noise(random() % 3000, '\0');
    for (char& c : noise) c = static_cast<char>(random());
    [[maybe_unused]] const ssize_t sent = ::send(fd, noise.data(), noise.size(), MSG_NOSIGNAL);
    ::close(fd);
  }
  EXPECT_TRUE(prepare("after").ok());
  EXPECT_EQ(stat("nobody").error_code(), StatusCode::NOT_FOUND);
}

}  // namespace
}  // namespace layerfs::test
