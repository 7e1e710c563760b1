// The codec of STUN: any bytes; what is read can be written and read again, and no frame is longer than the protocol allows.
#include "checks/wire/stun.h"

#include <cstdint>

#include "tests/fuzz/raw_network.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ajar;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto frame = stun_frame_size(bytes);
  if (frame) require(*frame <= 4 + 65536 + 16);
  if (const auto channel = parse_channel_data(bytes); channel) {
    require(channel->channel >= kFirstChannel && channel->data.size() + 4 <= size);
    require(parse_channel_data(write_channel_data(*channel, true))->data == channel->data);
  }
  const auto message = parse_stun(bytes);
  if (!message) return 0;
  require(frame && *frame == size && message->id.size() == kStunId && message->attributes.size() <= kMaxStunAttributes);
  for (const auto& [type, value] : message->attributes) {
    require(message->find(type) != nullptr);
    message->address(type);
    message->number(type);
    stun_plain_address(value);
  }
  if (const auto error = stun_error(*message); error) require(error->code >= 300 && error->code <= 699);
  require(stun_unknown_attributes(*message).size() <= kMaxStunAttributes);
  has_unknown_required(*message);
  const auto again = parse_stun(write_stun(*message, true));
  require(again && again->attributes == message->attributes && again->method == message->method &&
          again->kind == message->kind);
  return 0;
}
