#include "tools/snapshotter/service.h"

#include <fcntl.h>

#include <exception>
#include <stdexcept>
#include <utility>

#include <google/protobuf/util/time_util.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/server_posix.h>
#include <spdlog/spdlog.h>

#include "fs/sys/quote.h"
#include "tools/snapshotter/snapshots.grpc.pb.h"

namespace layerfs::snapshotter {

namespace api = containerd::services::snapshots::v1;
using google::protobuf::Empty;
using google::protobuf::util::TimeUtil;
using grpc::ServerContext;
using grpc::Status;

namespace {

// Two labels of the allowed size fit many times; containerd itself sends less.
constexpr int kMaxMessage = 8 << 20;

grpc::StatusCode code_of(Code code) {
  switch (code) {
    case Code::kNotFound:
      return grpc::StatusCode::NOT_FOUND;
    case Code::kAlreadyExists:
      return grpc::StatusCode::ALREADY_EXISTS;
    case Code::kFailedPrecondition:
      return grpc::StatusCode::FAILED_PRECONDITION;
    case Code::kInvalidArgument:
      return grpc::StatusCode::INVALID_ARGUMENT;
    case Code::kExhausted:
      return grpc::StatusCode::RESOURCE_EXHAUSTED;
    case Code::kInternal:
      break;
  }
  return grpc::StatusCode::INTERNAL;
}

// A status travels in a header, which has room for some KiB.
Status status_of(const Refusal& refusal) {
  constexpr std::size_t kMax = 2000;
  if (refusal.code == Code::kInternal || refusal.code == Code::kExhausted) {
    spdlog::error("{}", refusal.sentence);
  }
  // The client shows it to people.
  return {code_of(refusal.code), sys::escaped(refusal.sentence).substr(0, kMax)};
}

Labels labels_of(const google::protobuf::Map<std::string, std::string>& map) {
  return {map.begin(), map.end()};
}

void put(const Info& info, api::Info& out) {
  out.set_name(info.name);
  out.set_parent(info.parent);
  out.set_kind(static_cast<api::Kind>(info.kind));
  *out.mutable_created_at() = TimeUtil::NanosecondsToTimestamp(info.created);
  *out.mutable_updated_at() = TimeUtil::NanosecondsToTimestamp(info.updated);
  out.mutable_labels()->insert(info.labels.begin(), info.labels.end());
}

template <typename Response>
Status put(const Answer<std::vector<Mount>>& mounts, Response& response) {
  if (!mounts) return status_of(mounts.error());
  for (const Mount& mount : *mounts) {
    auto& out = *response.add_mounts();
    out.set_type(mount.type);
    out.set_source(mount.source);
    for (const std::string& option : mount.options) out.add_options(option);
  }
  return Status::OK;
}

Status status_of(const Answer<void>& answer) {
  return answer ? Status::OK : status_of(answer.error());
}

// Whatever escapes from a call is its answer: the server goes on.
template <typename Call>
Status answered(const Call& call) noexcept {
  try {
    return call();
  } catch (const std::exception& error) {
    return {grpc::StatusCode::INTERNAL, error.what()};
  }
}

class Calls final : public api::Snapshots::Service {
 public:
  explicit Calls(Snapshotter& snapshots) : snapshots_(snapshots) {}

  Status Prepare(ServerContext*, const api::PrepareSnapshotRequest* request,
                 api::PrepareSnapshotResponse* response) override {
    return answered([&] {
      return put(
          snapshots_.prepare(request->key(), request->parent(), labels_of(request->labels())),
          *response);
    });
  }

  Status View(ServerContext*, const api::ViewSnapshotRequest* request,
              api::ViewSnapshotResponse* response) override {
    return answered([&] {
      return put(snapshots_.view(request->key(), request->parent(), labels_of(request->labels())),
                 *response);
    });
  }

  Status Mounts(ServerContext*, const api::MountsRequest* request,
                api::MountsResponse* response) override {
    return answered([&] { return put(snapshots_.mounts(request->key()), *response); });
  }

  Status Commit(ServerContext*, const api::CommitSnapshotRequest* request, Empty*) override {
    return answered([&] {
      return status_of(
          snapshots_.commit(request->name(), request->key(), labels_of(request->labels())));
    });
  }

  Status Remove(ServerContext*, const api::RemoveSnapshotRequest* request, Empty*) override {
    return answered([&] { return status_of(snapshots_.remove(request->key())); });
  }

  Status Stat(ServerContext*, const api::StatSnapshotRequest* request,
              api::StatSnapshotResponse* response) override {
    return answered([&] {
      const Answer<Info> info = snapshots_.stat(request->key());
      if (!info) return status_of(info.error());
      put(*info, *response->mutable_info());
      return Status::OK;
    });
  }

  Status Update(ServerContext*, const api::UpdateSnapshotRequest* request,
                api::UpdateSnapshotResponse* response) override {
    return answered([&] {
      Info wanted;
      wanted.name = request->info().name();
      wanted.labels = labels_of(request->info().labels());
      const auto& paths = request->update_mask().paths();
      const Answer<Info> info = snapshots_.update(wanted, {paths.begin(), paths.end()});
      if (!info) return status_of(info.error());
      put(*info, *response->mutable_info());
      return Status::OK;
    });
  }

  Status List(ServerContext* context, const api::ListSnapshotsRequest* request,
              grpc::ServerWriter<api::ListSnapshotsResponse>* writer) override {
    return answered([&] {
      const auto& filters = request->filters();
      return status_of(
          snapshots_.list({filters.begin(), filters.end()}, [&](const std::vector<Info>& infos) {
            api::ListSnapshotsResponse response;
            for (const Info& info : infos) put(info, *response.add_info());
            return !context->IsCancelled() && writer->Write(response);
          }));
    });
  }

  Status Usage(ServerContext*, const api::UsageRequest* request,
               api::UsageResponse* response) override {
    return answered([&] {
      const auto usage = snapshots_.usage(request->key());
      if (!usage) return status_of(usage.error());
      response->set_size(usage->size);
      response->set_inodes(usage->inodes);
      return Status::OK;
    });
  }

  Status Cleanup(ServerContext*, const api::CleanupRequest*, Empty*) override {
    return answered([&] { return status_of(snapshots_.cleanup()); });
  }

 private:
  Snapshotter& snapshots_;
};

}  // namespace

class Service::Server {
 public:
  explicit Server(Snapshotter& snapshots) : calls_(snapshots) {
    grpc::ServerBuilder builder;
    builder.SetMaxReceiveMessageSize(kMaxMessage);
    builder.RegisterService(&calls_);
    server_ = builder.BuildAndStart();
    if (!server_) throw std::runtime_error("gRPC does not start a server");
  }
  ~Server() {
    server_->Shutdown();
    server_->Wait();
  }

  void serve(sys::UniqueFd connection) {
    // gRPC waits for it itself, and owns it from here on.
    ::fcntl(connection.get(), F_SETFL, ::fcntl(connection.get(), F_GETFL) | O_NONBLOCK);
    grpc::AddInsecureChannelFromFd(server_.get(), connection.release());
  }

 private:
  Calls calls_;
  std::unique_ptr<grpc::Server> server_;
};

Service::Service(Snapshotter& snapshots) : server_(std::make_unique<Server>(snapshots)) {}

Service::~Service() = default;

void Service::serve(sys::UniqueFd connection) { server_->serve(std::move(connection)); }

}  // namespace layerfs::snapshotter
