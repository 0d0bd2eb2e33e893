#include <algorithm>

#include "core/node/node_impl.h"

namespace hs {

NodeView Node::Impl::View(Now now) const {
  NodeView view;
  view.now = now.mono;
  view.cluster = cluster_;
  view.self = self_;
  view.controller = region_.controller;
  view.term = region_.term;
  view.region = region_id_;
  view.steward = steward_;
  if (Regional()) view.regions = RegionsSeen();
  for (const auto& [id, member] : membership_.members()) view.members.push_back(member);
  for (const auto& [key, document] : intent_.documents()) view.documents.push_back(document);
  view.conflicts.assign(intent_.conflicts().begin(), intent_.conflicts().end());
  view.services = asked_;
  const auto levels = PresentLevels();
  for (std::size_t i = 0; i < view.services.size(); ++i) {
    DesiredService& service = view.services[i];
    if (service.fixed) continue;
    const auto level = levels.find(service.spec.name);
    service.replicas = level == levels.end() ? services_[i].replicas : level->second.wanted;
  }
  view.reports = board_.Reports();
  view.slices = board_.Slices(region_.controller);
  if (slice_) view.slices[self_] = slice_;  // a new controller may not have written ours yet
  view.events = board_.Events();
  view.steady = steady_dirty_ ? SteadyNow() : steady_;
  view.intent_digest = intent_.digest();
  view.links = Links();
  LoadReport load = load_book_.Sum(now.mono);
  for (NodeLoad& node : load.nodes) view.loads.emplace(node.node, node);
  for (ServiceLoad& service : load.services) {
    std::string name = service.service;
    view.service_loads.emplace(std::move(name), std::move(service));
  }
  return view;
}

const Document* Node::Impl::FindDocument(const std::string& key) const {
  const auto found = intent_.documents().find(key);
  return found == intent_.documents().end() ? nullptr : &found->second;
}

Endpoint Node::Impl::AddressOf(NodeId node) const {
  const auto found = membership_.members().find(node);
  return found == membership_.members().end() ? Endpoint{} : found->second.meta->address;
}

}  // namespace hs
