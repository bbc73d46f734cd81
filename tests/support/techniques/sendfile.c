/* sendfile SOURCE TARGET: the kernel carries the bytes from file to file. */
#include "common.h"
#include <sys/sendfile.h>

int main(int argc, char **argv)
{
	int in = source(argv[1]), out = target(argv[2]);
	long left = length(in);

	(void)argc;
	while (left > 0)
		left -= must(sendfile(out, in, NULL, left), "sendfile");
	return 0;
}
