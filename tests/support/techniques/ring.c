/* ring SOURCE TARGET inline|poll: io_uring with one entry, by bare system calls; "poll" has a kernel thread submit. */
#include "common.h"
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>

static struct io_uring_params params;
static char *sq, *cq;
static struct io_uring_sqe *entries;
static int ring;

#define AT(base, field) ((unsigned *)((base) + (field)))

static void set_up(int poll)
{
	params.flags = poll ? IORING_SETUP_SQPOLL : 0;
	params.sq_thread_idle = 1000;
	ring = must(syscall(__NR_io_uring_setup, 1, &params), "io_uring_setup");
	sq = mapped(mmap(NULL, params.sq_off.array + params.sq_entries * 4, PROT_READ | PROT_WRITE, MAP_SHARED, ring,
			 IORING_OFF_SQ_RING), "submission ring");
	cq = mapped(mmap(NULL, params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe),
			 PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_CQ_RING), "completion ring");
	entries = mapped(mmap(NULL, params.sq_entries * sizeof(*entries), PROT_READ | PROT_WRITE, MAP_SHARED, ring,
			      IORING_OFF_SQES), "entries");
}

static long one(int operation, int fd, void *buffer, long size, long at)
{
	unsigned tail = *AT(sq, params.sq_off.tail), head = *AT(cq, params.cq_off.head), flags = IORING_ENTER_GETEVENTS;
	unsigned slot = tail & *AT(sq, params.sq_off.ring_mask);
	struct io_uring_cqe *done;

	memset(&entries[slot], 0, sizeof(*entries));
	entries[slot].opcode = operation;
	entries[slot].fd = fd;
	entries[slot].addr = (unsigned long)buffer;
	entries[slot].len = size;
	entries[slot].off = at;
	AT(sq, params.sq_off.array)[slot] = slot;
	__atomic_store_n(AT(sq, params.sq_off.tail), tail + 1, __ATOMIC_SEQ_CST);
	if (params.flags & IORING_SETUP_SQPOLL
	    && __atomic_load_n(AT(sq, params.sq_off.flags), __ATOMIC_SEQ_CST) & IORING_SQ_NEED_WAKEUP)
		flags |= IORING_ENTER_SQ_WAKEUP;
	must(syscall(__NR_io_uring_enter, ring, 1, 1, flags, NULL, 0), "io_uring_enter");
	while (__atomic_load_n(AT(cq, params.cq_off.tail), __ATOMIC_ACQUIRE) == head)
		must(syscall(__NR_io_uring_enter, ring, 0, 1, IORING_ENTER_GETEVENTS, NULL, 0), "io_uring_enter");
	done = (struct io_uring_cqe *)(cq + params.cq_off.cqes) + (head & *AT(cq, params.cq_off.ring_mask));
	errno = done->res < 0 ? -done->res : 0;
	__atomic_store_n(AT(cq, params.cq_off.head), head + 1, __ATOMIC_RELEASE);
	return must(done->res < 0 ? -1 : done->res, "an operation of the ring");
}

int main(int argc, char **argv)
{
	static char buffer[1 << 20];
	int in = source(argv[1]), out = target(argv[2]);
	long size = length(in), at = 0;

	(void)argc;
	set_up(!strcmp(argv[3], "poll"));
	while (at < size) {
		long got = one(IORING_OP_READ, in, buffer, MIB, at);
		one(IORING_OP_WRITE, out, buffer, got, at);
		at += got;
	}
	return 0;
}
