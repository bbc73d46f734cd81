/* What the programs beside this file share: they end at the first call that fails, and say which. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB (1L << 20)

static inline long must(long result, const char *what)
{
	if (result < 0) {
		fprintf(stderr, "%s: %s\n", what, strerror(errno));
		exit(1);
	}
	return result;
}

static inline void *mapped(void *address, const char *what)
{
	must(address == (void *)-1 ? -1 : 0, what);
	return address;
}

static inline int source(const char *path)
{
	return must(open(path, O_RDONLY), path);
}

static inline int target(const char *path)
{
	return must(open(path, O_RDWR | O_CREAT, 0644), path);
}

static inline long length(int fd)
{
	struct stat found;
	must(fstat(fd, &found), "fstat");
	return found.st_size;
}
