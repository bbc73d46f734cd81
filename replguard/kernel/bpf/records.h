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

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, KINDS);
	__type(key, u32);
	__type(value, u64);
} lost SEC(".maps");

/*
 * Nobody is woken, unless a burst fills a quarter of the ring before the reader's timer: a wake-up per record costs
 * three times the CPU. What does not fit is counted.
 */
static __always_inline void send(void *record, u64 size, u32 kind)
{
	u64 flags = bpf_ringbuf_query(&records, BPF_RB_AVAIL_DATA) > RING / 4 ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
	u64 *count;

	if (!bpf_ringbuf_output(&records, record, size, flags))
		return;
	count = bpf_map_lookup_elem(&lost, &kind);
	if (count)
		__sync_fetch_and_add(count, 1);
}

#endif
