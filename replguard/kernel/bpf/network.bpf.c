/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The network: who listens, who connects to where and whether it was answered, and how many bytes went to each
 * destination. Decoded by network.py beside this file.
 *
 * Only listening, asking for a connection and closing run under the name of the process that does it; the rest runs
 * under whoever is interrupted by the packet. So the process is kept by its socket.
 */
#define AF_INET 2		/* include/linux/socket.h */
#define AF_INET6 10
#define MSG_PEEK 2
#define IPPROTO_TCP 6		/* include/uapi/linux/in.h */
#define IPPROTO_UDP 17
#define IPPROTO_UDPLITE 136
#define IPPROTO_MPTCP 262
#define PF_KTHREAD 0x00200000	/* include/linux/sched.h */
#define FUSE_WRITE 16		/* include/uapi/linux/fuse.h */
#define FUSE_HEADER 80		/* struct fuse_in_header and struct fuse_write_in */
#define OF_FUSE 255		/* a protocol of our own: no IP packet has it */

#define RING (1 << 20)		/* a second of 9,000 connections */
#define CONNECTIONS 32768	/* that are followed at a time; the least used give way */
#define FLOWS 16384		/* (process, destination) pairs; user space removes those that rest */
#define SHARE 2048		/* of these, what one process may have */
#define TIGHT 16		/* the same, once three quarters are taken: a flood is to harm its maker alone */
#define SHARES 4096		/* processes whose share is counted */
#define USERS 1024	/* whose listeners and connections are counted, by user; of root by control group */
#define PACE 4000	/* connections that are told a second: a flood is to harm its maker alone */
#define LISTENING 500	/* the same of listeners, which begin and end */
#define SENDERS 8192		/* threads and sockets that are in the middle of sending a datagram */
#define STEP 20			/* what stays on this host is counted by the MiB, */
#define LITTLE (64 << 10)	/* the rest at the end, but of little nothing */
#define FIRST (256 << 10)	/* bytes that are told at once, and each doubling of them; less waits for a sweep */

/* include/net/tcp_states.h */
enum { ESTABLISHED = 1, SYN_SENT, SYN_RECV, FIN_WAIT1, FIN_WAIT2, TIME_WAIT, CLOSE, CLOSE_WAIT, LAST_ACK, LISTEN };

enum { LISTENS, UNLISTENS, OPENED, FAILED, REPLY, VOLUME };
#define KINDS 6

#include "records.h"
#include <bpf/bpf_endian.h>

/* Addresses are those of IPv6, IPv4 ones mapped into it; ports are in the order of this machine. */
struct record {
	u32 kind;
	u32 pid;
	u64 when;		/* nanoseconds since boot, as start: that of the process */
	u64 start;
	u64 inode;		/* of the socket; 0: not known */
	u64 bytes;		/* REPLY: received on this connection so far; VOLUME: sent so far */
	u32 space;		/* inode of the network namespace */
	u32 error;		/* FAILED: errno; VOLUME: 1 if bytes are these alone, for want of room to add them up */
	u16 source_port;
	u16 destination_port;
	u8 watched;		/* 1: replies will be told */
	u8 accepted;		/* 1: the other end opened the connection; source_port is then all that names it */
	u8 protocol;
	u8 pad;
	u32 source[4];
	u32 destination[4];
};

/* Of a connection that was opened here: who did, and what came back. */
struct connection {
	u64 start;
	u64 inode;
	u64 received;
	u64 counted;		/* of what was given to it, where no probe counts what is sent */
	u32 pid;
	u8 established;
	u8 answered;		/* since it was last asked */
	u8 ever;
	u8 pad;
};

struct flow {
	u64 start;
	u32 pid;
	u16 port;		/* of the destination; of ours, if accepted: the other one's says nothing */
	u8 accepted;
	u8 protocol;
	u32 address[4];
};

struct share_key {
	u64 start;
	u32 pid;
	u32 pad;
};

/* thread is 0 for what a socket gathers from several calls, which other threads may add to. */
struct datagram_key {
	u64 thread;
	u64 socket;
};

struct datagram {
	u32 address[4];
	u16 port;
	u16 fresh;		/* 1: not sent yet */
};

struct sum {
	u64 total;
	u64 next;		/* total at which it is told */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, CONNECTIONS);
	__type(key, u64);
	__type(value, struct connection);
} connections SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FLOWS);
	__type(key, struct flow);
	__type(value, struct sum);
} sums SEC(".maps");

