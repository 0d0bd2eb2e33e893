// The node's door: keeps a real HAProxy at what the newest DoorTable asks for.
//
// Intuition: a thermostat. Each round asks HAProxy what it has, works out the difference and closes it:
// server changes by run-time commands, changes of services or ports by a hitless reload. A round that fails
// is simply followed by another, so losing a command, an agent or HAProxy itself needs no case of its own.
//
// Invariants:
//  1. HAProxy belongs to the box, not to the agent: it runs in its own session, outlives kill -9 of the
//     agent, and the next HaproxyDoor on the same directory takes it over without a reload.
//  2. A configuration that HAProxy refuses never replaces one that runs; server changes go on meanwhile.
//  3. A port held by some other program is left out, named in the status, and tried again; the rest is
//     served.
//  4. Starts with the first service; stays from then on.
//
// Single-threaded: everything, callbacks included, on the io_context. Does not decide what is in the table.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "core/types.h"
#include "runtime/haproxy/config.h"

namespace boost::asio {
class io_context;
}

namespace hs {

class HaproxyDoor {
 public:
  // Called when the state changes; empty: HAProxy serves the newest table (or none is needed).
  using OnStatus = std::function<void(const std::string& error)>;

  // A replica here that drains has had no request and no connection for kDrainQuiet: the server's name.
  using OnIdle = std::function<void(const std::string& server)>;

  HaproxyDoor(boost::asio::io_context& io, DoorConfig config, OnStatus on_status, OnIdle on_idle = {});
  ~HaproxyDoor();  // HAProxy stays
  HaproxyDoor(const HaproxyDoor&) = delete;
  HaproxyDoor& operator=(const HaproxyDoor&) = delete;

  // Makes the directory and chooses the inbound ports: the ones a running HAProxy has, else the ones of last
  // time, else the first two free ones from inbound_first on. To be called once, before Apply. Does not start
  // anything.
  Result<DoorPorts> Prepare();

  // The whole table each time; a newer one overtakes an older one that is still being carried out.
  void Apply(DoorTable table);

  // Whether requests of other boxes for this service are taken in here. Where HAProxy has trouble, which is
  // told elsewhere, nobody need wait for it: true.
  bool Serves(const std::string& service) const;

  // Requests come to replicas here (again): their limits are looked at now, not at the next pause's end.
  void LookAtLimits();

  // Ends HAProxy for good (the node leaves). `done` is called when it is gone or 5 s have passed.
  void Shutdown(std::function<void()> done);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace hs
