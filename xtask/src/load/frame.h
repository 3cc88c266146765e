/* What the programs of the loads know of the kernel and of a query; no header of a system is needed, so
   that clang is all it takes to build them. */

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

/* struct xdp_md of the kernel's linux/bpf.h. */
struct context {
	u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex;
};

/* What a program says of a frame. */
enum { DROP = 1, PASS = 2, TRANSMIT = 3 };

/* A DNS message over UDP and IPv4 without options. */
struct frame {
	u8 to[6], from[6];
	u16 ethertype;
	u8 version_and_length, tos;
	u16 length, id, fragment;
	u8 ttl, protocol;
	u16 checksum;
	u32 source, destination;
	u16 source_port, destination_port, udp_length, udp_checksum;
	u8 dns_id[2], dns_flags[2], dns_counts[8];
} __attribute__((packed));
