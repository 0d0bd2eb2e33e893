// Test only: several IntentStores in virtual time, on a network that loses, doubles and reorders, and disks
// that may fail.
//
// It sees to it that no store acknowledges what is not on its disk, and that a request is answered once.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/prng.h"
#include "core/intent/keys.h"
#include "core/intent/store.h"

namespace hs {

inline constexpr WallMs kStart = 1'800'000'000'000;
inline const std::string kKey = ScaleKey("web");

inline NodeId IdOf(std::size_t n) {
  NodeId id;
  id.bytes[0] = static_cast<std::uint8_t>(n + 1);
  return id;
}
inline ScaleOverride Scale(std::uint32_t replicas) { return {"web", replicas}; }

class World {
 public:
  World(std::size_t size, std::uint64_t seed, Tunables tunables = {}) : tunables_(tunables), prng_(seed) {
    for (std::size_t i = 0; i < size; ++i) hosts_.emplace_back();
    for (std::size_t i = 0; i < size; ++i) Start(i);
  }

  void Start(std::size_t i) {
    Host& host = hosts_[i];
    std::vector<Document> loaded;
    for (const auto& [key, document] : host.disk) loaded.push_back(document);
    host.store = std::make_unique<IntentStore>(tunables_, IdOf(i), loaded, NowAt(i));
    host.told = host.store->documents();
    host.next_gossip = now_ + prng_.Between(0s, 300ms);
    Connect();
  }
  void Crash(std::size_t i) {
    hosts_[i].store.reset();
    std::erase_if(queue_, [&](const Delivery& d) { return d.to == i; });
    Connect();
  }
  // Everyone knows who is up and can be reached, and holds links to the next two.
  void Connect() {
    for (std::size_t i = 0; i < hosts_.size(); ++i) {
      IntentPeers peers;
      for (std::size_t j = 0; j < hosts_.size(); ++j) {
        if (j != i && Reaches(i, j))
          peers.present.emplace_back(IdOf(j), Endpoint{IpAddress::V4(127, 0, 0, 1), 7});
      }
      Hand(i, peers);
      for (std::size_t j = 0; j < hosts_.size(); ++j) {
        if (j != i && Reaches(i, j))
          Hand(i, ClockSample{IdOf(j), hosts_[j].clock_error_ms - hosts_[i].clock_error_ms});
      }
      for (std::size_t j = 0; j < hosts_.size(); ++j) {
        if (j == i) continue;
        const std::size_t apart = (j + hosts_.size() - i) % hosts_.size();
        const bool near = apart <= 2 || hosts_.size() - apart <= 2;
        if (near && Reaches(i, j))
          Hand(i, LinkUp{IdOf(j)});
        else
          Hand(i, LinkDown{IdOf(j)});
      }
    }
  }
  bool Reaches(std::size_t i, std::size_t j) const {
    return hosts_[i].store && hosts_[j].store && hosts_[i].side == hosts_[j].side;
  }

  void Hand(std::size_t i, const IntentInput& input) {
    if (!hosts_[i].store) return;
    for (const IntentOutput& output : hosts_[i].store->Step(NowAt(i), input)) Carry(i, output);
  }

  void Write(std::size_t i, std::uint64_t request, std::string key, DocumentBody body) {
    Hand(i, ClientWrite{RequestId{request}, {{std::move(key), std::move(body)}}});
  }

  void Run(Duration span) {
    for (const Time end = now_ + span; now_ < end; now_ += 1ms) {
      std::vector<Delivery> due;
      for (std::size_t k = 0; k < queue_.size();) {
        if (queue_[k].at <= now_) {
          due.push_back(std::move(queue_[k]));
          queue_.erase(queue_.begin() + static_cast<std::ptrdiff_t>(k));
        } else {
          ++k;
        }
      }
      for (const Delivery& d : due) {
        if (d.on_disk) d.on_disk();
        if (d.from != d.to && !Reaches(d.from, d.to)) continue;
        Hand(d.to, d.input);
      }
      for (std::size_t i = 0; i < hosts_.size(); ++i) {
        if (!hosts_[i].store) continue;
        if (now_ >= hosts_[i].next_gossip) Gossip(i);
        if (now_ >= hosts_[i].store->NextDeadline()) Hand(i, Tick{});
      }
    }
  }
  // And whoever only hears of changes knows the same.
  bool Agree() const {
    const IntentStore* first = nullptr;
    for (const Host& host : hosts_) {
      if (!host.store) continue;
      if (first == nullptr) first = host.store.get();
      if (host.store->documents() != first->documents() || host.store->digest() != first->digest() ||
          host.told != host.store->documents())
        return false;
    }
    return true;
  }

