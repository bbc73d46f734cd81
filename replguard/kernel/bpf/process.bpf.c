/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Processes: who executes what, who forks, who ends and how. Decoded by process.py beside this file.
 */
#define PF_KTHREAD 0x00200000	/* include/linux/sched.h */
#define SIGNAL_GROUP_EXIT 4	/* include/linux/sched/signal.h */
#define PIDTYPE_PGID 2		/* include/linux/pid_types.h, as PIDTYPE_SID */
#define PIDTYPE_SID 3

#define RING (8 << 20)		/* four seconds of 2,000 short commands a second */
#define ARGS 16384		/* bytes of argv that are kept; args_total says how many there were */
#define PATHS 8192		/* bytes of all paths of one record; a power of two */
#define NAME 256		/* NAME_MAX and its end */
#define INTERP 1024
#define DEPTH 512		/* steps of one walk: components and mounts */

enum { EXEC, FORK, EXIT };
#define KINDS 3

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
	char comm[16];
	char data[PATHS + INTERP + ARGS];
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
	__builtin_offsetof(struct exec, comm), __builtin_offsetof(struct exec, data), ARGS, PATHS, RING,
};

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

static __always_inline u32 walk(struct scratch *s, struct dentry *dentry, struct vfsmount *mnt)
{
	u32 before = s->used;

	s->dentry = dentry;
	s->mnt = mnt;
	if (bpf_loop(DEPTH, towards_root, 0, 0) == DEPTH)
		s->exec.cut = 1;
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

static __always_inline u32 walk_group(struct scratch *s, struct kernfs_node *node)
{
	u32 before = s->used;

	s->node = node;
	bpf_loop(DEPTH, towards_root_group, 0, 0);
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

/*
 * void sched_process_exec(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)   (include/trace/events/sched.h)
 * Called before the new image runs: it cannot have rewritten its arguments yet.
 */
SEC("tp_btf/sched_process_exec")
int process_exec(u64 *context)
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
	bpf_probe_read_kernel(exec->comm, sizeof(exec->comm), task->comm);
	exec->cut = 0;
	s->used = 0;
	append(s, BPF_CORE_READ(bprm, interp), INTERP);
	exec->interp = s->used;
	dentry = BPF_CORE_READ(task, mm, exe_file, f_path.dentry);
	exec->links = BPF_CORE_READ(dentry, d_inode, i_nlink);
	exec->exe = walk(s, dentry, BPF_CORE_READ(task, mm, exe_file, f_path.mnt));
	exec->cwd = walk(s, BPF_CORE_READ(task, fs, pwd.dentry), BPF_CORE_READ(task, fs, pwd.mnt));
	exec->cgroup = walk_group(s, BPF_CORE_READ(task, cgroups, dfl_cgrp, kn));
	arguments(s, task->mm);
	used = s->used + exec->args;
	if (used > sizeof(exec->data))
		used = sizeof(exec->data);
	send(exec, __builtin_offsetof(struct exec, data) + used, EXEC);
	return 0;
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
	struct head head;

	if (signal->live.counter != 0 || task->flags & PF_KTHREAD)
		return 0;
	fill(&head, EXIT, task, task->real_parent);
	head.code = signal->flags & SIGNAL_GROUP_EXIT ? signal->group_exit_code : task->group_leader->exit_code;
	send(&head, sizeof(head), EXIT);
	return 0;
}
