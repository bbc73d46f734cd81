/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Processes: who executes what, who forks, who ends and how; who signals a watched process or reads its memory.
 * Decoded by process.py beside this file.
 */
#define PF_KTHREAD 0x00200000	/* include/linux/sched.h */
#define SIGNAL_GROUP_EXIT 4	/* include/linux/sched/signal.h */
#define PIDTYPE_PGID 2		/* include/linux/pid_types.h, as PIDTYPE_SID */
#define PIDTYPE_SID 3

#define RING (4 << 20)		/* four seconds of 2,000 short commands a second; it counts as our memory */
#define ARGS 16384		/* bytes of argv that are kept; args_total says how many there were */
#define PATHS 8192		/* bytes of all paths of one record; a power of two */
#define NAME 256		/* NAME_MAX and its end */
#define INTERP 1024
#define DEPTH 512		/* steps of one walk: components and mounts */
#define BOUNDED 48		/* the same where the kernel has no bpf_loop: the verifier walks each step then */
#define WATCHED 16384		/* processes that are watched at once, and their threads and numbers inside */
#define PIPES 8			/* pipes and socket pairs of one process that are told, of its first 64 descriptors */
#define PIPEFS 0x50495045	/* PIPEFS_MAGIC, include/uapi/linux/magic.h */
#define S_IFMT 0170000		/* include/uapi/linux/stat.h */
#define S_IFIFO 0010000
#define S_IFSOCK 0140000
#define AF_UNIX 1		/* include/linux/socket.h */
#define PAIRS 4096		/* pairs of who reads whose memory */
#define TOUCH (16ull << 20)	/* bytes of a model that have to be read to touch it, if it is large */
#define AGAIN 1000000000ull	/* nanoseconds after which more reads of one pair are told */

#define FIRST_PIDS 0xEFFFFFFC	/* PROC_PID_INIT_INO, include/linux/proc_ns.h: the host's pid namespace */
#define ALREADY_PENDING 2	/* TRACE_SIGNAL_ALREADY_PENDING, include/trace/events/signal.h */
/* HUP, INT, QUIT, ABRT, KILL, TERM, STOP and TSTP (arch/.../include/uapi/asm/signal.h: alike on x86 and arm64) */
#define TOLD (1u << 1 | 1u << 2 | 1u << 3 | 1u << 6 | 1u << 9 | 1u << 15 | 1u << 19 | 1u << 20)

#define TS_COMPAT 2		/* arch/x86/include/asm/thread_info.h: in a 32-bit system call */
#define TIF_32BIT 22		/* arch/arm64/include/asm/thread_info.h */
#define PTRACE_ATTACH 16	/* include/uapi/linux/ptrace.h */
#define PTRACE_SEIZE 0x4206

enum { EXEC, FORK, EXIT, SIGNAL, ACCESS };
#define KINDS 5
enum { READV = 1, TRACE };	/* what an access is */

#include "records.h"

/* Times are nanoseconds since boot. All records begin with this; fork and exit are nothing more. */
struct head {
	u32 kind;
	u32 pid;
	u64 when;
	u64 start;
	u64 parent_start;
	u64 cgroup;
	u32 parent;
	u32 uid;
	u32 code;		/* exit: as wait() tells it */
	u32 pad;
};

/* An end of a pipe: its inode number, a named one's device above it. Of a socket pair that of this end, and the other's. */
struct end {
	u64 pipe;
	u32 mode;		/* 1: it reads from it; 2: it writes; 3: both */
	u32 far;
};

