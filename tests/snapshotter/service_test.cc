// The service as a client on the other end of a socket has it.
#include "tools/snapshotter/service.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <deque>
#include <random>
#include <thread>

#include <grpcpp/create_channel_posix.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/client_unary_call.h>

#include "fs/sys/unique_fd.h"
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

// What a client sends to begin with, recorded, and then changed at random: the frames and headers
// below gRPC.
TEST_F(ServiceTest, SurvivesMalformedFrames) {
  const auto frame = [](char type, char flags, char stream, const std::string& body) {
    std::string head{static_cast<char>(body.size() >> 16),
                     static_cast<char>(body.size() >> 8),
                     static_cast<char>(body.size()),
                     type,
                     flags,
                     0,
                     0,
                     0,
                     stream};
    return head + body;
  };
  const auto literal = [](const std::string& name, const std::string& value) {
    return std::string{0} + static_cast<char>(name.size()) + name +
           static_cast<char>(value.size()) + value;
  };
  api::PrepareSnapshotRequest message;
  message.set_key("fuzzed");
  (*message.mutable_labels())["a"] = "b";
  const std::string bytes = message.SerializeAsString();
  const std::string headers =
      literal(":method", "POST") + literal(":scheme", "http") +
      literal(":path", "/containerd.services.snapshots.v1.Snapshots/Prepare") +
      literal(":authority", "x") + literal("content-type", "application/grpc") +
      literal("te", "trailers");
  const std::string sound =
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, "") + frame(1, 4, 1, headers) +
      frame(0, 1, 1, std::string{0, 0, 0, 0, static_cast<char>(bytes.size())} + bytes);
  // A server gives up on a request whose client is gone, so the last ones stay connected.
  std::deque<sys::UniqueFd> connected;
  const auto send_all = [&](const std::string& data) {
    connected.emplace_back(connection());
    [[maybe_unused]] const ssize_t sent =
        ::send(connected.back().get(), data.data(), data.size(), MSG_NOSIGNAL);
    if (connected.size() > 16) connected.pop_front();
  };
  send_all(sound);
  for (int i = 0; i < 500 && !stat("fuzzed").ok(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  ASSERT_TRUE(stat("fuzzed").ok()) << "the frames are not what the server takes";
  std::mt19937 random(17);
  constexpr std::size_t kPreface = 24;
  for (int i = 0; i < 400; ++i) {
    std::string data = sound;
    for (unsigned changes = 1 + random() % 4; changes > 0; --changes) {
      const std::size_t at = kPreface + random() % (data.size() - kPreface);
      switch (random() % 4) {
        case 0:
          data[at] = static_cast<char>(random());
          break;
        case 1:
          data[at] = static_cast<char>(data[at] ^ (1 << random() % 8));
          break;
        case 2:
          data.erase(at, random() % 9);
          break;
        default:
          data.insert(at, data.substr(kPreface + random() % 40, random() % 40));
      }
    }
    send_all(data);
  }
  connected.clear();
  // Some of it was still sound: those snapshots are there, and can be removed.
  std::vector<std::string> keys;
  ClientContext context;
  const auto reader = stub_->List(&context, {});
  for (api::ListSnapshotsResponse response; reader->Read(&response);)
    for (const auto& info : response.info()) keys.push_back(info.name());
  EXPECT_TRUE(reader->Finish().ok());
  for (const std::string& key : keys) EXPECT_TRUE(remove(key).ok()) << key;
  EXPECT_TRUE(prepare("after").ok());
}

// As containerd's unpacker goes about it with a remote snapshotter, call by call.
TEST_F(ServiceTest, HandsOutLayersOfTheStoreInsteadOfHavingThemUnpacked) {
  const std::string base = make_tar({tar_dir("d"), tar_file("d/one", "one\n")});
  const std::string top = make_tar({tar_file("d/two", "two\n")});
  import_layers("image:1", {{base}, {top}});
  const std::vector<std::string> diff_ids{"sha256:" + sha256_hex(base),
                                          "sha256:" + sha256_hex(top)};
  std::string parent;
  for (std::size_t i = 0; i < diff_ids.size(); ++i) {
    const std::string chain = chain_id({diff_ids.begin(), diff_ids.begin() + i + 1});
    EXPECT_EQ(stat("ns/1/" + chain).error_code(), StatusCode::NOT_FOUND);
    const Labels labels{{"containerd.io/snapshot.ref", chain}};
    EXPECT_EQ(prepare("ns/1/extract-1-x " + chain, parent, labels).error_code(),
              StatusCode::ALREADY_EXISTS);
    // It finds the snapshot by that label and its parent, and has nothing to fetch or unpack.
    api::ListSnapshotsRequest request;
    request.add_filters("labels.\"containerd.io/snapshot.ref\"==" + chain + ",parent==\"" + parent +
                        "\"");
    ClientContext context;
    const auto reader = stub_->List(&context, request);
    api::ListSnapshotsResponse found;
    ASSERT_TRUE(reader->Read(&found));
    ASSERT_EQ(found.info_size(), 1);
    EXPECT_EQ(found.info(0).kind(), api::COMMITTED);
    parent = found.info(0).name();
  }
  ASSERT_TRUE(prepare("ns/2/container", parent).ok());
  ASSERT_EQ(prepared_.mounts_size(), 1);
  EXPECT_EQ(listed("layers/sha256").size(), 2U);
  // What the store does not have is prepared, to be unpacked.
  const std::string unknown = "sha256:" + std::string(64, 'a');
  EXPECT_TRUE(
      prepare("ns/3/extract-2-y " + unknown, parent, {{"containerd.io/snapshot.ref", unknown}})
          .ok());
}

TEST_F(ServiceTest, TakesKeysForNothingButKeys) {
  for (const std::string key :
       {"../x", "a/../../b", "/etc/passwd", ".", "..", "a//b", "\n", "%00"}) {
    EXPECT_TRUE(prepare(key).ok()) << key;
    EXPECT_TRUE(commit(key + "/../committed", key).ok()) << key;
    EXPECT_TRUE(remove(key + "/../committed").ok()) << key;
  }
  EXPECT_EQ(prepare(std::string("a\0b", 3)).error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(prepare("").error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(prepare(std::string(1 << 20, '/')).error_code(), StatusCode::INVALID_ARGUMENT);
}

}  // namespace
}  // namespace layerfs::test
