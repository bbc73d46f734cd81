/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Volumes: how much of a watched file a process read or mapped, and how much of any large file it wrote. Decoded by
 * volume.py beside this file.
 *
 * The page cache sees what system calls hide: io_uring, splice, sendfile, mmap. It does not see tmpfs and reflinks.
 * Adding up happens here; what is sent is that an amount passed a mark.
 */
#define RING (1 << 20)
#define READERS 16384		/* (process, file) pairs that are added up at a time; the least used give way */
#define WRITTEN 16384		/* files */
#define WATCHED 65536
#define PAGE_SHIFT 12
#define TOLD 4			/* writers of one file that are remembered as told */
#define SMALLEST (1 << 20)	/* bytes of a file from which writing it is added up */
#define PENDING (256 << 10)	/* bytes that one CPU adds up for itself, so that most pages cost no look-up in a hash */
#define DEPTH 48		/* folders of a path that are told */
#define NAME 256		/* NAME_MAX and its end */
#define PATHS 4096
#define S_IFMT 0170000		/* include/uapi/linux/stat.h */
#define S_IFREG 0100000
#define PF_KTHREAD 0x00200000	/* include/linux/sched.h */

enum { READ, MAP, WRITE };
#define KINDS 3

#include "records.h"

/* What user space fills in: which files are watched. device is the kernel's own s_dev, which differs on btrfs. */
struct file_key {
	u64 inode;
	u32 device;
	u32 generation;		/* of what is written: a number is given to a new file once the old one is gone. Else 0 */
};

struct watched {
	u64 touch;		/* bytes at which reading is told first */
	u32 slot;		/* the number that user space knows the file by */
	u32 pad;
};

/*
 * Bytes of one process and one watched file. coverage has a bit for each 64th of the file. User space reads these too:
 * a process may end before the first mark.
 */
struct reader_key {
	u32 pid;
	u32 slot;
	u32 mapped;
};

struct reader {
	u64 bytes;
	u64 next;
	u64 coverage;
	u64 start;		/* of the process: another one may have its pid by now */
	u64 first;		/* pages of the last request: the kernel reports what is left of it again and again */
	u64 last;
};

/* Bytes of one file. own are those of its last writer since it took over, told the writers that were told last. */
struct writer {
	u64 bytes;
	u64 next;
	u64 size;		/* of the file, when it was last looked at */
	u64 own;
	u32 pid;
	u32 turn;
	u32 told[TOLD];
};

struct pending {
	struct file_key key;
	u64 bytes;
	u32 pid;
	u32 pad;
};

/* names are the components of the path in its filesystem, innermost first, each ended by NUL; of WRITE only. */
struct amount {
	u32 kind;
	u32 pid;
	u64 when;		/* nanoseconds since boot, as start */
	u64 start;
	u64 inode;
	u32 device;
	u32 slot;
	u64 bytes;
	u64 size;
	u64 coverage;
	u32 names;
	u32 cut;		/* 1: the path did not fit */
	char data[PATHS + NAME];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WATCHED);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct file_key);
	__type(value, struct watched);
} watched SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, READERS);
	__type(key, struct reader_key);
	__type(value, struct reader);
} readers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, WRITTEN);
	__type(key, struct file_key);
	__type(value, struct writer);
} written SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct pending);
} pendings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct amount);
} amounts SEC(".maps");

/* A bit for each inode number that some watched file has: what is asked first, at every read of the host. */
u64 maybe[1024];

const volatile u32 layout[] SEC(".rodata.layout") = {
	sizeof(struct file_key), sizeof(struct watched), sizeof(struct reader_key), sizeof(struct reader),
	__builtin_offsetof(struct reader, start), __builtin_offsetof(struct amount, inode),
	__builtin_offsetof(struct amount, bytes), __builtin_offsetof(struct amount, names),
	__builtin_offsetof(struct amount, data), RING, sizeof(maybe),
};

static __always_inline void send_amount(u32 kind, struct inode *inode, u32 slot, u64 bytes, u64 coverage)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct dentry *dentry = 0, *parent;
	struct amount *amount;
	u32 zero = 0, used = 0;
	long length;

	amount = bpf_map_lookup_elem(&amounts, &zero);
	if (!amount)
		return;
	amount->kind = kind;
	amount->pid = bpf_get_current_pid_tgid() >> 32;
	amount->when = bpf_ktime_get_boot_ns();
	amount->start = BPF_CORE_READ(task, group_leader, start_boottime);
	amount->inode = BPF_CORE_READ(inode, i_ino);
	amount->device = BPF_CORE_READ(inode, i_sb, s_dev);
	amount->slot = slot;
	amount->bytes = bytes;
	amount->size = BPF_CORE_READ(inode, i_size);
	amount->coverage = coverage;
	amount->cut = 0;
	if (kind == WRITE) {
		struct hlist_node *alias = BPF_CORE_READ(inode, i_dentry.first);

		if (alias)
			dentry = (void *)alias - bpf_core_field_offset(struct dentry, d_u.d_alias);
		amount->cut = 1;
		for (int step = 0; dentry && step < DEPTH; step++) {
			parent = BPF_CORE_READ(dentry, d_parent);
			if (parent == dentry) {
				amount->cut = 0;
				break;
			}
			if (used >= PATHS)
				break;
			length = bpf_probe_read_kernel_str(&amount->data[used & (PATHS - 1)], NAME,
							   BPF_CORE_READ(dentry, d_name.name));
			if (length <= 0)
				break;
			used += length & (2 * NAME - 1);
			dentry = parent;
		}
	}
	amount->names = used;
	send(amount, __builtin_offsetof(struct amount, data) + (used & (2 * PATHS - 1)), kind);
}