/* How many destinations a process has in sums; user space corrects it when it reads these. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, SHARES);
	__type(key, struct share_key);
	__type(value, u64);
} shares SEC(".maps");

struct user_key {
	u64 group;		/* control group of root's, 0 for anybody else: a user may make any number of these */
	u32 user;
	u32 listens;		/* 1: of listeners */
};

struct spent {
	u64 second;
	u64 count;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, USERS);
	__type(key, struct user_key);
	__type(value, struct spent);
} spent SEC(".maps");

/* Where the datagram goes that is being sent: the socket need not be connected, or not to there. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, SENDERS);
	__type(key, struct datagram_key);
	__type(value, struct datagram);
} datagrams SEC(".maps");

/* Bits by port: where inference endpoints are (user space says so), and where anybody listens or did. */
u64 hinted[1024] SEC(".bss.hinted");
u64 listening[1024] SEC(".bss.listening");
/* 1: no probe counts what is sent, so that is read when a connection ends. */
volatile u32 at_close SEC(".bss.at_close");
/* The ports that the kernel gives to clients, from and to: who sends datagrams from another one answers. */
volatile u32 ephemeral[2] SEC(".bss.ephemeral");
/* How many destinations there are in sums (user space corrects it), and how often one was not told apart. */
u64 held SEC(".bss.held");
u64 merged SEC(".bss.merged");
/* How many listeners and connections were not told, because their user had too many. */
u64 crowded SEC(".bss.crowded");
/* 1: it is noted where datagrams go. */
volatile u32 noting SEC(".bss.noting");

const volatile u32 layout[] SEC(".rodata.layout") = {
	sizeof(struct record), __builtin_offsetof(struct record, space), __builtin_offsetof(struct record, source_port),
	__builtin_offsetof(struct record, source), __builtin_offsetof(struct record, destination), sizeof(struct flow),
	__builtin_offsetof(struct flow, address), sizeof(struct sum), FLOWS, RING, FIRST, sizeof(struct share_key), SHARE,
	PACE, LISTENING,
};

static __always_inline u32 bit(u64 *ports, u16 port)
{
	return ports[(port >> 6) & 1023] >> (port & 63) & 1;
}

static __always_inline void address(u32 *to, u16 family, u32 four, struct in6_addr *six)
{
	if (family == AF_INET) {
		to[0] = to[1] = 0;
		to[2] = bpf_htonl(0xffff);
		to[3] = four;
		return;
	}
	to[0] = six->in6_u.u6_addr32[0];
	to[1] = six->in6_u.u6_addr32[1];
	to[2] = six->in6_u.u6_addr32[2];
	to[3] = six->in6_u.u6_addr32[3];
}

static __always_inline u32 same(u32 *a, u32 *b)
{
	return a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3];
}

/* Whether a socket has no far end, or one on this host: loopback, or the address that it comes from. */
static __always_inline u32 stays(u32 *to, u32 *from)
{
	u32 empty = !to[0] && !to[1];

	if (empty && to[2] == bpf_htonl(0xffff))
		return !to[3] || (bpf_ntohl(to[3]) >> 24) == 127 || same(to, from);
	return (empty && !to[2] && (!to[3] || to[3] == bpf_htonl(1))) || same(to, from);
}

static __always_inline u64 inode_of(struct sock *sk)
{
	struct socket_alloc *around = (void *)sk->sk_socket;	/* the socket is its first member */

	return around ? BPF_CORE_READ(around, vfs_inode.i_ino) : 0;
}

static __always_inline void fill(struct record *record, u32 kind, struct sock *sk)
{
	u16 family = sk->__sk_common.skc_family;

	__builtin_memset(record, 0, sizeof(*record));
	record->kind = kind;
	record->when = bpf_ktime_get_boot_ns();
	record->space = sk->__sk_common.skc_net.net->ns.inum;
	record->source_port = sk->__sk_common.skc_num;
	record->destination_port = bpf_ntohs(sk->__sk_common.skc_dport);
	record->watched = bit(hinted, record->destination_port);
	record->protocol = IPPROTO_TCP;
	address(record->source, family, sk->__sk_common.skc_rcv_saddr, &sk->__sk_common.skc_v6_rcv_saddr);
	address(record->destination, family, sk->__sk_common.skc_daddr, &sk->__sk_common.skc_v6_daddr);
}

static __always_inline void by_current(struct record *record)
{
	struct task_struct *task = bpf_get_current_task_btf();

	record->pid = task->tgid;
	record->start = task->group_leader->start_boottime;
}

