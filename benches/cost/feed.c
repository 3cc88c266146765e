/* Gives a program of the responder a fresh query before each of its runs, so that BPF_PROG_TEST_RUN can
   repeat it: the kernel itself would feed the answered packet to it again. Each feeding program takes the
   next of the queries, makes the packet that query, and goes on (by a tail call, which does not return) to
   the program under test; or to an empty one, whose time is then what feeding costs. It needs no header, so
   that clang is all it takes to build. */

typedef unsigned char u8;
typedef unsigned int u32;

#define UINT(name, value) int (*name)[value]
#define SECTION(name) __attribute__((section(name), used))

/* QUERY_MAX and QUERIES come from the bench. */
struct query {
	u32 length;
	u8 octets[QUERY_MAX];
};

struct turn {
	u32 next, count;
};

struct {
	UINT(type, 2); /* BPF_MAP_TYPE_ARRAY */
	UINT(key_size, 4);
	UINT(value_size, sizeof(struct query));
	UINT(max_entries, QUERIES);
} queries SECTION(".maps");

struct {
	UINT(type, 2);
	UINT(key_size, 4);
	UINT(value_size, sizeof(struct turn));
	UINT(max_entries, 1);
} turns SECTION(".maps");

#define PROGRAMS(name) \
	struct { \
		UINT(type, 3); /* BPF_MAP_TYPE_PROG_ARRAY */ \
		UINT(key_size, 4); \
		UINT(value_size, 4); \
		UINT(max_entries, 1); \
	} name SECTION(".maps")

PROGRAMS(after_xdp);
PROGRAMS(after_tc);

/* struct xdp_md and struct __sk_buff of the kernel, of which nothing is read here. */
struct xdp;
struct skb;

static void *(*const look_up)(void *map, const void *key) = (void *)1;
static long (*const skb_store)(void *skb, u32 offset, const void *from, u32 length, u32 flags) = (void *)9;
static long (*const tail_call)(void *context, void *programs, u32 index) = (void *)12;
static long (*const redirect)(u32 interface, u32 flags) = (void *)23;
static long (*const skb_tail)(void *skb, u32 length, u32 flags) = (void *)38;
static long (*const xdp_tail)(void *xdp, int change) = (void *)65;
static unsigned long long (*const xdp_length)(void *xdp) = (void *)188;
static long (*const xdp_store)(void *xdp, u32 offset, const void *from, u32 length) = (void *)190;

enum { ABORTED = 0, TRANSMIT = 3, SHOT = 2 };

/* The next query in turn, or none where it is too long. */
static inline struct query *next(void)
{
	u32 key = 0;
	struct turn *turn = look_up(&turns, &key);
	if (!turn)
		return 0;
	key = turn->next;
	turn->next = key + 1 < turn->count ? key + 1 : 0;
	struct query *query = look_up(&queries, &key);
	return query && query->length >= 42 && query->length <= QUERY_MAX ? query : 0;
}

SECTION("xdp") int feed_xdp(struct xdp *xdp)
{
	struct query *query = next();
	if (!query)
		return ABORTED;
	u32 length = query->length;
	if (length < 42 || length > QUERY_MAX)
		return ABORTED;
	if (xdp_tail(xdp, (int)length - (int)xdp_length(xdp)) ||
	    xdp_store(xdp, 0, query->octets, length))
		return ABORTED;
	tail_call(xdp, &after_xdp, 0);
	return ABORTED;
}

SECTION("classifier") int feed_tc(struct skb *skb)
{
	struct query *query = next();
	if (!query)
		return SHOT;
	u32 length = query->length;
	if (length < 42 || length > QUERY_MAX)
		return SHOT;
	if (skb_tail(skb, length, 0) || skb_store(skb, 0, query->octets, length, 0))
		return SHOT;
	tail_call(skb, &after_tc, 0);
	return SHOT;
}

SECTION("xdp") int empty_xdp(struct xdp *xdp)
{
	return TRANSMIT;
}

SECTION("classifier") int empty_tc(struct skb *skb)
{
	return redirect(1, 0);
}

SECTION("license") char _license[] = "GPL";
