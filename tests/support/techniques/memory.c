/* memory SOURCE: into a memfd, which is held until the input ends. */
#include "common.h"
#include <sys/mman.h>

int main(int argc, char **argv)
{
	static char buffer[1 << 20];
	int in = source(argv[1]), out = must(memfd_create("scratch", 0), "memfd_create");
	long got;

	(void)argc;
	while ((got = must(read(in, buffer, MIB), "read")) > 0)
		must(write(out, buffer, got), "write");
	puts("written");
	fflush(stdout);
	return must(read(0, buffer, 1), "the input");
}