/* data holds interp, the components of exe, cwd and cgroup (innermost first, each ended by NUL), then argv. */
struct exec {
	struct head head;
	u32 loginuid;
	u32 sessionid;
	u32 group;
	u32 session;
	u32 tty_major;
	u32 tty_minor;
	u32 foreground;
	u32 links;		/* of the executable; 0: its name is gone */
	u32 args_total;
	u32 args;		/* from here on: bytes of each part of data */
	u32 interp;
	u32 exe;
	u32 cwd;
	u32 cgroup;
	u32 cut;		/* 1: a path did not fit */
	u32 tty;		/* 1: there is one */
	u32 mount_space;	/* inode numbers of namespaces */
	u32 pid_space;
	u32 net_space;
	u32 pid_inside;		/* the pid in its own pid namespace */
	char comm[16];
	struct end ends[PIPES];
	u32 ends_open;
	u32 pad;
	char data[PATHS + INTERP + ARGS];
};

/* A signal or an access: the head is who acts. */
struct act {
	struct head head;
	u64 bytes;		/* access: that were read by this process from that one so far */
	u32 target;
	u32 what;		/* the signal; READV or TRACE */
	u32 kernel;		/* 1: a signal that no process sent; the head is whoever ran */
	u32 pad;
};

struct scratch {
	struct exec exec;
	u32 used;
	struct dentry *dentry;
	struct vfsmount *mnt;
	struct kernfs_node *node;
};

/* Too large for the stack. Only one exec is told on a CPU at a time: the kernel runs no program inside itself. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

/* A test compares these with the decoder: sizes of both records, offsets of their parts. */
const volatile u32 layout[] SEC(".rodata.layout") = {
	sizeof(struct head), __builtin_offsetof(struct head, code), __builtin_offsetof(struct exec, loginuid),
	__builtin_offsetof(struct exec, args_total), __builtin_offsetof(struct exec, tty),
	__builtin_offsetof(struct exec, comm), __builtin_offsetof(struct exec, ends),
	__builtin_offsetof(struct exec, data), ARGS, PATHS, RING,
	sizeof(struct act), __builtin_offsetof(struct act, target), WATCHED,
};

/* Processes that are watched: the host's pid, by pid namespace (upper half) and the number inside it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WATCHED);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, u64);
	__type(value, u32);
} watched SEC(".maps");

struct pair {
	u32 reader;
	u32 target;
	u32 what;
};

struct sum {
	u64 told;
	u64 bytes;
	u64 next;		/* the sum that is told at once: the touch, and each doubling */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, PAIRS);
	__type(key, struct pair);
	__type(value, struct sum);
} pairs SEC(".maps");

static __always_inline struct scratch *scratch(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&scratches, &zero);
}

static __always_inline void fill(struct head *head, u32 kind, struct task_struct *task, struct task_struct *parent)
{
	head->kind = kind;
	head->pid = task->tgid;
	head->when = bpf_ktime_get_boot_ns();
	head->start = task->group_leader->start_boottime;
	head->parent = parent->tgid;
	head->parent_start = parent->group_leader->start_boottime;
	head->cgroup = task->cgroups->dfl_cgrp->kn->id;
	head->uid = task->cred->euid.val;
	head->code = 0;
	head->pad = 0;
}

/* Append one name. Both conditions repeat for the verifier what the reader of the code knows. */
static __always_inline int append(struct scratch *s, const void *name, u32 most)
{
	u32 used = s->used;
	long length;

	if (used >= PATHS) {
		s->exec.cut = 1;
		return 0;
	}
	length = bpf_probe_read_kernel_str(&s->exec.data[used & (PATHS - 1)], most, name);
	if (length > 0)
		s->used = used + length;
	return length > 0;
}

/* One step towards the root; through a mount's root to where it is mounted. bpf_d_path is refused to this hook. */
static long towards_root(u32 index, void *context)
{
	struct scratch *s = scratch();
	struct dentry *dentry, *parent;
	struct mount *mount, *above;
	struct vfsmount *mnt;

	if (!s)
		return 1;
	dentry = s->dentry;
	mnt = s->mnt;
	if (dentry == BPF_CORE_READ(mnt, mnt_root)) {
		mount = (void *)mnt - bpf_core_field_offset(struct mount, mnt);
		above = BPF_CORE_READ(mount, mnt_parent);
		if (above == mount)
			return 1;
		s->dentry = BPF_CORE_READ(mount, mnt_mountpoint);
		s->mnt = (void *)above + bpf_core_field_offset(struct mount, mnt);
		return 0;
	}
	parent = BPF_CORE_READ(dentry, d_parent);
	if (parent == dentry || !append(s, BPF_CORE_READ(dentry, d_name.name), NAME))
		return 1;
	s->dentry = parent;
	return 0;
}

