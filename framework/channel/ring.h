// The ring buffer of VMBus, one class per end. One implementation serves guest and host.
//
//   RingWriter writer(outgoing);                 RingReader reader(incoming, {.guest_end = true});
//   writer.Append(packet);   // any number       reader.Mask();
//   if (writer.Publish()) SignalPeer();          do {
//                                                  while (reader.Next(packet) == kPacket) Handle(packet);
//                                                  if (reader.Commit()) SignalPeer();
//                                                } while (reader.Unmask() && (reader.Mask(), true));
//
// See ring_writer.h and ring_reader.h.
#ifndef VMBUSKIT_FRAMEWORK_CHANNEL_RING_H_
#define VMBUSKIT_FRAMEWORK_CHANNEL_RING_H_

#include "framework/channel/ring_memory.h"  // IWYU pragma: export
#include "framework/channel/ring_reader.h"  // IWYU pragma: export
#include "framework/channel/ring_writer.h"  // IWYU pragma: export

#endif  // VMBUSKIT_FRAMEWORK_CHANNEL_RING_H_