static __always_inline void of_connection(struct record *record, struct connection *connection)
{
	record->pid = connection->pid;
	record->start = connection->start;
	record->inode = connection->inode;
}

static __always_inline void tell_volume(struct flow *flow, u64 bytes, u32 alone)
{
	struct record record = {
		.kind = VOLUME, .pid = flow->pid, .when = bpf_ktime_get_boot_ns(), .start = flow->start, .bytes = bytes,
		.error = alone, .accepted = flow->accepted, .protocol = flow->protocol,
	};

	__builtin_memcpy(record.destination, flow->address, sizeof(record.destination));
	if (flow->accepted)
		record.source_port = flow->port;
	else
		record.destination_port = flow->port;
	send(&record, sizeof(record), VOLUME);
}

/* Whether a process may have one more destination to itself. */
static __always_inline u32 may(struct flow *flow)
{
	u64 one = 1, *count, most = held > FLOWS - FLOWS / 4 ? TIGHT : SHARE;
	struct share_key key = {.start = flow->start, .pid = flow->pid};

	count = bpf_map_lookup_elem(&shares, &key);
	if (!count)
		bpf_map_update_elem(&shares, &key, &one, BPF_NOEXIST);
	else if (*count >= most)
		return 0;
	else
		__sync_fetch_and_add(count, 1);
	__sync_fetch_and_add(&held, 1);
	return 1;
}

