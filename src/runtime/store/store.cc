#include "runtime/store/store.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <optional>
#include <thread>

#include "runtime/store/database.h"

namespace hs {
namespace {

constexpr auto kPeersLazy = std::chrono::seconds(2);

struct Job {
  std::vector<Document> documents;
  std::function<void(Result<void>)> done;
};

// Moves the file and what belongs to it out of the way.
Result<std::string> MoveAside(const std::string& path) {
  const auto now =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch());
  const std::string aside = path + ".corrupt-" + std::to_string(now.count());
  if (std::rename(path.c_str(), aside.c_str()) != 0) {
    return BadInput("the damaged " + path + " cannot be moved aside: check the directory's permissions");
  }
  // A log that belongs to the damaged file would be replayed into the new one.
  for (const char* part : {"-wal", "-shm", "-journal"})
    (void)std::rename((path + part).c_str(), (aside + part).c_str());
  return aside;
}

}  // namespace

class Store::Impl {
 public:
  Impl(boost::asio::io_context& loop, StoreCodec codec, Database database)
      : loop_(loop),
        codec_(std::move(codec)),
        database_(std::move(database)),
        alive_(std::make_shared<bool>(true)) {
    thread_ = std::thread([this] { Work(); });
  }

  ~Impl() {
    *alive_ = false;
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_one();
    thread_.join();
  }

  void Persist(Job job) {
    {
      const std::lock_guard lock(mutex_);
      jobs_.push_back(std::move(job));
    }
    wake_.notify_one();
  }

  void SavePeers(std::vector<std::pair<NodeId, Endpoint>> peers) {
    {
      const std::lock_guard lock(mutex_);
      peers_ = std::move(peers);
    }
    wake_.notify_one();
  }

 private:
  void Work() {
    std::unique_lock lock(mutex_);
    while (!stopping_ || !jobs_.empty() || peers_) {
      wake_.wait(lock, [this] { return stopping_ || !jobs_.empty() || peers_; });
      // Peers alone are in no hurry.
      if (jobs_.empty() && peers_) {
        wake_.wait_for(lock, kPeersLazy, [this] { return stopping_ || !jobs_.empty(); });
      }
      std::vector<Job> jobs = std::exchange(jobs_, {});
      const auto peers = std::exchange(peers_, std::nullopt);
      lock.unlock();
      if (!jobs.empty() || peers) WriteTogether(jobs, peers);
      lock.lock();
    }
  }

  // One transaction for all that waits. When it fails each job is tried alone, so that one that is too large
  // for the disk does not fail the others.
  void WriteTogether(std::vector<Job>& jobs,
                     const std::optional<std::vector<std::pair<NodeId, Endpoint>>>& peers) {
    std::vector<const Job*> all;
    for (const Job& job : jobs) all.push_back(&job);
    if (Write(all, peers)) {
      for (Job& job : jobs) Answer(job, {});
      return;
    }
    for (Job& job : jobs) Answer(job, Write({&job}, std::nullopt));
  }

  Result<void> Write(const std::vector<const Job*>& jobs,
                     const std::optional<std::vector<std::pair<NodeId, Endpoint>>>& peers) {
    Result<void> result = database_.Begin();
    for (const Job* job : jobs) {
      for (const Document& document : job->documents) {
        if (!result) break;
        result = document.stamp == Stamp{} ? database_.DropRow(document.key)
                                           : database_.PutRow({document.key, codec_.encode(document)});
      }
    }
    if (result && peers) result = database_.ReplacePeers(*peers);
    if (result) result = database_.Commit();
    if (!result) database_.Rollback();
    return result;
  }

  void Answer(Job& job, Result<void> result) {
    if (!job.done) return;
    boost::asio::post(loop_, [alive = alive_, done = std::move(job.done), result = std::move(result)] {
      if (*alive) done(result);
    });
  }

  boost::asio::io_context& loop_;
  StoreCodec codec_;
  Database database_;            // the thread's own
  std::shared_ptr<bool> alive_;  // the loop's own
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Job> jobs_;                                          // guarded by mutex_
  std::optional<std::vector<std::pair<NodeId, Endpoint>>> peers_;  // guarded by mutex_
  bool stopping_ = false;                                          // guarded by mutex_
  std::thread thread_;
};

Result<std::unique_ptr<Store>> Store::Open(boost::asio::io_context& loop, std::string path, StoreCodec codec,
                                           StoreContent& content) {
  std::vector<StoredRow> rows;
  bool damaged = false;
  auto database = Database::Open(path, damaged);
  if (!database && !damaged) return std::unexpected(database.error());
  if (database) {
    damaged = !database->ReadRows(rows, content.warnings);
    damaged = !database->ReadPeers(content.peers) || damaged;
  }
  if (damaged) {
    if (database) database = BadInput("damaged");  // closes the file
    const auto aside = MoveAside(path);
    if (!aside) return std::unexpected(aside.error());
    content.warnings.push_back(
        "the local store " + path + " is damaged; it was moved to " + *aside + ", " +
        std::to_string(rows.size()) +
        " documents could be kept, and other nodes, where there are any, bring back the rest");
    database = Database::Open(path, damaged);
    if (!database) return std::unexpected(database.error());
    auto saved = database->Begin();
    for (const StoredRow& row : rows) {
      if (saved) saved = database->PutRow(row);
    }
    if (saved) saved = database->Commit();
    if (!saved) return std::unexpected(saved.error());
  }
  for (const StoredRow& row : rows) {
    auto document = codec.decode(row.body);
    if (document && document->key == row.key) {
      content.documents.push_back(std::move(*document));
    } else {
      content.warnings.push_back("the stored document '" + row.key + "' cannot be read" +
                                 (document ? std::string() : ": " + document.error().message));
    }
  }
  return std::unique_ptr<Store>(
      new Store(std::make_unique<Impl>(loop, std::move(codec), std::move(*database))));
}

Store::Store(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Store::~Store() = default;
void Store::Persist(std::vector<Document> documents, std::function<void(Result<void>)> done) {
  impl_->Persist({std::move(documents), std::move(done)});
}
void Store::SavePeers(std::vector<std::pair<NodeId, Endpoint>> peers) { impl_->SavePeers(std::move(peers)); }

}  // namespace hs
