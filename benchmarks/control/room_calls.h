#pragma once

#include <string>

#include "vigil/v1/media.grpc.pb.h"

// What the programs of this folder ask of a gateway. All throw std::runtime_error if it refuses.
// `token`: of a controller; empty where there is no login.

namespace vigil::bench {

std::string ReadFile(const std::string& name);
// Publishes `participant`/patient. Returns the answer.
v1::PublishResponse Publish(v1::MediaService::Stub& stub, const std::string& participant,
                            const std::string& offer, const std::string& token = "");
// Receives `feed`, which may be empty: nothing yet.
v1::SubscribeResponse Subscribe(v1::MediaService::Stub& stub, const std::string& participant,
                                const std::string& offer, const std::string& feed,
                                const std::string& token = "");

}  // namespace vigil::bench
