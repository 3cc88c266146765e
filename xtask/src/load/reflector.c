/* The ceiling of every load: sends each IPv4 query to port 53 back with its addresses swapped and QR
   set. */

#include "frame.h"

__attribute__((section("xdp"), used)) int reflect(struct context *context)
{
	struct frame *frame = (void *)(long)context->data;
	if ((void *)(frame + 1) > (void *)(long)context->data_end)
		return PASS;
	if (frame->ethertype != __builtin_bswap16(0x0800) || frame->version_and_length != 0x45 ||
	    frame->protocol != 17 || frame->destination_port != __builtin_bswap16(53))
		return PASS;
	for (int i = 0; i < 6; i++) {
		u8 octet = frame->to[i];
		frame->to[i] = frame->from[i];
		frame->from[i] = octet;
	}
	u32 address = frame->source;
	frame->source = frame->destination;
	frame->destination = address;
	frame->destination_port = frame->source_port;
	frame->source_port = __builtin_bswap16(53);
	frame->udp_checksum = 0;
	frame->dns_flags[0] |= 0x80;
	return TRANSMIT;
}

__attribute__((section("license"), used)) char _license[] = "GPL";
