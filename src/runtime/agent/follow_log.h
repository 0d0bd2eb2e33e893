// Hands a replica's output to a reader: the last lines, and then, if wanted, what comes.
#pragma once

#include <filesystem>
#include <memory>

#include "runtime/http/backend.h"

namespace boost::asio {
class io_context;
}

namespace hs {

void FollowLog(boost::asio::io_context& loop, const std::filesystem::path& directory, const LogQuery& query,
               std::shared_ptr<LogSink> sink);

}  // namespace hs
