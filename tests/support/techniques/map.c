/* map SOURCE TARGET early|late: from mapping to mapping. "early": the descriptors are closed before the bytes move, and
 * the mappings end at once; "late": both are held until the input ends. */
#include "common.h"
#include <sys/mman.h>

int main(int argc, char **argv)
{
	int in = source(argv[1]), out = target(argv[2]), early = !strcmp(argv[3], "early");
	long size = length(in);
	char *from, *to;

	(void)argc;
	must(ftruncate(out, size), "ftruncate");
	from = mapped(mmap(NULL, size, PROT_READ, MAP_SHARED, in, 0), "mmap source");
	to = mapped(mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, out, 0), "mmap target");
	if (early) {
		close(in);
		close(out);
	}
	memcpy(to, from, size);
	if (!early)
		must(read(0, to, 1), "the input");
	must(munmap(to, size), "munmap");
	return 0;
}