static __always_inline u32 walk(struct scratch *s, struct dentry *dentry, struct vfsmount *mnt, bool bounded)
{
	u32 before = s->used, step = 0;

	s->dentry = dentry;
	s->mnt = mnt;
	if (!bounded) {
		if (bpf_loop(DEPTH, towards_root, 0, 0) == DEPTH)
			s->exec.cut = 1;
	} else {
		for (; step < BOUNDED; step++)
			if (towards_root(step, 0))
				break;
		if (step == BOUNDED)
			s->exec.cut = 1;
	}
	if (s->used == before)	/* the root itself, or a file with no folder: a memfd */
		append(s, BPF_CORE_READ(dentry, d_name.name), NAME);
	return s->used - before;
}

static long towards_root_group(u32 index, void *context)
{
	struct scratch *s = scratch();
	struct kernfs_node *node, *parent;

	if (!s)
		return 1;
	node = s->node;
	if (bpf_core_field_exists(node->__parent))
		parent = BPF_CORE_READ(node, __parent);
	else
		parent = BPF_CORE_READ((struct kernfs_node___before_6_15 *)node, parent);
	if (!parent || !append(s, BPF_CORE_READ(node, name), NAME))
		return 1;
	s->node = parent;
	return 0;
}

static __always_inline u32 walk_group(struct scratch *s, struct kernfs_node *node, bool bounded)
{
	u32 before = s->used, step = 0;

	s->node = node;
	if (!bounded) {
		bpf_loop(DEPTH, towards_root_group, 0, 0);
	} else {
		for (; step < BOUNDED; step++)
			if (towards_root_group(step, 0))
				break;
		if (step == BOUNDED)
			s->exec.cut = 1;
	}
	return s->used - before;
}

static __always_inline void terminal(struct exec *exec, struct signal_struct *signal)
{
	struct tty_struct *tty = signal->tty;
	struct pid *pgrp;

	exec->tty = tty != 0;
	if (!tty)
		return;
	exec->tty_major = BPF_CORE_READ(tty, driver, major);
	exec->tty_minor = BPF_CORE_READ(tty, driver, minor_start) + BPF_CORE_READ(tty, index);
	if (bpf_core_field_exists(tty->ctrl.pgrp))
		pgrp = BPF_CORE_READ(tty, ctrl.pgrp);
	else
		pgrp = BPF_CORE_READ((struct tty_struct___before_5_15 *)tty, pgrp);
	exec->foreground = BPF_CORE_READ(pgrp, numbers[0].nr);
}

static __always_inline void arguments(struct scratch *s, struct mm_struct *mm)
{
	u64 from = mm->arg_start, length = mm->arg_end - from;
	u32 used = s->used;

	s->exec.args_total = length;
	s->exec.args = 0;
	if (length > ARGS)
		length = ARGS;
	if (used <= PATHS + INTERP && !bpf_probe_read_user(&s->exec.data[used], length, (void *)from))
		s->exec.args = length;
}

static __always_inline struct upid *innermost(struct task_struct *task)
{
	struct pid *pid = BPF_CORE_READ(task, thread_pid);
	u64 level = BPF_CORE_READ(pid, level);

	return (void *)pid + bpf_core_field_offset(struct pid, numbers) + level * bpf_core_type_size(struct upid);
}

