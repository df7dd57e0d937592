#include "gateway/ctl/time_text.h"

#include <chrono>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "gateway/io/clock.h"

namespace vigil::ctl {
namespace {

constexpr int64_t kMinute = 60;
constexpr int64_t kHour = 60 * kMinute;
constexpr int64_t kDay = 24 * kHour;

std::string TwoUnits(int64_t seconds, int64_t large, const char* names[2]) {
  const int64_t small = large == kDay ? kHour : large / 60;
  const int64_t rest = seconds % large / small;
  std::string text = absl::StrCat(seconds / large, " ", names[0]);
  if (rest > 0) absl::StrAppend(&text, " ", rest, " ", names[1]);
  return text;
}

}  // namespace

TimeDelta UnixNow() {
  return io::NtpAtMonotonicZero() + TimeDelta::Nanos(io::MonotonicNow().ns()) - io::kUnixEpochInNtp;
}

std::string SpanText(TimeDelta span) {
  if (span < TimeDelta::Zero()) return absl::StrCat("-", SpanText(-span));
  const int64_t seconds = span.ns() / 1'000'000'000;
  if (span < TimeDelta::Millis(1)) return absl::StrCat(span.us(), " us");
  if (span < TimeDelta::Millis(10)) return absl::StrFormat("%.1f ms", span.seconds() * 1e3);
  if (span < TimeDelta::Seconds(1)) return absl::StrCat(span.ms(), " ms");
  if (seconds < 10) return absl::StrFormat("%.1f s", static_cast<double>(span.ms() / 100) / 10.0);
  if (seconds < kMinute) return absl::StrCat(seconds, " s");
  const char* minutes[] = {"m", "s"};
  const char* hours[] = {"h", "m"};
  const char* days[] = {"d", "h"};
  if (seconds < kHour) return TwoUnits(seconds, kMinute, minutes);
  if (seconds < kDay) return TwoUnits(seconds, kHour, hours);
  return TwoUnits(seconds, kDay, days);
}

std::string UtcText(TimeDelta since_1970) {
  namespace chrono = std::chrono;
  const chrono::sys_seconds at{chrono::seconds(since_1970.ns() / 1'000'000'000)};
  const chrono::sys_days day = chrono::floor<chrono::days>(at);
  const chrono::year_month_day date(day);
  const chrono::hh_mm_ss time(at - day);
  return absl::StrFormat("%04d-%02d-%02d %02d:%02d:%02dZ", static_cast<int>(date.year()),
                         static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                         time.hours().count(), time.minutes().count(), time.seconds().count());
}

std::optional<TimeDelta> ParseSpan(std::string_view text) {
  constexpr std::string_view kUnits = "smhd";
  constexpr int64_t kSeconds[] = {1, kMinute, kHour, kDay};
  constexpr int64_t kMost = 36'525 * kDay;
  int64_t unit = 1;
  if (!text.empty()) {
    const size_t at = kUnits.find(text.back());
    if (at != std::string_view::npos) {
      unit = kSeconds[at];
      text.remove_suffix(1);
    }
  }
  int64_t count = 0;
  if (!absl::SimpleAtoi(absl::string_view(text.data(), text.size()), &count)) return std::nullopt;
  if (count <= 0 || count > kMost / unit) return std::nullopt;
  return TimeDelta::Seconds(count * unit);
}

}  // namespace vigil::ctl
