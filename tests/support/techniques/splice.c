/* splice SOURCE TARGET: pages move through a pipe, no byte passes through the program. */
#include "common.h"

int main(int argc, char **argv)
{
	int in = source(argv[1]), out = target(argv[2]), ends[2];
	long left = length(in);

	(void)argc;
	must(pipe(ends), "pipe");
	while (left > 0) {
		long moved = must(splice(in, NULL, ends[1], NULL, left < 65536 ? left : 65536, 0), "splice in");
		left -= moved;
		while (moved > 0)
			moved -= must(splice(ends[0], NULL, out, NULL, moved, 0), "splice out");
	}
	return 0;
}