static __always_inline struct watched *watch(struct inode *inode, struct file_key *key)
{
	u64 number = inode->i_ino;

	if (!(maybe[(number >> 6) & 1023] >> (number & 63) & 1))
		return 0;
	key->inode = number;
	key->device = inode->i_sb->s_dev;
	key->generation = 0;
	return bpf_map_lookup_elem(&watched, key);
}

/* Pages first..last of a watched file were read or mapped by the current process. */
static __always_inline void used(struct inode *inode, struct watched *file, u64 first, u64 last, u32 kind)
{
	struct reader_key key = {.pid = bpf_get_current_pid_tgid() >> 32, .slot = file->slot, .mapped = kind == MAP};
	u64 size = inode->i_size, pages = (size + (1 << PAGE_SHIFT) - 1) >> PAGE_SHIFT, from = first;
	struct task_struct *task = (void *)bpf_get_current_task();
	struct reader *reader, fresh = {.next = file->touch};
	u64 low, high;

	if (!pages || first >= pages)
		return;
	if (last >= pages)
		last = pages - 1;
	if (last < first)
		return;
	fresh.start = BPF_CORE_READ(task, group_leader, start_boottime);
	reader = bpf_map_lookup_elem(&readers, &key);
	if (!reader || reader->start != fresh.start) {
		bpf_map_update_elem(&readers, &key, &fresh, BPF_ANY);
		reader = bpf_map_lookup_elem(&readers, &key);
		if (!reader)
			return;
	} else if (reader->first <= first && first <= reader->last + 1) {
		from = reader->last + 1;
	}
	low = first * 64 / pages;
	high = last * 64 / pages;
	if (high > 63)
		high = 63;
	reader->coverage |= (~0ULL >> (63 - (high - low & 63))) << (low & 63);
	reader->first = first;
	if (from <= last) {
		reader->last = last;
		__sync_fetch_and_add(&reader->bytes, (last - from + 1) << PAGE_SHIFT);
	}
	if (reader->bytes < reader->next)
		return;
	/* Told at the touch, at half, at the whole, then at each doubling. */
	if (reader->bytes < size / 2)
		reader->next = size / 2;
	else if (reader->bytes < size)
		reader->next = size;
	else
		reader->next = reader->bytes * 2;
	send_amount(kind, inode, file->slot, reader->bytes, reader->coverage);
}

/* void mm_filemap_get_pages(struct address_space *mapping, pgoff_t index, pgoff_t last_index)   (include/trace/events/filemap.h) */
SEC("tp_btf/mm_filemap_get_pages")
int volume_read(u64 *context)
{
	struct inode *inode = ((struct address_space *)context[0])->host;
	struct watched *file;
	struct file_key key;

	file = watch(inode, &key);
	if (file)
		used(inode, file, context[1], context[2], READ);
	return 0;
}

/* void mm_filemap_map_pages(struct address_space *mapping, pgoff_t start_pgoff, pgoff_t end_pgoff) */
SEC("tp_btf/mm_filemap_map_pages")
int volume_map(u64 *context)
{
	struct inode *inode = ((struct address_space *)context[0])->host;
	struct watched *file;
	struct file_key key;

	file = watch(inode, &key);
	if (file)
		used(inode, file, context[1], context[2], MAP);
	return 0;
}

/* Whether a writer of a file has been told already; if not, it is from now on. */
static __always_inline bool known(struct writer *writer, u32 pid)
{
	for (int i = 0; i < TOLD; i++)
		if (writer->told[i] == pid)
			return 1;
	writer->told[writer->turn++ & (TOLD - 1)] = pid;
	return 0;
}

