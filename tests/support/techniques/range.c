/* range SOURCE TARGET: copy_file_range, which shares extents where the filesystem can. */
#include "common.h"

int main(int argc, char **argv)
{
	int in = source(argv[1]), out = target(argv[2]);
	long left = length(in);

	(void)argc;
	while (left > 0)
		left -= must(copy_file_range(in, NULL, out, NULL, left, 0), "copy_file_range");
	return 0;
}
