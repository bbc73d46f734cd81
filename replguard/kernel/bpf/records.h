/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What every object here has: a ring of records, what did not fit into it, and how a record is sent.
 *
 * The including file defines RING (bytes) and KINDS (how many kinds of records it has) before.
 */
#ifndef REPLGUARD_RECORDS_H
#define REPLGUARD_RECORDS_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, RING);
} records SEC(".maps");

/* Of each kind, what found the ring full; then of each kind, what could not get the ring's lock. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * KINDS);
	__type(key, u32);
	__type(value, u64);
} lost SEC(".maps");

#define TRIES 4		/* since 6.15 the ring's lock may be refused to who waits too long for it */

/*
 * The reader is woken by the first record after it has read everything, waits a moment and reads what has come by
 * then: an idle host wakes nobody, and a busy one once for many records. What does not fit is counted.
 */
static __always_inline void send(void *record, u64 size, u32 kind)
{
	u64 *count;

	for (int i = 0; i < TRIES; i++)
		if (!bpf_ringbuf_output(&records, record, size, 0))
			return;
	if (bpf_ringbuf_query(&records, BPF_RB_AVAIL_DATA) + size + 64 < RING)
		kind += KINDS;
	count = bpf_map_lookup_elem(&lost, &kind);
	if (count)
		__sync_fetch_and_add(count, 1);
}

#endif