static __always_inline void flush(struct pending *pending, struct inode *inode)
{
	struct writer *writer, fresh = {.next = SMALLEST, .pid = pending->pid};
	u64 bytes = pending->bytes, size;

	pending->bytes = 0;
	writer = bpf_map_lookup_elem(&written, &pending->key);
	if (!writer) {
		bpf_map_update_elem(&written, &pending->key, &fresh, BPF_NOEXIST);
		writer = bpf_map_lookup_elem(&written, &pending->key);
		if (!writer)
			return;
	}
	if (inode) {
		size = inode->i_size;
		if (size < writer->size)	/* cut off, and begun anew */
			*writer = fresh;
		writer->size = size;
	}
	__sync_fetch_and_add(&writer->bytes, bytes);
	if (writer->pid != pending->pid) {	/* another one goes on with it: a copy that is resumed */
		writer->pid = pending->pid;
		writer->own = 0;
	}
	writer->own += bytes;
	/* Without its inode at hand what was pending for another file waits for its next page. */
	if (!inode)
		return;
	if (writer->bytes >= writer->next) {
		writer->next = writer->bytes * 2;
		known(writer, pending->pid);
	} else if (writer->own < SMALLEST || known(writer, pending->pid)) {
		return;
	}
	send_amount(WRITE, inode, 0, writer->bytes, 0);
}

static __always_inline void wrote(struct inode *inode, u64 bytes)
{
	u32 zero = 0, pid = bpf_get_current_pid_tgid() >> 32;
	struct pending *pending = bpf_map_lookup_elem(&pendings, &zero);
	struct file_key key = {.inode = inode->i_ino, .device = inode->i_sb->s_dev, .generation = inode->i_generation};

	if (!pending)
		return;
	if (pending->key.inode != key.inode || pending->key.device != key.device ||
	    pending->key.generation != key.generation || pending->pid != pid) {
		if (pending->bytes)
			flush(pending, 0);
		pending->key = key;
		pending->pid = pid;
	}
	pending->bytes += bytes;
	if (pending->bytes >= PENDING)
		flush(pending, inode);
}

/* Whether an inode is a large regular file, the only ones that are added up, and no kernel thread (a loop device's) writes. */
static __always_inline bool counts(struct inode *inode)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	if (BPF_CORE_READ(task, flags) & PF_KTHREAD)
		return 0;
	return (inode->i_mode & S_IFMT) == S_IFREG && inode->i_size >= SMALLEST;
}

/*
 * void writeback_dirty_folio(struct folio *folio, struct address_space *mapping)   (include/trace/events/writeback.h)
 * Called in the context of who dirties a clean page, also through a mapping; writing it anew before it is on disk
 * counts nothing.
 */
SEC("tp_btf/writeback_dirty_folio")
int volume_dirty(u64 *context)
{
	struct folio *folio = (void *)context[0];
	struct address_space *mapping = (void *)context[1];
	u64 pages = 1, flags;
	struct inode *inode;

	if (!mapping)	/* the verifier cannot know that it is never 0 */
		return 0;
	inode = mapping->host;
	if (!counts(inode))
		return 0;
	if (bpf_core_field_exists(folio->flags.f))
		flags = BPF_CORE_READ(folio, flags.f);
	else
		flags = BPF_CORE_READ((struct folio___before_6_18 *)folio, flags);
	if (flags >> bpf_core_enum_value(enum pageflags, PG_head) & 1) {
		if (bpf_core_field_exists(folio->_nr_pages))
			pages = BPF_CORE_READ(folio, _nr_pages);
		else if (bpf_core_field_exists(((struct folio___before_6_14 *)0)->_folio_nr_pages))
			pages = BPF_CORE_READ((struct folio___before_6_14 *)folio, _folio_nr_pages);
	}
	wrote(inode, pages << PAGE_SHIFT);
	return 0;
}

/* void writeback_dirty_page(struct page *page, struct address_space *mapping)   before 5.18: pages, not folios */
SEC("tp_btf/writeback_dirty_page")
int volume_dirty_page(u64 *context)
{
	struct address_space *mapping = (void *)context[1];

	if (mapping && counts(mapping->host))
		wrote(mapping->host, 1 << PAGE_SHIFT);
	return 0;
}

/*
 * void iomap_dio_rw_begin(struct kiocb *iocb, struct iov_iter *iter, unsigned int dio_flags, size_t done_before)
 * (fs/iomap/trace.h). data_source: the memory is the source, so the file is written.
 */
SEC("tp_btf/iomap_dio_rw_begin")
int volume_direct(u64 *context)
{
	struct kiocb *iocb = (void *)context[0];
	struct iov_iter *iter = (void *)context[1];
	struct inode *inode = iocb->ki_filp->f_inode;
	u64 bytes = iter->count, page;
	struct watched *file;
	struct file_key key;

	if (iter->data_source) {
		if (counts(inode))
			wrote(inode, bytes);
		return 0;
	}
	file = watch(inode, &key);
	page = iocb->ki_pos >> PAGE_SHIFT;
	if (file && bytes)
		used(inode, file, page, (iocb->ki_pos + bytes - 1) >> PAGE_SHIFT, READ);
	return 0;
}
