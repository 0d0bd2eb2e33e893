// Hands a replica's output to a reader: the last lines, and then, if wanted, what comes.
#pragma once

#include <filesystem>
#include <memory>

#include "runtime/http/backend.h"

namespace boost::asio {
class io_context;
class thread_pool;
}  // namespace boost::asio

namespace hs {

// Many replicas' last lines take their time: they are read on `reading`. The sink is used on the loop alone.
void FollowLog(boost::asio::io_context& loop, boost::asio::thread_pool& reading,
               const std::filesystem::path& directory, const LogQuery& query, std::shared_ptr<LogSink> sink);

}  // namespace hs