static __always_inline void namespaces(struct exec *exec, struct task_struct *task)
{
	struct upid *inside = innermost(task);

	exec->mount_space = BPF_CORE_READ(task, nsproxy, mnt_ns, ns.inum);
	exec->net_space = BPF_CORE_READ(task, nsproxy, net_ns, ns.inum);
	exec->pid_space = BPF_CORE_READ(inside, ns, ns.inum);
	exec->pid_inside = BPF_CORE_READ(inside, nr);
}

/* Fill in which pipe or socket pair a descriptor is an end of; false: of neither. */
static __always_inline bool is_end(struct file *file, struct end *end)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode), *there;
	u32 kind = BPF_CORE_READ(inode, i_mode) & S_IFMT;
	u64 number = BPF_CORE_READ(inode, i_ino);
	struct socket *socket;
	struct unix_sock *sk;
	struct sock *peer;

	end->far = 0;
	if (kind == S_IFSOCK) {
		socket = BPF_CORE_READ(file, private_data);
		sk = (void *)BPF_CORE_READ(socket, sk);
		if (!sk || BPF_CORE_READ(sk, sk.__sk_common.skc_family) != AF_UNIX)
			return 0;
		peer = BPF_CORE_READ(sk, peer);
		there = BPF_CORE_READ(peer, sk_socket, file, f_inode);
		end->far = BPF_CORE_READ(there, i_ino);
		if (!end->far)
			return 0;
	} else if (kind != S_IFIFO) {
		return 0;
	} else if (BPF_CORE_READ(inode, i_sb, s_magic) != PIPEFS) {
		number |= (u64)BPF_CORE_READ(inode, i_sb, s_dev) << 32;
	}
	end->pipe = number;
	end->mode = BPF_CORE_READ(file, f_mode) & 3;
	return 1;
}

/*
 * Which pipes the new image has open; what closes at exec is closed by now. A function of its own, not inlined, and the
 * count kept in memory: the verifier walks it once, and does not tell apart how many were found.
 */
__noinline int pipes(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **files = BPF_CORE_READ(table, fd), *file;
	struct scratch *s = scratch();
	unsigned long open = 0;
	struct end end = {};
	u32 count;

	if (!s)
		return 0;
	s->exec.ends_open = 0;
	bpf_probe_read_kernel(&open, sizeof(open), BPF_CORE_READ(table, open_fds));
	for (int i = 0; i < 64; i++) {
		if (!(open >> i & 1) || bpf_probe_read_kernel(&file, sizeof(file), &files[i]) || !file)
			continue;
		if (!is_end(file, &end))
			continue;
		count = *(volatile u32 *)&s->exec.ends_open;
		if (count >= PIPES)
			break;
		s->exec.ends[count] = end;
		s->exec.ends_open = count + 1;
	}
	return 0;
}

/*
 * void sched_process_exec(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)   (include/trace/events/sched.h)
 * Called before the new image runs: it cannot have rewritten its arguments yet.
 */
