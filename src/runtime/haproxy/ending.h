// Ends the HAProxy of a data directory, kindly or not. `config` must outlive it.
#pragma once

#include <boost/asio/awaitable.hpp>

#include "runtime/haproxy/config.h"

namespace hs {

// By its master, which lets its workers finish; returns when it has ended, after 5 s at the latest.
boost::asio::awaitable<void> StopHaproxy(const DoorConfig& config);

// Every process that runs this configuration, also those whose master or pid file is gone: a stopped worker
// does not end with its master, and would keep the ports with nobody to drive it.
boost::asio::awaitable<void> KillHaproxy(const DoorConfig& config);

}  // namespace hs
