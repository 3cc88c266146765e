/* A generator that costs next to nothing: the kernel runs `generate` over frames of its own
   (BPF_PROG_TEST_RUN with live frames) and puts on the wire what it does not drop; `count` stands on the
   same interface, counts what comes back and drops it. */

#include "frame.h"

struct map {
	u32 type, key_size, value_size, max_entries, flags;
};

enum { ARRAY = 2, OCTETS = 254 };

/* A query, ready to go. */
struct query {
	u16 length;
	u8 octets[OCTETS];
};

/* Written by the generator alone. */
struct state {
	/* The query that goes next; what is left of the burst under way. */
	u32 next, burst;
	/* Queries, and octets of their frames. */
	u64 sent, octets;
};

/* Written by the user alone. */
struct control {
	/* How many queries may be under way; none ends a flood. */
	u64 window;
	/* Queries whose replies are waited for no more. */
	u64 written_off;
	/* Queries a second at the most, none: no bound; since when, and how many had been sent then. */
	u64 pace, begun, sent_before;
	/* How many queries there are. */
	u32 queries;
	/* Forged sources: any address of one of so many networks, if there are any: where the first begins,
	   how far it is to the next, and the bits of an address in it. */
	u32 networks, first, stride, hosts, reserved;
};

struct counters {
	u64 replies, octets, truncated, rcodes[16];
};

__attribute__((section("maps"), used)) struct map queries = { ARRAY, 4, sizeof(struct query), 1 };
__attribute__((section("maps"), used)) struct map states = { ARRAY, 4, sizeof(struct state), 1 };
__attribute__((section("maps"), used)) struct map controls = { ARRAY, 4, sizeof(struct control), 1 };
__attribute__((section("maps"), used)) struct map counts = { ARRAY, 4, sizeof(struct counters), 1 };

static void *(*look_up)(void *map, const void *key) = (void *)1;
static u64 (*now)(void) = (void *)5;
static u32 (*random)(void) = (void *)7;
static long (*adjust_tail)(struct context *, int) = (void *)65;
static long (*store)(struct context *, u32, const void *, u32) = (void *)190;

__attribute__((section("xdp"), used)) int generate(struct context *context)
{
	u32 zero = 0;
	struct state *state = look_up(&states, &zero);
	struct control *control = look_up(&controls, &zero);
	struct counters *counters = look_up(&counts, &zero);
	if (!state || !control || !counters)
		return DROP;
	if (!state->burst) {
		/* In bursts, since each wakes the receiver up; signed, as a late reply may come after all. */
		long window = control->window;
		long free = window - (long)(state->sent - counters->replies - control->written_off);
		if (free > window)
			free = window;
		if (!window || free * 2 < (window < 64 ? window : 64))
			return DROP;
		if (control->pace) {
			long due = (now() - control->begun) * control->pace / 1000000000;
			due -= state->sent - control->sent_before;
			if (due <= 0)
				return DROP;
			if (due < free)
				free = due;
		}
		state->burst = free;
	}
	state->burst--;
	u32 at = state->next;
	state->next = at + 1 < control->queries ? at + 1 : 0;
	struct query *query = look_up(&queries, &at);
	if (!query)
		return DROP;
	u64 length = query->length;
	/* The verifier is to see the very value that is checked. */
	asm volatile("" : "+r"(length));
	if (length < sizeof(struct frame) || length > OCTETS)
		return DROP;
	/* A frame comes with OCTETS octets, whatever became of its page before. */
	if (adjust_tail(context, (int)length - OCTETS))
		return DROP;
	if (store(context, 0, query->octets, length))
		return DROP;
	state->sent++;
	state->octets += length;
	if (!control->networks)
		return TRANSMIT;
	struct frame *frame = (void *)(long)context->data;
	if ((void *)(frame + 1) > (void *)(long)context->data_end)
		return DROP;
	/* The checksum of the header follows by RFC 1624, the one of UDP is left out. */
	u32 source = control->first + random() % control->networks * control->stride;
	source = __builtin_bswap32(source + (random() & control->hosts));
	u32 sum = (u16)~frame->checksum + (u16)~frame->source + (u16)~(frame->source >> 16) +
		  (u16)source + (u16)(source >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	frame->checksum = ~sum;
	frame->source = source;
	frame->udp_checksum = 0;
	return TRANSMIT;
}

__attribute__((section("xdp"), used)) int count(struct context *context)
{
	struct frame *frame = (void *)(long)context->data;
	u32 zero = 0;
	if ((void *)(frame + 1) > (void *)(long)context->data_end)
		return PASS;
	if (frame->ethertype != __builtin_bswap16(0x0800) || frame->protocol != 17 ||
	    frame->source_port != __builtin_bswap16(53))
		return PASS;
	struct counters *counters = look_up(&counts, &zero);
	if (!counters)
		return PASS;
	counters->replies++;
	counters->octets += __builtin_bswap16(frame->length) + 14;
	counters->truncated += frame->dns_flags[0] >> 1 & 1;
	counters->rcodes[frame->dns_flags[1] & 15]++;
	return DROP;
}

__attribute__((section("license"), used)) char _license[] = "GPL";
