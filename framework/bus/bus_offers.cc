// What the host says: offers and rescinds.
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "framework/base/status.h"
#include "framework/bus/bus.h"

namespace vmbuskit {

void Bus::OnOffer(const Offer& offer) {
  ++offers_;
  if (absl::Status status = CheckOffer(offer); !status.ok()) {
    Refuse(offer, status);
  } else if (offer.subchannel_index == 0) {
    AddDevice(offer);
  } else {
    AddSubchannel(offer);
  }
}

absl::Status Bus::CheckOffer(const Offer& offer) const {
  if (state_ == State::kStopping || state_ == State::kLost) {
    return absl::UnavailableError("the bus shuts down");
  }
  if (relids_.contains(offer.relid) || early_subchannels_.contains(offer.relid)) {
    return Violation("offer", "relid", offer.relid, "is in use");
  }
  return absl::OkStatus();
}

void Bus::Refuse(const Offer& offer, const absl::Status& reason) {
  ++offers_refused_;
  last_refusal_ =
      absl::Status(reason.code(), absl::StrCat("offer of ", offer.instance_id.ToString(),
                                               ", relid ", offer.relid, ": ", reason.message()));
  // Never that of a live channel: its own rescind must find it.
  if (!relids_.contains(offer.relid) && !early_subchannels_.contains(offer.relid)) {
    refused_.insert(offer.relid);
  }
}

void Bus::AddDevice(const Offer& offer) {
  if (nodes_.size() >= options_.devices_max) {
    Refuse(offer, absl::ResourceExhaustedError(absl::StrCat("devices_max is ", options_.devices_max,
                                                            " and that many are there")));
    return;
  }
  Node predecessor;
  const auto existing = instances_.find(offer.instance_id);
  if (existing != instances_.end()) {
    predecessor = existing->second;
    if (!predecessor->rescinded()) {
      Refuse(offer, Violation("offer", "relid", offer.relid,
                              absl::StrCat("its instance is offered already, as relid ",
                                           predecessor->offer().relid)));
      return;
    }
  }
  const auto node = std::make_shared<DeviceNode>(
      DeviceNode::Environment{.transport = transport_,
                              .placement = placement_,
                              .owner = *this,
                              .observer = options_.observer,
                              .start_deadline = options_.start_deadline,
                              .stop_deadline = options_.stop_deadline},
      offer, classes_.Find(offer.class_id), std::move(predecessor));
  refused_.erase(offer.relid);
  node->channels().InitialCapture(capture_);
  nodes_.push_back(node);
  instances_[offer.instance_id] = node;
  relids_[offer.relid] = node;
  AdoptSubchannels(node);
  lives_.Spawn(RunNode(node));
  changed_.NotifyAll();
}

void Bus::AddSubchannel(const Offer& offer) {
  const auto device = instances_.find(offer.instance_id);
  if (device == instances_.end() || device->second->rescinded()) {
    if (early_subchannels_.size() >= options_.early_subchannels_max) {
      Refuse(offer, absl::ResourceExhaustedError(
                        absl::StrCat("early_subchannels_max is ", options_.early_subchannels_max)));
      return;
    }
    refused_.erase(offer.relid);
    early_subchannels_.emplace(offer.relid, offer);
    return;
  }
  const Node& node = device->second;
  absl::Status added = node->offer().class_id == offer.class_id
                           ? node->AddSubchannel(offer)
                           : Violation("sub-channel offer", "relid", offer.relid,
                                       "its class is not that of its device");
  if (!added.ok()) {
    Refuse(offer, added);
    return;
  }
  refused_.erase(offer.relid);
  relids_[offer.relid] = node;
}

void Bus::AdoptSubchannels(const Node& node) {
  std::vector<Offer> adopted;
  for (const auto& [relid, offer] : early_subchannels_) {
    if (offer.instance_id == node->offer().instance_id) adopted.push_back(offer);
  }
  for (const Offer& offer : adopted) {
    early_subchannels_.erase(offer.relid);
    AddSubchannel(offer);
  }
}

void Bus::OnAllOffersDelivered() {
  offers_delivered_ = true;
  changed_.NotifyAll();
}

void Bus::OnRescind(uint32_t relid) {
  ++rescinds_;
  const auto device = relids_.find(relid);
  if (device != relids_.end()) {
    const Node node = device->second;
    node->Rescind(relid);
  } else if (early_subchannels_.erase(relid) + refused_.erase(relid) > 0) {
    transport_.Release(relid);
  }
  // Anything else raced with its release (protocol 02 section 5.4).
}

void Bus::OnSubchannelGone(uint32_t relid) {
  relids_.erase(relid);
  transport_.Release(relid);
}

void Bus::OnConnectionLost(const absl::Status& reason) {
  if (state_ != State::kStopping) state_ = State::kLost;
  lost_ = reason;
  std::vector<uint32_t> unused(refused_.begin(), refused_.end());
  for (const auto& [relid, offer] : early_subchannels_) unused.push_back(relid);
  refused_.clear();
  early_subchannels_.clear();
  for (const uint32_t relid : unused) transport_.Release(relid);
  for (const Node& node : nodes_) node->ConnectionLost(reason);
  changed_.NotifyAll();
}

}  // namespace vmbuskit
