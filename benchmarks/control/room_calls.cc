#include "benchmarks/control/room_calls.h"

#include <fstream>
#include <iterator>
#include <stdexcept>

#include "grpcpp/grpcpp.h"

namespace vigil::bench {
namespace {

void Insist(const grpc::Status& status, const char* what) {
  if (!status.ok()) throw std::runtime_error(std::string(what) + ": " + status.error_message());
}

void Authorize(grpc::ClientContext& context, const std::string& token) {
  if (!token.empty()) context.AddMetadata("authorization", "Bearer " + token);
}

}  // namespace

std::string ReadFile(const std::string& name) {
  std::ifstream file(name, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + name);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

v1::PublishResponse Publish(v1::MediaService::Stub& stub, const std::string& participant,
                            const std::string& offer, const std::string& token) {
  v1::PublishRequest request;
  request.set_participant(participant);
  request.set_feed("patient");
  request.set_sdp_offer(offer);
  grpc::ClientContext context;
  Authorize(context, token);
  v1::PublishResponse response;
  Insist(stub.Publish(&context, request, &response), "Publish");
  return response;
}

v1::SubscribeResponse Subscribe(v1::MediaService::Stub& stub, const std::string& participant,
                                const std::string& offer, const std::string& feed,
                                const std::string& token) {
  v1::SubscribeRequest request;
  request.set_participant(participant);
  request.set_sdp_offer(offer);
  if (!feed.empty()) request.add_feeds(feed);
  grpc::ClientContext context;
  Authorize(context, token);
  v1::SubscribeResponse response;
  Insist(stub.Subscribe(&context, request, &response), "Subscribe");
  return response;
}

}  // namespace vigil::bench