  struct Host {
    std::unique_ptr<IntentStore> store;
    std::map<std::string, Document> disk;
    Documents told;  // by DocumentChanged, since its start
    std::string disk_error;
    std::int64_t clock_error_ms = 0;
    int side = 0;
    Time next_gossip{};
  };
  Host& host(std::size_t i) { return hosts_[i]; }
  const IntentStore& store(std::size_t i) const { return *hosts_[i].store; }
  // Replicas asked for, or -1.
  int Value(std::size_t i, const std::string& key) const {
    const auto it = store(i).documents().find(key);
    if (it == store(i).documents().end() || it->second.IsTombstone()) return -1;
    return static_cast<int>(std::get<ScaleOverride>(it->second.body).replicas);
  }

  Tunables tunables_;
  Prng prng_;
  Time now_ = Time{} + 1h;
  double loss_ = 0;
  double doubled_ = 0;
  Duration jitter_ = 1ms;
  Duration disk_time_ = 2ms;
  std::map<std::uint64_t, Result<Stamp>> replies_;
  std::map<std::uint64_t, Time> replied_at_;
  std::vector<DocumentHeldBack> held_;
  int offers_ = 0;

 private:
  struct Delivery {
    Time at;
    std::size_t from;
    std::size_t to;
    IntentInput input;
    std::function<void()> on_disk;
  };
  Now NowAt(std::size_t i) const {
    return {now_, kStart + ToMs(now_.time_since_epoch()) + hosts_[i].clock_error_ms};
  }
  static std::size_t IndexOf(NodeId id) { return static_cast<std::size_t>(id.bytes[0] - 1); }

  void Post(std::size_t from, NodeId to_id, const IntentInput& input) {
    const std::size_t to = IndexOf(to_id);
    if (to >= hosts_.size() || prng_.Chance(loss_)) return;
    for (int copy = prng_.Chance(doubled_) ? 2 : 1; copy > 0; --copy) {
      queue_.push_back({now_ + 1ms + prng_.Between(0s, jitter_), from, to, input, nullptr});
    }
  }
  void Gossip(std::size_t i) {
    hosts_[i].next_gossip = now_ + 300ms;
    const std::size_t j = prng_.Below(hosts_.size());
    if (j == i || !hosts_[j].store) return;
    Post(i, IdOf(j), ClockSample{IdOf(i), hosts_[i].clock_error_ms - hosts_[j].clock_error_ms});
    Post(i, IdOf(j), IntentDigestHeard{IdOf(i), hosts_[i].store->digest()});
  }
  void Carry(std::size_t i, const IntentOutput& output) {
    if (const auto* persist = std::get_if<Persist>(&output)) {
      for (const Document& document : persist->documents) key_of_[document.stamp] = document.key;
      if (!hosts_[i].disk_error.empty()) {
        queue_.push_back(
            {now_ + disk_time_, i, i, PersistFailed{persist->id, hosts_[i].disk_error}, nullptr});
        return;
      }
      const auto write = [this, i, documents = persist->documents] {
        for (const Document& document : documents) {
          if (document.stamp == Stamp{}) {
            hosts_[i].disk.erase(document.key);
          } else {
            hosts_[i].disk[document.key] = document;
          }
        }
      };
      queue_.push_back({now_ + disk_time_, i, i, Persisted{persist->id}, write});
    } else if (const auto* link = std::get_if<SendLink>(&output)) {
      if (const auto* push = std::get_if<DocumentPush>(&link->message)) {
        Post(i, link->to, DocumentsReceived{IdOf(i), *push});
      } else {
        ++offers_;
        Post(i, link->to, DocumentOfferReceived{IdOf(i), std::get<DocumentOffer>(link->message)});
      }
    } else if (const auto* ack = std::get_if<AckDocument>(&output)) {
      // The promise behind every acknowledgement.
      const auto on_disk = hosts_[i].disk.find(key_of_.at(ack->stamp));
      EXPECT_TRUE(on_disk != hosts_[i].disk.end() &&
                  std::max(on_disk->second.stamp, on_disk->second.seen) >= ack->stamp)
          << "acknowledged before it was on disk";
      Post(i, ack->to, DocumentAcked{IdOf(i), ack->stamp});
    } else if (const auto* reply = std::get_if<Reply>(&output)) {
      EXPECT_FALSE(replies_.contains(reply->request.value)) << "a request is answered once";
      replies_.emplace(reply->request.value, reply->result);
      replied_at_[reply->request.value] = now_;
    } else if (const auto* change = std::get_if<DocumentChanged>(&output)) {
      if (change->after.stamp == Stamp{}) {
        hosts_[i].told.erase(change->key);
      } else {
        hosts_[i].told[change->key] = change->after;
      }
    } else if (const auto* held = std::get_if<DocumentHeldBack>(&output)) {
      held_.push_back(*held);
    }
  }

  std::map<Stamp, std::string> key_of_;
  std::deque<Host> hosts_;
  std::deque<Delivery> queue_;
};

}  // namespace hs