static __always_inline int executed(u64 *context, bool bounded)
{
	struct task_struct *task = (void *)context[0];
	struct linux_binprm *bprm = (void *)context[2];
	struct scratch *s = scratch();
	struct dentry *dentry;
	struct exec *exec;
	u32 used;

	if (!s)
		return 0;
	exec = &s->exec;
	fill(&exec->head, EXEC, task, task->real_parent);
	exec->loginuid = task->loginuid.val;
	exec->sessionid = task->sessionid;
	exec->group = BPF_CORE_READ(task, signal, pids[PIDTYPE_PGID], numbers[0].nr);
	exec->session = BPF_CORE_READ(task, signal, pids[PIDTYPE_SID], numbers[0].nr);
	terminal(exec, task->signal);
	namespaces(exec, task);
	pipes();
	bpf_probe_read_kernel(exec->comm, sizeof(exec->comm), task->comm);
	exec->cut = 0;
	s->used = 0;
	append(s, BPF_CORE_READ(bprm, interp), INTERP);
	exec->interp = s->used;
	dentry = BPF_CORE_READ(task, mm, exe_file, f_path.dentry);
	exec->links = BPF_CORE_READ(dentry, d_inode, i_nlink);
	exec->exe = walk(s, dentry, BPF_CORE_READ(task, mm, exe_file, f_path.mnt), bounded);
	exec->cwd = walk(s, BPF_CORE_READ(task, fs, pwd.dentry), BPF_CORE_READ(task, fs, pwd.mnt), bounded);
	exec->cgroup = walk_group(s, BPF_CORE_READ(task, cgroups, dfl_cgrp, kn), bounded);
	arguments(s, task->mm);
	used = s->used + exec->args;
	if (used > sizeof(exec->data))
		used = sizeof(exec->data);
	send(exec, __builtin_offsetof(struct exec, data) + used, EXEC);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int process_exec(u64 *context)
{
	return executed(context, 0);
}

/* The same for kernels before 5.17, which lack bpf_loop: paths of more than BOUNDED names are cut, and marked so. */
SEC("tp_btf/sched_process_exec")
int process_exec_bounded(u64 *context)
{
	return executed(context, 1);
}

/*
 * void sched_process_fork(struct task_struct *parent, struct task_struct *child)   (include/trace/events/sched.h)
 * The parent told is the one that called clone: with CLONE_PARENT the child's ppid would name its grandparent.
 */
SEC("tp_btf/sched_process_fork")
int process_fork(u64 *context)
{
	struct task_struct *parent = (void *)context[0], *child = (void *)context[1];
	struct head head;

	if (child->pid != child->tgid || child->flags & PF_KTHREAD)
		return 0;
	fill(&head, FORK, child, parent);
	send(&head, sizeof(head), FORK);
	return 0;
}

/*
 * void sched_process_exit(struct task_struct *p[, bool group_dead])   (include/trace/events/sched.h; the second since 6.16)
 * Called for each thread; do_exit() has counted it out of signal->live before. Two that end together may both see 0:
 * the reader passes over the second.
 */
SEC("tp_btf/sched_process_exit")
int process_exit(u64 *context)
{
	struct task_struct *task = (void *)context[0];
	struct signal_struct *signal = task->signal;
	u64 key = (u64)FIRST_PIDS << 32 | task->tgid;
	struct head head;

	if (signal->live.counter != 0 || task->flags & PF_KTHREAD)
		return 0;
	bpf_map_delete_elem(&watched, &key);	/* its number may be another's at once */
	fill(&head, EXIT, task, task->real_parent);
	head.code = signal->flags & SIGNAL_GROUP_EXIT ? signal->group_exit_code : task->group_leader->exit_code;
	send(&head, sizeof(head), EXIT);
	return 0;
}

/*
 * void signal_generate(int sig, struct kernel_siginfo *info, struct task_struct *task, int group, int result)
 * (include/trace/events/signal.h). kill, tgkill, killpg and pidfd_send_signal all pass here; the sender is current.
 * info is 0 or 1 (SEND_SIG_NOINFO, SEND_SIG_PRIV) or tells with a positive code that the kernel itself sends.
 */
SEC("tp_btf/signal_generate")
int process_signal(u64 *context)
{
	struct kernel_siginfo *info = (void *)context[1];
	struct task_struct *task = (void *)context[2], *sender;
	u64 key = (u64)FIRST_PIDS << 32;
	u32 number = context[0];
	struct act act = {};

	if (number > 31 || !(TOLD >> number & 1) || (u32)context[4] == ALREADY_PENDING)
		return 0;
	key |= (u32)task->tgid;
	if (!bpf_map_lookup_elem(&watched, &key))
		return 0;
	sender = bpf_get_current_task_btf();
	fill(&act.head, SIGNAL, sender, sender->real_parent);
	act.target = key;
	act.what = number;
	act.kernel = (u64)info == 1 || sender->flags & PF_KTHREAD;
	if ((u64)info > 1 && (s32)BPF_CORE_READ(info, si_code) > 0)
		act.kernel = 1;
	send(&act, sizeof(act), SIGNAL);
	return 0;
}

struct call {
	u32 what;
	u32 pid;
};

/*
 * What a system call was, from the registers: they keep number and arguments until its end. 0: none of ours. The number
 * is read as directly as can be: all that comes before it costs every system call of the host.
 */
static __always_inline struct call call_of(struct pt_regs *regs)
{
	struct pt_regs___arm64 *arm = (void *)regs;
	struct task_struct *task;
	struct call call = {};
	u64 number, first, second;
	bool narrow;

	if (bpf_core_field_exists(regs->orig_ax)) {
		number = regs->orig_ax;
		if (number != 310 && number != 101 && number != 347 && number != 26)
			return call;
		task = bpf_get_current_task_btf();
		narrow = BPF_CORE_READ(task, thread_info.status) & TS_COMPAT;
		first = narrow ? BPF_CORE_READ(regs, bx) : BPF_CORE_READ(regs, di);
		second = narrow ? BPF_CORE_READ(regs, cx) : BPF_CORE_READ(regs, si);
		call.what = number == (narrow ? 347 : 310) ? READV : number == (narrow ? 26 : 101) ? TRACE : 0;
	} else {
		number = arm->syscallno;
		if (number != 270 && number != 117 && number != 376 && number != 26)
			return call;
		task = bpf_get_current_task_btf();
		narrow = BPF_CORE_READ(task, thread_info.flags) >> TIF_32BIT & 1;
		first = BPF_CORE_READ(arm, orig_x0);
		second = BPF_CORE_READ(arm, regs[1]);
		call.what = number == (narrow ? 376 : 270) ? READV : number == (narrow ? 26 : 117) ? TRACE : 0;
	}
	if (call.what == TRACE && first != PTRACE_ATTACH && first != PTRACE_SEIZE)
		call.what = 0;
	call.pid = call.what == READV ? first : second;
	return call;
}

/*
 * void sys_exit(struct pt_regs *regs, long ret)   (include/trace/events/syscalls.h)
 * At the end of a call, not its begin: one that was refused read nothing. Reads of one pair are added up.
 */
SEC("tp_btf/sys_exit")
int process_access(u64 *context)
{
	struct call call = call_of((void *)context[0]);
	s64 result = context[1];
	struct task_struct *task;
	struct sum fresh = {}, *sum;
	struct pair pair = {};
	struct act act = {};
	u32 *target;
	u64 key, now;

	if (!call.what || result < 0)
		return 0;
	task = bpf_get_current_task_btf();
	key = (u64)BPF_CORE_READ(innermost(task), ns, ns.inum) << 32 | call.pid;
	target = bpf_map_lookup_elem(&watched, &key);
	if (!target || *target == task->tgid)
		return 0;
	pair.reader = task->tgid;
	pair.target = *target;
	pair.what = call.what;
	now = bpf_ktime_get_boot_ns();
	sum = bpf_map_lookup_elem(&pairs, &pair);
	if (!sum) {
		bpf_map_update_elem(&pairs, &pair, &fresh, BPF_ANY);
		sum = bpf_map_lookup_elem(&pairs, &pair);
		if (!sum)
			return 0;
	}
	__sync_fetch_and_add(&sum->bytes, call.what == READV ? result : 0);
	if (sum->told && now - sum->told < AGAIN && (!sum->bytes || sum->bytes < sum->next))
		return 0;
	sum->told = now;
	sum->next = sum->bytes < TOUCH && sum->bytes * 2 > TOUCH ? TOUCH : sum->bytes * 2;
	fill(&act.head, ACCESS, task, task->real_parent);
	act.bytes = sum->bytes;
	act.target = pair.target;
	act.what = call.what;
	send(&act, sizeof(act), ACCESS);
	return 0;
}