static __always_inline struct sum *sum_of(struct flow *flow)
{
	struct sum fresh = {.next = FIRST}, *sum = bpf_map_lookup_elem(&sums, flow);
	u32 named = flow->address[0] | flow->address[1] | flow->address[2] | flow->address[3];

	if (sum)
		return sum;
	if (named && !may(flow))
		return 0;
	bpf_map_update_elem(&sums, flow, &fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(&sums, flow);
}

/* Add up. Without room for one more destination, all others of the process are one. */
static __noinline void add(struct flow *flow, u64 bytes)
{
	struct sum *sum = sum_of(flow);
	u64 total;

	if (!sum) {
		__sync_fetch_and_add(&merged, 1);
		__builtin_memset(flow->address, 0, sizeof(flow->address));
		if (!flow->accepted)
			flow->port = 0;
		sum = sum_of(flow);
	}
	if (!sum) {
		tell_volume(flow, bytes, 1);
		return;
	}
	total = __sync_fetch_and_add(&sum->total, bytes) + bytes;
	if (total < sum->next)
		return;
	sum->next = total * 2;
	tell_volume(flow, total, 0);
}

static __always_inline void by(struct flow *flow)
{
	struct task_struct *task = bpf_get_current_task_btf();

	flow->pid = task->tgid;
	flow->start = task->group_leader->start_boottime;
}

/* Fill in to which address a socket sends. Returns 0 if that is nowhere off this host. */
static __always_inline u32 leaves(struct flow *flow, struct sock *sk)
{
	u16 family = sk->__sk_common.skc_family;
	u32 from[4];

	address(flow->address, family, sk->__sk_common.skc_daddr, &sk->__sk_common.skc_v6_daddr);
	address(from, family, sk->__sk_common.skc_rcv_saddr, &sk->__sk_common.skc_v6_rcv_saddr);
	return !stays(flow->address, from);
}

static __always_inline u32 datagrams_of(u16 protocol)
{
	return protocol == IPPROTO_UDP || protocol == IPPROTO_UDPLITE;
}

/* Count bytes. Which end opened a connection is known of those that were opened here since; else by our port. */
static __always_inline void count(struct flow *flow, struct sock *sk, struct connection *connection, u64 bytes)
{
	u16 port = sk->__sk_common.skc_num;

	flow->protocol = datagrams_of(sk->sk_protocol) ? IPPROTO_UDP : IPPROTO_TCP;
	flow->accepted = flow->protocol == IPPROTO_TCP && !connection && bit(listening, port);
	flow->port = flow->accepted ? port : bpf_ntohs(sk->__sk_common.skc_dport);
	if (!flow->pid)
		by(flow);
	add(flow, bytes);
}

/* Where the datagram went that a socket has just sent, if that was said with it; else 0. */
static __always_inline struct datagram *went(struct sock *sk)
{
	struct datagram_key key = {.thread = bpf_get_current_pid_tgid(), .socket = bpf_get_socket_cookie(sk)};
	struct datagram *datagram = bpf_map_lookup_elem(&datagrams, &key);
	int pending = BPF_CORE_READ((struct udp_sock *)sk, pending);

	if (!datagram || !datagram->fresh) {
		key.thread = 0;
		datagram = bpf_map_lookup_elem(&datagrams, &key);
		if (!datagram || !datagram->fresh)
			return 0;
	}
	if (pending && key.thread) {	/* more is to come in the same datagram, for which nobody says again where to */
		key.thread = 0;
		bpf_map_update_elem(&datagrams, &key, datagram, BPF_ANY);
		datagram->fresh = 0;
	} else if (!pending) {
		datagram->fresh = 0;
	}
	return datagram;
}

/* Count bytes that were sent to an address that was said with them; without one, nobody knows where to. */
static __always_inline void count_datagram(struct sock *sk, struct datagram *datagram, u64 bytes)
{
	u16 port = sk->__sk_common.skc_num;
	struct flow flow = {};

	if (datagram) {
		if (stays(datagram->address, flow.address))
			return;
		__builtin_memcpy(flow.address, datagram->address, sizeof(flow.address));
	}
	flow.protocol = IPPROTO_UDP;
	flow.accepted = port < ephemeral[0] || port > ephemeral[1];
	flow.port = flow.accepted ? port : datagram ? datagram->port : 0;
	by(&flow);
	add(&flow, bytes);
}

/* Bytes that were given to a connection, whether they have left already or not; not those of retransmissions. */
static __always_inline u64 given(struct sock *sk)
{
	struct tcp_sock *tcp = (void *)sk;
	u32 unsent = BPF_CORE_READ(tcp, write_seq) - BPF_CORE_READ(tcp, snd_nxt);

	return BPF_CORE_READ(tcp, bytes_sent) - BPF_CORE_READ(tcp, bytes_retrans) + unsent;
}

static __always_inline void count_at_close(struct sock *sk, struct connection *connection)
{
	struct flow flow = {};
	u64 bytes = given(sk);

	if (connection)
		bytes -= connection->counted;
	if (!bytes || !leaves(&flow, sk))
		return;
	if (connection) {
		connection->counted += bytes;
		flow.pid = connection->pid;
		flow.start = connection->start;
	}
	count(&flow, sk, connection, bytes);
}

/*
 * Count bytes that stay on this host, for who gets them may send them on: whole steps when they are passed, the rest
 * when the connection ends. There is one destination for all: loopback, by port.
 */
static __always_inline void hand_over(struct sock *sk, u64 bytes, u32 ends)
{
	struct flow flow = {.address = {0, 0, bpf_htonl(0xffff), bpf_htonl(0x7f000001)}};
	struct connection *connection;
	u64 all = given(sk), key = (u64)sk, told;

	if (ends)
		told = at_close ? 0 : all >> STEP << STEP;
	else
		told = all < bytes ? 0 : (all - bytes) >> STEP << STEP;
	if (!ends)
		all = all >> STEP << STEP;
	if (all <= told || all < LITTLE)
		return;
	connection = bpf_map_lookup_elem(&connections, &key);
	count(&flow, sk, connection, all - told);
}

/* Whether one more listener or connection of the current user may be told in this second. */
static __noinline u32 affords(u32 listens)
{
	struct user_key key = {.user = bpf_get_current_task_btf()->cred->euid.val, .listens = listens};
	u64 now = bpf_ktime_get_boot_ns() / 1000000000;
	struct spent fresh = {.second = now}, *spent_;

	if (!key.user)
		key.group = bpf_get_current_cgroup_id();
	spent_ = bpf_map_lookup_elem(&spent, &key);
	if (!spent_) {
		bpf_map_update_elem(&spent, &key, &fresh, BPF_NOEXIST);
		return 1;
	}
	if (spent_->second != now) {
		spent_->second = now;
		spent_->count = 0;
	}
	if (__sync_fetch_and_add(&spent_->count, 1) < (listens ? LISTENING : PACE))
		return 1;
	__sync_fetch_and_add(&crowded, 1);
	return 0;
}

static __always_inline void listens(struct sock *sk, u32 kind)
{
	struct record record;
	u16 port = sk->__sk_common.skc_num;

	if (kind == LISTENS)
		__sync_fetch_and_or(&listening[(port >> 6) & 1023], 1ull << (port & 63));
	if (!affords(1))
		return;
	fill(&record, kind, sk);
	by_current(&record);
	record.inode = inode_of(sk);
	record.watched = 0;
	send(&record, sizeof(record), kind);
}

static __always_inline void asks(struct sock *sk, u64 key)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct connection connection = {
		.start = task->group_leader->start_boottime, .inode = inode_of(sk), .pid = task->tgid,
	};

	bpf_map_update_elem(&connections, &key, &connection, BPF_ANY);
}

