/* piece SOURCE TARGET FROM TO [PAUSE_US [hold]]: part of a file by pread and pwrite, at a pace; "hold" never closes. */
#include "common.h"

int main(int argc, char **argv)
{
	static char buffer[1 << 20];
	int in = source(argv[1]), out = target(argv[2]);
	long at = atol(argv[3]), end = atol(argv[4]), pause_us = argc > 5 ? atol(argv[5]) : 0;

	if (end < 0)
		end = length(in);
	while (at < end) {
		long got = must(pread(in, buffer, end - at < MIB ? end - at : MIB, at), "pread");
		if (!got)
			break;
		must(pwrite(out, buffer, got, at), "pwrite");
		at += got;
		if (pause_us)
			usleep(pause_us);
	}
	if (argc > 6) {
		puts("written");
		fflush(stdout);
		pause();
	}
	return 0;
}
