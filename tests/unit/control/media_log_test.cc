#include "gateway/control/media_log.h"

#include <set>
#include <string>
#include <vector>

#include "gateway/control/api_error.h"
#include "gtest/gtest.h"

namespace vigil::control {
namespace {

const SiteId kNorth(1);
const SiteId kSouth(2);

v1::MediaEvent Ended(const std::string& feed) {
  v1::MediaEvent event;
  event.mutable_feed_ended()->set_feed(feed);
  return event;
}

std::vector<std::string> ReadAll(const MediaLog& log, MediaLog::Place& place) {
  std::vector<std::string> feeds;
  while (const v1::MediaEvent* event = log.Next(place)) feeds.push_back(event->feed_ended().feed());
  return feeds;
}

TEST(MediaLog, AWatchReadsItsSitesInTheOrderOfWhatHappened) {
  MediaLog log(7);
  MediaLog::Place both = log.End({kNorth, kSouth});
  MediaLog::Place north = log.End({kNorth});
  log.Append(kNorth, Ended("n1"));
  log.Append(kSouth, Ended("s1"));
  log.Append(kNorth, Ended("n2"));
  EXPECT_EQ(ReadAll(log, both), (std::vector<std::string>{"n1", "s1", "n2"}));
  EXPECT_EQ(ReadAll(log, north), (std::vector<std::string>{"n1", "n2"}));
  EXPECT_EQ(both.sequence(), 3u);
  EXPECT_EQ(north.sequence(), 2u);
}

TEST(MediaLog, ATokenGoesOnWithoutAMissedOrDoubledChange) {
  MediaLog log(7);
  MediaLog::Place place = log.End({kNorth, kSouth});
  for (int i = 0; i < 100; ++i) log.Append(i % 3 == 0 ? kNorth : kSouth, Ended(std::to_string(i)));
  std::vector<std::string> seen;
  // Resumed after each change.
  for (int i = 0; i < 100; ++i) {
    seen.push_back(log.Next(place)->feed_ended().feed());
    auto resumed = log.Resume(log.Token(place), {kNorth, kSouth});
    ASSERT_TRUE(resumed.ok()) << resumed.status();
    EXPECT_EQ(resumed->sequence(), static_cast<uint64_t>(i + 1));
    place = *resumed;
  }
  for (int i = 0; i < 100; ++i) EXPECT_EQ(seen[i], std::to_string(i));
  EXPECT_EQ(log.Next(place), nullptr);
}

TEST(MediaLog, ASlowWatchLearnsHowMuchItLost) {
  MediaLog log(7);
  const MediaLog::Place slow = log.End({kNorth});
  const std::string token = log.Token(slow);
  for (size_t i = 0; i < MediaLog::kKept + 5; ++i) log.Append(kNorth, Ended("x"));
  EXPECT_EQ(log.Lost(slow), 5u);
  EXPECT_EQ(ReasonOf(log.Resume(token, {kNorth}).status()), v1::ERROR_REASON_RESUME_EXPIRED);
}

TEST(MediaLog, AnotherSitesCrowdTakesNothingAndShowsNothing) {
  MediaLog log(7);
  MediaLog::Place north = log.End({kNorth});
  const std::string before = log.Token(north);
  for (size_t i = 0; i < 10 * MediaLog::kKept; ++i) log.Append(kSouth, Ended("x"));
  EXPECT_EQ(log.Token(north), before);
  log.Append(kNorth, Ended("n1"));
  EXPECT_EQ(ReadAll(log, north), (std::vector<std::string>{"n1"}));
  EXPECT_EQ(north.sequence(), 1u);
}

TEST(MediaLog, AWatchOfEverySiteGoesOnWithThoseThatCameSince) {
  MediaLog log(7);
  MediaLog::Place place = log.End({kNorth});
  log.Append(kNorth, Ended("n1"));
  log.Next(place);
  const std::string token = log.Token(place);
  log.Append(kSouth, Ended("s1"));
  log.Append(kNorth, Ended("n2"));
  auto resumed = log.ResumeEverySite(token, {kNorth, kSouth});
  ASSERT_TRUE(resumed.ok()) << resumed.status();
  EXPECT_EQ(ReadAll(log, *resumed), (std::vector<std::string>{"s1", "n2"}));
  EXPECT_EQ(resumed->sequence(), 3u);
  // Also a site in which nothing has happened, and no site at all.
  EXPECT_TRUE(log.ResumeEverySite(token, {kNorth, kSouth, SiteId(3)}).ok());
  EXPECT_TRUE(log.ResumeEverySite(log.Token(log.End({})), {kNorth, kSouth}).ok());
  EXPECT_EQ(ReasonOf(log.ResumeEverySite(token, {kSouth}).status()),
            v1::ERROR_REASON_RESUME_EXPIRED);
  for (size_t i = 0; i < MediaLog::kKept; ++i) log.Append(kSouth, Ended("x"));
  EXPECT_EQ(ReasonOf(log.ResumeEverySite(token, {kNorth, kSouth}).status()),
            v1::ERROR_REASON_RESUME_EXPIRED);
}

TEST(MediaLog, TokensOfOthersAreRefused) {
  MediaLog log(7);
  log.Append(kNorth, Ended("x"));
  const std::string token = log.Token(log.End({kNorth}));
  const std::set<SiteId> sites = {kNorth};
  EXPECT_TRUE(log.Resume(token, sites).ok());
  EXPECT_EQ(ReasonOf(log.Resume(token, {kSouth}).status()), v1::ERROR_REASON_RESUME_EXPIRED);
  EXPECT_EQ(ReasonOf(log.Resume(token, {kNorth, kSouth}).status()),
            v1::ERROR_REASON_RESUME_EXPIRED);
  const MediaLog other_run(8);
  EXPECT_EQ(ReasonOf(other_run.Resume(token, sites).status()), v1::ERROR_REASON_RESUME_EXPIRED);
  for (const std::string& nonsense :
       {std::string("?"), std::string("QUJD"), std::string(20'000, 'A'), std::string("Ny4xLng")}) {
    // Whatever it is, perhaps of another version: to watch anew is what helps.
    EXPECT_EQ(ReasonOf(log.Resume(nonsense, sites).status()), v1::ERROR_REASON_RESUME_EXPIRED)
        << nonsense;
  }
}

}  // namespace
}  // namespace vigil::control