static __always_inline void tell(struct sock *sk, struct connection *connection, u32 kind)
{
	struct record record;

	fill(&record, kind, sk);
	of_connection(&record, connection);
	record.bytes = connection->received;
	if (kind == FAILED)
		record.error = sk->sk_err;
	send(&record, sizeof(record), kind);
}

/* What came in, as the kernel counts it at the end; the mark of the end itself counts one. */
static __always_inline void ends(struct sock *sk, struct connection *connection)
{
	u64 received = BPF_CORE_READ((struct tcp_sock *)sk, bytes_received);

	if (connection->ever || received < 2 || !bit(hinted, bpf_ntohs(sk->__sk_common.skc_dport)))
		return;
	connection->received = received - 1;
	tell(sk, connection, REPLY);
}

/* void inet_sock_set_state(const struct sock *sk, const int oldstate, const int newstate)  (include/trace/events/sock.h) */
SEC("tp_btf/inet_sock_set_state")
int network_state(u64 *context)
{
	struct sock *sk = (void *)context[0];
	int from = context[1], to = context[2];
	struct connection *connection;
	u64 key = (u64)sk;

	if (sk->sk_protocol != IPPROTO_TCP)
		return 0;
	if (from == LISTEN || to == LISTEN) {
		listens(sk, to == LISTEN ? LISTENS : UNLISTENS);
		return 0;
	}
	if (to == SYN_SENT) {
		if (affords(0))
			asks(sk, key);
		return 0;
	}
	if (to != ESTABLISHED && to != CLOSE && to != FIN_WAIT1 && to != LAST_ACK)
		return 0;
	connection = bpf_map_lookup_elem(&connections, &key);
	if (to == FIN_WAIT1 || to == LAST_ACK) {
		struct flow flow = {};

		if (!leaves(&flow, sk))
			hand_over(sk, 0, 1);
		else if (at_close && !connection)
			count_at_close(sk, 0);
		return 0;
	}
	if (!connection)
		return 0;
	if (to == ESTABLISHED) {
		if (!connection->established)
			tell(sk, connection, OPENED);
		connection->established = 1;
		return 0;
	}
	if (!connection->established)
		tell(sk, connection, FAILED);
	else if (at_close)
		count_at_close(sk, connection);
	else
		ends(sk, connection);
	bpf_map_delete_elem(&connections, &key);
	return 0;
}

/*
 * Every TCP socket of one network namespace, when user space asks (net/ipv4/tcp_ipv4.c: bpf_iter_tcp).
 * For those that stay open for long, where no probe counts what is sent.
 */
SEC("iter/tcp")
int network_open(struct bpf_iter__tcp *context)
{
	struct sock_common *common = context->sk_common;
	struct connection *connection;
	struct tcp_sock *tcp;
	u64 key;

	tcp = common ? bpf_skc_to_tcp_sock(common) : 0;
	if (!tcp)
		return 0;
	key = (u64)tcp;
	connection = bpf_map_lookup_elem(&connections, &key);
	if (connection && connection->established)
		count_at_close((void *)tcp, connection);
	return 0;
}

/* Note where to; what the thread noted of this socket before is written over, cheaper than an entry for each. */
static __always_inline int goes(struct bpf_sock_addr *context, u32 *to, u32 port)
{
	struct datagram_key key = {.thread = bpf_get_current_pid_tgid(), .socket = bpf_get_socket_cookie(context)};
	struct datagram fresh = {.port = bpf_ntohs(port), .fresh = 1}, *datagram;
	u32 nowhere[4] = {};

	if (!noting)
		noting = 1;
	if (!stays(to, nowhere))
		__builtin_memcpy(fresh.address, to, sizeof(fresh.address));
	datagram = bpf_map_lookup_elem(&datagrams, &key);
	if (datagram)
		*datagram = fresh;
	else
		bpf_map_update_elem(&datagrams, &key, &fresh, BPF_ANY);
	return 1;	/* let it pass */
}

