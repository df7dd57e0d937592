#pragma once

#include <memory>
#include <string>
#include <vector>

#include "gateway/metrics/snapshot.h"
#include "prometheus/collectable.h"
#include "prometheus/metric_family.h"

namespace vigil::metrics {

// Shows one snapshot as families of metrics, prefix `vigil_`, base units. Names and labels are a
// contract: extend them, rename none.
class Exporter final : public prometheus::Collectable {
 public:
  explicit Exporter(Snapshot snapshot) : snapshot_(std::move(snapshot)) {}
  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  Snapshot snapshot_;
};

// The same in Prometheus's text format 0.0.4.
std::string ToText(const prometheus::Collectable& metrics);

}  // namespace vigil::metrics
