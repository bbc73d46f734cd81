/* peek PID SOURCE TARGET call|mem: what a process has mapped of SOURCE, by process_vm_readv or its memory file. */
#include "common.h"
#include <sys/uio.h>

static long find(const char *pid, const char *path, long *size)
{
	static char line[8192];
	unsigned long start, end;
	FILE *maps;

	snprintf(line, sizeof(line), "/proc/%s/maps", pid);
	maps = fopen(line, "r");
	must(maps ? 0 : -1, line);
	while (fgets(line, sizeof(line), maps))
		if (strstr(line, path) && sscanf(line, "%lx-%lx", &start, &end) == 2) {
			*size = end - start;
			return start;
		}
	fprintf(stderr, "%s is not mapped\n", path);
	exit(1);
}

int main(int argc, char **argv)
{
	static char buffer[1 << 20], shown[64];
	long size, at, address = find(argv[1], argv[2], &size);
	int out, mem = -1;

	(void)argc;
	out = target(argv[3]);
	if (!strcmp(argv[4], "mem")) {
		snprintf(shown, sizeof(shown), "/proc/%s/mem", argv[1]);
		mem = must(open(shown, O_RDONLY), shown);
	}
	for (at = 0; at < size;) {
		struct iovec here = { buffer, size - at < MIB ? size - at : MIB };
		struct iovec there = { (void *)(address + at), here.iov_len };
		long got = mem < 0 ? process_vm_readv(atoi(argv[1]), &here, 1, &there, 1, 0)
				   : pread(mem, buffer, here.iov_len, address + at);
		must(got, "reading another's memory");
		must(write(out, buffer, got), "write");
		at += got;
	}
	return 0;
}