/* Before a datagram is sent to an address that is said with it, by IPv4 (net/ipv4/udp.c: udp_sendmsg). */
SEC("cgroup/sendmsg4")
int network_datagram4(struct bpf_sock_addr *context)
{
	u32 to[4] = {0, 0, bpf_htonl(0xffff), context->user_ip4};

	return goes(context, to, context->user_port);
}

/* The same by IPv6 (net/ipv6/udp.c: udpv6_sendmsg). */
SEC("cgroup/sendmsg6")
int network_datagram6(struct bpf_sock_addr *context)
{
	u32 to[4] = {context->user_ip6[0], context->user_ip6[1], context->user_ip6[2], context->user_ip6[3]};

	return goes(context, to, context->user_port);
}

/*
 * void sock_send_length(struct sock *sk, int ret, int flags)   (include/trace/events/sock.h)
 * After each send, also by sendfile, splice and io_uring, in the name of the sender.
 */
SEC("tp_btf/sock_send_length")
int network_send(u64 *context)
{
	struct sock *sk = (void *)context[0];
	u16 family = sk->__sk_common.skc_family, protocol = sk->sk_protocol;
	struct connection *connection;
	struct flow flow = {};
	int bytes = context[1];
	u64 key = (u64)sk;
	u32 off;

	if (family != AF_INET && family != AF_INET6)
		return 0;
	if (datagrams_of(protocol)) {
		struct datagram *datagram = went(sk);	/* also of what failed: it is not to be the next one's */

		if (bytes > 0 && (datagram || (noting && !sk->__sk_common.skc_dport))) {
			count_datagram(sk, datagram, bytes);
			return 0;
		}
	} else if (protocol != IPPROTO_TCP && protocol != IPPROTO_MPTCP) {
		return 0;
	}
	if (bytes <= 0)
		return 0;
	off = leaves(&flow, sk);
	if (!off && protocol == IPPROTO_TCP)
		hand_over(sk, bytes, 0);
	if (!off && !bit(hinted, bpf_ntohs(sk->__sk_common.skc_dport)))
		return 0;
	connection = bpf_map_lookup_elem(&connections, &key);
	if (connection)
		connection->answered = 0;
	if (off && !(bpf_get_current_task_btf()->flags & PF_KTHREAD))
		count(&flow, sk, connection, bytes);
	return 0;
}

/*
 * void sock_recv_length(struct sock *sk, int ret, int flags)   (include/trace/events/sock.h)
 * After each receive, in the name of the reader. A reply is told at its first byte: what it leads to must come after it.
 */
SEC("tp_btf/sock_recv_length")
int network_receive(u64 *context)
{
	struct sock *sk = (void *)context[0];
	u16 family = sk->__sk_common.skc_family;
	struct connection *connection;
	struct record record;
	int bytes = context[1];
	u64 key = (u64)sk;

	if (bytes <= 0 || context[2] & MSG_PEEK || (family != AF_INET && family != AF_INET6))
		return 0;
	if (!bit(hinted, bpf_ntohs(sk->__sk_common.skc_dport)) || sk->sk_protocol != IPPROTO_TCP)
		return 0;
	connection = bpf_map_lookup_elem(&connections, &key);
	if (!connection) {	/* older than we are */
		asks(sk, key);
		connection = bpf_map_lookup_elem(&connections, &key);
		if (!connection)
			return 0;
		connection->established = 1;
	}
	connection->received += bytes;
	if (connection->answered)
		return 0;
	connection->answered = connection->ever = 1;
	fill(&record, REPLY, sk);
	of_connection(&record, connection);
	by_current(&record);
	record.bytes = connection->received;
	send(&record, sizeof(record), REPLY);
	return 0;
}

/*
 * void fuse_request_send(const struct fuse_req *req)   (fs/fuse/fuse_trace.h)
 * What is written to a FUSE mount goes to its server, in the name of the writer unless the page cache is asked to keep it.
 */
SEC("tp_btf/fuse_request_send")
int network_fuse(u64 *context)
{
	struct fuse_req *request = (void *)context[0];
	struct flow flow = {.protocol = OF_FUSE};
	u32 length = BPF_CORE_READ(request, in.h.len);

	if (BPF_CORE_READ(request, in.h.opcode) != FUSE_WRITE || length <= FUSE_HEADER)
		return 0;
	if (bpf_get_current_task_btf()->flags & PF_KTHREAD)
		return 0;
	flow.address[3] = BPF_CORE_READ(request, fm, fc, dev);
	by(&flow);
	add(&flow, length - FUSE_HEADER);
	return 0;
}
